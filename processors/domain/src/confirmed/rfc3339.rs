//! Times as text. The calendar is jiff's; the digits are written here, since its formatter took a third of the time of
//! an outcome's JSON.

use jiff::{Timestamp, tz::Offset};

/// Of `2026-07-25T12:00:00.000Z`.
pub(super) const BYTES: usize = 24;

/// The first moment of the year 0.
const YEAR_0: Timestamp = Timestamp::constant(-62_167_219_200, 0);

/// Writes the time, milliseconds since 1970 UTC, as RFC 3339. What lies beyond the years 0 to 9999, which was never a
/// clock's time, becomes 1970.
pub(super) fn write(at_ms: i64, text: &mut [u8; BYTES]) -> &str {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    let at = if at < YEAR_0 { Timestamp::UNIX_EPOCH } else { at };
    let at = Offset::UTC.to_datetime(at);
    *text = *b"0000-00-00T00:00:00.000Z";
    let [y1, y2, y3, y4, _, mo1, mo2, _, d1, d2, _, h1, h2, _, mi1, mi2, _, s1, s2, _, ms1, ms2, ms3, _] =
        text;
    let (year, ms) = (at.year().unsigned_abs(), at.millisecond().unsigned_abs());
    [*y1, *y2] = two(year / 100);
    [*y3, *y4] = two(year % 100);
    [*mo1, *mo2] = two(at.month().unsigned_abs().into());
    [*d1, *d2] = two(at.day().unsigned_abs().into());
    [*h1, *h2] = two(at.hour().unsigned_abs().into());
    [*mi1, *mi2] = two(at.minute().unsigned_abs().into());
    [*s1, *s2] = two(at.second().unsigned_abs().into());
    [_, *ms1] = two(ms / 100);
    [*ms2, *ms3] = two(ms % 100);
    std::str::from_utf8(text).expect("digits and separators of ASCII")
}

/// The two digits of a number below 100.
fn two(number: u16) -> [u8; 2] {
    [digit(number / 10), digit(number)]
}

const fn digit(number: u16) -> u8 {
    match number % 10 {
        0 => b'0',
        1 => b'1',
        2 => b'2',
        3 => b'3',
        4 => b'4',
        5 => b'5',
        6 => b'6',
        7 => b'7',
        8 => b'8',
        _ => b'9',
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(at_ms: i64) -> String {
        write(at_ms, &mut [0; BYTES]).to_owned()
    }

    #[test]
    fn times_are_rfc_3339() {
        for (at_ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (1_785_000_000_007, "2026-07-25T17:20:00.007Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
            (-62_167_219_200_001, "1970-01-01T00:00:00.000Z"),
            (i64::MAX, "1970-01-01T00:00:00.000Z"),
            (i64::MIN, "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(text(at_ms), expected);
        }
    }

    proptest! {
        #[test]
        fn every_time_of_the_years_0_to_9999_is_read_back(at_ms in -62_167_219_200_000_i64..253_402_207_200_000) {
            let read: Timestamp = text(at_ms).parse().unwrap();
            prop_assert_eq!(read.as_millisecond(), at_ms);
        }
    }
}
