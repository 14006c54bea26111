//! Writing JSON text: strings, numbers, base64. Every function appends to a buffer and allocates nothing of its own.

/// What each byte becomes inside a JSON string: 0 stays, `u` is written `\u00XX`, any other is written behind `\`.
const ESCAPES: [u8; 256] = {
    let mut escapes = [0; 256];
    let mut control = 0;
    while control < 0x20 {
        escapes[control] = b'u';
        control += 1;
    }
    escapes[0x08] = b'b';
    escapes[0x09] = b't';
    escapes[0x0a] = b'n';
    escapes[0x0c] = b'f';
    escapes[0x0d] = b'r';
    escapes[b'"' as usize] = b'"';
    escapes[b'\\' as usize] = b'\\';
    escapes
};

/// How many bytes there are before the first that cannot stand in a JSON string as it is: a quote, a backslash, a control
/// character.
#[inline]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    /// Behind so many plain bytes it is a long text, in which the usual ones are looked for by as many as a register has.
    const SHORT: usize = 64;
    let mut at = 0;
    while let Some(word) = bytes[at..].first_chunk()
        && at < SHORT
    {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = &bytes[at..];
    if rest.len() < 8 {
        let is_special = |&byte: &u8| ESCAPES[usize::from(byte)] != 0;
        return at + rest.iter().position(is_special).unwrap_or(rest.len());
    }
    let plain = &rest[..memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len())];
    // looked at without a way out, so that many bytes are at once
    let control = plain.iter().fold(false, |found, &byte| found | (byte < 0x20));
    let length = if control { plain.iter().position(|&byte| byte < 0x20) } else { None };
    at + length.unwrap_or(plain.len())
}

/// The highest bit of each byte of a word that is special, and perhaps of some that are above the lowest of these.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & (ONES * 0x80)
}

/// How much room to take for a message of so many bytes as JSON. A small one is names and numbers for the most part and
/// about doubles; a large one is text or bytes, which grow by a third.
pub(crate) fn length_guess(message: usize) -> usize {
    const LARGE: usize = 64 << 10;
    if message < LARGE { message * 2 + 64 } else { message + message / 3 + message / 16 }
}

/// Appends a quoted JSON string.
#[inline]
pub fn put_string(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_length(rest));
        out.extend_from_slice(plain);
        let Some((&byte, after)) = special.split_first() else { break };
        put_escaped(out, byte);
        rest = after;
    }
    out.push(b'"');
}

/// How many bytes [`put_string`] appends.
pub(crate) fn string_length(text: &str) -> usize {
    let escaped = |byte: u8| match ESCAPES[usize::from(byte)] {
        0 => 1,
        b'u' => 6,
        _ => 2,
    };
    text.bytes().map(escaped).sum::<usize>() + 2
}

fn put_escaped(out: &mut Vec<u8>, byte: u8) {
    const HEX: [u8; 16] = *b"0123456789abcdef";
    let escape = ESCAPES[usize::from(byte)];
    out.extend_from_slice(&[b'\\', escape]);
    if escape == b'u' {
        out.extend_from_slice(&[b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
    }
}

/// Appends bytes as quoted base64 with padding.
pub fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    base64_simd::STANDARD.encode_append(bytes, out);
    out.push(b'"');
}

/// Appends an integer.
pub fn put_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends an integer in quotes, as canonical JSON writes 64 bits.
pub fn put_quoted_integer(out: &mut Vec<u8>, value: impl itoa::Integer) {
    out.push(b'"');
    put_integer(out, value);
    out.push(b'"');
}

/// Appends a double: integral ones within 2^53 without a fraction, others in the shortest form that reads back.
pub fn put_double(out: &mut Vec<u8>, value: f64) {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if value.trunc() == value && value.abs() <= EXACT_MAX && !(value == 0.0 && value.is_sign_negative()) {
        put_integer(out, value as i64);
    } else if !put_hundredths(out, value) {
        if value.is_finite() {
            out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
        } else {
            put_not_finite(out, value);
        }
    }
}

/// Appends a double that has at most two digits behind the point, as prices and measures have; says whether it was one.
///
/// A double reads back from no more than one text of up to fifteen digits, so that of them is the shortest.
fn put_hundredths(out: &mut Vec<u8>, value: f64) -> bool {
    const FIFTEEN_DIGITS: f64 = 1e15;
    let hundredths = (value * 100.0).round();
    // division rounds as reading does: to the double that is next to the quotient
    if hundredths == 0.0 || hundredths.abs() >= FIFTEEN_DIGITS || hundredths / 100.0 != value {
        return false;
    }
    let magnitude = hundredths.abs() as u64;
    if value < 0.0 {
        out.push(b'-');
    }
    put_integer(out, magnitude / 100);
    let (tenths, rest) = ((magnitude % 100 / 10) as u8, (magnitude % 10) as u8);
    out.extend_from_slice(&[b'.', b'0' + tenths]);
    if rest != 0 {
        out.push(b'0' + rest);
    }
    true
}

/// Appends a float likewise; its shortest form is shorter than that of the double it equals.
pub fn put_float(out: &mut Vec<u8>, value: f32) {
    const EXACT_MAX: f32 = 16_777_216.0;
    if value.trunc() == value && value.abs() <= EXACT_MAX && !(value == 0.0 && value.is_sign_negative()) {
        put_integer(out, value as i32);
    } else if value.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(value).as_bytes());
    } else {
        put_not_finite(out, f64::from(value));
    }
}

fn put_not_finite(out: &mut Vec<u8>, value: f64) {
    let text: &[u8] = match value {
        f64::INFINITY => b"\"Infinity\"",
        f64::NEG_INFINITY => b"\"-Infinity\"",
        _ => b"\"NaN\"",
    };
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_integral_number_has_no_fraction() {
        assert_eq!(written(|out| put_double(out, 1.0)), "1");
        assert_eq!(written(|out| put_double(out, -0.0)), "-0.0");
        assert_eq!(written(|out| put_double(out, 1e300)), "1e300");
        assert_eq!(written(|out| put_float(out, 0.1)), "0.1");
        assert_eq!(written(|out| put_double(out, f64::NAN)), "\"NaN\"");
    }

    proptest! {
        #[test]
        fn a_text_is_plain_up_to_its_first_special_byte(
            plain in "[ !#-Z^-~éß\u{80}-\u{9f}€]{0,150}",
            special in proptest::option::of("[\"\\\\\0-\u{1f}].{0,9}"),
        ) {
            let text = plain.clone() + special.as_deref().unwrap_or_default();
            prop_assert_eq!(plain_length(text.as_bytes()), plain.len());
        }

        #[test]
        fn a_string_reads_back(text: String) {
            let json = written(|out| put_string(out, &text));
            prop_assert_eq!(json.len(), string_length(&text));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }

        #[test]
        fn a_double_of_few_digits_is_written_as_the_shortest_text(
            number in -9_007_199_254_740_992i64..=9_007_199_254_740_992,
            places in 0i32..20,
        ) {
            let value: f64 = format!("{number}e-{places}").parse().unwrap();
            let shortest = match value.trunc() == value {
                true => (value as i64).to_string(),
                false => ryu::Buffer::new().format_finite(value).to_owned(),
            };
            prop_assert_eq!(written(|out| put_double(out, value)), shortest);
        }

        #[test]
        fn a_double_reads_back(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            let json = written(|out| put_double(out, value));
            prop_assert_eq!(json.parse::<f64>().unwrap(), value);
        }
    }
}
