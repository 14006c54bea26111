//! `google.protobuf.Value` kept as the bytes it travels in, and its conversion from and to JSON.
//!
//! A payload is passed on far more often than it is looked at, so decoding is left to whoever looks. Nothing
//! here knows what a payload means. Invariants: bytes are checked when [`Value::to_json`] reads them, not before,
//! and none can make it panic or recurse further than [`DEPTH_MAX`].

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use std::{fmt, mem};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::encoding::{self, DecodeContext, WireType, decode_varint, encode_key, encode_varint, skip_field};
use prost::{DecodeError, Message};

/// How deep lists and objects may be nested; protobuf's own limit for messages.
pub const DEPTH_MAX: usize = 100;

/// The largest integer below which every integer is exact as a double.
const INTEGER_MAX: u64 = 1 << 53;

/// A JSON value, encoded as `google.protobuf.Value`.
///
/// Equality is that of the bytes: two objects with the same members in another order differ.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Value {
    raw: Bytes,
}

/// Why a [`Value`] has no JSON form, or JSON no [`Value`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The bytes are no encoding of `google.protobuf.Value`.
    #[error("value is not a valid encoding of google.protobuf.Value: {0}")]
    Malformed(&'static str),
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("value is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// JSON has no such number.
    #[error("number {0} has no JSON form")]
    NotFinite(String),
}

impl Value {
    /// Takes bytes that are an encoded `google.protobuf.Value`; they are checked when they are read.
    pub fn from_raw(raw: Bytes) -> Self {
        Self { raw }
    }

    /// The encoded form.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The encoded form, without a copy.
    pub fn into_raw(self) -> Bytes {
        self.raw
    }

    /// Encodes JSON. An integer beyond 2^53 becomes a string, as a double would change it.
    ///
    /// # Errors
    /// [`ValueError::TooDeep`].
    pub fn from_json(json: &serde_json::Value) -> Result<Self, ValueError> {
        encode::encode(json).map(Self::from_raw)
    }

    /// Decodes to JSON; an integral number within 2^53 becomes an integer (`1`, not `1.0`), and a value that says nothing is null.
    ///
    /// # Errors
    /// [`ValueError`], each of its cases.
    pub fn to_json(&self) -> Result<serde_json::Value, ValueError> {
        decode::decode(&self.raw)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_json() {
            Ok(json) => write!(formatter, "Value({json})"),
            Err(error) => write!(formatter, "Value({} bytes: {error})", self.raw.len()),
        }
    }
}

impl Message for Value {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.raw);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        // Later fields win over earlier ones when they are read, as protobuf has it, so appending is merging.
        let mut raw = BytesMut::from(mem::take(&mut self.raw));
        let before = raw.len();
        match wire_type {
            WireType::Varint => {
                encode_key(tag, wire_type, &mut raw);
                encode_varint(decode_varint(buf)?, &mut raw);
            }
            WireType::ThirtyTwoBit => {
                let mut bits = 0;
                encoding::fixed32::merge(wire_type, &mut bits, buf, ctx)?;
                encoding::fixed32::encode(tag, &bits, &mut raw);
            }
            WireType::SixtyFourBit => {
                let mut bits = 0;
                encoding::fixed64::merge(wire_type, &mut bits, buf, ctx)?;
                encoding::fixed64::encode(tag, &bits, &mut raw);
            }
            WireType::LengthDelimited => {
                let mut content = Bytes::new();
                encoding::bytes::merge(wire_type, &mut content, buf, ctx)?;
                raw.reserve(encoding::bytes::encoded_len(tag, &content));
                encoding::bytes::encode(tag, &content, &mut raw);
            }
            // groups are no part of Value: an unknown field, dropped
            WireType::StartGroup | WireType::EndGroup => skip_field(wire_type, tag, buf, ctx)?,
        }
        #[expect(
            deprecated,
            reason = "prost has no other way to say why a field of a hand-written message is refused"
        )]
        decode::check(&raw[before..]).map_err(|error| DecodeError::new(error.to_string()))?;
        self.raw = raw.freeze();
        Ok(())
    }

    fn encoded_len(&self) -> usize {
        self.raw.len()
    }

    fn clear(&mut self) {
        self.raw.clear();
    }
}
