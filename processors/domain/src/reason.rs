//! Why a payment was rejected or reversed.

use std::fmt;

use compact_str::CompactString;

use crate::{account::LimitName, rules::RuleName};

/// A stable `snake_case` code. A code of a newer release is kept as it came, so that pods of two releases can share
/// the topics while one replaces the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The amount is zero or below.
    AmountNotPositive,
    /// Payer and payee are one account.
    SameAccount,
    /// Not a currency of ISO 4217 that is paid with.
    CurrencyUnknown,
    /// The account was never opened.
    UnknownAccount,
    /// The account is closed.
    AccountClosed,
    /// The account is frozen.
    AccountFrozen,
    /// The account holds another currency.
    CurrencyMismatch,
    /// The balance is below the amount.
    InsufficientFunds,
    /// The account was opened before, by another command.
    AccountExists,
    /// The balance would exceed [`crate::account::BALANCE_MAX`].
    BalanceOverflow,
    /// The account is not frozen.
    AccountNotFrozen,
    /// The account still holds money.
    BalanceNotZero,
    /// A limit of the account or of the pipeline.
    LimitExceeded(LimitName),
    /// A rule of the pipeline refuses it.
    RuleRefused(RuleName),
    /// A rule held it, and a person refused it.
    HoldRefused,
    /// A rule held it, and nobody decided in time.
    HoldExpired,
    /// The payment is not held, or not any more.
    HoldUnknown,
    /// The hold was to end by its age before its time.
    HoldNotExpired,
    /// All refunds of a payment together would be more than it was.
    RefundExceedsPayment,
    /// As many debits of the account wait as may.
    DebitsWaitingFull,
    /// Of a newer release.
    Other(CompactString),
}

impl Reason {
    /// Every code that this release can give, with any limit and but for `rule_refused`, which has a name.
    pub const ALL: [Self; 22] = [
        Self::AmountNotPositive,
        Self::SameAccount,
        Self::CurrencyUnknown,
        Self::UnknownAccount,
        Self::AccountClosed,
        Self::AccountFrozen,
        Self::CurrencyMismatch,
        Self::InsufficientFunds,
        Self::AccountExists,
        Self::BalanceOverflow,
        Self::AccountNotFrozen,
        Self::BalanceNotZero,
        Self::LimitExceeded(LimitName::PerPayment),
        Self::LimitExceeded(LimitName::DailyOutflow),
        Self::LimitExceeded(LimitName::DailyCount),
        Self::LimitExceeded(LimitName::LowestBalance),
        Self::HoldRefused,
        Self::HoldExpired,
        Self::HoldUnknown,
        Self::HoldNotExpired,
        Self::RefundExceedsPayment,
        Self::DebitsWaitingFull,
    ];

    /// The code.
    pub fn code(&self) -> &str {
        match self {
            Self::Other(code) => code.as_str(),
            known => known.label(),
        }
    }

    /// The code as a metric label: bounded, a newer release's codes are all `other`.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::AmountNotPositive => "amount_not_positive",
            Self::SameAccount => "same_account",
            Self::CurrencyUnknown => "currency_unknown",
            Self::UnknownAccount => "unknown_account",
            Self::AccountClosed => "account_closed",
            Self::AccountFrozen => "account_frozen",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::InsufficientFunds => "insufficient_funds",
            Self::AccountExists => "account_exists",
            Self::BalanceOverflow => "balance_overflow",
            Self::AccountNotFrozen => "account_not_frozen",
            Self::BalanceNotZero => "balance_not_zero",
            Self::LimitExceeded(_) => "limit_exceeded",
            Self::RuleRefused(_) => "rule_refused",
            Self::HoldRefused => "hold_refused",
            Self::HoldExpired => "hold_expired",
            Self::HoldUnknown => "hold_unknown",
            Self::HoldNotExpired => "hold_not_expired",
            Self::RefundExceedsPayment => "refund_exceeds_payment",
            Self::DebitsWaitingFull => "debits_waiting_full",
            Self::Other(_) => "other",
        }
    }

    /// The limit or the rule that the code speaks of.
    pub fn detail(&self) -> Option<&str> {
        match self {
            Self::LimitExceeded(limit) => Some(limit.as_str()),
            Self::RuleRefused(rule) => Some(rule.as_str()),
            _ => None,
        }
    }

    /// The reason of a code and its [`Reason::detail`].
    pub fn from_code(code: &str, detail: &str) -> Self {
        if code == "rule_refused"
            && let Ok(rule) = RuleName::new(detail)
        {
            return Self::RuleRefused(rule);
        }
        Self::ALL
            .into_iter()
            .find(|reason| reason.label() == code && reason.detail().is_none_or(|known| known == detail))
            .unwrap_or_else(|| Self::Other(CompactString::new(code)))
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_read_back_and_no_two_are_the_same() {
        for (at, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(&Reason::from_code(reason.code(), reason.detail().unwrap_or_default()), reason);
            let same = |other: &Reason| other.code() == reason.code() && other.detail() == reason.detail();
            assert!(!Reason::ALL[..at].iter().any(same));
        }
        let refused = Reason::RuleRefused(RuleName::new("big").unwrap());
        assert_eq!(Reason::from_code("rule_refused", "big"), refused);
    }

    #[test]
    fn a_code_of_a_newer_release_is_carried_on() {
        for (code, detail) in [("sanctioned", ""), ("limit_exceeded", "per_century")] {
            let newer = Reason::from_code(code, detail);
            assert_eq!((newer.code(), newer.label()), (code, "other"));
        }
    }
}
