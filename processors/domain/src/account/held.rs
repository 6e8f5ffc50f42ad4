//! What becomes of a payment that a rule holds. Pure.
//!
//! The command that decides has an outcome of its own, and the payment gets its second one: a release makes it go on from
//! the debit, a refusal and the end of its time reject it.

use super::{Decision, HeldChange, Known, Next, transfer};
use crate::{
    hold::{DecideHold, HeldPayment, Hold, HoldDecision, HoldVerdict},
    outcome::{Outcome, Status},
    payment::{AccountCommand, Action, Intake},
    policy::Policy,
    reason::Reason,
};

/// Decides the held payment that `command` is about.
pub(super) fn decide(
    known: Known<'_>,
    command: AccountCommand,
    accepted_at_ms: i64,
    policy: &Policy,
    at_ms: i64,
) -> Decision {
    let decided = held(known, &command, at_ms);
    let end = |status| Outcome::of(Intake::Account(command), status, accepted_at_ms, at_ms);
    let (known_hold, decide) = match decided {
        Ok(decided) => decided,
        Err(reason) => return Decision::end(None, end(Status::Rejected(reason))),
    };
    let HeldPayment { payment, accepted_at_ms, hold } = known_hold.clone();
    let DecideHold { verdict, by, why, .. } = decide;
    let hold = Box::new(Hold { decided: Some(HoldDecision { verdict, by, why, at_ms }), ..hold });
    let over = HeldChange::End(payment.id.clone());
    let reject = |payment, reason, hold| {
        let outcome = Outcome::rejected(Intake::Payment(payment), reason, accepted_at_ms, at_ms);
        Decision::end(None, Outcome { hold: Some(hold), ..outcome })
    };
    let decision = match verdict {
        HoldVerdict::Release => {
            let debit = transfer::Debit { payment, accepted_at_ms, released: Some(hold) };
            transfer::debit(known, debit, policy, at_ms)
        }
        HoldVerdict::Refuse => reject(payment, Reason::HoldRefused, hold),
        HoldVerdict::Expire => reject(payment, Reason::HoldExpired, hold),
    };
    Decision { held: Some(over), also: Some(Next::Outcome(end(Status::Confirmed))), ..decision }
}

fn held<'a>(
    known: Known<'a>,
    command: &AccountCommand,
    at_ms: i64,
) -> Result<(&'a HeldPayment, DecideHold), Reason> {
    let Action::Decide(decide) = &command.action else { return Err(Reason::HoldUnknown) };
    let ours =
        |held: &&HeldPayment| held.payment.id == decide.payment && held.payment.from == command.account;
    let held = known.held.filter(ours).ok_or(Reason::HoldUnknown)?;
    if decide.verdict == HoldVerdict::Expire && at_ms < held.hold.expires_at_ms {
        return Err(Reason::HoldNotExpired);
    }
    Ok((held, (**decide).clone()))
}
