//! Errors as RFC 9457 `application/problem+json`, with stable `snake_case` codes. Pure.

use std::borrow::Cow;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kpay_crds::PAUSES_MAX;
use kpay_domain::intake::{RECORD_BYTES_MAX, default_id};
use kpay_domain::{AccountCommand, Action, Intake, Malformed, Reason};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::line;

/// Media type of every error.
pub(super) const CONTENT_TYPE: &str = "application/problem+json";
const TYPE_BASE: &str = "https://kpay.dev/problems/";

/// What went wrong, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// Identifies the kind of problem; ends in the code.
    #[serde(rename = "type")]
    #[schema(example = "https://kpay.dev/problems/amount_not_integer")]
    pub kind: String,
    /// The kind in a few words.
    #[schema(example = "The request cannot be read")]
    pub title: Cow<'static, str>,
    /// The HTTP status.
    #[schema(example = 400)]
    pub status: u16,
    /// What went wrong this time.
    #[schema(example = "amount.value is an integer of minor units (cents, for USD)")]
    pub detail: String,
    /// Stable code.
    #[schema(example = "amount_not_integer")]
    pub code: Cow<'static, str>,
    /// The field, by its JSON path, or the header that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "amount.value")]
    pub field: Option<Cow<'static, str>>,
    /// Where the resource in question is found, once it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "/v1/payments/p-1")]
    pub instance: Option<String>,
}

/// An error on its way to the caller: boxed, since the usual answer is none.
pub(super) type Failure = Box<Problem>;

impl Problem {
    fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Failure {
        let code = code.into();
        Box::new(Self {
            kind: format!("{TYPE_BASE}{code}"),
            title: Cow::Borrowed(title),
            status: status.as_u16(),
            detail: detail.into(),
            code,
            field: None,
            instance: None,
        })
    }

    fn on(mut self: Box<Self>, field: &'static str) -> Failure {
        self.field = Some(Cow::Borrowed(field));
        self
    }

    /// Says where to look later.
    pub(super) fn at(mut self: Box<Self>, instance: String) -> Failure {
        self.instance = Some(instance);
        self
    }

    /// 400: cannot be read as what it should be.
    pub(super) fn malformed(malformed: &Malformed) -> Failure {
        let Malformed { code, field, detail } = malformed;
        Self::new(StatusCode::BAD_REQUEST, *code, "The request cannot be read", format!("{field}: {detail}"))
            .on(field)
    }

    /// 400: a field that is not one of those that are `known`, which would be left out silently.
    pub(super) fn field_unknown(field: &str, known: &[&str]) -> Failure {
        // As much as a person needs to find it.
        let field: String = field.chars().take(64).collect();
        let detail = format!("{field}: there is no such field; there are {}", known.join(", "));
        let mut problem =
            Self::new(StatusCode::BAD_REQUEST, "field_unknown", "The request cannot be read", detail);
        problem.field = Some(Cow::Owned(field));
        problem
    }

    /// 400: a parameter of the query that cannot be read.
    pub(super) fn parameter(name: &'static str, detail: &str) -> Failure {
        let title = "The request cannot be read";
        Self::new(StatusCode::BAD_REQUEST, "parameter_invalid", title, format!("{name} {detail}")).on(name)
    }

    /// 400: a parameter of the query that the operation does not have.
    pub(super) fn parameter_unknown(name: &str) -> Failure {
        let name: String = name.chars().take(64).collect();
        let detail = format!("{name}: there is no such parameter");
        let title = "The request cannot be read";
        let mut problem = Self::new(StatusCode::BAD_REQUEST, "parameter_unknown", title, detail);
        problem.field = Some(Cow::Owned(name));
        problem
    }

    /// 400: an id in the path that can be nobody's.
    pub(super) fn bad_id(detail: &str) -> Failure {
        Self::new(StatusCode::BAD_REQUEST, "id_invalid", "The request cannot be read", format!("id {detail}"))
            .on("id")
    }

    /// 400: the path names one account, the body another.
    pub(super) fn account_differs() -> Failure {
        let detail = "account is another than that of the path; leave it out";
        Self::new(StatusCode::BAD_REQUEST, "account_differs", "The request cannot be read", detail)
            .on("account")
    }

    /// 400: no JSON, or not of the fields that are known.
    pub(super) fn json_invalid(detail: &str) -> Failure {
        Self::new(StatusCode::BAD_REQUEST, "json_invalid", "The request cannot be read", detail).on("body")
    }

    /// 400: a load that is not to be had.
    pub(super) fn generator_invalid(field: &'static str, detail: &str) -> Failure {
        let detail = format!("{field} {detail}");
        Self::new(StatusCode::BAD_REQUEST, "generator_invalid", "The load is not to be had", detail).on(field)
    }

    /// 403: the gateway was started without a generator.
    pub(super) fn generator_off() -> Failure {
        let detail = "start the gateway with --generator or KPAY_GENERATOR=true";
        Self::new(StatusCode::FORBIDDEN, "generator_off", "The generator is off", detail)
    }

    /// 400: the connection ended within the body.
    pub(super) fn body_incomplete() -> Failure {
        let detail = "the body ended early";
        Self::new(StatusCode::BAD_REQUEST, "body_incomplete", "The request cannot be read", detail).on("body")
    }

    /// 413.
    pub(super) fn body_too_large() -> Failure {
        let detail = format!("the body has more than {RECORD_BYTES_MAX} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large", detail).on("body")
    }

    /// 415.
    pub(super) fn content_type() -> Failure {
        let (code, title) = ("content_type_unknown", "The content type is not supported");
        let detail = "send application/json, uncompressed, and say so in content-type";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code, title, detail).on("content-type")
    }

    /// 422: can be read, and breaks a rule that needs no account to be known.
    pub(super) fn refused(intake: &Intake, reason: &Reason) -> Failure {
        let payment = matches!(intake, Intake::Payment(_));
        let (field, detail) = match reason {
            Reason::AmountNotPositive if is_opening(intake) => ("funding", "funding must not be negative"),
            Reason::AmountNotPositive => ("amount.value", "amount.value must be positive"),
            Reason::SameAccount => ("to", "from and to are one account"),
            Reason::CurrencyUnknown if payment || !is_opening(intake) => {
                ("amount.currency", "amount.currency is no currency of ISO 4217 that is paid with")
            }
            Reason::CurrencyUnknown => ("currency", "currency is no currency of ISO 4217 that is paid with"),
            _ => ("body", "the request breaks a rule"),
        };
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, reason.code().to_owned(), "The request breaks a rule; nothing was done", detail)
            .on(field)
    }

    /// 409.
    pub(super) fn conflict(intake: &Intake, location: String) -> Failure {
        let detail = match intake {
            // Who opens an account thinks of no id but the account's.
            Intake::Account(AccountCommand { id, account, action: Action::Open { .. }, .. })
                if *id == default_id("open", account.as_str()) =>
            {
                "this account was to be opened before, with another body; location shows what became of it"
            }
            _ => "the id was used before with another body",
        };
        let title = "The id belongs to another request";
        Self::new(StatusCode::CONFLICT, "idempotency_conflict", title, detail).on("id").at(location)
    }

    /// 400: a name that no holder has.
    pub(super) fn holder_invalid() -> Failure {
        let detail = "holder has letters, digits and -._:@/+ only, with a letter or a digit at both ends";
        Self::new(StatusCode::BAD_REQUEST, "holder_invalid", "The request cannot be read", detail)
            .on("holder")
    }

    /// 400: a pause that ends by itself is somebody's.
    pub(super) fn holder_missing() -> Failure {
        let detail = "holder is needed with expiresIn: what ends by itself is the pause of a holder";
        Self::new(StatusCode::BAD_REQUEST, "field_missing", "The request cannot be read", detail).on("holder")
    }

    /// 400: no duration, or none that ends within the calendar.
    pub(super) fn duration_invalid(field: &'static str, value: &str) -> Failure {
        let detail =
            format!("{field}: `{value}` is no duration; write a number with ms, s, m, h or d, such as 30m");
        Self::new(StatusCode::BAD_REQUEST, "duration_invalid", "The request cannot be read", detail).on(field)
    }

    /// 409: as many hold it paused as can.
    pub(super) fn holders_too_many() -> Failure {
        let detail = format!("{PAUSES_MAX} hold the pipeline paused already; GET /v1/pipeline tells who");
        Self::new(StatusCode::CONFLICT, "holders_too_many", "Too many holders", detail).on("holder")
    }

    /// 409: nobody can change the phase.
    pub(super) fn phase_fixed() -> Failure {
        let title = "The phase cannot be changed here";
        let detail =
            "this gateway runs without a cluster: its phase was set by KPAY_PHASE_SOURCE at its start";
        Self::new(StatusCode::CONFLICT, "phase_fixed", title, detail)
    }

    /// 503: what is wished was not kept.
    pub(super) fn wish_unavailable() -> Failure {
        let title = "The pipeline's phase cannot be changed now";
        let detail = "the resource, or the file that stands for it, could not be written; ask again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "wish_unavailable", title, detail)
    }

    /// 404.
    pub(super) fn payment_unknown() -> Failure {
        let detail = "no payment or account command has this id";
        Self::new(StatusCode::NOT_FOUND, "payment_unknown", "Not found", detail).on("id")
    }

    /// 409: only a held payment can be released or refused.
    pub(super) fn payment_not_held(status: &str) -> Failure {
        let detail = format!("the payment is {status}, and no rule has held it");
        Self::new(StatusCode::CONFLICT, "payment_not_held", "The payment is not held", detail).on("id")
    }

    /// 409: only a confirmed payment can be given back, and a refund cannot.
    pub(super) fn payment_not_refundable(what: &str) -> Failure {
        let detail = format!("only a confirmed payment can be given back; this is {what}");
        Self::new(StatusCode::CONFLICT, "payment_not_refundable", "The payment cannot be given back", detail)
            .on("id")
    }

    /// 404.
    pub(super) fn account_unknown() -> Failure {
        let detail = "no account has this id";
        Self::new(StatusCode::NOT_FOUND, Reason::UnknownAccount.label(), "Not found", detail).on("id")
    }

    /// 400: a parameter that cannot be read.
    pub(super) fn bad_parameter(field: &'static str, detail: &str) -> Failure {
        let title = "The request cannot be read";
        Self::new(StatusCode::BAD_REQUEST, "parameter_invalid", title, format!("{field} {detail}")).on(field)
    }

    /// 404.
    pub(super) fn letter_unknown() -> Failure {
        let detail = "no dead letter has this id; it may have been too old to be kept";
        Self::new(StatusCode::NOT_FOUND, "letter_unknown", "Not found", detail).on("id")
    }

    /// 409: the letter is not replayed.
    pub(super) fn letter_refused(code: &'static str, detail: &str) -> Failure {
        Self::new(StatusCode::CONFLICT, code, "The dead letter is not replayed", detail).on("id")
    }

    /// 503: the log of the dead letters, or of what they are replayed into.
    pub(super) fn letters_unavailable() -> Failure {
        let title = "The dead letters cannot be reached";
        let detail =
            "the log did not answer, or did not say whether it took the record; send the same request again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "letters_unavailable", title, detail)
    }

    /// 503: what was replayed is being read.
    pub(super) fn letters_reading() -> Failure {
        let title = "The dead letters are being read";
        let detail = "it is not known yet which were replayed; send the same request again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "letters_reading", title, detail)
    }

    /// 404 of a path that is none of ours.
    pub(super) fn route_unknown() -> Failure {
        let detail = "nothing is served at this path; /openapi.json lists what is";
        Self::new(StatusCode::NOT_FOUND, "route_unknown", "Not found", detail)
    }

    /// 405.
    pub(super) fn method_not_allowed() -> Failure {
        let detail = "the path is served, not by this method; see the header allow";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed", detail)
    }

    /// 503: the log did not take the record, or did not say so in time. The same request may be sent again.
    pub(super) fn kafka_unavailable() -> Failure {
        let title = "The pipeline cannot be reached";
        let detail = "the log did not confirm the record; send the same request, with the same id, again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "kafka_unavailable", title, detail)
    }

    /// 503: nothing is taken in now, and nothing is kept for later.
    pub(super) fn intake_closed() -> Failure {
        let title = "The pipeline takes no payments in";
        let detail =
            "spec.intakeWhilePaused is Reject; send the same request, with the same id, when it runs again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "intake_closed", title, detail)
    }

    /// 503: the pod that knows the answer cannot give it now.
    pub(super) fn owner_unavailable() -> Failure {
        let title = "The state cannot be read now";
        let detail = "the pod that owns the key is restoring or does not answer";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "owner_unavailable", title, detail)
    }

    /// 503: as many follow the events as may.
    pub(super) fn too_many_listeners() -> Failure {
        let detail = "too many clients follow the events; GET /v1/pipeline says the same once";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_listeners", "Too many listeners", detail)
    }

    /// 503: too slow.
    pub(super) fn timed_out() -> Failure {
        let detail = "the request took too long; send the same request, with the same id, again";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "timed_out", "The pipeline is too slow", detail)
    }

    /// 500: a defect.
    pub(super) fn internal() -> Failure {
        let title = "An error of the gateway";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", title, "this should not happen")
    }
}

fn is_opening(intake: &Intake) -> bool {
    matches!(intake, Intake::Account(command) if matches!(command.action, kpay_domain::Action::Open { .. }))
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = line(&serde_json::to_vec(&self).unwrap_or_default());
        let mut response = (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// A [`Failure`] as an answer.
#[derive(Debug)]
pub(super) struct Rejected(Failure);

impl From<Failure> for Rejected {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Rejected {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}
