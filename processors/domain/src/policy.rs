//! What the pipeline decides for all of its payments: limits, rules and how long a hold lasts. Pure values; they change
//! while payments flow.

use crate::{money::Currency, rules::Rules};

/// How long a held payment waits for a person, unless said otherwise: seven days.
pub const HOLD_EXPIRY_MS: i64 = 7 * 24 * 60 * 60 * 1_000;
/// How many debits of one account may wait for the one in flight, unless said otherwise.
pub const WAITING_DEBITS_MAX: u32 = 1_000;

/// What the pipeline decides for all of its payments.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Of an account that is opened without a currency.
    pub default_currency: Currency,
    /// What an account may pay, unless it has limits of its own.
    pub limits: Limits,
    /// What refuses or holds a payment.
    pub rules: Rules,
    /// How long a held payment waits for a person before it is refused, in milliseconds.
    pub hold_expiry_ms: i64,
}

impl Policy {
    /// No limits and no rules.
    pub fn new(default_currency: Currency) -> Self {
        Self {
            default_currency,
            limits: Limits::default(),
            rules: Rules::default(),
            hold_expiry_ms: HOLD_EXPIRY_MS,
        }
    }
}

/// The pipeline's limits; an account may have its own daily ones. `None` is no limit. Amounts are minor units of the
/// account's currency, and a day is one of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most that one payment moves.
    pub per_payment_minor: Option<i64>,
    /// The most that an account pays in a day.
    pub daily_outflow_minor: Option<i64>,
    /// The most payments that an account makes in a day.
    pub daily_count: Option<u32>,
    /// What a payment must leave in the account.
    pub lowest_balance_minor: Option<i64>,
    /// How far below zero a payment may take the account; 0 or more.
    pub overdraft_minor: i64,
    /// One debit of an account in flight at a time; the others wait in order.
    pub serial_debits: bool,
    /// How many debits of one account may wait; one more is refused.
    pub waiting_debits_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_payment_minor: None,
            daily_outflow_minor: None,
            daily_count: None,
            lowest_balance_minor: None,
            overdraft_minor: 0,
            serial_debits: false,
            waiting_debits_max: WAITING_DEBITS_MAX,
        }
    }
}
