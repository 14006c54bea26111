//! The types that openraft is made of here. Nothing outside this crate names an openraft type.

use crate::runtime::Runtime;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A voter's number. Never reused: a wiped voter under its old number could form a second quorum.
pub type NodeId = u64;

/// How a voter is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voter {
    /// Host and port, as the transport takes it.
    pub address: String,
}

openraft::declare_raft_types!(
    /// openraft's parameters.
    pub(crate) Types:
        D = Batch,
        R = (),
        NodeId = NodeId,
        Node = Voter,
        Entry = openraft::Entry<Types>,
        SnapshotData = Bytes,
        AsyncRuntime = Runtime,
);

pub(crate) type Entry = openraft::Entry<Types>;
pub(crate) type LogId = openraft::LogId<NodeId>;
pub(crate) type Vote = openraft::Vote<NodeId>;
pub(crate) type StorageError = openraft::StorageError<NodeId>;
pub(crate) type StoredMembership = openraft::StoredMembership<NodeId, Voter>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<NodeId, Voter>;
pub(crate) type Snapshot = openraft::Snapshot<Types>;

/// Many commands that share one log entry, one write and one agreement: encoded once by whoever proposes them, kept as
/// bytes by log and network, read by the state machine.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    bytes: Bytes,
    logged: Arc<AtomicBool>,
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Batch {
    pub(crate) fn from_bytes(bytes: Bytes) -> Self {
        Self { bytes, logged: Arc::default() }
    }

    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// It reached this node's log. From here on nobody can say that it will never be committed: another voter that
    /// holds it may win an election later, even if this one drops it.
    pub(crate) fn set_logged(&self) {
        self.logged.store(true, Relaxed);
    }

    pub(crate) fn is_logged(&self) -> bool {
        self.logged.load(Relaxed)
    }
}
