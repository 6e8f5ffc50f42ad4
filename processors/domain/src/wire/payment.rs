//! Intake, and what the other messages carry of it.

use buffa::{EnumValue, MapView, MessageFieldView};

use super::{
    append,
    hold::{decide_view, limits_view, read_decide, read_limits},
    proto, time, view,
};
use crate::{
    ids::{AccountId, IdError, PaymentId},
    malformed::Malformed,
    money::{Currency, Money},
    payment::{AccountCommand, Action, Attributes, Intake, Payment, Reference, Refund, StatusChange},
};
use proto::__buffa::view::oneof::{account_command::Action as ActionView, intake::Body};
use proto::change_status::Change;

impl Intake {
    /// Reads a record of payment.incoming in protobuf; [`crate::intake::parse`] reads every form.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        match view::<proto::IntakeView<'_>>(bytes)?.body {
            Some(Body::Payment(payment)) => Ok(Self::Payment(read_payment(&payment)?)),
            Some(Body::Account(command)) => Ok(Self::Account(read_command(&command)?)),
            None => Err(Malformed::missing("body")),
        }
    }

    /// Appends the record of payment.incoming.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        let body = match self {
            Self::Payment(payment) => Body::Payment(Box::new(payment_view(payment))),
            Self::Account(command) => Body::Account(Box::new(command_view(command))),
        };
        append(&proto::IntakeView { body: Some(body) }, buffer);
    }
}

pub(super) fn payment_id(text: &str) -> Result<PaymentId, Malformed> {
    PaymentId::new(text).map_err(|error| bad_id("id", error))
}

pub(super) fn account_id(field: &'static str, text: &str) -> Result<AccountId, Malformed> {
    AccountId::new(text).map_err(|error| bad_id(field, error))
}

fn bad_id(field: &'static str, error: IdError) -> Malformed {
    match error {
        IdError::Empty => Malformed::missing(field),
        IdError::TooLong | IdError::Character => Malformed::new("id_invalid", field, error.to_string()),
    }
}

pub(super) fn currency(field: &'static str, text: &str) -> Result<Currency, Malformed> {
    if text.is_empty() {
        return Err(Malformed::missing(field));
    }
    Currency::new(text).map_err(|error| Malformed::new("currency_invalid", field, error.to_string()))
}

fn currency_if_any(field: &'static str, text: &str) -> Result<Option<Currency>, Malformed> {
    if text.is_empty() { Ok(None) } else { currency(field, text).map(Some) }
}

pub(super) fn read_payment(view: &proto::PaymentView<'_>) -> Result<Payment, Malformed> {
    Ok(Payment {
        id: payment_id(view.id)?,
        from: account_id("from", view.from)?,
        to: account_id("to", view.to)?,
        amount: Money::new(view.amount_minor, currency("amount.currency", view.currency)?),
        reference: Reference::new(view.reference)?,
        attributes: Attributes::new(view.attributes.iter().map(|(key, value)| (*key, *value)))?,
        occurred_at_ms: time(view.occurred_at_ms),
        refund: view.refund.as_option().map(read_refund).transpose()?,
    })
}

fn read_refund(view: &proto::RefundView<'_>) -> Result<Box<Refund>, Malformed> {
    Ok(Box::new(Refund { of: payment_id(view.of)?, amount_minor: view.amount_minor }))
}

pub(super) fn payment_view(payment: &Payment) -> proto::PaymentView<'_> {
    proto::PaymentView {
        id: payment.id.as_str(),
        from: payment.from.as_str(),
        to: payment.to.as_str(),
        amount_minor: payment.amount.minor,
        currency: payment.amount.currency.as_str(),
        reference: payment.reference.as_ref().map_or("", Reference::as_str),
        attributes: MapView::new(payment.attributes.iter().collect()),
        occurred_at_ms: payment.occurred_at_ms.unwrap_or(0),
        refund: payment.refund.as_ref().map_or_else(MessageFieldView::default, |refund| {
            MessageFieldView::some(proto::RefundView {
                of: refund.of.as_str(),
                amount_minor: refund.amount_minor,
            })
        }),
    }
}

pub(super) fn read_command(view: &proto::AccountCommandView<'_>) -> Result<AccountCommand, Malformed> {
    let action = match &view.action {
        Some(ActionView::Open(open)) => Action::Open {
            currency: currency_if_any("currency", open.currency)?,
            funding_minor: open.funding_minor,
        },
        Some(ActionView::Fund(fund)) => Action::Fund {
            amount_minor: fund.amount_minor,
            currency: currency_if_any("amount.currency", fund.currency)?,
        },
        Some(ActionView::Status(status)) => Action::Change(match status.change {
            EnumValue::Known(Change::CHANGE_FREEZE) => StatusChange::Freeze,
            EnumValue::Known(Change::CHANGE_UNFREEZE) => StatusChange::Unfreeze,
            EnumValue::Known(Change::CHANGE_CLOSE) => StatusChange::Close,
            EnumValue::Known(Change::CHANGE_UNSPECIFIED) => return Err(Malformed::missing("change")),
            EnumValue::Unknown(_) => {
                return Err(Malformed::new("enum_unknown", "change", "of a newer release"));
            }
        }),
        Some(ActionView::Limits(limits)) => Action::Limits(Box::new(read_limits(limits)?)),
        Some(ActionView::Decide(decide)) => Action::Decide(Box::new(read_decide(decide)?)),
        None => return Err(Malformed::missing("action")),
    };
    Ok(AccountCommand {
        id: payment_id(view.id)?,
        account: account_id("account", view.account)?,
        action,
        occurred_at_ms: time(view.occurred_at_ms),
    })
}

pub(super) fn command_view(command: &AccountCommand) -> proto::AccountCommandView<'_> {
    let action = match &command.action {
        Action::Open { currency, funding_minor } => ActionView::Open(Box::new(proto::OpenAccountView {
            currency: currency.as_ref().map_or("", Currency::as_str),
            funding_minor: *funding_minor,
        })),
        Action::Fund { amount_minor, currency } => ActionView::Fund(Box::new(proto::FundAccountView {
            amount_minor: *amount_minor,
            currency: currency.as_ref().map_or("", Currency::as_str),
        })),
        Action::Change(change) => ActionView::Status(Box::new(proto::ChangeStatusView {
            change: EnumValue::Known(match change {
                StatusChange::Freeze => Change::CHANGE_FREEZE,
                StatusChange::Unfreeze => Change::CHANGE_UNFREEZE,
                StatusChange::Close => Change::CHANGE_CLOSE,
            }),
            ..proto::ChangeStatusView::default()
        })),
        Action::Limits(limits) => ActionView::Limits(Box::new(limits_view(limits))),
        Action::Decide(decide) => ActionView::Decide(Box::new(decide_view(decide))),
    };
    proto::AccountCommandView {
        id: command.id.as_str(),
        account: command.account.as_str(),
        occurred_at_ms: command.occurred_at_ms.unwrap_or(0),
        action: Some(action),
    }
}
