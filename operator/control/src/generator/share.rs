//! A share of the payments: `0.5%`. Pure.

/// A run of duplicates alone would never have anything to repeat.
const SHARE_MAX_PPM: u32 = 900_000;

/// Parts of a million of a percentage with at most four decimals.
pub fn parse_share(text: &str) -> Result<u32, String> {
    let read = || {
        let number = text.strip_suffix('%')?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) || fraction.len() > 4 {
            return None;
        }
        let ppm: u32 = format!("{whole}{fraction:0<4}").parse().ok()?;
        (ppm <= SHARE_MAX_PPM).then_some(ppm)
    };
    read().ok_or_else(|| "is a percentage such as 0.5%, at most 90%".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_exactly() {
        for (text, ppm) in
            [("0%", 0), ("1%", 10_000), ("0.5%", 5_000), ("12.3456%", 123_456), ("90%", 900_000)]
        {
            assert_eq!(parse_share(text), Ok(ppm), "{text}");
        }
        for wrong in ["", "1", "%", "-1%", "90.1%", "1.23456%", "1.%", ".5%", "99999999999%"] {
            assert!(parse_share(wrong).is_err(), "{wrong}");
        }
    }
}
