//! What an account may pay: its own limits in place of the pipeline's, and what it has paid today. Pure.

use super::Account;
use crate::{malformed::Malformed, policy::Limits, reason::Reason, rules::Payer};

const DAY_MS: i64 = 86_400_000;

/// Which limit was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LimitName {
    /// Of one payment.
    PerPayment,
    /// Paid on one day.
    DailyOutflow,
    /// Payments on one day.
    DailyCount,
    /// What has to be left.
    LowestBalance,
}

impl LimitName {
    /// `per_payment`, `daily_outflow`, `daily_count` or `lowest_balance`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PerPayment => "per_payment",
            Self::DailyOutflow => "daily_outflow",
            Self::DailyCount => "daily_count",
            Self::LowestBalance => "lowest_balance",
        }
    }
}

/// An account's own limits; what is `None` is the pipeline's. None is below 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AccountLimits {
    /// How far below zero the balance may go, in minor units.
    pub overdraft_minor: Option<i64>,
    /// Paid on one day (UTC), in minor units.
    pub daily_outflow_minor: Option<i64>,
    /// Payments on one day (UTC).
    pub daily_count: Option<u32>,
    /// What a payment has to leave, in minor units.
    pub lowest_balance_minor: Option<i64>,
}

impl AccountLimits {
    /// That none is below 0.
    pub fn check(&self) -> Result<(), Malformed> {
        for (field, limit) in [
            ("overdraft", self.overdraft_minor),
            ("dailyOutflow", self.daily_outflow_minor),
            ("lowestBalance", self.lowest_balance_minor),
        ] {
            if limit.is_some_and(|minor| minor < 0) {
                return Err(Malformed::new(
                    "limit_below_zero",
                    field,
                    "is an amount of minor units from 0 on",
                ));
            }
        }
        Ok(())
    }
}

/// What an account paid on one day. A payment that was reversed on the same day is no outflow, and a refund never is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outflow {
    /// Days since 1970 UTC.
    pub day: u32,
    /// In minor units.
    pub minor: i64,
    /// Payments.
    pub count: u32,
}

/// The day of a time in milliseconds since 1970 UTC; the first one for what is before it.
fn day_of(at_ms: i64) -> u32 {
    u32::try_from(at_ms.div_euclid(DAY_MS)).unwrap_or(0)
}

impl Outflow {
    /// Before the first payment.
    pub const NONE: Self = Self { day: 0, minor: 0, count: 0 };

    /// What was paid on the day of `at_ms`. The clocks of two workers may differ: a day never comes back.
    fn on_day_of(self, at_ms: i64) -> Self {
        let day = day_of(at_ms);
        if day > self.day { Self { day, ..Self::NONE } } else { self }
    }

    /// After one payment more.
    pub(super) fn plus(self, minor: i64, at_ms: i64) -> Self {
        let Self { day, minor: paid, count } = self.on_day_of(at_ms);
        Self { day, minor: paid.saturating_add(minor), count: count.saturating_add(1) }
    }

    /// After a payment that was debited at `debited_at_ms` came back.
    pub(super) fn minus(self, minor: i64, debited_at_ms: i64) -> Self {
        if day_of(debited_at_ms) != self.day {
            return self;
        }
        let (paid, count) = (self.minor.saturating_sub(minor).max(0), self.count.saturating_sub(1));
        Self { minor: paid, count, ..self }
    }
}

impl Account {
    /// What is left after paying, if the overdraft allows it.
    pub(super) fn lowered(&self, by_minor: i64, limits: &Limits) -> Result<i64, Reason> {
        let own = self.limits.as_ref().and_then(|own| own.overdraft_minor);
        let floor = own.unwrap_or(limits.overdraft_minor).max(0).saturating_neg();
        let left = self.balance_minor.checked_sub(by_minor);
        left.filter(|left| *left >= floor).ok_or(Reason::InsufficientFunds)
    }

    /// Whether the limits allow a payment of `minor` that leaves `left_minor`.
    pub(super) fn check_limits(
        &self,
        minor: i64,
        left_minor: i64,
        limits: &Limits,
        at_ms: i64,
    ) -> Result<(), Reason> {
        let own = self.limits.as_deref().copied().unwrap_or_default();
        let today = self.outflow.on_day_of(at_ms);
        let exceeded = |limit| Err(Reason::LimitExceeded(limit));
        if own.lowest_balance_minor.or(limits.lowest_balance_minor).is_some_and(|lowest| left_minor < lowest)
        {
            return exceeded(LimitName::LowestBalance);
        }
        let paid = today.minor.saturating_add(minor);
        if own.daily_outflow_minor.or(limits.daily_outflow_minor).is_some_and(|most| paid > most) {
            return exceeded(LimitName::DailyOutflow);
        }
        if own.daily_count.or(limits.daily_count).is_some_and(|most| today.count >= most) {
            return exceeded(LimitName::DailyCount);
        }
        Ok(())
    }

    /// What the rules see of the payer.
    pub(super) fn payer(&self, at_ms: i64) -> Payer {
        let today = self.outflow.on_day_of(at_ms);
        Payer {
            balance_minor: self.balance_minor,
            outflow_today_minor: today.minor,
            payments_today: today.count,
        }
    }
}
