//! One scalar from text to its wire form: the shared part of JSON strings, map keys, query parameters, path captures.

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::{number, wire};
use crate::schema::Kind;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
static BASE64: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
static BASE64_URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Appends the number that `text` is; the error says what was expected.
pub(super) fn put_number(
    out: &mut Vec<u8>,
    kind: Kind,
    text: &str,
    quoted: bool,
) -> Result<(), &'static str> {
    match kind {
        Kind::Double => {
            let value = match text {
                _ if !quoted => number::double(text),
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                _ => number::double(text),
            };
            out.extend_from_slice(&value.ok_or("no double")?.to_le_bytes());
        }
        Kind::Float => {
            let value = match text {
                _ if !quoted => number::float(text),
                "NaN" => Some(f32::NAN),
                "Infinity" => Some(f32::INFINITY),
                "-Infinity" => Some(f32::NEG_INFINITY),
                _ => number::float(text),
            };
            out.extend_from_slice(&value.ok_or("no float")?.to_le_bytes());
        }
        _ => put_integer(out, kind, number::integer(text).ok_or("no integer")?)?,
    }
    Ok(())
}

fn put_integer(out: &mut Vec<u8>, kind: Kind, value: i128) -> Result<(), &'static str> {
    const OUTSIDE_32: &str = "outside the 32-bit signed range";
    const OUTSIDE_U32: &str = "outside the 32-bit unsigned range";
    const OUTSIDE_64: &str = "outside the 64-bit signed range";
    const OUTSIDE_U64: &str = "outside the 64-bit unsigned range";
    match kind {
        Kind::Int32 => wire::put_varint(out, i64::from(i32::try_from(value).map_err(|_| OUTSIDE_32)?) as u64),
        Kind::Int64 => wire::put_varint(out, i64::try_from(value).map_err(|_| OUTSIDE_64)? as u64),
        Kind::Uint32 => wire::put_varint(out, u32::try_from(value).map_err(|_| OUTSIDE_U32)?.into()),
        Kind::Uint64 => wire::put_varint(out, u64::try_from(value).map_err(|_| OUTSIDE_U64)?),
        Kind::Sint32 => {
            wire::put_varint(out, wire::zigzag(i32::try_from(value).map_err(|_| OUTSIDE_32)?.into()))
        }
        Kind::Sint64 => wire::put_varint(out, wire::zigzag(i64::try_from(value).map_err(|_| OUTSIDE_64)?)),
        Kind::Fixed32 => out.extend_from_slice(&u32::try_from(value).map_err(|_| OUTSIDE_U32)?.to_le_bytes()),
        Kind::Fixed64 => out.extend_from_slice(&u64::try_from(value).map_err(|_| OUTSIDE_U64)?.to_le_bytes()),
        Kind::Sfixed32 => out.extend_from_slice(&i32::try_from(value).map_err(|_| OUTSIDE_32)?.to_le_bytes()),
        Kind::Sfixed64 => out.extend_from_slice(&i64::try_from(value).map_err(|_| OUTSIDE_64)?.to_le_bytes()),
        _ => return Err("no number field"),
    }
    Ok(())
}

/// Appends the length and the bytes that base64 text of either alphabet stands for, padded or not.
pub(super) fn put_base64(out: &mut Vec<u8>, text: &str) -> Result<(), &'static str> {
    const BAD: &str = "no base64";
    let data = text.trim_end_matches('=');
    let length = data.len() / 4 * 3 + (data.len() % 4).saturating_sub(1);
    wire::put_varint(out, length as u64);
    let start = out.len();
    // The usual form quickly; what is in any other, or in none, is left to the lenient reader.
    if base64_simd::STANDARD.decode_append(text, out).is_ok() {
        return Ok(());
    }
    out.truncate(start);
    // Whole or none: `AQ=` is neither.
    if data.len() < text.len() && !text.len().is_multiple_of(4) {
        return Err(BAD);
    }
    // The decoder wants room for whole groups.
    out.resize(start + data.len().div_ceil(4) * 3, 0);
    let engine = engine(data);
    let written = engine.decode_slice(text, &mut out[start..]).map_err(|_| BAD)?;
    out.truncate(start + written);
    if written == length { Ok(()) } else { Err(BAD) }
}

/// The bytes of base64 text of either alphabet, padded or not.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    engine(text).decode(text).ok()
}

/// The engine for the alphabet of a text. Both are looked for without a way out, so that many bytes are at once.
fn engine(text: &str) -> &'static GeneralPurpose {
    let url = text.bytes().fold(false, |found, byte| found | (byte == b'-') | (byte == b'_'));
    if url { &BASE64_URL } else { &BASE64 }
}
