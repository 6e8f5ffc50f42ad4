//! Holds and limits, which several messages carry.

use buffa::{EnumValue, MessageFieldView};

use super::{
    append,
    payment::{payment_id, payment_view, read_payment},
    proto, view,
};
use crate::{
    account::{AccountLimits, Outflow},
    hold::{DecideHold, HeldPayment, Hold, HoldDecision, HoldVerdict},
    malformed::Malformed,
    payment::Reference,
    rules::RuleName,
};
use proto::HoldVerdict as ProtoVerdict;

impl HeldPayment {
    /// Reads a record of account.checkpoints about a held payment.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let view: proto::HeldPaymentView<'_> = view(bytes)?;
        let payment = view.payment.as_option().ok_or_else(|| Malformed::missing("payment"))?;
        let hold = read_hold(&view.hold)?.ok_or_else(|| Malformed::missing("hold"))?;
        Ok(Self { payment: read_payment(payment)?, accepted_at_ms: view.accepted_at_ms, hold: *hold })
    }

    /// Appends the record of account.checkpoints.
    pub fn encode(&self, buffer: &mut Vec<u8>) {
        let view = proto::HeldPaymentView {
            payment: MessageFieldView::some(payment_view(&self.payment)),
            accepted_at_ms: self.accepted_at_ms,
            hold: MessageFieldView::some(hold_view(&self.hold)),
        };
        append(&view, buffer);
    }
}

pub(super) fn read_hold(
    field: &MessageFieldView<proto::HoldView<'_>>,
) -> Result<Option<Box<Hold>>, Malformed> {
    let Some(view) = field.as_option() else { return Ok(None) };
    let decided = match verdict(view.verdict)? {
        None => None,
        Some(verdict) => Some(HoldDecision {
            verdict,
            by: words("by", view.by)?,
            why: words("why", view.why)?,
            at_ms: view.decided_at_ms,
        }),
    };
    Ok(Some(Box::new(Hold {
        rule: rule("rule", view.rule)?,
        held_at_ms: view.held_at_ms,
        expires_at_ms: view.expires_at_ms,
        decided,
    })))
}

pub(super) fn hold_view(hold: &Hold) -> proto::HoldView<'_> {
    let decided = hold.decided.as_ref();
    proto::HoldView {
        rule: hold.rule.as_str(),
        held_at_ms: hold.held_at_ms,
        expires_at_ms: hold.expires_at_ms,
        verdict: decided.map_or(EnumValue::default(), |decided| verdict_value(decided.verdict)),
        by: decided.map_or("", |decided| decided.by.as_str()),
        why: decided.map_or("", |decided| decided.why.as_str()),
        decided_at_ms: decided.map_or(0, |decided| decided.at_ms),
    }
}

pub(super) fn optional_hold_view(hold: Option<&Hold>) -> MessageFieldView<proto::HoldView<'_>> {
    hold.map_or_else(MessageFieldView::default, |hold| MessageFieldView::some(hold_view(hold)))
}

pub(super) fn read_decide(view: &proto::DecideHoldView<'_>) -> Result<DecideHold, Malformed> {
    Ok(DecideHold {
        payment: payment_id(view.payment)?,
        verdict: verdict(view.verdict)?.ok_or_else(|| Malformed::missing("verdict"))?,
        by: words("by", view.by)?,
        why: words("why", view.why)?,
    })
}

pub(super) fn decide_view(decide: &DecideHold) -> proto::DecideHoldView<'_> {
    proto::DecideHoldView {
        payment: decide.payment.as_str(),
        verdict: verdict_value(decide.verdict),
        by: decide.by.as_str(),
        why: decide.why.as_str(),
    }
}

pub(super) fn rule(field: &'static str, text: &str) -> Result<RuleName, Malformed> {
    RuleName::new(text).map_err(|_| Malformed::new("rule_invalid", field, "is no name of a rule"))
}

fn words(field: &'static str, text: &str) -> Result<Reference, Malformed> {
    Reference::of_field(field, text)?.ok_or_else(|| Malformed::missing(field))
}

fn verdict(value: EnumValue<ProtoVerdict>) -> Result<Option<HoldVerdict>, Malformed> {
    match value {
        EnumValue::Known(ProtoVerdict::HOLD_VERDICT_UNSPECIFIED) => Ok(None),
        EnumValue::Known(ProtoVerdict::HOLD_VERDICT_RELEASE) => Ok(Some(HoldVerdict::Release)),
        EnumValue::Known(ProtoVerdict::HOLD_VERDICT_REFUSE) => Ok(Some(HoldVerdict::Refuse)),
        EnumValue::Known(ProtoVerdict::HOLD_VERDICT_EXPIRE) => Ok(Some(HoldVerdict::Expire)),
        EnumValue::Unknown(_) => Err(Malformed::new("enum_unknown", "verdict", "of a newer release")),
    }
}

const fn verdict_value(verdict: HoldVerdict) -> EnumValue<ProtoVerdict> {
    EnumValue::Known(match verdict {
        HoldVerdict::Release => ProtoVerdict::HOLD_VERDICT_RELEASE,
        HoldVerdict::Refuse => ProtoVerdict::HOLD_VERDICT_REFUSE,
        HoldVerdict::Expire => ProtoVerdict::HOLD_VERDICT_EXPIRE,
    })
}

pub(super) fn read_limits(view: &proto::AccountLimitsView<'_>) -> Result<AccountLimits, Malformed> {
    let limits = AccountLimits {
        overdraft_minor: view.overdraft_minor,
        daily_outflow_minor: view.daily_outflow_minor,
        daily_count: view.daily_count,
        lowest_balance_minor: view.lowest_balance_minor,
    };
    limits.check()?;
    Ok(limits)
}

pub(super) fn limits_view(limits: &AccountLimits) -> proto::AccountLimitsView<'_> {
    proto::AccountLimitsView {
        overdraft_minor: limits.overdraft_minor,
        daily_outflow_minor: limits.daily_outflow_minor,
        daily_count: limits.daily_count,
        lowest_balance_minor: limits.lowest_balance_minor,
        ..proto::AccountLimitsView::default()
    }
}

pub(super) fn read_own(
    field: &MessageFieldView<proto::AccountLimitsView<'_>>,
) -> Result<Option<Box<AccountLimits>>, Malformed> {
    field.as_option().map(read_limits).transpose().map(|limits| limits.map(Box::new))
}

pub(super) fn own_view(limits: Option<&AccountLimits>) -> MessageFieldView<proto::AccountLimitsView<'_>> {
    limits.map_or_else(MessageFieldView::default, |limits| MessageFieldView::some(limits_view(limits)))
}

pub(super) fn read_outflow(field: &MessageFieldView<proto::OutflowView<'_>>) -> Outflow {
    field.as_option().map_or(Outflow::NONE, |view| Outflow {
        day: view.day,
        minor: view.minor,
        count: view.count,
    })
}

pub(super) fn outflow_view<'a>(outflow: Outflow) -> MessageFieldView<proto::OutflowView<'a>> {
    if outflow == Outflow::NONE {
        return MessageFieldView::default();
    }
    MessageFieldView::some(proto::OutflowView {
        day: outflow.day,
        minor: outflow.minor,
        count: outflow.count,
        ..proto::OutflowView::default()
    })
}
