//! Why a payment was rejected or reversed.

use std::fmt;

use compact_str::CompactString;

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
    /// Of a newer release.
    Other(CompactString),
}

impl Reason {
    /// Every code that this release can give.
    pub const ALL: [Self; 12] = [
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
            Self::Other(_) => "other",
        }
    }

    /// The reason of a code.
    pub fn from_code(code: &str) -> Self {
        Self::ALL
            .into_iter()
            .find(|reason| reason.label() == code)
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
            assert_eq!(&Reason::from_code(reason.code()), reason);
            assert!(Reason::ALL[..at].iter().all(|other| other.code() != reason.code()));
        }
    }

    #[test]
    fn a_code_of_a_newer_release_is_carried_on() {
        let newer = Reason::from_code("limit_exceeded");
        assert_eq!(newer.code(), "limit_exceeded");
        assert_eq!(newer.label(), "other");
    }
}
