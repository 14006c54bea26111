//! The text forms of Timestamp (RFC 3339) and Duration (seconds with an `s`), within the ranges that protobuf allows.

use std::io::Write as _;

const SECONDS_A_DAY: i64 = 86_400;
/// 0001-01-01T00:00:00Z
const TIMESTAMP_MIN: i64 = -62_135_596_800;
/// 9999-12-31T23:59:59Z
const TIMESTAMP_MAX: i64 = 253_402_300_799;
/// About ten thousand years.
const DURATION_MAX: i64 = 315_576_000_000;
const NANOS: i32 = 1_000_000_000;

/// Reads RFC 3339 text into seconds and nanoseconds since the epoch.
pub fn parse_timestamp(text: &str) -> Option<(i64, i32)> {
    let bytes = text.as_bytes();
    let date_time = bytes.get(..19)?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(index, separator)| date_time[index] != separator) {
        return None;
    }
    let year = decimal(&bytes[0..4])?;
    let (month, day) = (decimal(&bytes[5..7])?, decimal(&bytes[8..10])?);
    let (hour, minute, second) =
        (decimal(&bytes[11..13])?, decimal(&bytes[14..16])?, decimal(&bytes[17..19])?);
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = fraction(&bytes[19..])?;
    let offset = match zone {
        b"Z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (decimal(&[*h1, *h2])?, decimal(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let seconds = hours * 3600 + minutes * 60;
            if *sign == b'-' { -seconds } else { seconds }
        }
        _ => return None,
    };
    let days = days_from_civil(year, month, day);
    let seconds = days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second - offset;
    (TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&seconds).then_some((seconds, nanos))
}

/// Appends a quoted timestamp; `false` when it is out of range.
pub fn put_timestamp(out: &mut Vec<u8>, seconds: i64, nanos: i32) -> bool {
    if !(TIMESTAMP_MIN..=TIMESTAMP_MAX).contains(&seconds) || !(0..NANOS).contains(&nanos) {
        return false;
    }
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_A_DAY));
    let in_day = seconds.rem_euclid(SECONDS_A_DAY);
    let (hour, minute, second) = (in_day / 3600, in_day / 60 % 60, in_day % 60);
    // Writing to a Vec cannot fail.
    let _ = write!(out, "\"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    put_fraction(out, nanos);
    out.extend_from_slice(b"Z\"");
    true
}

/// Reads `"1.5s"` into seconds and nanoseconds, both of one sign.
pub fn parse_duration(text: &str) -> Option<(i64, i32)> {
    let text = text.strip_suffix('s')?;
    let (negative, magnitude) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let whole = magnitude.bytes().take_while(u8::is_ascii_digit).count();
    if whole == 0 || whole > 12 {
        return None;
    }
    let seconds = decimal(&magnitude.as_bytes()[..whole])?;
    let (nanos, rest) = fraction(&magnitude.as_bytes()[whole..])?;
    if !rest.is_empty() || seconds > DURATION_MAX {
        return None;
    }
    Some(if negative { (-seconds, -nanos) } else { (seconds, nanos) })
}

/// Appends a quoted duration; `false` when it is out of range or of two signs.
pub fn put_duration(out: &mut Vec<u8>, seconds: i64, nanos: i32) -> bool {
    let mixed = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
    if mixed || seconds.unsigned_abs() > DURATION_MAX as u64 || nanos.unsigned_abs() >= NANOS as u32 {
        return false;
    }
    out.push(b'"');
    if seconds < 0 || nanos < 0 {
        out.push(b'-');
    }
    super::text::put_integer(out, seconds.unsigned_abs());
    put_fraction(out, nanos.abs());
    out.extend_from_slice(b"s\"");
    true
}

/// Appends 0, 3, 6 or 9 digits, whichever is exact.
fn put_fraction(out: &mut Vec<u8>, nanos: i32) {
    let _ = match nanos {
        0 => Ok(()),
        _ if nanos % 1_000_000 == 0 => write!(out, ".{:03}", nanos / 1_000_000),
        _ if nanos % 1_000 == 0 => write!(out, ".{:06}", nanos / 1_000),
        _ => write!(out, ".{nanos:09}"),
    };
}

/// Reads an optional `.` with one to nine digits, and gives the rest.
fn fraction(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let Some(digits) = bytes.strip_prefix(b".") else { return Some((0, bytes)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let value = decimal(&digits[..count])? * 10i64.pow(9 - count as u32);
    Some((i32::try_from(value).ok()?, &digits[count..]))
}

fn decimal(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counted in eras of 400 years that begin in March.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_timestamp_reads_back(seconds in TIMESTAMP_MIN..=TIMESTAMP_MAX, nanos in 0..NANOS) {
            let mut out = Vec::new();
            prop_assert!(put_timestamp(&mut out, seconds, nanos));
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(parse_timestamp(text.trim_matches('"')), Some((seconds, nanos)));
        }

        #[test]
        fn a_duration_reads_back(seconds in -DURATION_MAX..=DURATION_MAX, nanos in 0..NANOS) {
            let nanos = if seconds < 0 { -nanos } else { nanos };
            let mut out = Vec::new();
            prop_assert!(put_duration(&mut out, seconds, nanos));
            let text = String::from_utf8(out).unwrap();
            prop_assert_eq!(parse_duration(text.trim_matches('"')), Some((seconds, nanos)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,32}") {
            let _ = (parse_timestamp(&text), parse_duration(&text));
        }
    }
}
