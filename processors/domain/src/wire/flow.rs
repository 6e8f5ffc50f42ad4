//! Commands and outcomes.

use buffa::{EnumValue, MessageFieldView};

use super::{
    append,
    hold::{optional_hold_view, read_hold, rule},
    payment::{account_id, command_view, payment_id, payment_view, read_command, read_payment},
    proto, time, view,
};
use crate::{
    command::{Command, Trail},
    malformed::Malformed,
    outcome::{Outcome, Status},
    payment::{Intake, Payment},
    reason::Reason,
};
use proto::__buffa::view::oneof::{command::Body, outcome::Subject};
use proto::outcome::Status as ProtoStatus;

impl Command {
    /// Reads a record of payment.inflight. Only payments of an amount above zero are ever written there; another one
    /// is malformed, since a step of it could make money.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let view: proto::CommandView<'_> = view(bytes)?;
        let accepted_at_ms = view.accepted_at_ms;
        Ok(match view.body {
            Some(Body::Debit(debit)) => Self::Debit { payment: inner(&debit.payment)?, accepted_at_ms },
            Some(Body::Credit(credit)) => Self::Credit {
                payment: inner(&credit.payment)?,
                trail: trail(accepted_at_ms, credit.debited_at_ms, &credit.hold)?,
                serial: credit.serial,
            },
            Some(Body::Reverse(reverse)) => Self::Reverse {
                payment: inner(&reverse.payment)?,
                trail: trail(accepted_at_ms, reverse.debited_at_ms, &reverse.hold)?,
                reason: reason(reverse.reason, "")?,
            },
            Some(Body::Settled(settled)) => Self::Settled {
                payment: payment_id(settled.payment)?,
                account: account_id("account", settled.account)?,
            },
            Some(Body::Account(command)) => {
                Self::Account { command: read_command(&command)?, accepted_at_ms }
            }
            None => return Err(Malformed::missing("body")),
        })
    }

    /// Appends the record of payment.inflight.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        let (body, accepted_at_ms) = match self {
            Self::Debit { payment, accepted_at_ms } => {
                let debit = proto::DebitView { payment: MessageFieldView::some(payment_view(payment)) };
                (Body::Debit(Box::new(debit)), *accepted_at_ms)
            }
            Self::Credit { payment, trail, serial } => {
                let credit = proto::CreditView {
                    payment: MessageFieldView::some(payment_view(payment)),
                    debited_at_ms: trail.debited_at_ms,
                    hold: optional_hold_view(trail.hold.as_deref()),
                    serial: *serial,
                };
                (Body::Credit(Box::new(credit)), trail.accepted_at_ms)
            }
            Self::Reverse { payment, trail, reason } => {
                let reverse = proto::ReverseView {
                    payment: MessageFieldView::some(payment_view(payment)),
                    debited_at_ms: trail.debited_at_ms,
                    reason: reason.code(),
                    hold: optional_hold_view(trail.hold.as_deref()),
                };
                (Body::Reverse(Box::new(reverse)), trail.accepted_at_ms)
            }
            Self::Account { command, accepted_at_ms } => {
                (Body::Account(Box::new(command_view(command))), *accepted_at_ms)
            }
            Self::Settled { payment, account } => {
                let (payment, account) = (payment.as_str(), account.as_str());
                (Body::Settled(Box::new(proto::SettledView { payment, account })), 0)
            }
        };
        append(&proto::CommandView { accepted_at_ms, body: Some(body) }, buffer);
    }
}

fn trail(
    accepted_at_ms: i64,
    debited_at_ms: i64,
    hold: &MessageFieldView<proto::HoldView<'_>>,
) -> Result<Trail, Malformed> {
    Ok(Trail { accepted_at_ms, debited_at_ms, hold: read_hold(hold)? })
}

fn inner(field: &MessageFieldView<proto::PaymentView<'_>>) -> Result<Payment, Malformed> {
    let payment = read_payment(field.as_option().ok_or_else(|| Malformed::missing("payment"))?)?;
    if payment.amount.minor <= 0 {
        return Err(Malformed::new(
            "amount_not_positive",
            "amount.value",
            "a command's amount is above zero",
        ));
    }
    Ok(payment)
}

fn reason(code: &str, detail: &str) -> Result<Reason, Malformed> {
    if code.is_empty() { Err(Malformed::missing("reason")) } else { Ok(Reason::from_code(code, detail)) }
}

impl Outcome {
    /// Reads a record of payment.complete.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let view: proto::OutcomeView<'_> = view(bytes)?;
        let subject = match &view.subject {
            Some(Subject::Payment(payment)) => Intake::Payment(read_payment(payment)?),
            Some(Subject::Account(command)) => Intake::Account(read_command(command)?),
            None => return Err(Malformed::missing("subject")),
        };
        let status = match view.status {
            EnumValue::Known(ProtoStatus::STATUS_CONFIRMED) => Status::Confirmed,
            EnumValue::Known(ProtoStatus::STATUS_REJECTED) => {
                Status::Rejected(reason(view.reason, view.detail)?)
            }
            EnumValue::Known(ProtoStatus::STATUS_REVERSED) => {
                Status::Reversed(reason(view.reason, view.detail)?)
            }
            EnumValue::Known(ProtoStatus::STATUS_HELD) => Status::Held(rule("detail", view.detail)?),
            EnumValue::Known(ProtoStatus::STATUS_UNSPECIFIED) => return Err(Malformed::missing("status")),
            EnumValue::Unknown(_) => {
                return Err(Malformed::new("enum_unknown", "status", "of a newer release"));
            }
        };
        Ok(Self {
            subject,
            status,
            accepted_at_ms: view.accepted_at_ms,
            debited_at_ms: time(view.debited_at_ms),
            credited_at_ms: time(view.credited_at_ms),
            completed_at_ms: view.completed_at_ms,
            hold: read_hold(&view.hold)?,
        })
    }

    /// Appends the record of payment.complete.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        let reason = self.status.reason();
        let detail = reason.and_then(Reason::detail).unwrap_or_default();
        let (status, detail) = match &self.status {
            Status::Confirmed => (ProtoStatus::STATUS_CONFIRMED, detail),
            Status::Rejected(_) => (ProtoStatus::STATUS_REJECTED, detail),
            Status::Reversed(_) => (ProtoStatus::STATUS_REVERSED, detail),
            Status::Held(rule) => (ProtoStatus::STATUS_HELD, rule.as_str()),
        };
        let subject = match &self.subject {
            Intake::Payment(payment) => Subject::Payment(Box::new(payment_view(payment))),
            Intake::Account(command) => Subject::Account(Box::new(command_view(command))),
        };
        let view = proto::OutcomeView {
            status: EnumValue::Known(status),
            reason: reason.map_or("", Reason::code),
            accepted_at_ms: self.accepted_at_ms,
            debited_at_ms: self.debited_at_ms.unwrap_or(0),
            credited_at_ms: self.credited_at_ms.unwrap_or(0),
            completed_at_ms: self.completed_at_ms,
            detail,
            hold: optional_hold_view(self.hold.as_deref()),
            subject: Some(subject),
        };
        append(&view, buffer);
    }
}
