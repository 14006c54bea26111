//! The log as openraft sees it: entries and vote, in memory for reading, on disk before they are acknowledged.
//!
//! All entries that are not purged stay in memory as well; compaction bounds them by bytes. Every change goes to the one
//! writer, in order. A vote and entries are acknowledged after the sync. A truncation and a purge are not waited for, and
//! the commit mark is written with the next entries: losing them costs a repeat, never an entry.

mod journal;
mod record;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use journal::Journal;
pub use journal::JournalError;
pub(crate) use record::{FORMAT_VERSION, Recovered};
pub(crate) use writer::Writer;

use crate::snapshot::Kept;
use crate::types::{Entry, LogId, StorageError, Types, Vote};
use openraft::storage::{LogFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend, RaftLogReader, StorageIOError};
use parking_lot::RwLock;
use record::Record;
use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Bytes of entries that one request to a follower carries, unless a single entry is bigger.
const READ_BYTES_MAX: usize = 1 << 20;

/// A log that is written to.
pub(crate) struct Log {
    tail: Arc<RwLock<Tail>>,
    writer: Writer,
    kept: Kept,
}

/// Reads the log from other tasks.
#[derive(Clone)]
pub(crate) struct Reader {
    tail: Arc<RwLock<Tail>>,
}

/// What is in memory.
#[derive(Default)]
struct Tail {
    vote: Option<Vote>,
    committed: Option<LogId>,
    purged: Option<LogId>,
    entries: VecDeque<Entry>,
    bytes: usize,
}

fn entry_bytes(entry: &Entry) -> usize {
    size_of::<Entry>()
        + if let EntryPayload::Normal(batch) = &entry.payload { batch.bytes().len() } else { 0 }
}

impl Tail {
    fn first_index(&self) -> u64 {
        self.entries.front().map_or(0, |entry| entry.log_id.index)
    }

    fn last(&self) -> Option<LogId> {
        self.entries.back().map(|entry| entry.log_id).or(self.purged)
    }

    fn push(&mut self, entry: Entry) {
        self.bytes += entry_bytes(&entry);
        self.entries.push_back(entry);
    }

    fn truncate(&mut self, since: u64) {
        while self.entries.back().is_some_and(|entry| entry.log_id.index >= since) {
            self.bytes -= self.entries.pop_back().as_ref().map_or(0, entry_bytes);
        }
    }

    fn purge(&mut self, upto: LogId) {
        while self.entries.front().is_some_and(|entry| entry.log_id.index <= upto.index) {
            self.bytes -= self.entries.pop_front().as_ref().map_or(0, entry_bytes);
        }
        self.purged = self.purged.max(Some(upto));
    }

    fn range(&self, range: impl RangeBounds<u64>) -> impl Iterator<Item = &Entry> {
        let first = self.first_index();
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index + 1,
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let count = self.entries.len();
        let place = |index: u64| usize::try_from(index.saturating_sub(first)).unwrap_or(count).min(count);
        let (start, end) = (place(start), place(end));
        self.entries.range(start.min(end)..end)
    }
}

impl Log {
    /// A log with what was found on disk, who writes what is added, and up to where snapshots stand in for it.
    pub(crate) fn new(recovered: Recovered, writer: Writer, kept: Kept) -> Self {
        let mut tail = Tail {
            vote: recovered.vote,
            committed: recovered.committed,
            purged: recovered.purged,
            ..Tail::default()
        };
        recovered.entries.into_iter().for_each(|entry| tail.push(entry));
        Self { tail: Arc::new(RwLock::new(tail)), writer, kept }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader { tail: Arc::clone(&self.tail) }
    }

    fn write(&self, record: Record) -> Result<(), StorageError> {
        self.writer.write(vec![record], None).map_err(write_error)
    }
}

impl Reader {
    /// The last entry, whether it is here or not any more.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.tail.read().last()
    }

    /// Index of the last entry that goes, where the newest ones stay that are no more than so many bytes; 0 for none.
    pub(crate) fn excess(&self, bytes_max: usize) -> u64 {
        let tail = self.tail.read();
        // as long as there is room, nothing is looked at
        let mut left = tail.bytes;
        let goes = |entry: &&Entry| {
            let too_many = left > bytes_max;
            left -= entry_bytes(entry);
            too_many
        };
        tail.entries.iter().take_while(goes).last().map_or(0, |entry| entry.log_id.index)
    }

    /// Whether this entry is here, or is the last one that is not any more.
    pub(crate) fn has(&self, entry: LogId) -> bool {
        let tail = self.tail.read();
        let held = tail.range(entry.index..=entry.index).next().map(|held| held.log_id);
        held.or(tail.purged.filter(|purged| purged.index == entry.index)) == Some(entry)
    }

    /// Whether the entries from `start` to before `end` are here and are no more than so many bytes.
    pub(crate) fn holds(&self, start: u64, end: u64, bytes_max: usize) -> bool {
        let tail = self.tail.read();
        let mut room = bytes_max;
        start >= tail.purged.map_or(0, |purged| purged.index + 1)
            && tail.range(start..end).all(|entry| {
                let left = room.checked_sub(entry_bytes(entry));
                room = left.unwrap_or_default();
                left.is_some()
            })
    }
}

fn write_error(error: io::Error) -> StorageError {
    StorageIOError::write_logs(&error).into()
}

fn vote_error(error: io::Error) -> StorageError {
    StorageIOError::write_vote(&error).into()
}

impl RaftLogReader<Types> for Reader {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.tail.read().range(range).cloned().collect())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, StorageError> {
        let tail = self.tail.read();
        if start < tail.first_index() {
            let purged = io::Error::other(format!("entry {start} was asked for and is purged"));
            return Err(StorageIOError::read_log_at_index(start, &purged).into());
        }
        let mut room = READ_BYTES_MAX;
        let mut entries = Vec::new();
        for entry in tail.range(start..end) {
            let Some(left) = room.checked_sub(entry_bytes(entry)) else {
                if entries.is_empty() {
                    entries.push(entry.clone());
                }
                break;
            };
            room = left;
            entries.push(entry.clone());
        }
        Ok(entries)
    }
}

impl RaftLogReader<Types> for Log {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> Result<Vec<Entry>, StorageError> {
        Ok(self.tail.read().range(range).cloned().collect())
    }
}

impl RaftLogStorage<Types> for Log {
    type LogReader = Reader;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let tail = self.tail.read();
        Ok(LogState { last_purged_log_id: tail.purged, last_log_id: tail.last() })
    }

    async fn get_log_reader(&mut self) -> Reader {
        self.reader()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let (done, synced) = oneshot::channel();
        let done = Box::new(move |result| {
            // openraft may have been dropped meanwhile
            let _ = done.send(result);
        });
        self.writer.write(vec![Record::Vote(*vote)], Some(done)).map_err(vote_error)?;
        let gone = |_| io::Error::other("the log's writer has ended");
        synced.await.map_err(gone).and_then(|result| result).map_err(vote_error)?;
        self.tail.write().vote = Some(*vote);
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        Ok(self.tail.read().vote)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.tail.write().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        let tail = self.tail.read();
        // what the mark says was committed may have been lost with a disk that lied: not more than is there
        Ok(tail.committed.min(tail.last()))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records = {
            let mut tail = self.tail.write();
            let mut records: Vec<Record> = tail.committed.map(Record::Committed).into_iter().collect();
            for entry in entries {
                if let EntryPayload::Normal(batch) = &entry.payload {
                    batch.set_logged();
                }
                tail.push(entry.clone());
                records.push(Record::Entry(entry));
            }
            records
        };
        let done = Box::new(move |result| callback.log_io_completed(result));
        self.writer.write(records, Some(done)).map_err(write_error)
    }

    async fn truncate(&mut self, log_id: LogId) -> Result<(), StorageError> {
        self.tail.write().truncate(log_id.index);
        self.write(Record::Truncate(log_id.index))
    }

    /// openraft cuts the log when it has asked for a snapshot to be installed, not when it is: a loss of power in between
    /// would leave neither. So this waits for the snapshot, and with it what is appended and acknowledged next.
    async fn purge(&mut self, log_id: LogId) -> Result<(), StorageError> {
        let enough = |kept: &Result<u64, String>| kept.as_ref().map_or(true, |kept| *kept >= log_id.index);
        let kept = match self.kept.wait_for(enough).await {
            Ok(kept) => kept.clone(),
            Err(_) => Err("the state machine has ended".to_owned()),
        };
        kept.map_err(|reason| write_error(io::Error::other(reason)))?;
        self.tail.write().purge(log_id);
        self.write(Record::Purge(log_id))
    }
}
