//! Snapshots on disk: one file each, whole or not there, the newest alone kept.

use crate::codec::{DecodeError, Encode, Reader, put_bytes};
use crate::disk::Disk;
use crate::log::FORMAT_VERSION;
use crate::types::SnapshotMeta;
use crate::watchdog::Pulse;
use bytes::Bytes;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use tokio::sync::watch;

const MAGIC: &[u8; 8] = b"ARSNSNAP";
const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".raft";
const UNFINISHED: &str = "snapshot.unfinished";
/// Written at once, so that the watchdog sees a disk that hangs and not a state that is big.
const CHUNK_BYTES: usize = 1 << 20;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The machine says no.
    #[error("snapshot: {0}")]
    Io(#[from] io::Error),
    /// Another version of Arsenal wrote it.
    #[error("`{file}` has format version {found}; this build reads {FORMAT_VERSION}")]
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
    },
    /// It is not as it was written.
    #[error("`{0}` is damaged; replace this voter rather than repair the file")]
    Damaged(String),
    /// Its content is not what this build writes.
    #[error("`{file}`: {error}")]
    Content {
        /// The file.
        file: String,
        /// What is wrong.
        error: DecodeError,
    },
}

/// Up to which log index a snapshot is on disk, or that none can be written any more.
pub(crate) type Kept = watch::Receiver<Result<u64, String>>;

/// The snapshots of one voter.
pub(crate) struct Snapshots {
    kept: watch::Sender<Result<u64, String>>,
    disk: Arc<dyn Disk>,
    pulse: Arc<Pulse>,
    /// One writer at a time: a snapshot that is built and one that is installed may meet.
    writing: Mutex<()>,
}

fn name(meta: &SnapshotMeta) -> String {
    let index = meta.last_log_id.map_or(0, |last| last.index);
    format!("{PREFIX}{index:016x}{SUFFIX}")
}

impl Snapshots {
    pub(crate) fn new(disk: Arc<dyn Disk>, pulse: Arc<Pulse>) -> Self {
        Self { kept: watch::Sender::new(Ok(0)), disk, pulse, writing: Mutex::default() }
    }

    /// Follows up to where the log is not needed any more.
    pub(crate) fn kept(&self) -> Kept {
        self.kept.subscribe()
    }

    /// Takes the time that a simulated medium takes.
    pub(crate) async fn settle(&self) {
        if let Some(settled) = self.disk.settle() {
            let _busy = self.pulse.begin();
            settled.await;
        }
    }

    fn keep(&self, meta: &SnapshotMeta) {
        let _before = self.kept.send_replace(Ok(meta.last_log_id.map_or(0, |last| last.index)));
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = self.disk.list()?;
        names.retain(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        names.sort_unstable();
        Ok(names)
    }

    /// Writes a snapshot; once this returns it outlives a loss of power. An older one than there is changes nothing.
    pub(crate) fn save(&self, meta: &SnapshotMeta, state: &[u8]) -> io::Result<()> {
        let saved = self.write(meta, state);
        if let Err(error) = &saved {
            let _before = self.kept.send_replace(Err(error.to_string()));
        }
        saved
    }

    fn write(&self, meta: &SnapshotMeta, state: &[u8]) -> io::Result<()> {
        let _one = self.writing.lock();
        let name = name(meta);
        let before = self.names()?;
        if before.last().is_some_and(|newest| *newest > name) {
            return Ok(());
        }
        if self.disk.list()?.iter().any(|name| name == UNFINISHED) {
            self.disk.remove(UNFINISHED)?;
        }
        let mut head = MAGIC.to_vec();
        FORMAT_VERSION.encode(&mut head);
        put_bytes(&meta.to_bytes(), &mut head);
        let mut hasher = crc32fast::Hasher::new();
        for chunk in std::iter::once(head.as_slice()).chain(state.chunks(CHUNK_BYTES)) {
            hasher.update(chunk);
            let _busy = self.pulse.begin();
            self.disk.append(UNFINISHED, chunk)?;
        }
        let _busy = self.pulse.begin();
        self.disk.append(UNFINISHED, &hasher.finalize().to_le_bytes())?;
        self.disk.sync(UNFINISHED)?;
        self.disk.rename(UNFINISHED, &name)?;
        self.disk.sync_names()?;
        self.keep(meta);
        for old in before.into_iter().filter(|old| *old != name) {
            self.disk.remove(&old)?;
        }
        Ok(())
    }

    /// The newest snapshot: what it is of, and the state.
    pub(crate) fn load(&self) -> Result<Option<(SnapshotMeta, Bytes)>, SnapshotError> {
        let _one = self.writing.lock();
        let Some(file) = self.names()?.pop() else { return Ok(None) };
        let bytes = self.disk.read(&file)?;
        let Some((content, sum)) = bytes.split_last_chunk::<4>() else {
            return Err(SnapshotError::Damaged(file));
        };
        let Some(rest) =
            content.strip_prefix(MAGIC).filter(|_| crc32fast::hash(content).to_le_bytes() == *sum)
        else {
            return Err(SnapshotError::Damaged(file));
        };
        let mut from = Reader::new(rest);
        let read = u32::decode(&mut from).and_then(|version| Ok((version, from.bytes()?)));
        let meta = match read {
            Ok((FORMAT_VERSION, meta)) => meta,
            Ok((found, _)) => return Err(SnapshotError::Version { file, found }),
            Err(error) => return Err(SnapshotError::Content { file, error }),
        };
        let state_at = MAGIC.len() + 4 + 4 + meta.len();
        let meta = SnapshotMeta::from_bytes(meta);
        let meta = meta.map_err(|error| SnapshotError::Content { file, error })?;
        self.keep(&meta);
        Ok(Some((meta, Bytes::copy_from_slice(&content[state_at..]))))
    }
}
