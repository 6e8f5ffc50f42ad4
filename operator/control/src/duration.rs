//! Durations as they are written in a resource: `30s`, `5m`, `24h`, `7d`; and how long ago a time of its status is. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Milliseconds of a duration; `None` when it is not one or does not fit.
pub fn parse_ms(text: &str) -> Option<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_ms: i64 = match text.strip_prefix(digits)? {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    digits.parse::<i64>().ok().filter(|n| *n > 0)?.checked_mul(unit_ms)
}

/// Milliseconds from `since` to `now`; negative for a time to come.
pub fn elapsed_ms(since: &Time, now: &Time) -> i64 {
    now.0.as_millisecond().saturating_sub(since.0.as_millisecond())
}

/// Milliseconds of a retention; `unlimited` is Kafka's −1.
pub fn parse_retention_ms(text: &str) -> Option<i64> {
    if text == "unlimited" { Some(-1) } else { parse_ms(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_written() {
        for (text, expected) in [
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("24h", Some(86_400_000)),
            ("7d", Some(604_800_000)),
            ("250ms", Some(250)),
            ("0s", None),
            ("5", None),
            ("m", None),
            ("-5m", None),
            ("5 m", None),
            ("9223372036854775807d", None),
        ] {
            assert_eq!(parse_ms(text), expected, "{text}");
        }
        assert_eq!(parse_retention_ms("unlimited"), Some(-1));
    }
}
