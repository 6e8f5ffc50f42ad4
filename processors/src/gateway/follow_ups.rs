//! What is done with a payment later: a held one is released or refused, a confirmed one is given back.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use kpay_domain::{
    AccountId, Attributes, Currency, HoldVerdict, Malformed, Money, Payment, PaymentId, intake,
};

use super::App;
use super::accept::Order;
use super::accounts::CommandAnswers;
use super::dto::{NewRefund, NewVerdict, PaymentStatus, PaymentView};
use super::extract::{CommandWait, IdOf, JsonBody, PaymentWait, Prefer};
use super::fields;
use super::payments::{location, made_id};
use super::problem::{Problem, Rejected};

/// Release a held payment: it goes on, by all checks but the rules.
///
/// `by` and `why` stay with the payment. 409 `payment_not_held` when no rule holds it. The same verdict twice is one; of two
/// different ones the later is rejected with `hold_unknown`.
#[utoipa::path(
    post, operation_id = "release_payment", path = "/v1/payments/{id}/release", tag = "payments",
    params(("id" = String, Path, description = "Of the held payment", example = "p-1"), CommandWait),
    request_body = NewVerdict,
    responses(CommandAnswers),
)]
pub(super) async fn release(
    State(app): State<Arc<App>>,
    IdOf(id): IdOf<PaymentId>,
    prefer: Prefer,
    JsonBody(body): JsonBody,
) -> Result<Response, Rejected> {
    decide(&app, &id, HoldVerdict::Release, prefer, &body).await
}

/// Refuse a held payment: it is rejected with `hold_refused`.
#[utoipa::path(
    post, operation_id = "refuse_payment", path = "/v1/payments/{id}/refuse", tag = "payments",
    params(("id" = String, Path, description = "Of the held payment", example = "p-1"), CommandWait),
    request_body = NewVerdict,
    responses(CommandAnswers),
)]
pub(super) async fn refuse(
    State(app): State<Arc<App>>,
    IdOf(id): IdOf<PaymentId>,
    prefer: Prefer,
    JsonBody(body): JsonBody,
) -> Result<Response, Rejected> {
    decide(&app, &id, HoldVerdict::Refuse, prefer, &body).await
}

async fn decide(
    app: &App,
    id: &PaymentId,
    verdict: HoldVerdict,
    prefer: Prefer,
    body: &[u8],
) -> Result<Response, Rejected> {
    fields::check(body, &["id", "by", "why", "occurredAtMs"])?;
    let payment = look(app, id).await?;
    let payer = payment.from.as_deref().and_then(|from| AccountId::new(from).ok());
    let (Some(payer), Some(_)) = (payer, &payment.hold) else {
        return Err(Problem::payment_not_held(word(payment.status)).into());
    };
    let intake = intake::decide_from_json(body, verdict, Some(payer), Some(id.clone()))
        .map_err(|malformed| Problem::malformed(&malformed))?;
    let view = PaymentView { note: app.note("command"), ..PaymentView::accepted(&intake) };
    let location = location(intake.id());
    Ok(app.accept(&Order { intake, id_from_caller: true, prefer, location }, view).await?)
}

/// Give a confirmed payment back, in part or as a whole.
///
/// A refund is a payment of its own from the payee to the payer; neither limits nor rules look at it. All refunds of a
/// payment together are at most the payment: one too many is rejected with `refund_exceeds_payment`.
#[utoipa::path(
    post, operation_id = "refund_payment", path = "/v1/payments/{id}/refund", tag = "payments",
    params(("id" = String, Path, description = "Of the payment that is given back", example = "p-1"), PaymentWait),
    request_body = NewRefund,
    responses(CommandAnswers),
)]
pub(super) async fn refund(
    State(app): State<Arc<App>>,
    IdOf(id): IdOf<PaymentId>,
    prefer: Prefer,
    JsonBody(body): JsonBody,
) -> Result<Response, Rejected> {
    fields::check(&body, &["id", "amount", "reference", "attributes", "occurredAtMs"])?;
    let view = look(&app, &id).await?;
    if view.status != PaymentStatus::Confirmed {
        return Err(Problem::payment_not_refundable(word(view.status)).into());
    }
    if view.refund_of.is_some() {
        return Err(Problem::payment_not_refundable("a refund itself").into());
    }
    let paid = paid(id, &view).ok_or_else(|| Problem::payment_not_refundable("an account command"))?;
    let made = made_id();
    let malformed = |malformed: Malformed| Problem::malformed(&malformed);
    let intake = intake::refund_from_json(&body, &paid, made.clone()).map_err(malformed)?;
    let id_from_caller = *intake.id() != made;
    let view = PaymentView { note: app.note("payment"), ..PaymentView::accepted(&intake) };
    let location = location(intake.id());
    Ok(app.accept(&Order { intake, id_from_caller, prefer, location }, view).await?)
}

/// How the payment ended, or that a rule holds it.
async fn look(app: &App, id: &PaymentId) -> Result<PaymentView, Rejected> {
    let outcome = app.outcome(id).await.map_err(|_| Problem::owner_unavailable())?;
    if let Some(outcome) = outcome {
        return Ok(serde_json::from_slice(&outcome).map_err(|_| Problem::internal())?);
    }
    let known = app.known_intake(id).await.map_err(|_| Problem::owner_unavailable())?;
    let recent = app.recent.lock().get(id).is_some();
    if known.is_none() && !recent {
        return Err(Problem::payment_unknown().into());
    }
    Ok(PaymentView::empty(id.as_str(), PaymentStatus::InFlight))
}

/// What was paid, of a payment.
fn paid(id: PaymentId, view: &PaymentView) -> Option<Payment> {
    let amount = view.amount.as_ref()?;
    let currency = Currency::new(amount.currency.as_deref()?).ok()?;
    Some(Payment {
        id,
        from: AccountId::new(view.from.as_deref()?).ok()?,
        to: AccountId::new(view.to.as_deref()?).ok()?,
        amount: Money::new(amount.value, currency),
        reference: None,
        attributes: Attributes::default(),
        occurred_at_ms: None,
        refund: None,
    })
}

const fn word(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Accepted => "accepted",
        PaymentStatus::InFlight => "in flight",
        PaymentStatus::Held => "held",
        PaymentStatus::Confirmed => "confirmed",
        PaymentStatus::Rejected => "rejected",
        PaymentStatus::Reversed => "reversed",
    }
}
