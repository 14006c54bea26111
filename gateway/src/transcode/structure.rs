//! Struct, Value and ListValue of google.protobuf: any JSON, to wire and back, without a schema.

use super::{
    Keys,
    encode::EncodeError,
    lexer::{JsonError, Lexer},
    number, text, wire,
    wire::{Malformed, Reader, WireType},
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

/// Prints a Struct as an object.
pub(super) fn print_struct(bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let depth = depth.checked_sub(1).ok_or(EncodeError::TooDeep)?;
    let mut keys = Keys::new();
    let mut reader = Reader::new(bytes);
    out.push(b'{');
    while !reader.is_empty() {
        let (1, WireType::Length) = reader.tag()? else { return Err(EncodeError::Scattered) };
        let mut entry = Reader::new(reader.bytes()?);
        let (mut key, mut value): (&[u8], Option<&[u8]>) = (b"", None);
        while !entry.is_empty() {
            match entry.tag()? {
                (1, WireType::Length) => key = entry.bytes()?,
                (2, WireType::Length) if value.is_none() => value = Some(entry.bytes()?),
                _ => return Err(EncodeError::Scattered),
            }
        }
        if !keys.insert(key) {
            return Err(EncodeError::Scattered);
        }
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        text::put_string(out, utf8(key)?);
        out.push(b':');
        print_value(value.unwrap_or_default(), depth, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Prints a ListValue as an array.
pub(super) fn print_list(bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let depth = depth.checked_sub(1).ok_or(EncodeError::TooDeep)?;
    let mut reader = Reader::new(bytes);
    let mut first = true;
    out.push(b'[');
    while !reader.is_empty() {
        let (1, WireType::Length) = reader.tag()? else { return Err(EncodeError::Scattered) };
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        print_value(reader.bytes()?, depth, out)?;
    }
    out.push(b']');
    Ok(())
}

/// Prints a Value as what it stands for. One that stands for nothing has no JSON form.
pub(super) fn print_value(bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut reader = Reader::new(bytes);
    if reader.is_empty() {
        return Err(EncodeError::Unprintable("a google.protobuf.Value without a kind"));
    }
    match reader.tag()? {
        (1, WireType::Varint) => {
            reader.varint()?;
            out.extend_from_slice(b"null");
        }
        (2, WireType::Fixed64) => {
            let value = f64::from_le_bytes(reader.fixed64()?);
            if !value.is_finite() {
                return Err(EncodeError::Unprintable("a google.protobuf.Value that is not finite"));
            }
            text::put_double(out, value);
        }
        (3, WireType::Length) => text::put_string(out, utf8(reader.bytes()?)?),
        (4, WireType::Varint) => {
            let value: &[u8] = if reader.varint()? == 0 { b"false" } else { b"true" };
            out.extend_from_slice(value);
        }
        (5, WireType::Length) => print_struct(reader.bytes()?, depth, out)?,
        (6, WireType::Length) => print_list(reader.bytes()?, depth, out)?,
        _ => return Err(EncodeError::Scattered),
    }
    if reader.is_empty() { Ok(()) } else { Err(EncodeError::Scattered) }
}

/// A proto3 string is UTF-8; what is not has no JSON form.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, EncodeError> {
    std::str::from_utf8(bytes).map_err(|_| EncodeError::Malformed(Malformed("a string that is not UTF-8")))
}
