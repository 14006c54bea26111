//! The well-known types whose JSON is a string.

use super::EncodeError;
use crate::transcode::{
    mask, structure, text, time,
    wire::{Reader, WireType},
};

/// Prints a Timestamp.
pub(super) fn timestamp(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (seconds, nanos) = seconds_and_nanos(bytes)?;
    let printed = time::put_timestamp(out, seconds, nanos);
    printed.then_some(()).ok_or(EncodeError::Unprintable("a google.protobuf.Timestamp out of range"))
}

/// Prints a Duration.
pub(super) fn duration(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (seconds, nanos) = seconds_and_nanos(bytes)?;
    let printed = time::put_duration(out, seconds, nanos);
    printed.then_some(()).ok_or(EncodeError::Unprintable("a google.protobuf.Duration out of range"))
}

fn seconds_and_nanos(bytes: &[u8]) -> Result<(i64, i32), EncodeError> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.tag()? {
            (1, WireType::Varint) => seconds = reader.varint()? as i64,
            (2, WireType::Varint) => nanos = reader.varint()? as i32,
            (number, wire_type) => reader.skip(number, wire_type, 1)?,
        }
    }
    Ok((seconds, nanos))
}

/// Prints a FieldMask.
pub(super) fn field_mask(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut joined = String::new();
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        match reader.tag()? {
            (1, WireType::Length) => {
                let path = mask::camel_case(structure::utf8(reader.bytes()?)?);
                let path =
                    path.ok_or(EncodeError::Unprintable("a field mask path that would not read back"))?;
                if !joined.is_empty() {
                    joined.push(',');
                }
                joined.push_str(&path);
            }
            (number, wire_type) => reader.skip(number, wire_type, 1)?,
        }
    }
    text::put_string(out, &joined);
    Ok(())
}
