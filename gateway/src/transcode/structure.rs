//! Struct, Value and ListValue of google.protobuf: any JSON, to wire, without a schema. `encode/structure.rs` prints them.

use super::{
    Keys,
    encode::EncodeError,
    lexer::{JsonError, Lexer},
    number, wire,
    wire::{Malformed, WireType},
};

const LENGTH: u8 = WireType::Length as u8;

/// Reads an object into the fields of a Struct.
pub(super) fn put_struct(lexer: &mut Lexer<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let mut keys = Keys::new();
    let mut first = true;
    lexer.open(b'{')?;
    while lexer.more(&mut first, b'}')? {
        let key = lexer.key()?;
        out.push(1 << 3 | LENGTH);
        let entry = wire::begin_length(out);
        out.push(1 << 3 | LENGTH);
        wire::put_bytes(out, key.as_bytes());
        out.push(2 << 3 | LENGTH);
        let value = wire::begin_length(out);
        put_value(lexer, out).map_err(|error| error.within(&key))?;
        wire::end_length(out, value);
        wire::end_length(out, entry);
        if !keys.insert(key) {
            return Err(lexer.error("a key that comes twice"));
        }
    }
    Ok(())
}

/// Reads an array into the fields of a ListValue.
pub(super) fn put_list(lexer: &mut Lexer<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let (mut first, mut index) = (true, 0);
    lexer.open(b'[')?;
    while lexer.more(&mut first, b']')? {
        out.push(1 << 3 | LENGTH);
        let value = wire::begin_length(out);
        put_value(lexer, out).map_err(|error| error.within(&format!("[{index}]")))?;
        wire::end_length(out, value);
        index += 1;
    }
    Ok(())
}

/// Reads any value into the fields of a Value.
pub(super) fn put_value(lexer: &mut Lexer<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
    match lexer.peek() {
        Some(b'n') => {
            lexer.take_null()?;
            out.extend_from_slice(&[1 << 3, 0]);
        }
        Some(b'"') => {
            out.push(3 << 3 | LENGTH);
            wire::put_bytes(out, lexer.string()?.as_bytes());
        }
        Some(b't' | b'f') => {
            let value = lexer.boolean()?;
            out.extend_from_slice(&[4 << 3, value.into()]);
        }
        Some(bracket @ (b'{' | b'[')) => {
            let number = if bracket == b'{' { 5 } else { 6 };
            out.push(number << 3 | LENGTH);
            let start = wire::begin_length(out);
            if bracket == b'{' {
                put_struct(lexer, out)?
            } else {
                put_list(lexer, out)?
            }
            wire::end_length(out, start);
        }
        _ => {
            let digits = lexer.number()?;
            let value =
                number::double(digits).ok_or_else(|| lexer.error("a number beyond the range of a double"))?;
            out.push(2 << 3 | WireType::Fixed64 as u8);
            out.extend_from_slice(&value.to_le_bytes());
        }
    }
    Ok(())
}

/// A proto3 string is UTF-8; what is not has no JSON form.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, EncodeError> {
    std::str::from_utf8(bytes).map_err(|_| EncodeError::Malformed(Malformed("a string that is not UTF-8")))
}
