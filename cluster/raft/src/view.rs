//! The state of one node, who waits for it to change, and who is told what becomes of it.
//!
//! Invariant: one change of it at a time, told whole before the next begins: openraft's own task may still be at work when a
//! view has gone on already. Whoever is told of an index, or of a new leader's first entry, finds every outcome up to there.

use crate::codec::{DecodeError, Encode};
use crate::command::{Command, Origin, Outcome, Proposal, split};
use crate::runtime::Runtime;
use crate::state::State;
use crate::types::{Entry, LogId, NodeId, SnapshotMeta, StorageError, StoredMembership, Voter};
use openraft::{EntryPayload, StorageIOError};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

#[cfg(test)]
mod tests;

/// What has been applied.
#[derive(Clone, Default)]
pub(crate) struct Applied {
    pub(crate) state: State,
    pub(crate) last: Option<LogId>,
    pub(crate) membership: StoredMembership,
}

impl Applied {
    /// What a snapshot of it is called.
    pub(crate) fn meta(&self) -> SnapshotMeta {
        let place = self.last.map(|last| last.to_string()).unwrap_or_default();
        let snapshot_id = format!("{place}-{:016x}", Runtime::random());
        SnapshotMeta { last_log_id: self.last, last_membership: self.membership.clone(), snapshot_id }
    }
}

/// What has become of a voter's state.
#[derive(Debug)]
pub enum Committed<'a> {
    /// A command was applied, whoever proposed it.
    Applied {
        /// The command.
        command: &'a Command,
        /// What it gave.
        outcome: &'a Outcome,
    },
    /// The state was replaced by a snapshot's, and the commands between are not known.
    Replaced {
        /// As it was.
        before: &'a State,
        /// As it is.
        after: &'a State,
    },
}

/// The state at one log index, and who votes as of it: the same wherever it is looked at.
#[derive(Debug)]
pub struct Picture<'a> {
    /// The log index.
    pub index: u64,
    /// The state.
    pub state: &'a State,
    /// Who votes, and how each is reached.
    pub voters: BTreeMap<NodeId, Voter>,
    /// Log index of the entry that said so.
    pub voters_since: u64,
    /// Who follows the log without a vote.
    pub learners: BTreeSet<NodeId>,
}

/// Why what a voter sent does not go on from a view.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FeedError {
    /// An entry is missing.
    #[error("entry {found} came where entry {due} was due")]
    Gap {
        /// Which is the next.
        due: u64,
        /// Which came.
        found: u64,
    },
    /// It is not what this build writes.
    #[error("what was agreed on cannot be read: {0}")]
    Unreadable(String),
}

/// Who is told what has become of a voter's state.
pub type Observer = Arc<dyn Fn(&Committed<'_>) + Send + Sync>;

/// The state of one voter, and who waits for it to change.
pub(crate) struct View {
    /// This life of the voter, drawn when it began.
    life: u64,
    applied: RwLock<Applied>,
    /// Held by who changes the state, until all are told.
    changing: Mutex<()>,
    index: watch::Sender<u64>,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Outcome>>>,
    observers: RwLock<Vec<Observer>>,
}

/// A proposal whose outcome is awaited, until this is dropped.
pub(crate) struct Expected {
    /// As whose it is proposed.
    pub(crate) origin: Origin,
    /// Where its outcome will be.
    pub(crate) outcome: oneshot::Receiver<Outcome>,
    view: Arc<View>,
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.view.waiting.lock().remove(&self.origin.serial);
    }
}

impl View {
    pub(crate) fn new(life: u64) -> Arc<Self> {
        Arc::new(Self {
            life,
            applied: RwLock::default(),
            changing: Mutex::default(),
            index: watch::Sender::new(0),
            waiting: Mutex::default(),
            observers: RwLock::default(),
        })
    }

    /// Looks at the state.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.applied.read().state)
    }

    /// Looks at the state and at who votes, as of one log index.
    pub(crate) fn picture<T>(&self, look: impl FnOnce(&Picture<'_>) -> T) -> T {
        let applied = self.applied.read();
        let membership = applied.membership.membership();
        let voter = |id| Some((id, membership.get_node(&id)?.clone()));
        look(&Picture {
            index: applied.last.map_or(0, |last| last.index),
            state: &applied.state,
            voters: membership.voter_ids().filter_map(voter).collect(),
            voters_since: applied.membership.log_id().map_or(0, |since| since.index),
            learners: membership.learner_ids().collect(),
        })
    }

    /// Log index of the last entry applied.
    pub(crate) fn index(&self) -> u64 {
        *self.index.borrow()
    }

    /// The last entry applied.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.applied.read().last
    }

    /// Log index of the first entry that is not applied.
    pub(crate) fn due(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    /// Follows the log index of the last entry applied.
    pub(crate) fn indexes(&self) -> watch::Receiver<u64> {
        self.index.subscribe()
    }

    /// Returns once the state is as new as this index.
    pub(crate) async fn reach(&self, index: u64) {
        // the sender lives as long as this
        let _ = self.index.subscribe().wait_for(|applied| *applied >= index).await;
    }

    /// Returns once what leaders of terms before this one proposed has been applied here, or never will be: an entry of
    /// this term or a later one is, and all outcomes up to it are there.
    pub(crate) async fn reach_term(&self, term: u64) {
        let mut indexes = self.index.subscribe();
        loop {
            indexes.mark_unchanged();
            if let Some(last) = self.last().filter(|last| last.leader_id.term >= term) {
                return self.reach(last.index).await;
            }
            // the sender lives as long as this
            let _ = indexes.changed().await;
        }
    }

    /// Awaits the outcome of a proposal of this life.
    pub(crate) fn expect(self: &Arc<Self>, serial: u64) -> Expected {
        let (sender, outcome) = oneshot::channel();
        self.waiting.lock().insert(serial, sender);
        Expected { origin: Origin { life: self.life, serial }, outcome, view: Arc::clone(self) }
    }

    /// Has `observer` told of all that becomes of the state from now on, in order, before a proposer is told.
    pub(crate) fn observe(&self, observer: Observer) {
        self.observers.write().push(observer);
    }

    /// The state is not locked: who is told may look at it.
    fn tell(&self, committed: &Committed<'_>) {
        self.observers.read().iter().for_each(|observer| observer(committed));
    }

    pub(crate) fn apply(&self, entries: impl IntoIterator<Item = Entry>) -> Result<usize, StorageError> {
        let _one = self.changing.lock();
        let mut count = 0;
        let mut outcomes = Vec::new();
        let last = {
            let mut applied = self.applied.write();
            for entry in entries {
                count += 1;
                if applied.last.is_some_and(|last| entry.log_id.index <= last.index) {
                    // openraft's own task may still be at work when a view has gone on already
                    continue;
                }
                match entry.payload {
                    EntryPayload::Blank => {}
                    EntryPayload::Membership(membership) => {
                        applied.membership = StoredMembership::new(Some(entry.log_id), membership);
                    }
                    EntryPayload::Normal(batch) => {
                        let unread = |error: DecodeError| StorageIOError::apply(entry.log_id, &error);
                        for proposal in split(batch.bytes()).map_err(unread)? {
                            let outcome = applied.state.apply(&proposal.command);
                            outcomes.push((proposal, outcome));
                        }
                    }
                }
                applied.last = Some(entry.log_id);
            }
            applied.last
        };
        for (Proposal { origin, command }, outcome) in outcomes {
            self.tell(&Committed::Applied { command: &command, outcome: &outcome });
            if origin.life == self.life {
                let waiter = self.waiting.lock().remove(&origin.serial);
                // who proposed it may have given up
                let _ = waiter.map(|waiter| waiter.send(outcome));
            }
        }
        // last: whoever waits for an index, on another thread, takes an outcome that is not there by then for unknown
        self.publish(last);
        Ok(count)
    }

    /// Applies entries that a voter says are committed, beyond those that are applied already.
    ///
    /// # Errors
    /// If one is missing between, or cannot be read.
    pub(crate) fn feed(&self, entries: Vec<Entry>) -> Result<(), FeedError> {
        let first = self.due();
        let fresh: Vec<Entry> = entries.into_iter().filter(|entry| entry.log_id.index >= first).collect();
        for (due, entry) in (first..).zip(&fresh) {
            if entry.log_id.index != due {
                return Err(FeedError::Gap { due, found: entry.log_id.index });
            }
        }
        if !fresh.is_empty() {
            self.apply(fresh).map_err(|error| FeedError::Unreadable(error.to_string()))?;
        }
        Ok(())
    }

    /// Takes the state of a snapshot that a voter has sent, if it is newer.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(crate) fn feed_snapshot(&self, meta: &SnapshotMeta, bytes: &[u8]) -> Result<(), FeedError> {
        if meta.last_log_id.is_some_and(|last| last.index >= self.due()) {
            let unreadable = |error: DecodeError| FeedError::Unreadable(error.to_string());
            self.replace(meta, State::from_bytes(bytes).map_err(unreadable)?);
        }
        Ok(())
    }

    /// The state as a snapshot.
    pub(crate) fn portray(&self) -> (SnapshotMeta, State) {
        let applied = self.applied.read();
        (applied.meta(), applied.state.clone())
    }

    /// The last entry applied, and who votes as of it.
    pub(crate) fn extent(&self) -> (Option<LogId>, StoredMembership) {
        let applied = self.applied.read();
        (applied.last, applied.membership.clone())
    }

    /// The state, the last entry applied, and who votes.
    pub(crate) fn applied(&self) -> Applied {
        self.applied.read().clone()
    }

    /// How a member of the group is reached, as far as is applied.
    pub(crate) fn member(&self, id: NodeId) -> Option<Voter> {
        self.applied.read().membership.membership().get_node(&id).cloned()
    }

    /// Those that vote, those that follow the log without a vote, and the log index as of which they do.
    pub(crate) fn members(&self) -> (BTreeSet<NodeId>, BTreeSet<NodeId>, u64) {
        let applied = self.applied.read();
        let membership = applied.membership.membership();
        let since = applied.membership.log_id().map_or(0, |since| since.index);
        (membership.voter_ids().collect(), membership.learner_ids().collect(), since)
    }

    pub(crate) fn replace(&self, meta: &SnapshotMeta, state: State) {
        let _one = self.changing.lock();
        let last = meta.last_log_id;
        let membership = meta.last_membership.clone();
        let after = state.clone();
        let before = {
            let mut applied = self.applied.write();
            if applied.last > last {
                // it comes too late: see `apply`
                return;
            }
            std::mem::replace(&mut *applied, Applied { state, last, membership })
        };
        self.tell(&Committed::Replaced { before: &before.state, after: &after });
        // last, as in `apply`
        self.publish(last);
    }

    fn publish(&self, last: Option<LogId>) {
        self.index.send_replace(last.map_or(0, |last| last.index));
    }
}
