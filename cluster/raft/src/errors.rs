//! Why a voter does not start, or does not do what it is asked for.
//!
//! Invariant: of a proposal only [`ProposeError::Unknown`] leaves open whether it was made.

use crate::DecodeError;
use crate::log::JournalError;
use crate::snapshot::SnapshotError;
use crate::types::NodeId;
use std::io;

/// Why a voter does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its log cannot be used.
    #[error(transparent)]
    Log(#[from] JournalError),
    /// Its snapshot cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The machine says no.
    #[error("a voter's thread does not start: {0}")]
    Io(#[from] io::Error),
    /// openraft says no.
    #[error("voter {id} does not start: {reason}")]
    Raft {
        /// The voter.
        id: NodeId,
        /// What it says.
        reason: String,
    },
}

/// Why a proposal has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was proposed: there is no quorum within reach.
    #[error("nothing was proposed: {0}")]
    Unavailable(String),
    /// Nothing was proposed: too many proposals wait.
    #[error("nothing was proposed: {0} proposals wait already")]
    Busy(usize),
    /// Nothing was proposed: too big.
    #[error("nothing was proposed: {bytes} bytes are more than {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// Nothing was proposed: some node could not read it.
    #[error(
        "nothing was proposed: it takes version {since} of the protocol between nodes, and the cluster speaks version {agreed} \
         until every node of it has said that it speaks that one"
    )]
    MixedVersions {
        /// The version from which on nodes can read it.
        since: u32,
        /// The version that the cluster agreed on.
        agreed: u32,
    },
    /// Nothing was proposed: no voter could read it.
    #[error("nothing was proposed: {0}")]
    Unreadable(#[from] DecodeError),
    /// It may have been committed, or will be, or not.
    #[error("whether the proposal was or will be committed is unknown")]
    Unknown,
}

/// Why a read that must see every earlier write cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no quorum confirms the state: {0}")]
pub struct ReadError(pub String);

/// Why the voters were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the voters were not changed: {0}")]
pub struct MembershipError(pub String);
