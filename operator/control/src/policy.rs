//! The part of a spec that the processors follow live: limits, rules and the rate of the intake. Pure.
//!
//! The rules are compiled here by the same code that judges payments by them, so that a rule which the operator takes is
//! one that the processors can use. That is why this crate knows the (equally pure) payment domain.

use kpay_crds::{IntakeWhilePaused, PaymentPipelineSpec, RuleAction as Action};
use kpay_domain::{Currency, Limits, Policy, RuleAction, RuleSource, Rules};

use crate::duration::parse_ms;
use crate::validate::Invalid;

/// What the processors follow live.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// What every payment is judged by.
    pub policy: Policy,
    /// The most records a second that the pipeline takes in.
    pub intake_per_second: Option<u32>,
    /// How long the intake takes to that when the pipeline resumes, in milliseconds.
    pub slow_start_ms: u64,
    /// Whether a gateway refuses requests while the intake is closed.
    pub rejects_while_closed: bool,
}

/// Checks the live part of a spec.
///
/// # Errors
/// Every field that is wrong, a rule with its name and the place in it.
pub fn terms(spec: &PaymentPipelineSpec) -> Result<Terms, Vec<Invalid>> {
    let mut invalid = Vec::new();
    let currency = Currency::new(&spec.accounts.currency);
    if currency.is_err() {
        invalid.push(Invalid::Currency { value: spec.accounts.currency.clone() });
    }
    let hold_expiry_ms = parse_ms(&spec.accounts.hold_expiry);
    if hold_expiry_ms.is_none() {
        let value = spec.accounts.hold_expiry.clone();
        invalid.push(Invalid::Duration { field: "accounts.holdExpiry", value });
    }
    let limits = limits(spec, &mut invalid);
    let rules = rules(spec).unwrap_or_else(|wrong| {
        invalid.extend(wrong);
        Rules::default()
    });
    let intake_per_second =
        spec.limits.intake_per_second.map(|rate| count("intakePerSecond", rate, &mut invalid));
    let slow_start_ms = slow_start_ms(&spec.limits.slow_start).unwrap_or_else(|| {
        let value = spec.limits.slow_start.clone();
        invalid.push(Invalid::Duration { field: "limits.slowStart", value });
        0
    });
    match (currency, hold_expiry_ms) {
        (Ok(default_currency), Some(hold_expiry_ms)) if invalid.is_empty() => {
            let policy = Policy { default_currency, limits, rules, hold_expiry_ms };
            let rejects_while_closed = spec.intake_while_paused == IntakeWhilePaused::Reject;
            Ok(Terms { policy, intake_per_second, slow_start_ms, rejects_while_closed })
        }
        _ => Err(invalid),
    }
}

fn limits(spec: &PaymentPipelineSpec, invalid: &mut Vec<Invalid>) -> Limits {
    let limits = &spec.limits;
    let mut at_least = |field, value: Option<i64>, least| {
        if value.is_some_and(|value| value < least) {
            invalid.push(Invalid::TooLow { field, value: value.unwrap_or_default(), least });
        }
        value
    };
    let per_payment_minor = at_least("perPayment", limits.per_payment, 1);
    let daily_outflow_minor = at_least("perAccountPerDay", limits.per_account_per_day, 1);
    let lowest_balance_minor = at_least("lowestBalance", limits.lowest_balance, 0);
    let floor = spec.accounts.overdraft_floor;
    let overdraft_minor = floor.checked_neg().filter(|below| *below >= 0).unwrap_or_else(|| {
        invalid.push(Invalid::OverdraftFloor { value: floor });
        0
    });
    Limits {
        per_payment_minor,
        daily_outflow_minor,
        daily_count: limits
            .payments_per_account_per_day
            .map(|most| count("paymentsPerAccountPerDay", most, invalid)),
        lowest_balance_minor,
        overdraft_minor,
        serial_debits: limits.serial_debits,
        waiting_debits_max: count("waitingDebitsMax", limits.waiting_debits_max, invalid),
    }
}

/// None at all is a duration as well.
fn slow_start_ms(text: &str) -> Option<u64> {
    if text == "0s" { Some(0) } else { parse_ms(text).and_then(|ms| u64::try_from(ms).ok()) }
}

fn count(field: &'static str, value: i32, invalid: &mut Vec<Invalid>) -> u32 {
    u32::try_from(value).ok().filter(|count| *count > 0).unwrap_or_else(|| {
        invalid.push(Invalid::TooLow { field, value: i64::from(value), least: 1 });
        0
    })
}

fn rules(spec: &PaymentPipelineSpec) -> Result<Rules, Vec<Invalid>> {
    let sources: Vec<RuleSource> = spec
        .rules
        .iter()
        .map(|rule| RuleSource {
            name: rule.name.clone(),
            when: rule.when.clone(),
            action: match rule.action {
                Action::Reject => RuleAction::Reject,
                Action::Hold => RuleAction::Hold,
            },
            message: rule.message.clone(),
        })
        .collect();
    Rules::compile(&sources).map_err(|errors| errors.into_iter().map(Invalid::Rule).collect())
}

#[cfg(test)]
mod tests;
