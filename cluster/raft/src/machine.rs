//! The state machine as openraft drives it: hands committed entries to the node's [`View`], builds and installs snapshots.

use crate::codec::Encode;
use crate::runtime::Runtime;
use crate::snapshot::{SnapshotError, Snapshots};
use crate::state::State;
use crate::types::{Entry, LogId, Snapshot, SnapshotMeta, StorageError, StoredMembership, Types};
use crate::view::{Applied, View};
use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::{OptionalSend, RaftSnapshotBuilder, StorageIOError};
use std::io;
use std::sync::Arc;

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
        let (loading, due) = (Arc::clone(&snapshots), view.due());
        // elsewhere: it may be big, and others go on on this thread
        let loaded = Runtime::blocking(move || load(&loading, due)).await??;
        let mut last = None;
        if let Some((meta, state)) = loaded {
            last = meta.last_log_id;
            if let Some(state) = state {
                view.replace(&meta, state);
            }
        }
        if view.due() > last.map_or(0, |last| last.index + 1) {
            let applied = view.applied();
            last = applied.last;
            let meta = applied.meta();
            applied.save(&meta, Arc::clone(&snapshots)).await?;
        }
        Ok((Self { view, snapshots }, last))
    }
}

/// The newest snapshot, if there is one, and its state if that is not older than this index.
fn load(snapshots: &Snapshots, due: u64) -> Result<Option<(SnapshotMeta, Option<State>)>, SnapshotError> {
    let Some((meta, bytes)) = snapshots.load()? else { return Ok(None) };
    let content = |error| SnapshotError::Content { file: "snapshot".to_owned(), error };
    let is_newer = meta.last_log_id.is_some_and(|last| last.index >= due);
    let state = is_newer.then(|| State::from_bytes(&bytes).map_err(content)).transpose()?;
    Ok(Some((meta, state)))
}

impl Applied {
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
        Ok(self.view.extent())
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        self.view.apply(entries).map(|count| vec![(); count])
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { applied: self.view.applied(), snapshots: Arc::clone(&self.snapshots) }
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
