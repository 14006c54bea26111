//! Between voters: opaque frames over a transport that is handed in, and what stands in them.
//!
//! Who sends a frame learns one of three things: the answer, that nothing was sent, or that nobody knows. The transport
//! keeps these apart, since only the second may be tried again elsewhere.

use crate::codec::{DecodeError, Encode, Reader};
use crate::types::{NodeId, Voter};
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The answer to a frame.
pub type Reply = Pin<Box<dyn Future<Output = Result<Bytes, CallError>> + Send>>;

/// Carries frames to other voters.
pub trait Transport: Send + Sync + 'static {
    /// Sends a frame and waits for the answer, for `timeout` at most.
    fn call(&self, to: NodeId, voter: &Voter, frame: Bytes, timeout: Duration) -> Reply;
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nothing was sent.
    #[error("voter {to} cannot be reached: {reason}")]
    Unreachable {
        /// The voter.
        to: NodeId,
        /// What the network says.
        reason: String,
    },
    /// It was sent, and what became of it is unknown.
    #[error("voter {to} did not answer: {reason}")]
    Lost {
        /// The voter.
        to: NodeId,
        /// What the network says.
        reason: String,
    },
    /// The voter refuses to take it.
    #[error("voter {to} refuses: {reason}")]
    Refused {
        /// The voter.
        to: NodeId,
        /// What it says.
        reason: String,
    },
}

/// Version of the frames.
pub(crate) const PROTOCOL_VERSION: u8 = 1;

/// What a frame asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Append = 1,
    Vote = 2,
    SnapshotChunk = 3,
    Forward = 4,
    ReadIndex = 5,
    Feed = 6,
    Canvass = 7,
}

/// Whose frame it is, and for whom: a frame that went astray is refused, not answered for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) kind: Kind,
    pub(crate) cluster: u64,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
}

impl Envelope {
    /// The frame with this content.
    pub(crate) fn frame(self, content: &impl Encode) -> Bytes {
        let mut out = vec![PROTOCOL_VERSION, self.kind as u8];
        self.cluster.encode(&mut out);
        self.from.encode(&mut out);
        self.to.encode(&mut out);
        content.encode(&mut out);
        out.into()
    }

    /// The envelope and where the content begins.
    pub(crate) fn open(frame: &[u8]) -> Result<(Self, Reader<'_>), DecodeError> {
        let mut from = Reader::new(frame);
        let version = u8::decode(&mut from)?;
        if version != PROTOCOL_VERSION {
            return Err(DecodeError::Tag { what: "version of the protocol between voters", tag: version });
        }
        let kind = match u8::decode(&mut from)? {
            1 => Kind::Append,
            2 => Kind::Vote,
            3 => Kind::SnapshotChunk,
            4 => Kind::Forward,
            5 => Kind::ReadIndex,
            6 => Kind::Feed,
            7 => Kind::Canvass,
            tag => return Err(DecodeError::Tag { what: "kind of frame", tag }),
        };
        let envelope = Self {
            kind,
            cluster: u64::decode(&mut from)?,
            from: u64::decode(&mut from)?,
            to: u64::decode(&mut from)?,
        };
        Ok((envelope, from))
    }
}

const ANSWERED: u8 = 0;
const REFUSED: u8 = 1;

/// An answer as bytes.
pub(crate) fn answer(content: Result<Vec<u8>, String>) -> Bytes {
    let mut out = Vec::new();
    match content {
        Ok(content) => {
            out.push(ANSWERED);
            out.extend(content);
        }
        Err(reason) => {
            out.push(REFUSED);
            reason.encode(&mut out);
        }
    }
    out.into()
}

/// Reads an answer.
pub(crate) fn read_answer<T: Encode>(to: NodeId, bytes: &[u8]) -> Result<T, CallError> {
    // an answer that cannot be read leaves open what was done
    let lost = |error: DecodeError| CallError::Lost { to, reason: error.to_string() };
    let mut from = Reader::new(bytes);
    match u8::decode(&mut from).map_err(lost)? {
        ANSWERED => {
            let content = T::decode(&mut from).map_err(lost)?;
            from.finish().map_err(lost)?;
            Ok(content)
        }
        REFUSED => Err(CallError::Refused { to, reason: String::decode(&mut from).map_err(lost)? }),
        tag => Err(lost(DecodeError::Tag { what: "answer", tag })),
    }
}

/// A part of a snapshot on its way.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SnapshotChunk {
    pub(crate) vote: crate::types::Vote,
    pub(crate) meta: crate::types::SnapshotMeta,
    pub(crate) total: u64,
    pub(crate) offset: u64,
    pub(crate) bytes: Bytes,
}

impl Encode for SnapshotChunk {
    fn encode(&self, out: &mut Vec<u8>) {
        self.vote.encode(out);
        self.meta.encode(out);
        self.total.encode(out);
        self.offset.encode(out);
        self.bytes.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            vote: Encode::decode(from)?,
            meta: Encode::decode(from)?,
            total: u64::decode(from)?,
            offset: u64::decode(from)?,
            bytes: Bytes::decode(from)?,
        })
    }
}

/// What became of a batch of proposals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// It is committed, at this log index.
    Committed(u64),
    /// It is in no log, and will be in none.
    Refused,
    /// It may be committed, now or later, or never.
    Unknown,
}

impl Encode for Placement {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Committed(index) => {
                out.push(0);
                index.encode(out);
            }
            Self::Refused => out.push(1),
            Self::Unknown => out.push(2),
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::decode(from)? {
            0 => u64::decode(from).map(Self::Committed),
            1 => Ok(Self::Refused),
            2 => Ok(Self::Unknown),
            tag => Err(DecodeError::Tag { what: "placement", tag }),
        }
    }
}
