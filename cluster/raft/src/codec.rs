//! Bytes of everything that outlives a process or crosses a wire: commands, log records, snapshots, frames.
//!
//! Numbers are little-endian and of fixed width, text and lists are counted, a choice is a tag byte. Nothing is skipped
//! when reading: an unknown tag is an error that says so, because voters that read one entry differently would drift
//! apart. What grows gets a new tag, and the protocol's version tells who knows it.

pub(crate) mod nodes;
mod raft;
mod registry;
mod term;
#[cfg(test)]
mod tests;

pub use arsenal_runtime::codec::{DecodeError, TERM_DEPTH_MAX};
pub(crate) use arsenal_runtime::codec::{Reader, put_bytes, put_count};

use bytes::Bytes;
use std::sync::Arc;

/// What can be written and read back.
pub(crate) trait Encode: Sized {
    fn encode(&self, out: &mut Vec<u8>);
    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError>;

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }

    /// Reads one value that takes all of `bytes`.
    fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Reader::new(bytes);
        let value = Self::decode(&mut from)?;
        from.finish()?;
        Ok(value)
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Encode for $number {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self::from_le_bytes(from.word()?))
            }
        }
    )*};
}
numbers!(u8, u32, u64, i64, f64);

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(from)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(DecodeError::Tag { what: "flag", tag }),
        }
    }
}

impl Encode for Arc<str> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        from.text()
    }
}

impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        std::str::from_utf8(from.bytes()?).map(Self::from).map_err(|_| DecodeError::Text)
    }
}

impl Encode for Bytes {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(self, out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        from.kept_bytes()
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        bool::decode(from)?.then(|| T::decode(from)).transpose()
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        put_count(self.len(), out);
        self.iter().for_each(|value| value.encode(out));
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // not allocated at once: a damaged count must not ask for more than its bytes can hold
        (0..u32::decode(from)?).map(|_| T::decode(from)).collect()
    }
}
