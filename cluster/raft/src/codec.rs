//! Bytes of everything that outlives a process or crosses a wire: commands, log records, snapshots, frames.
//!
//! Numbers are little-endian and of fixed width, text and lists are counted, a choice is a tag byte. Nothing is skipped
//! when reading: an unknown tag is an error that says so, because voters that read one entry differently would drift
//! apart. What grows gets a new tag, and the protocol's version tells who knows it.

mod nodes;
mod raft;
mod registry;
mod term;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use std::sync::Arc;

/// Why bytes are not what they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("{0} bytes are missing")]
    Short(usize),
    /// A tag that this build does not know.
    #[error("unknown {what} {tag}: written by another version, or damaged")]
    Tag {
        /// What was read.
        what: &'static str,
        /// What was found.
        tag: u8,
    },
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Text,
    /// A term nested more deeply than is taken.
    #[error("a term is nested more than {TERM_DEPTH_MAX} levels deep")]
    Depth,
    /// Bytes after the end.
    #[error("{0} bytes too many")]
    Trailing(usize),
}

/// Levels that a term may be nested, above what JSON parsers let through.
pub const TERM_DEPTH_MAX: u32 = 256;

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

/// Takes values off the front of bytes.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let missing = count.saturating_sub(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Short(missing))?;
        self.rest = rest;
        Ok(taken)
    }

    fn word<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::Short(N))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let count = u32::decode(self)?;
        self.take(count as usize)
    }

    pub(crate) fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }
}

pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Counts stay far below four billion: whatever is counted is bounded by a frame or a snapshot's size.
pub(crate) fn put_count(count: usize, out: &mut Vec<u8>) {
    u32::try_from(count).unwrap_or(u32::MAX).encode(out);
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
        std::str::from_utf8(from.bytes()?).map(Self::from).map_err(|_| DecodeError::Text)
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
        from.bytes().map(Self::copy_from_slice)
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
