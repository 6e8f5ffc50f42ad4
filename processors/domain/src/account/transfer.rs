//! Debit, credit and reverse: the steps that move a payment's money. Pure.

use super::{Account, Decision, HeldChange, Known, Next, usable};
use crate::{
    command::{Command, Trail},
    hold::{HeldPayment, Hold},
    ledger::EntryKind,
    outcome::{Outcome, Status},
    payment::{Intake, Payment},
    policy::Policy,
    reason::Reason,
    rules::{RuleName, Verdict},
};

/// A debit, perhaps of a payment that was held and is released now.
pub(super) struct Debit {
    pub(super) payment: Payment,
    pub(super) accepted_at_ms: i64,
    pub(super) released: Option<Box<Hold>>,
}

/// What a debit comes to.
enum Judged {
    Paid { after: Account, refunded_minor: Option<i64> },
    Held(RuleName),
}

pub(super) fn debit(known: Known<'_>, debit: Debit, policy: &Policy, at_ms: i64) -> Decision {
    let judged = judge(known, &debit, policy, at_ms);
    let Debit { payment, accepted_at_ms, released: hold } = debit;
    match judged {
        Err(reason) => {
            let mut outcome = Outcome::rejected(Intake::Payment(payment), reason, accepted_at_ms, at_ms);
            outcome.hold = hold;
            Decision::end(None, outcome)
        }
        Ok(Judged::Held(rule)) => held(payment, rule, accepted_at_ms, policy, at_ms),
        Ok(Judged::Paid { after, refunded_minor }) => {
            // Above zero, so that its negation exists.
            let change = payment.amount.minor.saturating_neg();
            let entry =
                after.entry(&payment.from, EntryKind::Debit, &payment.id, Some(&payment.to), change, at_ms);
            // Who was released does not wait in the queue of those that pay one by one.
            let serial = policy.limits.serial_debits && hold.is_none();
            let trail = Trail { accepted_at_ms, debited_at_ms: at_ms, hold };
            let credit = Command::Credit { payment, trail, serial };
            Decision { refunded_minor, ..Decision::of(Some(entry), Next::Command(credit)) }
        }
    }
}

/// The checks in their order. Nothing is changed before all are done.
fn judge(known: Known<'_>, debit: &Debit, policy: &Policy, at_ms: i64) -> Result<Judged, Reason> {
    let Debit { payment, released, .. } = debit;
    let (minor, limits) = (payment.amount.minor, &policy.limits);
    if minor <= 0 {
        return Err(Reason::AmountNotPositive);
    }
    let account = usable(known.account, Some(payment.amount.currency))?;
    if let Some(refund) = &payment.refund {
        let refunded = known.refunded_minor.saturating_add(minor);
        if refunded > refund.amount_minor {
            return Err(Reason::RefundExceedsPayment);
        }
        let after = account.with_balance(account.lowered(minor, limits)?);
        return Ok(Judged::Paid { after, refunded_minor: Some(refunded) });
    }
    let left = account.lowered(minor, limits)?;
    account.check_limits(minor, left, limits, at_ms)?;
    if released.is_none() && !policy.rules.is_empty() {
        match policy.rules.judge(payment, &account.payer(at_ms), at_ms) {
            Verdict::Pass => {}
            Verdict::Reject(rule) => return Err(Reason::RuleRefused(rule)),
            Verdict::Hold(rule) => return Ok(Judged::Held(rule)),
        }
    }
    let outflow = account.outflow.plus(minor, at_ms);
    let after = Account { outflow, ..account.with_balance(left) };
    Ok(Judged::Paid { after, refunded_minor: None })
}

fn held(payment: Payment, rule: RuleName, accepted_at_ms: i64, policy: &Policy, at_ms: i64) -> Decision {
    let expires_at_ms = at_ms.saturating_add(policy.hold_expiry_ms);
    let hold = Hold { rule: rule.clone(), held_at_ms: at_ms, expires_at_ms, decided: None };
    let outcome = Outcome {
        hold: Some(Box::new(hold.clone())),
        ..Outcome::of(Intake::Payment(payment.clone()), Status::Held(rule), accepted_at_ms, at_ms)
    };
    let change = HeldChange::Hold(Box::new(HeldPayment { payment, accepted_at_ms, hold }));
    Decision { held: Some(change), ..Decision::end(None, outcome) }
}

pub(super) fn credit(
    account: Option<&Account>,
    payment: Payment,
    trail: Trail,
    serial: bool,
    at_ms: i64,
) -> Decision {
    let after = usable(account, Some(payment.amount.currency))
        .and_then(|account| account.raised(payment.amount.minor));
    match after {
        Err(reason) => Decision::of(None, Next::Command(Command::Reverse { payment, trail, reason })),
        Ok(after) => {
            let change = payment.amount.minor;
            let entry =
                after.entry(&payment.to, EntryKind::Credit, &payment.id, Some(&payment.from), change, at_ms);
            let settled = serial.then(|| {
                let (payment, account) = (payment.id.clone(), payment.from.clone());
                Next::Command(Command::Settled { payment, account })
            });
            let outcome =
                Outcome { credited_at_ms: Some(at_ms), ..ended(payment, Status::Confirmed, trail, at_ms) };
            Decision { also: settled, ..Decision::end(Some(entry), outcome) }
        }
    }
}

/// Gives back what a debit took. Never refused, whatever became of the account since: the money is the payer's.
///
/// It cannot overflow: a credit, a funding and an opening stop at [`super::BALANCE_MAX`], and no debit takes more than a
/// balance and an overdraft. For the sum to pass 2^63 more than a thousand payments, each of a whole
/// [`super::BALANCE_MAX`], would have to be in flight from this one account at once and all be reversed. Should that be,
/// the command goes to the end of its own queue and is taken again: late, but neither refused nor lost. An account that is
/// not there, which no log of ours can hold, is made anew with the money rather than the money dropped.
pub(super) fn reverse(
    known: Known<'_>,
    payment: Payment,
    trail: Trail,
    reason: Reason,
    at_ms: i64,
) -> Decision {
    let before = known.account.cloned().unwrap_or_else(|| Account::empty(payment.amount.currency));
    let minor = payment.amount.minor;
    let Some(balance) = before.balance_minor.checked_add(minor) else {
        return Decision::of(None, Next::Command(Command::Reverse { payment, trail, reason }));
    };
    let mut after = before.with_balance(balance);
    let mut refunded_minor = None;
    if payment.refund.is_some() {
        refunded_minor = Some(known.refunded_minor.saturating_sub(minor).max(0));
    } else {
        after.outflow = after.outflow.minus(minor, trail.debited_at_ms);
    }
    let entry = after.entry(&payment.from, EntryKind::Reverse, &payment.id, Some(&payment.to), minor, at_ms);
    let outcome = ended(payment, Status::Reversed(reason), trail, at_ms);
    Decision { refunded_minor, ..Decision::end(Some(entry), outcome) }
}

/// The outcome of a payment that was debited.
fn ended(payment: Payment, status: Status, trail: Trail, at_ms: i64) -> Outcome {
    Outcome {
        debited_at_ms: Some(trail.debited_at_ms),
        hold: trail.hold,
        ..Outcome::of(Intake::Payment(payment), status, trail.accepted_at_ms, at_ms)
    }
}
