//! How much is paid: `100`, `1..500`, `~2000`. Pure.

/// The largest amount that is paid, in minor units.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000;

/// What is paid, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amounts {
    /// Always the same.
    Fixed(i64),
    /// From the first to the second.
    Uniform(i64, i64),
    /// Around a median, mostly near and seldom far, like a log-normal distribution with σ of two octaves.
    Median(i64),
}

impl Amounts {
    /// Reads `100`, `1..500` or `~2000`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<i64>().ok().filter(|n| (1..=AMOUNT_MAX).contains(n));
        let read = || {
            if let Some(median) = text.strip_prefix('~') {
                return number(median).map(Self::Median);
            }
            if let Some((low, high)) = text.split_once("..") {
                let (low, high) = (number(low)?, number(high)?);
                return (low <= high).then_some(Self::Uniform(low, high));
            }
            number(text).map(Self::Fixed)
        };
        read().ok_or_else(|| {
            "is minor units: 100 (always), 1..500 (even), or ~2000 (around a median); at least 1".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_as_written() {
        assert_eq!(Amounts::parse("100"), Ok(Amounts::Fixed(100)));
        assert_eq!(Amounts::parse("1..500"), Ok(Amounts::Uniform(1, 500)));
        assert_eq!(Amounts::parse("~2000"), Ok(Amounts::Median(2000)));
        for wrong in ["", "0", "-1", "5..1", "1..", "~", "1.5", "0..5", "9999999999999"] {
            assert!(Amounts::parse(wrong).is_err(), "{wrong}");
        }
    }
}
