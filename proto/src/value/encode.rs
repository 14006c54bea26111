//! JSON to the encoded form of `google.protobuf.Value`.
//!
//! Protobuf writes a length before its content, so a first walk notes the length of every list, object and
//! member in the order in which the second one, which writes, needs them: linear in the input, however deep.

use std::vec;

use bytes::{BufMut, Bytes, BytesMut};
use prost::encoding::encode_varint;
use prost::encoding::varint::encoded_len_varint;
use serde_json::Value as Json;

use super::{DEPTH_MAX, INTEGER_MAX, ValueError};

/// Keys of `google.protobuf.Value`'s fields: number and wire type.
const NULL: u8 = 1 << 3;
const NUMBER: u8 = 2 << 3 | 1;
const STRING: u8 = 3 << 3 | 2;
const BOOL: u8 = 4 << 3;
const STRUCT: u8 = 5 << 3 | 2;
const LIST: u8 = 6 << 3 | 2;
/// Key of the one field of `Struct` and of `ListValue`, and of a member's name.
const FIRST: u8 = 1 << 3 | 2;
/// Key of a member's value.
const SECOND: u8 = 2 << 3 | 2;

pub(super) fn encode(json: &Json) -> Result<Bytes, ValueError> {
    let mut lengths = Vec::new();
    let len = measure(json, DEPTH_MAX, &mut lengths)?;
    let mut buf = BytesMut::with_capacity(len);
    write(json, &mut lengths.into_iter(), &mut buf);
    Ok(buf.freeze())
}

/// The length of `json` as a `Value`; pushes what [`write`] takes, in its order.
fn measure(json: &Json, depth_left: usize, lengths: &mut Vec<usize>) -> Result<usize, ValueError> {
    let depth_left = depth_left.checked_sub(1).ok_or(ValueError::TooDeep)?;
    Ok(match json {
        Json::Null | Json::Bool(_) => 2,
        Json::Number(number) => match scalar(number) {
            Scalar::Double(_) => 9,
            Scalar::Text(text) => delimited(text.len()),
        },
        Json::String(text) => delimited(text.len()),
        Json::Array(items) => {
            let own = reserve(lengths);
            let mut len = 0;
            for item in items {
                let slot = reserve(lengths);
                let item_len = measure(item, depth_left, lengths)?;
                lengths[slot] = item_len;
                len += delimited(item_len);
            }
            lengths[own] = len;
            delimited(len)
        }
        Json::Object(members) => {
            let own = reserve(lengths);
            let mut len = 0;
            for (name, value) in members {
                let entry_slot = reserve(lengths);
                let value_slot = reserve(lengths);
                let value_len = measure(value, depth_left, lengths)?;
                let entry_len = delimited(name.len()) + delimited(value_len);
                lengths[value_slot] = value_len;
                lengths[entry_slot] = entry_len;
                len += delimited(entry_len);
            }
            lengths[own] = len;
            delimited(len)
        }
    })
}

fn write(json: &Json, lengths: &mut vec::IntoIter<usize>, buf: &mut BytesMut) {
    match json {
        Json::Null => buf.put_slice(&[NULL, 0]),
        Json::Bool(truth) => buf.put_slice(&[BOOL, u8::from(*truth)]),
        Json::Number(number) => match scalar(number) {
            Scalar::Double(double) => {
                buf.put_u8(NUMBER);
                buf.put_f64_le(double);
            }
            Scalar::Text(text) => write_text(STRING, &text, buf),
        },
        Json::String(text) => write_text(STRING, text, buf),
        Json::Array(items) => {
            write_head(LIST, lengths, buf);
            for item in items {
                write_head(FIRST, lengths, buf);
                write(item, lengths, buf);
            }
        }
        Json::Object(members) => {
            write_head(STRUCT, lengths, buf);
            for (name, value) in members {
                write_head(FIRST, lengths, buf);
                let value_len = next(lengths);
                write_text(FIRST, name, buf);
                buf.put_u8(SECOND);
                encode_varint(value_len, buf);
                write(value, lengths, buf);
            }
        }
    }
}

fn write_head(key: u8, lengths: &mut vec::IntoIter<usize>, buf: &mut BytesMut) {
    buf.put_u8(key);
    encode_varint(next(lengths), buf);
}

fn write_text(key: u8, text: &str, buf: &mut BytesMut) {
    buf.put_u8(key);
    encode_varint(text.len() as u64, buf);
    buf.put_slice(text.as_bytes());
}

fn next(lengths: &mut vec::IntoIter<usize>) -> u64 {
    let length = lengths.next();
    debug_assert!(length.is_some(), "both walks visit the same nodes");
    length.unwrap_or_default() as u64
}

fn reserve(lengths: &mut Vec<usize>) -> usize {
    lengths.push(0);
    lengths.len() - 1
}

/// A field of one key byte, a length, and `len` bytes.
fn delimited(len: usize) -> usize {
    1 + encoded_len_varint(len as u64) + len
}

enum Scalar {
    Double(f64),
    Text(String),
}

/// A number as a double, or as text where a double would change it.
fn scalar(number: &serde_json::Number) -> Scalar {
    let magnitude = match (number.as_u64(), number.as_i64()) {
        (Some(unsigned), _) => Some(unsigned),
        (None, Some(signed)) => Some(signed.unsigned_abs()),
        (None, None) => None,
    };
    match (magnitude, number.as_f64()) {
        (Some(magnitude), _) if magnitude > INTEGER_MAX => Scalar::Text(number.to_string()),
        (_, Some(double)) => Scalar::Double(double),
        (_, None) => Scalar::Text(number.to_string()),
    }
}
