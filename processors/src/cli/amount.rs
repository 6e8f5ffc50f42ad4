//! Amounts as people write them, and back. Pure; integers only.
//!
//! The rule: an amount in major units names its currency and has exactly as many decimals as the currency has, so
//! `12.34USD`, `12.00USD`, `1234JPY`, `1.500KWD`. Anything else (`12USD`, `12.3USD`, `1,234.00USD`) is refused and never
//! rounded or completed, so a thousandfold or hundredfold mistake does not pass. Minor units, as the REST API has them, are
//! said to be that: `--minor`.

use std::fmt;

use kpay_domain::{Currency, Money};

/// Currencies of ISO 4217 (list one, 2025, column "minor unit") without decimals.
const WITHOUT_DECIMALS: [&str; 16] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF",
    "XPF",
];
/// Those with three. Every other that is paid with has two.
const WITH_THREE: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// What is wrong with an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Whatever the direction is, the amount does not tell it.
    #[error("{0:?} has a sign: an amount is above zero, such as 12.34USD")]
    Signed(String),
    /// No digits, separators and the like.
    #[error("{0:?} is no amount: write it as 12.34USD, or --amount 1234 --minor --currency USD")]
    NotANumber(String),
    /// Neither behind the amount nor by `--currency`.
    #[error("the amount names no currency: write it as 12.34USD, or give --currency")]
    CurrencyMissing,
    /// Not of ISO 4217.
    #[error("{0:?} is no currency of ISO 4217 that is paid with")]
    CurrencyUnknown(String),
    /// Named twice, and not the same.
    #[error("the amount is in {amount}, --currency says {option}")]
    CurrencyDiffers {
        /// Behind the amount.
        amount: Currency,
        /// By `--currency`.
        option: Currency,
    },
    /// Too few or too many decimals.
    #[error("an amount in {currency} has {} (such as {}): {text:?} could be meant in two ways; for minor units \
        give --minor", exactly(*decimals), example(*currency))]
    Decimals {
        /// Of what.
        currency: Currency,
        /// As many as it has.
        decimals: u32,
        /// As it was given.
        text: String,
    },
    /// `--minor` with a point.
    #[error("{0:?} is no whole number of minor units")]
    MinorNotWhole(String),
    /// Beyond 64 bits.
    #[error("{0:?} is beyond 64 bits of minor units")]
    OutOfRange(String),
}

fn exactly(count: u32) -> String {
    if count == 0 { "no decimals".to_owned() } else { format!("exactly {count} decimals") }
}

fn example(currency: Currency) -> String {
    Shown(i128::from(123_400_u32), currency).to_string().replace(' ', "")
}

/// How many decimals the major unit of a currency has.
pub fn exponent(currency: Currency) -> u32 {
    let code = currency.as_str();
    if WITHOUT_DECIMALS.contains(&code) {
        0
    } else if WITH_THREE.contains(&code) {
        3
    } else {
        2
    }
}

/// Reads a currency of ISO 4217 as `--currency` gives it.
pub fn currency(text: &str) -> Result<Currency, AmountError> {
    let listed = Currency::new(text).ok().filter(Currency::is_listed);
    listed.ok_or_else(|| AmountError::CurrencyUnknown(text.to_owned()))
}

/// Reads an amount: in major units with its currency behind it or by `--currency`, or in minor units. The sign is never
/// part of it.
pub fn parse(text: &str, option: Option<Currency>, minor: bool) -> Result<Money, AmountError> {
    if text.starts_with(['-', '+']) {
        return Err(AmountError::Signed(text.to_owned()));
    }
    let trimmed = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let (number, letters) = (trimmed.trim_end_matches(' '), text.strip_prefix(trimmed).unwrap_or_default());
    let named = if letters.is_empty() { None } else { Some(currency(letters)?) };
    let currency = match (named, option) {
        (Some(amount), Some(option)) if amount != option => {
            return Err(AmountError::CurrencyDiffers { amount, option });
        }
        (named, option) => named.or(option).ok_or(AmountError::CurrencyMissing)?,
    };
    let (whole, fraction) = number.split_once('.').map_or((number, None), |(w, f)| (w, Some(f)));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !fraction.is_none_or(digits) {
        return Err(AmountError::NotANumber(text.to_owned()));
    }
    let fraction = fraction.unwrap_or_default();
    if minor && number.contains('.') {
        return Err(AmountError::MinorNotWhole(text.to_owned()));
    }
    let expected = exponent(currency);
    if !minor && u32::try_from(fraction.len()) != Ok(expected) {
        return Err(AmountError::Decimals { currency, decimals: expected, text: text.to_owned() });
    }
    let minor = format!("{whole}{fraction}").parse();
    Ok(Money::new(minor.map_err(|_| AmountError::OutOfRange(text.to_owned()))?, currency))
}

/// Minor units of a currency, shown in major units: `12.34 USD`.
#[derive(Debug, Clone, Copy)]
pub struct Shown(pub i128, pub Currency);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(minor, currency) = *self;
        let sign = if minor < 0 { "-" } else { "" };
        let decimals = exponent(currency);
        let unit = 10_u128.pow(decimals);
        let (whole, rest) = (minor.unsigned_abs() / unit, minor.unsigned_abs() % unit);
        match usize::try_from(decimals) {
            Ok(width) if width > 0 => write!(f, "{sign}{whole}.{rest:0width$} {currency}"),
            _ => write!(f, "{sign}{whole} {currency}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd() -> Currency {
        currency("USD").unwrap()
    }

    #[test]
    fn amounts_are_read_exactly() {
        for (text, minor, code) in [
            ("12.34USD", 1234, "USD"),
            ("12.34 USD", 1234, "USD"),
            ("0.01EUR", 1, "EUR"),
            ("0.00USD", 0, "USD"),
            ("007.00USD", 700, "USD"),
            ("1234JPY", 1234, "JPY"),
            ("1.500KWD", 1500, "KWD"),
            ("92233720368547758.07USD", i64::MAX, "USD"),
        ] {
            assert_eq!(parse(text, None, false), Ok(Money::new(minor, currency(code).unwrap())), "{text}");
        }
        assert_eq!(parse("12.34", Some(usd()), false), Ok(Money::new(1234, usd())));
        assert_eq!(parse("1234", Some(usd()), true), Ok(Money::new(1234, usd())));
        assert_eq!(parse("1234USD", None, true), Ok(Money::new(1234, usd())));
    }

    #[test]
    fn what_could_be_meant_in_two_ways_is_refused() {
        for text in ["12USD", "12.3USD", "12.345USD", "1234USD", "12.0JPY", "12.00JPY", "1.50KWD"] {
            assert!(matches!(parse(text, None, false), Err(AmountError::Decimals { .. })), "{text}");
        }
        for text in ["", "USD", "1,234.00USD", "1e3USD", ".50USD", "1.USD", "1_0.00USD", "१.00USD"] {
            assert!(matches!(parse(text, Some(usd()), false), Err(AmountError::NotANumber(_))), "{text}");
        }
        for text in ["-12.34USD", "+1.00USD", "-5"] {
            assert_eq!(parse(text, None, false), Err(AmountError::Signed(text.into())));
        }
        assert_eq!(parse("12.34", None, false), Err(AmountError::CurrencyMissing));
        assert_eq!(parse("12.34", Some(usd()), true), Err(AmountError::MinorNotWhole("12.34".into())));
        let eur = currency("EUR").unwrap();
        assert_eq!(
            parse("1.00EUR", Some(usd()), false),
            Err(AmountError::CurrencyDiffers { amount: eur, option: usd() })
        );
        for text in ["1.00usd", "1.00XXX", "1.00USDT"] {
            assert!(matches!(parse(text, None, false), Err(AmountError::CurrencyUnknown(_))), "{text}");
        }
        let beyond = "92233720368547758.08USD";
        assert_eq!(parse(beyond, None, false), Err(AmountError::OutOfRange(beyond.into())));
    }

    #[test]
    fn the_refusal_says_what_would_be_right() {
        let said = |text: &str| parse(text, None, false).unwrap_err().to_string();
        assert!(said("12USD").contains("exactly 2 decimals (such as 1234.00USD)"), "{}", said("12USD"));
        assert!(said("12.5JPY").contains("no decimals (such as 123400JPY)"), "{}", said("12.5JPY"));
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for code in ["USD", "JPY", "KWD"] {
            let currency = currency(code).unwrap();
            for minor in [0, 1, 9, 10, 99, 100, 1234, i64::MAX] {
                let shown = Shown(minor.into(), currency).to_string();
                assert_eq!(parse(&shown, None, false), Ok(Money::new(minor, currency)), "{shown}");
            }
        }
        assert_eq!(Shown(-5, usd()).to_string(), "-0.05 USD");
        assert_eq!(Shown(i128::MIN, usd()).to_string(), "-1701411834604692317316873037158841057.28 USD");
    }

    #[test]
    fn every_currency_of_the_tables_is_paid_with() {
        assert!(WITHOUT_DECIMALS.iter().chain(&WITH_THREE).all(|code| currency(code).is_ok()));
    }
}
