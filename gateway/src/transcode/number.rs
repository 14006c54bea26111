//! Reading numbers from JSON text, quoted or not, and from query parameters.
//!
//! Integers are exact: `1e5` and `100000.000` are integers, `0.5` and what exceeds the type are not, and nothing goes
//! through a double. Every text must be a JSON number (RFC 8259): no plus sign, no leading zero, no blank.

/// A JSON number taken apart; digits are ASCII.
struct Parts<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    exponent: i32,
}

/// The length of the JSON number that `text` begins with, if it does.
pub fn scan(text: &[u8]) -> Option<usize> {
    parts(text).map(|(_, length)| length)
}

fn parts(text: &[u8]) -> Option<(Parts<'_>, usize)> {
    let negative = text.first() == Some(&b'-');
    let mut at = usize::from(negative);
    let integer = digits(&text[at..]);
    if integer.is_empty() || (integer.len() > 1 && integer[0] == b'0') {
        return None;
    }
    at += integer.len();
    let mut fraction: &[u8] = &[];
    if text.get(at) == Some(&b'.') {
        fraction = digits(&text[at + 1..]);
        if fraction.is_empty() {
            return None;
        }
        at += 1 + fraction.len();
    }
    let mut exponent = 0;
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = text.get(at + 1).copied().filter(|sign| b"+-".contains(sign));
        at += 1 + usize::from(sign.is_some());
        let power = digits(&text[at..]);
        if power.is_empty() {
            return None;
        }
        at += power.len();
        let magnitude = power
            .iter()
            .fold(0i32, |sum, digit| sum.saturating_mul(10).saturating_add((digit - b'0').into()));
        exponent = if sign == Some(b'-') { -magnitude } else { magnitude };
    }
    Some((Parts { negative, integer, fraction, exponent }, at))
}

fn digits(text: &[u8]) -> &[u8] {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    &text[..length]
}

/// An integer of up to 64 bits with its sign, exact.
pub fn integer(text: &str) -> Option<i128> {
    let bytes = text.as_bytes();
    let unsigned = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let plain = (1..=19).contains(&unsigned.len()) && unsigned.iter().all(u8::is_ascii_digit);
    if plain && (unsigned[0] != b'0' || unsigned.len() == 1) {
        let magnitude = unsigned.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let magnitude = i128::from(magnitude);
        return Some(if bytes.len() == unsigned.len() { magnitude } else { -magnitude });
    }
    scaled_integer(bytes)
}

/// The slow form of [`integer`]: with a fraction, an exponent, or too many digits for a quick sum.
fn scaled_integer(bytes: &[u8]) -> Option<i128> {
    let (parts, length) = parts(bytes)?;
    if length != bytes.len() {
        return None;
    }
    let mut all: Vec<u8> = [parts.integer, parts.fraction].concat();
    let mut exponent = i64::from(parts.exponent) - parts.fraction.len() as i64;
    while all.last() == Some(&b'0') {
        all.pop();
        exponent += 1;
    }
    let leading = all.iter().take_while(|&&digit| digit == b'0').count();
    let significant = &all[leading..];
    if significant.is_empty() {
        return Some(0);
    }
    if exponent < 0 || significant.len() as i64 + exponent > 20 {
        return None;
    }
    let value = significant.iter().fold(0i128, |sum, digit| sum * 10 + i128::from(digit - b'0'));
    let value = value * 10i128.pow(exponent as u32);
    Some(if parts.negative { -value } else { value })
}

/// A double; what overflows is refused.
pub fn double(text: &str) -> Option<f64> {
    complete(text)?;
    text.parse().ok().filter(|value: &f64| value.is_finite())
}

/// A float; what overflows is refused.
pub fn float(text: &str) -> Option<f32> {
    complete(text)?;
    text.parse().ok().filter(|value: &f32| value.is_finite())
}

fn complete(text: &str) -> Option<()> {
    (scan(text.as_bytes())? == text.len()).then_some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_integer_may_be_written_with_fraction_and_exponent_if_it_is_one() {
        assert_eq!(integer("1e5"), Some(100_000));
        assert_eq!(integer("100000.000"), Some(100_000));
        assert_eq!(integer("-1.5e1"), Some(-15));
        assert_eq!(integer("18446744073709551615"), Some(i128::from(u64::MAX)));
        assert_eq!(integer("0e99999999999"), Some(0));
        for not in ["0.5", "1e-1", "01", "+1", " 1", "1 ", "", "-", "0x10", "1e99", "1e", "1."] {
            assert_eq!(integer(not), None, "{not}");
        }
    }

    #[test]
    fn a_float_that_overflows_is_refused() {
        assert_eq!(float("3.402823e+38").map(f32::is_finite), Some(true));
        assert_eq!(float("3.502823e+38"), None);
        assert_eq!(double("1.89769e+308"), None);
    }

    proptest! {
        #[test]
        fn an_integer_reads_back(value: i64) {
            prop_assert_eq!(integer(&value.to_string()), Some(i128::from(value)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+0-9.eE]{0,24}") {
            let _ = (integer(&text), double(&text), float(&text));
        }
    }
}
