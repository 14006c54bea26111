//! The encoded form of `google.protobuf.Value` to JSON, read straight from the bytes.
//!
//! Merging follows protobuf: the last field wins, a list or object that comes twice is joined, a member that
//! comes twice is replaced. Unknown fields are skipped.

use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use serde_json::{Map, Number, Value as Json};

use super::{DEPTH_MAX, INTEGER_MAX, ValueError};

pub(super) fn decode(raw: &[u8]) -> Result<Json, ValueError> {
    let mut json = Json::Null;
    merge_value(&mut json, raw, DEPTH_MAX)?;
    Ok(json)
}

/// Checks what [`decode`] would refuse of a nested field's content, without building anything: a message with a value
/// that nobody could read is refused when it arrives, not when a process looks.
pub(super) fn check(raw: &[u8]) -> Result<(), ValueError> {
    check_value(raw, DEPTH_MAX)
}

fn check_value(mut raw: &[u8], depth_left: usize) -> Result<(), ValueError> {
    let depth_left = depth_left.checked_sub(1).ok_or(ValueError::TooDeep)?;
    while raw.has_remaining() {
        match field(&mut raw)? {
            (1 | 4, WireType::Varint) => drop(varint(&mut raw)?),
            (2, WireType::SixtyFourBit) => finite(raw.try_get_f64_le().map_err(|_| ENDS_EARLY)?)?,
            (3, WireType::LengthDelimited) => check_text(delimited(&mut raw)?)?,
            (5, WireType::LengthDelimited) => each(delimited(&mut raw)?, |mut entry| {
                while entry.has_remaining() {
                    match field(&mut entry)? {
                        (1, WireType::LengthDelimited) => check_text(delimited(&mut entry)?)?,
                        (2, WireType::LengthDelimited) => check_value(delimited(&mut entry)?, depth_left)?,
                        (tag, wire_type) => skip(tag, wire_type, &mut entry)?,
                    }
                }
                Ok(())
            })?,
            (6, WireType::LengthDelimited) => {
                each(delimited(&mut raw)?, |item| check_value(item, depth_left))?
            }
            (1..=6, _) => return Err(ValueError::Malformed("a field has the wrong wire type")),
            (tag, wire_type) => skip(tag, wire_type, &mut raw)?,
        }
    }
    Ok(())
}

/// Visits the content of each field 1.
fn each(mut raw: &[u8], mut visit: impl FnMut(&[u8]) -> Result<(), ValueError>) -> Result<(), ValueError> {
    while raw.has_remaining() {
        match field(&mut raw)? {
            (1, WireType::LengthDelimited) => visit(delimited(&mut raw)?)?,
            (tag, wire_type) => skip(tag, wire_type, &mut raw)?,
        }
    }
    Ok(())
}

fn check_text(content: &[u8]) -> Result<(), ValueError> {
    str::from_utf8(content).map(drop).map_err(|_| ValueError::Malformed("a string is not utf-8"))
}

fn merge_value(json: &mut Json, mut raw: &[u8], depth_left: usize) -> Result<(), ValueError> {
    let depth_left = depth_left.checked_sub(1).ok_or(ValueError::TooDeep)?;
    while raw.has_remaining() {
        match field(&mut raw)? {
            (1, WireType::Varint) => {
                varint(&mut raw)?;
                *json = Json::Null;
            }
            (2, WireType::SixtyFourBit) => {
                let bits = raw.try_get_f64_le().map_err(|_| ENDS_EARLY)?;
                *json = Json::Number(number(bits)?);
            }
            (3, WireType::LengthDelimited) => *json = Json::String(text(delimited(&mut raw)?)?),
            (4, WireType::Varint) => *json = Json::Bool(varint(&mut raw)? != 0),
            (5, WireType::LengthDelimited) => {
                let content = delimited(&mut raw)?;
                if !json.is_object() {
                    *json = Json::Object(Map::new());
                }
                if let Json::Object(members) = json {
                    merge_members(members, content, depth_left)?;
                }
            }
            (6, WireType::LengthDelimited) => {
                let content = delimited(&mut raw)?;
                if !json.is_array() {
                    *json = Json::Array(Vec::new());
                }
                if let Json::Array(items) = json {
                    append_items(items, content, depth_left)?;
                }
            }
            (1..=6, _) => return Err(ValueError::Malformed("a field has the wrong wire type")),
            (tag, wire_type) => skip(tag, wire_type, &mut raw)?,
        }
    }
    Ok(())
}

fn append_items(items: &mut Vec<Json>, mut raw: &[u8], depth_left: usize) -> Result<(), ValueError> {
    while raw.has_remaining() {
        match field(&mut raw)? {
            (1, WireType::LengthDelimited) => {
                let mut item = Json::Null;
                merge_value(&mut item, delimited(&mut raw)?, depth_left)?;
                items.push(item);
            }
            (tag, wire_type) => skip(tag, wire_type, &mut raw)?,
        }
    }
    Ok(())
}

fn merge_members(
    members: &mut Map<String, Json>,
    mut raw: &[u8],
    depth_left: usize,
) -> Result<(), ValueError> {
    while raw.has_remaining() {
        match field(&mut raw)? {
            (1, WireType::LengthDelimited) => {
                let (name, value) = member(delimited(&mut raw)?, depth_left)?;
                members.insert(name, value);
            }
            (tag, wire_type) => skip(tag, wire_type, &mut raw)?,
        }
    }
    Ok(())
}

fn member(mut raw: &[u8], depth_left: usize) -> Result<(String, Json), ValueError> {
    let mut name = String::new();
    let mut value = Json::Null;
    while raw.has_remaining() {
        match field(&mut raw)? {
            (1, WireType::LengthDelimited) => name = text(delimited(&mut raw)?)?,
            (2, WireType::LengthDelimited) => merge_value(&mut value, delimited(&mut raw)?, depth_left)?,
            (tag, wire_type) => skip(tag, wire_type, &mut raw)?,
        }
    }
    Ok((name, value))
}

const ENDS_EARLY: ValueError = ValueError::Malformed("a field ends early");

fn field(raw: &mut &[u8]) -> Result<(u32, WireType), ValueError> {
    decode_key(raw).map_err(|_| ValueError::Malformed("a field key is invalid"))
}

fn varint(raw: &mut &[u8]) -> Result<u64, ValueError> {
    decode_varint(raw).map_err(|_| ENDS_EARLY)
}

fn delimited<'raw>(raw: &mut &'raw [u8]) -> Result<&'raw [u8], ValueError> {
    let len = usize::try_from(varint(raw)?).map_err(|_| ENDS_EARLY)?;
    let (content, rest) = raw.split_at_checked(len).ok_or(ENDS_EARLY)?;
    *raw = rest;
    Ok(content)
}

fn text(content: &[u8]) -> Result<String, ValueError> {
    let text = str::from_utf8(content).map_err(|_| ValueError::Malformed("a string is not utf-8"))?;
    Ok(text.to_owned())
}

fn skip(tag: u32, wire_type: WireType, raw: &mut &[u8]) -> Result<(), ValueError> {
    skip_field(wire_type, tag, raw, DecodeContext::default())
        .map_err(|_| ValueError::Malformed("an unknown field is invalid"))
}

fn finite(double: f64) -> Result<(), ValueError> {
    if double.is_finite() { Ok(()) } else { Err(ValueError::NotFinite(double.to_string())) }
}

/// A double as JSON prints it best: integral ones within 2^53 without a fraction.
fn number(double: f64) -> Result<Number, ValueError> {
    if double.fract() == 0.0 && double.abs() <= INTEGER_MAX as f64 && !is_negative_zero(double) {
        return Ok(Number::from(double as i64));
    }
    Number::from_f64(double).ok_or_else(|| ValueError::NotFinite(double.to_string()))
}

/// -0.0 is no integer: as one it would lose its sign.
fn is_negative_zero(double: f64) -> bool {
    double == 0.0 && double.is_sign_negative()
}
