//! Bytes of what outlives a process or crosses a wire: the one form of terms and pids, for signals between nodes, for
//! the cluster's log and snapshots, and for the state of a hibernated process.
//!
//! Numbers are little-endian and of fixed width, text and lists are counted, a choice is a tag byte. Nothing is skipped
//! when reading: an unknown tag is an error that says so. What grows gets a new tag; who writes says in which version.

mod term;

pub use term::{read_pid, read_term, read_term_within, write_pid, write_term};

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
    /// Of a cluster that agreed on a version of the protocol between nodes that this build does not speak.
    #[error(
        "written at version {found} of the protocol between nodes, and this build speaks versions up to {newest}"
    )]
    Version {
        /// The version.
        found: u32,
        /// The newest that this build speaks.
        newest: u32,
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

/// Levels that a term from elsewhere may be nested, above what JSON parsers let through.
pub const TERM_DEPTH_MAX: u32 = 256;

/// Bytes from which on they are not copied out of where they arrived: below it a small message would keep a large
/// buffer alive.
const SHARED_BYTES_MIN: usize = 16 * 1024;

/// Takes values off the front of bytes.
pub struct Reader<'a> {
    rest: &'a [u8],
    /// What they are part of, where parts of it may be kept.
    source: Option<&'a Bytes>,
}

impl<'a> Reader<'a> {
    /// A reader of borrowed bytes: what it gives is copied.
    pub fn new(rest: &'a [u8]) -> Self {
        Self { rest, source: None }
    }

    /// A reader of shared bytes: long parts of them are shared, not copied.
    pub fn of_shared(source: &'a Bytes) -> Self {
        Self { rest: source, source: Some(source) }
    }

    /// Whether all has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let missing = count.saturating_sub(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(DecodeError::Short(missing))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn word<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(N)?.try_into().map_err(|_| DecodeError::Short(N))
    }

    /// Counted bytes.
    ///
    /// # Errors
    /// If there are fewer than they say.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let count = u32::from_le_bytes(self.word()?);
        self.take(count as usize)
    }

    /// Counted bytes to keep.
    ///
    /// # Errors
    /// If there are fewer than they say.
    pub fn kept_bytes(&mut self) -> Result<Bytes, DecodeError> {
        let bytes = self.bytes()?;
        Ok(match self.source {
            Some(source) if bytes.len() >= SHARED_BYTES_MIN => source.slice_ref(bytes),
            _ => Bytes::copy_from_slice(bytes),
        })
    }

    /// Counted text.
    ///
    /// # Errors
    /// If it is too short or no UTF-8.
    pub fn text(&mut self) -> Result<Arc<str>, DecodeError> {
        std::str::from_utf8(self.bytes()?).map(Arc::from).map_err(|_| DecodeError::Text)
    }

    /// That all has been read.
    ///
    /// # Errors
    /// If something is left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }
}

/// Writes counted bytes.
pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Writes a count. Counts stay far below four billion: whatever is counted is bounded by the size of a message, a frame
/// or a snapshot.
pub fn put_count(count: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}
