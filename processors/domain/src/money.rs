//! Money: integer minor units of one currency. Only checked arithmetic; a text form at the edges alone.

use std::fmt;

use crate::currencies;

/// Three letters A–Z, as in ISO 4217. Any three letters can be read; [`Currency::is_listed`] tells those of the
/// standard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// What is wrong with a currency's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three letters A-Z, such as USD")]
pub struct CurrencyError;

impl Currency {
    /// Reads exactly three letters A–Z.
    pub const fn new(text: &str) -> Result<Self, CurrencyError> {
        let &[a, b, c] = text.as_bytes() else { return Err(CurrencyError) };
        if a.is_ascii_uppercase() && b.is_ascii_uppercase() && c.is_ascii_uppercase() {
            Ok(Self([a, b, c]))
        } else {
            Err(CurrencyError)
        }
    }

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the three bytes are letters A-Z")
    }

    /// Whether ISO 4217 lists it as a currency that is paid with. This bounds everything that is kept per currency.
    pub fn is_listed(&self) -> bool {
        currencies::LISTED.binary_search(&self.0).is_ok()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount in minor units (cents for USD, yen for JPY) of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units; may be zero or below.
    pub minor: i64,
    /// Of what.
    pub currency: Currency,
}

/// Why two amounts have no sum or difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The currencies differ.
    #[error("{left} and {right} cannot be added")]
    CurrencyMismatch {
        /// Of the first amount.
        left: Currency,
        /// Of the second amount.
        right: Currency,
    },
    /// The result is beyond 64 bits.
    #[error("the sum is beyond 64 bits")]
    Overflow,
}

impl Money {
    /// `minor` units of `currency`.
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// The sum of two amounts of one currency.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_add)
    }

    /// The difference of two amounts of one currency.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.combine(other, i64::checked_sub)
    }

    fn combine(self, other: Self, with: fn(i64, i64) -> Option<i64>) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch { left: self.currency, right: other.currency });
        }
        let minor = with(self.minor, other.minor).ok_or(MoneyError::Overflow)?;
        Ok(Self { minor, currency: self.currency })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_currency_is_three_capital_letters() {
        assert_eq!(Currency::new("USD").unwrap().as_str(), "USD");
        for text in ["", "US", "usd", "USDT", "U D", "U1D", "é", "ÜS"] {
            assert_eq!(Currency::new(text), Err(CurrencyError), "{text:?}");
        }
    }

    #[test]
    fn the_list_is_sorted_and_holds_the_well_known() {
        assert!(currencies::LISTED.is_sorted());
        for text in ["USD", "EUR", "JPY", "GBP", "CHF", "KWD"] {
            assert!(Currency::new(text).unwrap().is_listed(), "{text}");
        }
        assert!(!Currency::new("ZZZ").unwrap().is_listed());
        assert!(!Currency::new("XXX").unwrap().is_listed());
    }

    #[test]
    fn sums_are_checked() {
        let usd = Currency::new("USD").unwrap();
        let eur = Currency::new("EUR").unwrap();
        assert_eq!(Money::new(1, usd).checked_add(Money::new(2, usd)), Ok(Money::new(3, usd)));
        assert_eq!(Money::new(1, usd).checked_sub(Money::new(2, usd)), Ok(Money::new(-1, usd)));
        assert_eq!(Money::new(i64::MAX, usd).checked_add(Money::new(1, usd)), Err(MoneyError::Overflow));
        assert_eq!(Money::new(i64::MIN, usd).checked_sub(Money::new(1, usd)), Err(MoneyError::Overflow));
        assert_eq!(
            Money::new(1, usd).checked_add(Money::new(1, eur)),
            Err(MoneyError::CurrencyMismatch { left: usd, right: eur })
        );
    }
}
