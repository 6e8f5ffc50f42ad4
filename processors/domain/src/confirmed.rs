//! The published form of an outcome: JSON of the REST answer, with the attributes of a `CloudEvent` as headers.
//!
//! The JSON is a contract with the outside; `tests/golden.rs` keeps it.

mod rfc3339;

use std::io;

use serde::{Serialize, Serializer};

use crate::{
    hold::{Hold, HoldVerdict},
    money::Currency,
    outcome::{Outcome, Status},
    payment::{AccountCommand, Action, Intake, Payment, Reference, StatusChange},
    reason::Reason,
};

/// The `content-type` of the record.
pub const CONTENT_TYPE: &str = "application/json";

/// The header values of a `CloudEvent` 1.0 in Kafka's binary binding, but for `ce_source`, which is the pipeline's name
/// and not known here.
pub fn headers(outcome: &Outcome) -> [(&'static str, &str); 4] {
    [
        ("ce_specversion", "1.0"),
        ("ce_type", event_type(outcome)),
        ("ce_id", outcome.id().as_str()),
        ("content-type", CONTENT_TYPE),
    ]
}

/// The `ce_type`.
pub const fn event_type(outcome: &Outcome) -> &'static str {
    match (&outcome.subject, &outcome.status) {
        (Intake::Payment(_), Status::Confirmed) => "dev.kpay.payment.confirmed",
        (Intake::Payment(_), Status::Rejected(_)) => "dev.kpay.payment.rejected",
        (Intake::Payment(_), Status::Reversed(_)) => "dev.kpay.payment.reversed",
        (Intake::Payment(_), Status::Held(_)) => "dev.kpay.payment.held",
        (Intake::Account(command), Status::Confirmed) => match &command.action {
            Action::Open { .. } => "dev.kpay.account.opened",
            Action::Fund { .. } => "dev.kpay.account.funded",
            Action::Change(StatusChange::Freeze) => "dev.kpay.account.frozen",
            Action::Change(StatusChange::Unfreeze) => "dev.kpay.account.unfrozen",
            Action::Change(StatusChange::Close) => "dev.kpay.account.closed",
            Action::Limits(_) => "dev.kpay.account.limited",
            Action::Decide(_) => "dev.kpay.hold.decided",
        },
        (Intake::Account(AccountCommand { action: Action::Decide(_), .. }), _) => "dev.kpay.hold.rejected",
        (Intake::Account(_), Status::Rejected(_) | Status::Reversed(_) | Status::Held(_)) => {
            "dev.kpay.account.rejected"
        }
    }
}

/// Appends the JSON of the outcome.
pub fn to_json(outcome: &Outcome, buffer: &mut Vec<u8>) {
    let written = match &outcome.subject {
        Intake::Payment(payment) => write(&payment_dto(payment, outcome), buffer),
        Intake::Account(command) => write(&command_dto(command, outcome), buffer),
    };
    debug_assert!(written.is_ok(), "plain structs into memory always have a JSON");
}

fn write(value: &impl Serialize, buffer: &mut Vec<u8>) -> io::Result<()> {
    serde_json::to_writer(buffer, value).map_err(io::Error::from)
}

/// How it ended.
#[derive(Serialize)]
struct EndDto<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    /// Of `limit_exceeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    /// Of `rule_refused` and of a hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
}

impl<'a> EndDto<'a> {
    fn of(outcome: &'a Outcome) -> Self {
        let reason = outcome.status.reason();
        let (limit, rule) = match (&outcome.status, reason) {
            (Status::Held(rule), _) | (_, Some(Reason::RuleRefused(rule))) => (None, Some(rule.as_str())),
            (_, Some(Reason::LimitExceeded(limit))) => (Some(limit.as_str()), None),
            _ => (None, None),
        };
        Self { status: outcome.status.as_str(), reason: reason.map(Reason::code), limit, rule }
    }
}

#[derive(Serialize)]
struct PaymentDto<'a> {
    id: &'a str,
    #[serde(flatten)]
    end: EndDto<'a>,
    from: &'a str,
    to: &'a str,
    amount: AmountDto<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<&'a str>,
    #[serde(skip_serializing_if = "AttributesDto::is_empty")]
    attributes: AttributesDto<'a>,
    #[serde(rename = "refundOf", skip_serializing_if = "Option::is_none")]
    refund_of: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<HoldDto<'a>>,
    timeline: Timeline<'a>,
}

/// That a rule held it, and what was decided.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct HoldDto<'a> {
    rule: &'a str,
    expires_at: At,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
}

impl<'a> HoldDto<'a> {
    fn of(hold: &'a Hold) -> Self {
        let decided = hold.decided.as_ref();
        Self {
            rule: hold.rule.as_str(),
            expires_at: At(hold.expires_at_ms),
            verdict: decided.map(|decided| decided.verdict.as_str()),
            by: decided.map(|decided| decided.by.as_str()),
            why: decided.map(|decided| decided.why.as_str()),
        }
    }
}

#[derive(Serialize)]
struct CommandDto<'a> {
    id: &'a str,
    kind: &'static str,
    #[serde(flatten)]
    end: EndDto<'a>,
    account: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount: Option<AmountDto<'a>>,
    /// That a hold was decided of.
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<&'a str>,
    timeline: Timeline<'a>,
}

#[derive(Serialize)]
struct AmountDto<'a> {
    value: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'a str>,
}

fn payment_dto<'a>(payment: &'a Payment, outcome: &'a Outcome) -> PaymentDto<'a> {
    PaymentDto {
        id: payment.id.as_str(),
        end: EndDto::of(outcome),
        from: payment.from.as_str(),
        to: payment.to.as_str(),
        amount: AmountDto { value: payment.amount.minor, currency: Some(payment.amount.currency.as_str()) },
        reference: payment.reference.as_ref().map(Reference::as_str),
        attributes: AttributesDto(payment),
        refund_of: payment.refund.as_ref().map(|refund| refund.of.as_str()),
        hold: outcome.hold.as_deref().map(HoldDto::of),
        timeline: Timeline(outcome),
    }
}

fn command_dto<'a>(command: &'a AccountCommand, outcome: &'a Outcome) -> CommandDto<'a> {
    let amount = command.action.amount();
    CommandDto {
        id: command.id.as_str(),
        kind: command.action.kind(),
        end: EndDto::of(outcome),
        account: command.account.as_str(),
        amount: amount.map(|(value, currency)| AmountDto { value, currency: currency.map(Currency::as_str) }),
        payment: match &command.action {
            Action::Decide(decide) => Some(decide.payment.as_str()),
            _ => None,
        },
        timeline: Timeline(outcome),
    }
}

struct AttributesDto<'a>(&'a Payment);

impl AttributesDto<'_> {
    const fn is_empty(&self) -> bool {
        self.0.attributes.is_empty()
    }
}

impl Serialize for AttributesDto<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.attributes.iter())
    }
}

/// The steps in the order in which they were taken.
#[derive(Clone, Copy)]
struct Timeline<'a>(&'a Outcome);

impl Serialize for Timeline<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(outcome) = self;
        let last = match outcome.status {
            Status::Confirmed => "completed",
            Status::Rejected(_) => "rejected",
            Status::Reversed(_) => "reversed",
            Status::Held(_) => "held",
        };
        let decided = outcome.hold.as_ref().and_then(|hold| {
            let decided = hold.decided.as_ref()?;
            let step = match decided.verdict {
                HoldVerdict::Release => "released",
                HoldVerdict::Refuse => "refused",
                HoldVerdict::Expire => "expired",
            };
            Some([("held", hold.held_at_ms), (step, decided.at_ms)])
        });
        let steps = [("accepted", outcome.accepted_at_ms)]
            .into_iter()
            .chain(decided.into_iter().flatten())
            .chain(outcome.debited_at_ms.map(|at_ms| ("debited", at_ms)))
            .chain(outcome.credited_at_ms.map(|at_ms| ("credited", at_ms)))
            .chain([(last, outcome.completed_at_ms)]);
        serializer.collect_seq(steps.map(|(step, at_ms)| Step { at: At(at_ms), step }))
    }
}

#[derive(Serialize)]
struct Step {
    at: At,
    step: &'static str,
}

/// A time in milliseconds since 1970 UTC, as RFC 3339 in UTC with milliseconds.
struct At(i64);

impl Serialize for At {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = [0; rfc3339::BYTES];
        serializer.serialize_str(rfc3339::write(self.0, &mut text))
    }
}
