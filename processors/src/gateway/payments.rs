//! `/v1/payments`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use kpay_domain::{Intake, PaymentId, intake};
use uuid::Uuid;

use super::App;
use super::accept::{KnownIntake, Order};
use super::answer::{Json, json};
use super::dto::{NewPayment, PaymentStatus, PaymentView};
use super::extract::{IdOf, JsonBody, PaymentWait, Prefer};
use super::fields;
use super::problem::{Problem, Rejected};

/// An id for a request that has none: by time, so that ids of one moment lie close together.
pub(super) fn made_id() -> PaymentId {
    PaymentId::new(&Uuid::now_v7().to_string()).expect("a UUID is 36 hexadecimal digits and hyphens")
}

/// Where a payment or an account command is found.
pub(super) fn location(id: &PaymentId) -> String {
    format!("/v1/payments/{id}")
}

/// Make a payment.
///
/// 202 means that the payment is in the log and will have exactly one outcome. The same request with the same id may
/// be sent again at any time: it is carried out once and answered as the first time, so without `Prefer` it is `accepted`
/// however far it has come. With `Prefer: wait=1` a copy is answered with the outcome, at once when there is one. The header
/// `idempotent-replayed: true` tells a copy.
#[utoipa::path(
    post, operation_id = "create_payment", path = "/v1/payments", tag = "payments",
    params(PaymentWait),
    request_body = NewPayment,
    responses(
        (status = 202, body = PaymentView, description = "Accepted; `location` says where it is found",
            headers(("location" = String), ("preference-applied" = String), ("idempotent-replayed" = String))),
        (status = 200, body = PaymentView, description = "The outcome, by `Prefer: wait`",
            headers(("preference-applied" = String), ("idempotent-replayed" = String))),
    ),
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    prefer: Prefer,
    JsonBody(body): JsonBody,
) -> Result<Response, Rejected> {
    fields::check(&body, &["id", "from", "to", "amount", "reference", "attributes", "occurredAtMs"])?;
    let made = made_id();
    let intake = intake::payment_from_json(&body, Some(made.clone()))
        .map_err(|malformed| Problem::malformed(&malformed))?;
    let id_from_caller = *intake.id() != made;
    let view = PaymentView { note: app.note("payment"), ..PaymentView::accepted(&intake) };
    let location = location(intake.id());
    Ok(app.accept(&Order { intake, id_from_caller, prefer, location }, view).await?)
}

/// Look at a payment or an account command.
#[utoipa::path(
    get, operation_id = "get_payment", path = "/v1/payments/{id}", tag = "payments",
    params(("id" = String, Path, description = "Of the payment or the account command", example = "p-1")),
    responses(
        (status = 200, body = PaymentView, description = "Where it is"),
    ),
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    IdOf(id): IdOf<PaymentId>,
) -> Result<Response, Rejected> {
    // Without the confirmed stage's word nothing is said at all: a payment that was seen as confirmed must not be seen
    // as in flight later.
    let outcome = app.outcome(&id).await.map_err(|_| Problem::owner_unavailable())?;
    if let Some(outcome) = outcome {
        return Ok(json(&outcome));
    }
    let known = app.known_intake(&id).await;
    if let Ok(Some(known)) = known {
        return Ok(Json(in_flight(&id, known)).into_response());
    }
    let recent: Option<Intake> = app.recent.lock().get(&id).cloned();
    match (recent, known) {
        (Some(intake), _) => {
            let note = app.note(if matches!(intake, Intake::Payment(_)) { "payment" } else { "command" });
            Ok(Json(PaymentView { note, ..PaymentView::accepted(&intake) }).into_response())
        }
        (None, Ok(_)) => Err(Problem::payment_unknown().into()),
        (None, Err(_)) => Err(Problem::owner_unavailable().into()),
    }
}

fn in_flight(id: &PaymentId, known: KnownIntake) -> PaymentView {
    let KnownIntake { intake, .. } = known;
    PaymentView {
        from: intake.from,
        to: intake.to,
        account: intake.account,
        amount: intake.amount,
        reference: intake.reference,
        ..PaymentView::empty(id.as_str(), PaymentStatus::InFlight)
    }
}
