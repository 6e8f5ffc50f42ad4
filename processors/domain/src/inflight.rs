//! The inflight stage's decision. Pure.
//!
//! The order of checks, tested: `amount_not_positive`, `currency_unknown`, `same_account`, `limit_exceeded` (`per_payment`).
//! A refund has no limit but the payment that it gives back.

use crate::{
    account::LimitName,
    command::Command,
    outcome::Outcome,
    payment::{Action, Intake},
    policy::Policy,
    reason::Reason,
};

/// What becomes of an intake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Goes on, to the account that the command names.
    Accept(Command),
    /// Ends here. It counts as accepted all the same: it has one outcome.
    Reject(Outcome),
}

/// The first rule that the intake breaks, if any. The gateway may ask it too, to answer at once.
pub fn check(intake: &Intake) -> Result<(), Reason> {
    let (amount_ok, currency, same) = match intake {
        Intake::Payment(payment) => {
            (payment.amount.minor > 0, Some(payment.amount.currency), payment.from == payment.to)
        }
        Intake::Account(command) => match &command.action {
            Action::Open { currency, funding_minor } => (*funding_minor >= 0, *currency, false),
            Action::Fund { amount_minor, currency } => (*amount_minor > 0, *currency, false),
            Action::Change(_) | Action::Limits(_) | Action::Decide(_) => (true, None, false),
        },
    };
    if !amount_ok {
        return Err(Reason::AmountNotPositive);
    }
    if currency.is_some_and(|currency| !currency.is_listed()) {
        return Err(Reason::CurrencyUnknown);
    }
    if same { Err(Reason::SameAccount) } else { Ok(()) }
}

fn check_limit(intake: &Intake, policy: &Policy) -> Result<(), Reason> {
    let (Intake::Payment(payment), Some(most)) = (intake, policy.limits.per_payment_minor) else {
        return Ok(());
    };
    if payment.refund.is_none() && payment.amount.minor > most {
        return Err(Reason::LimitExceeded(LimitName::PerPayment));
    }
    Ok(())
}

/// Accepts the intake as the first command for an account, or rejects it. `at_ms` is the time of acceptance, in
/// milliseconds since 1970 UTC.
pub fn decide(intake: Intake, policy: &Policy, at_ms: i64) -> Admission {
    if let Err(reason) = check(&intake).and_then(|()| check_limit(&intake, policy)) {
        return Admission::Reject(Outcome::rejected(intake, reason, at_ms, at_ms));
    }
    Admission::Accept(match intake {
        Intake::Payment(payment) => Command::Debit { payment, accepted_at_ms: at_ms },
        Intake::Account(mut command) => {
            if let Action::Open { currency, .. } = &mut command.action {
                currency.get_or_insert(policy.default_currency);
            }
            Command::Account { command, accepted_at_ms: at_ms }
        }
    })
}

#[cfg(test)]
mod tests;
