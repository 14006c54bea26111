//! The state machine as openraft drives it: applies committed entries to the state in memory, tells proposers on this
//! voter what their commands gave, builds and installs snapshots.

use crate::codec::{DecodeError, Encode};
use crate::command::{Command, Origin, Outcome, Proposal, split};
use crate::runtime::Runtime;
use crate::snapshot::{SnapshotError, Snapshots};
use crate::state::State;
use crate::types::{
    Entry, LogId, NodeId, Snapshot, SnapshotMeta, StorageError, StoredMembership, Types, Voter,
};
use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageIOError};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};

/// What has been applied.
#[derive(Clone, Default)]
struct Applied {
    state: State,
    last: Option<LogId>,
    membership: StoredMembership,
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
    index: watch::Sender<u64>,
    waiting: Mutex<BTreeMap<u64, oneshot::Sender<Outcome>>>,
    observers: RwLock<Vec<Observer>>,
}

impl View {
    pub(crate) fn new(life: u64) -> Arc<Self> {
        Arc::new(Self {
            life,
            applied: RwLock::default(),
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

    /// A proposal of this life: its origin, and where its outcome will be.
    pub(crate) fn expect(&self, serial: u64) -> (Origin, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().insert(serial, sender);
        (Origin { life: self.life, serial }, receiver)
    }

    /// Nobody waits for this proposal any more.
    pub(crate) fn forget(&self, serial: u64) {
        self.waiting.lock().remove(&serial);
    }

    /// Has `observer` told of all that becomes of the state from now on, in order, before a proposer is told.
    pub(crate) fn observe(&self, observer: Observer) {
        self.observers.write().push(observer);
    }

    /// The state is not locked: who is told may look at it.
    fn tell(&self, committed: &Committed<'_>) {
        self.observers.read().iter().for_each(|observer| observer(committed));
    }

    fn apply(&self, entries: impl IntoIterator<Item = Entry>) -> Result<usize, StorageError> {
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

    fn replace(&self, meta: &SnapshotMeta, state: State) {
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
        self.publish(last);
        self.tell(&Committed::Replaced { before: &before.state, after: &after });
    }

    fn publish(&self, last: Option<LogId>) {
        self.index.send_replace(last.map_or(0, |last| last.index));
    }
}

/// What openraft holds of the state machine.
pub(crate) struct Machine {
    view: Arc<View>,
    snapshots: Arc<Snapshots>,
}

/// The state at one moment, on its way to a snapshot.
pub(crate) struct Builder {
    applied: Applied,
    snapshots: Arc<Snapshots>,
}

impl Machine {
    /// A state machine whose state is the view's, or the newest snapshot's if that is newer; in the end a snapshot on disk
    /// has what the view had. Gives what that snapshot goes up to.
    pub(crate) async fn open(
        view: Arc<View>,
        snapshots: Snapshots,
    ) -> Result<(Self, Option<LogId>), SnapshotError> {
        let snapshots = Arc::new(snapshots);
        let mut last = None;
        if let Some((meta, bytes)) = snapshots.load()? {
            last = meta.last_log_id;
            if last.is_some_and(|last| last.index >= view.due()) {
                let content = |error| SnapshotError::Content { file: "snapshot".to_owned(), error };
                view.replace(&meta, State::from_bytes(&bytes).map_err(content)?);
            }
        }
        if view.due() > last.map_or(0, |last| last.index + 1) {
            let applied = view.applied.read().clone();
            last = applied.last;
            let meta = applied.meta();
            applied.save(&meta, Arc::clone(&snapshots)).await?;
        }
        Ok((Self { view, snapshots }, last))
    }
}

impl Applied {
    /// What a snapshot of it is called.
    fn meta(&self) -> SnapshotMeta {
        let place = self.last.map(|last| last.to_string()).unwrap_or_default();
        let snapshot_id = format!("{place}-{:016x}", Runtime::random());
        SnapshotMeta { last_log_id: self.last, last_membership: self.membership.clone(), snapshot_id }
    }

    /// Makes this snapshot of it. Once this returns it outlives a loss of power.
    async fn save(self, meta: &SnapshotMeta, snapshots: Arc<Snapshots>) -> io::Result<Bytes> {
        snapshots.settle().await;
        let meta = meta.clone();
        let saved = Runtime::blocking(move || {
            let bytes = Bytes::from(self.state.to_bytes());
            snapshots.save(&meta, &bytes).map(|()| bytes)
        });
        saved.await.and_then(|saved| saved)
    }
}

fn snapshot_error(meta: &SnapshotMeta) -> impl Fn(io::Error) -> StorageError + Send + 'static {
    let signature = meta.signature();
    move |error| StorageIOError::write_snapshot(Some(signature.clone()), &error).into()
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let meta = self.applied.meta();
        let saved = self.applied.clone().save(&meta, Arc::clone(&self.snapshots)).await;
        let bytes = saved.map_err(snapshot_error(&meta))?;
        Ok(Snapshot { meta, snapshot: Box::new(bytes) })
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), StorageError> {
        let applied = self.view.applied.read();
        Ok((applied.last, applied.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.view.apply(entries).map(|count| vec![(); count])
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { applied: self.view.applied.read().clone(), snapshots: Arc::clone(&self.snapshots) }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Bytes>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, bytes: Box<Bytes>) -> Result<(), StorageError> {
        self.snapshots.settle().await;
        let (snapshots, saved) = (Arc::clone(&self.snapshots), meta.clone());
        let state = Runtime::blocking(move || {
            // read before it is kept: a snapshot that this build cannot read must not be found at the next start
            let state = State::from_bytes(&bytes).map_err(io::Error::other)?;
            snapshots.save(&saved, &bytes).map(|()| state)
        });
        let state = state.await.and_then(|saved| saved).map_err(snapshot_error(meta))?;
        self.view.replace(meta, state);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, StorageError> {
        let snapshots = Arc::clone(&self.snapshots);
        let loaded = Runtime::blocking(move || snapshots.load().map_err(io::Error::other));
        let unread = |error: io::Error| StorageError::from(StorageIOError::read_snapshot(None, &error));
        let loaded = loaded.await.and_then(|loaded| loaded).map_err(unread)?;
        Ok(loaded.map(|(meta, bytes)| Snapshot { meta, snapshot: Box::new(bytes) }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::join;
    use crate::types::Batch;
    use arsenal_runtime::Pid;
    use arsenal_runtime::registry;
    use openraft::{CommittedLeaderId, LogId};

    #[test]
    fn an_index_is_told_only_once_its_proposer_has_the_outcome() {
        let view = View::new(1);
        let (origin, mut outcome) = view.expect(7);
        let seen = Arc::new(Mutex::new(None));
        let (watched, noted) = (Arc::downgrade(&view), Arc::clone(&seen));
        view.observe(Arc::new(move |_| *noted.lock() = watched.upgrade().map(|view| view.index())));
        let pids = vec![Pid::new(1, 1, 1)];
        let command = Command::Registry(registry::Command::ProcessesDown { pids });
        let batch = Batch::from_bytes(join([Proposal { origin, command }.to_bytes().as_slice()]));
        let log_id = LogId::new(CommittedLeaderId::new(1, 1), 5);
        view.apply([Entry { log_id, payload: EntryPayload::Normal(batch) }]).unwrap();
        assert_eq!(*seen.lock(), Some(0), "while proposers are told, the index is the one before");
        assert_eq!(view.index(), 5);
        assert!(outcome.try_recv().is_ok());
    }
}
