//! `/v1/accounts`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kpay_domain::{AccountId, Intake, Malformed, PaymentId, StatusChange, intake};

use super::App;
use super::accept::Order;
use super::answer::{Json, json};
use super::dto::{
    AccountView, NewAccount, NewChange, NewFunding, NewLimits, OpeningView, PaymentStatus, PaymentView,
};
use super::extract::{CommandWait, IdOf, JsonBody, OptionalJson, Prefer};
use super::fields;
use super::payments::{location, made_id};
use super::peers::{Answer, AskError, Question};
use super::problem::{Problem, Rejected};
use crate::names::StageName;

/// Open an account.
///
/// The opening is a command with an id and an outcome of its own, which `/v1/payments/{commandId}` shows.
#[utoipa::path(
    post, operation_id = "open_account", path = "/v1/accounts", tag = "accounts",
    params(CommandWait),
    request_body = NewAccount,
    responses(
        (status = 202, body = OpeningView, description = "Accepted; `location` says where the account is found",
            headers(("location" = String), ("preference-applied" = String), ("idempotent-replayed" = String))),
        (status = 200, body = PaymentView, description = "The command's outcome, by `Prefer: wait`",
            headers(("preference-applied" = String), ("idempotent-replayed" = String))),
    ),
)]
pub(super) async fn open(
    State(app): State<Arc<App>>,
    prefer: Prefer,
    JsonBody(body): JsonBody,
) -> Result<Response, Rejected> {
    fields::check(&body, &["id", "currency", "funding", "commandId", "occurredAtMs"])?;
    let intake = intake::open_from_json(&body).map_err(|malformed| Problem::malformed(&malformed))?;
    let Intake::Account(command) = &intake else { return Err(Problem::internal().into()) };
    let view = opening(&app, &command.account, command.id.as_str());
    let location = format!("/v1/accounts/{}", command.account);
    Ok(app.accept(&Order { intake, id_from_caller: true, prefer, location }, view).await?)
}

fn opening(app: &App, account: &AccountId, command_id: &str) -> OpeningView {
    OpeningView {
        id: account.as_str().to_owned(),
        status: "opening".to_owned(),
        command_id: command_id.to_owned(),
        note: app.note("command"),
    }
}

/// Put money from outside into an account.
#[utoipa::path(
    post, operation_id = "fund_account", path = "/v1/accounts/{id}/fund", tag = "accounts",
    params(("id" = String, Path, description = "Of the account", example = "alice"), CommandWait),
    request_body = NewFunding,
    responses(CommandAnswers),
)]
pub(super) async fn fund(
    State(app): State<Arc<App>>,
    IdOf(account): IdOf<AccountId>,
    prefer: Prefer,
    JsonBody(body): JsonBody,
) -> Result<Response, Rejected> {
    fields::check(&body, &["id", "account", "amount", "occurredAtMs"])?;
    let made = made_id();
    let intake = intake::fund_from_json(&body, Some(account.clone()), Some(made.clone()));
    command(&app, intake, &account, &made, prefer).await
}

/// Takes a command in that was read for `account`, and that has the id `made` when its sender gave none.
async fn command(
    app: &App,
    intake: Result<Intake, Malformed>,
    account: &AccountId,
    made: &PaymentId,
    prefer: Prefer,
) -> Result<Response, Rejected> {
    let intake = intake.map_err(|malformed| Problem::malformed(&malformed))?;
    if matches!(&intake, Intake::Account(command) if command.account != *account) {
        return Err(Problem::account_differs().into());
    }
    let id_from_caller = intake.id() != made;
    let view = PaymentView { note: app.note("command"), ..PaymentView::accepted(&intake) };
    let location = location(intake.id());
    Ok(app.accept(&Order { intake, id_from_caller, prefer, location }, view).await?)
}

/// Freeze an account: it neither pays nor is paid until it is unfrozen.
///
/// The outcome is rejected with `unknown_account`, `account_closed`, or `account_frozen` when it is frozen already. A payment that
/// is on its way to it is reversed.
#[utoipa::path(
    post, operation_id = "freeze_account", path = "/v1/accounts/{id}/freeze", tag = "accounts",
    params(("id" = String, Path, description = "Of the account", example = "alice"), CommandWait),
    request_body = Option<NewChange>,
    responses(CommandAnswers),
)]
pub(super) async fn freeze(
    State(app): State<Arc<App>>,
    IdOf(account): IdOf<AccountId>,
    prefer: Prefer,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Rejected> {
    change(&app, StatusChange::Freeze, &account, prefer, &body).await
}

/// Unfreeze an account: it takes part again.
///
/// The outcome is rejected with `unknown_account`, `account_closed`, or `account_not_frozen`.
#[utoipa::path(
    post, operation_id = "unfreeze_account", path = "/v1/accounts/{id}/unfreeze", tag = "accounts",
    params(("id" = String, Path, description = "Of the account", example = "alice"), CommandWait),
    request_body = Option<NewChange>,
    responses(CommandAnswers),
)]
pub(super) async fn unfreeze(
    State(app): State<Arc<App>>,
    IdOf(account): IdOf<AccountId>,
    prefer: Prefer,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Rejected> {
    change(&app, StatusChange::Unfreeze, &account, prefer, &body).await
}

/// Close an account for good. Only one that holds nothing.
///
/// The outcome is rejected with `unknown_account`, `account_closed`, `account_frozen`, or `balance_not_zero`.
#[utoipa::path(
    post, operation_id = "close_account", path = "/v1/accounts/{id}/close", tag = "accounts",
    params(("id" = String, Path, description = "Of the account", example = "alice"), CommandWait),
    request_body = Option<NewChange>,
    responses(CommandAnswers),
)]
pub(super) async fn close(
    State(app): State<Arc<App>>,
    IdOf(account): IdOf<AccountId>,
    prefer: Prefer,
    OptionalJson(body): OptionalJson,
) -> Result<Response, Rejected> {
    change(&app, StatusChange::Close, &account, prefer, &body).await
}

/// Give an account limits of its own, in place of those that it had.
///
/// The outcome is rejected with `unknown_account` or `account_closed`. They hold for what is decided from then on.
#[utoipa::path(
    post, operation_id = "limit_account", path = "/v1/accounts/{id}/limits", tag = "accounts",
    params(("id" = String, Path, description = "Of the account", example = "alice"), CommandWait),
    request_body = NewLimits,
    responses(CommandAnswers),
)]
pub(super) async fn limits(
    State(app): State<Arc<App>>,
    IdOf(account): IdOf<AccountId>,
    prefer: Prefer,
    JsonBody(body): JsonBody,
) -> Result<Response, Rejected> {
    fields::check(&body, &["id", "account", "limits", "occurredAtMs"])?;
    let made = made_id();
    let intake = intake::limits_from_json(&body, Some(account.clone()), Some(made.clone()));
    command(&app, intake, &account, &made, prefer).await
}

async fn change(
    app: &App,
    to: StatusChange,
    account: &AccountId,
    prefer: Prefer,
    body: &[u8],
) -> Result<Response, Rejected> {
    // Nothing has to be said.
    let body = if body.is_empty() { b"{}" } else { body };
    fields::check(body, &["id", "account", "occurredAtMs"])?;
    let made = made_id();
    let intake = intake::change_from_json(body, to, Some(account.clone()), Some(made.clone()));
    command(app, intake, account, &made, prefer).await
}

/// What a command to an account is answered with.
#[derive(utoipa::IntoResponses)]
#[allow(dead_code)] // described, never made
pub(super) enum CommandAnswers {
    /// Accepted; `location` says where the command is found
    #[response(status = 202, headers(("location" = String), ("preference-applied" = String), ("idempotent-replayed" = String)))]
    Accepted(PaymentView),
    /// The command's outcome, by `Prefer: wait`
    #[response(status = 200, headers(("preference-applied" = String), ("idempotent-replayed" = String)))]
    Outcome(PaymentView),
}

/// Look at an account: the live balance, asked of the pod that keeps it.
#[utoipa::path(
    get, operation_id = "get_account", path = "/v1/accounts/{id}", tag = "accounts",
    params(("id" = String, Path, description = "Of the account", example = "alice")),
    responses(
        (status = 200, body = AccountView, description = "The account"),
        (status = 202, body = OpeningView, description = "Its opening was accepted and is not done yet"),
    ),
)]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    IdOf(id): IdOf<AccountId>,
) -> Result<Response, Rejected> {
    match look(&app, &id).await.map_err(|_| Problem::owner_unavailable())? {
        Look::Open(account) => Ok(account),
        Look::Opening(command_id) => {
            Ok((StatusCode::ACCEPTED, Json(opening(&app, &id, &command_id))).into_response())
        }
        Look::Unknown => Err(Problem::account_unknown().into()),
    }
}

enum Look {
    Open(Response),
    Opening(String),
    Unknown,
}

async fn look(app: &App, id: &AccountId) -> Result<Look, AskError> {
    let question = Question::now(StageName::Account, id.as_str());
    if let Answer::Found(account) = app.peers.ask(question).await? {
        return Ok(Look::Open(json(&account)));
    }
    // Before the account there is its opening, by the default id or by one that went through here.
    let command = app.recent.lock().opening_of(id).unwrap_or_else(|| intake::default_id("open", id.as_str()));
    if let Some(outcome) = app.outcome(&command).await? {
        let outcome: PaymentView = serde_json::from_slice(&outcome).map_err(|_| AskError::Unreachable)?;
        // Some other thing may have taken the id.
        if outcome.status != PaymentStatus::Confirmed || outcome.account.as_deref() != Some(id.as_str()) {
            return Ok(Look::Unknown);
        }
        // It was opened after the first question.
        return Ok(match app.peers.ask(question).await? {
            Answer::Found(account) => Look::Open(json(&account)),
            Answer::Unknown => Look::Opening(command.as_str().to_owned()),
        });
    }
    if app.recent.lock().get(&command).is_some() {
        return Ok(Look::Opening(command.as_str().to_owned()));
    }
    let known = app.known_intake(&command).await?;
    let ours = known.is_some_and(|known| known.intake.account.as_deref() == Some(id.as_str()));
    Ok(if ours { Look::Opening(command.as_str().to_owned()) } else { Look::Unknown })
}
