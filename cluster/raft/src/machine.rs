//! The state machine as openraft drives it: applies committed entries to the state in memory, tells proposers on this
//! voter what their commands gave, builds and installs snapshots.

use crate::codec::{DecodeError, Encode};
use crate::command::{Command, Origin, Outcome, Proposal, split};
use crate::runtime::Runtime;
use crate::snapshot::Snapshots;
use crate::state::State;
use crate::types::{Entry, LogId, Snapshot, SnapshotMeta, StorageError, StoredMembership, Types};
use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, StorageIOError};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
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

    /// Log index of the last entry applied.
    pub(crate) fn index(&self) -> u64 {
        *self.index.borrow()
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

    fn replace(&self, meta: &SnapshotMeta, state: State) {
        let last = meta.last_log_id;
        let membership = meta.last_membership.clone();
        let after = state.clone();
        let before = std::mem::replace(&mut *self.applied.write(), Applied { state, last, membership });
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
    /// A state machine with the state of the newest snapshot.
    pub(crate) fn open(
        view: Arc<View>,
        snapshots: Snapshots,
    ) -> Result<Self, crate::snapshot::SnapshotError> {
        if let Some((meta, bytes)) = snapshots.load()? {
            let state = State::from_bytes(&bytes);
            let file = || "snapshot".to_owned();
            let content = |error| crate::snapshot::SnapshotError::Content { file: file(), error };
            view.replace(&meta, state.map_err(content)?);
        }
        Ok(Self { view, snapshots: Arc::new(snapshots) })
    }
}

fn snapshot_error(meta: &SnapshotMeta) -> impl Fn(io::Error) -> StorageError + Send + 'static {
    let signature = meta.signature();
    move |error| StorageIOError::write_snapshot(Some(signature.clone()), &error).into()
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot, StorageError> {
        let Applied { state, last, membership } = self.applied.clone();
        let place = last.map(|last| last.to_string()).unwrap_or_default();
        let snapshot_id = format!("{place}-{:016x}", Runtime::random());
        let meta = SnapshotMeta { last_log_id: last, last_membership: membership, snapshot_id };
        self.snapshots.settle().await;
        let snapshots = Arc::clone(&self.snapshots);
        let saved = meta.clone();
        let bytes = Runtime::blocking(move || {
            let bytes = Bytes::from(state.to_bytes());
            snapshots.save(&saved, &bytes).map(|()| bytes)
        });
        let bytes = bytes.await.and_then(|saved| saved).map_err(snapshot_error(&meta))?;
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
