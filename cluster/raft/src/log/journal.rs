//! The log's files: numbered segments that are only appended to, each beginning with what the ones before it say about
//! vote, purge and commit, so that the oldest can be removed.

use super::record::{
    FORMAT_VERSION, Header, Record, Recovered, SEGMENT_HEADER_BYTES, frame, has_frame_above, read_frame,
    read_header, read_records, segment_header,
};
use crate::disk::Disk;
use crate::types::LogId;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

const PREFIX: &str = "log-";
const SUFFIX: &str = ".raft";

/// Why a log cannot be used as it lies there.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The machine says no.
    #[error("`{file}`: {error}")]
    Io {
        /// The file.
        file: String,
        /// What the machine says.
        error: io::Error,
    },
    /// Another version of Arsenal wrote it.
    #[error("`{file}` has format version {found}; this build reads {FORMAT_VERSION}")]
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
    },
    /// Something that was acknowledged is not as it was written.
    #[error("`{file}` is damaged at byte {at}: {what}; replace this voter rather than repair the file")]
    Damaged {
        /// The file.
        file: String,
        /// Where.
        at: usize,
        /// How.
        what: String,
    },
}

fn name(number: u64) -> String {
    format!("{PREFIX}{number:016x}{SUFFIX}")
}

fn number(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?, 16).ok()
}

/// The segments of a log, the last of which is written to.
pub(crate) struct Journal {
    disk: Arc<dyn Disk>,
    segment_bytes_max: usize,
    /// Each segment's highest index of an entry.
    segments: BTreeMap<u64, u64>,
    active: u64,
    active_bytes: usize,
    frames: u64,
    /// What a new segment begins with; entries are not kept here.
    summary: Recovered,
}

impl Journal {
    /// Opens the log on a disk, or begins one.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        segment_bytes_max: usize,
    ) -> Result<(Self, Recovered), JournalError> {
        let mut journal = Self {
            disk,
            segment_bytes_max,
            segments: BTreeMap::new(),
            active: 0,
            active_bytes: 0,
            frames: 0,
            summary: Recovered::default(),
        };
        let mut recovered = Recovered::default();
        let numbers = journal.numbers()?;
        for (place, number) in numbers.iter().enumerate() {
            journal.replay(*number, place + 1 == numbers.len(), &mut recovered)?;
        }
        if let Some(first) = journal.segments.keys().next().filter(|first| **first > 1)
            && recovered.purged.is_none()
        {
            let what = "the segments before it are missing and nothing was purged".to_owned();
            return Err(JournalError::Damaged { file: name(*first), at: 0, what });
        }
        if let Some(index) = recovered.missing() {
            let what = format!("entry {index} is missing and was not purged");
            return Err(JournalError::Damaged { file: name(journal.active), at: 0, what });
        }
        journal.summary = Recovered {
            vote: recovered.vote,
            committed: recovered.committed,
            purged: recovered.purged,
            ..Recovered::default()
        };
        if journal.active == 0 {
            journal.rotate()?;
        }
        Ok((journal, recovered))
    }

    /// Numbers of the segments that belong together. What lies before a gap is a leftover of a removal.
    fn numbers(&self) -> Result<Vec<u64>, JournalError> {
        let listed = self.disk.list().map_err(|error| JournalError::Io { file: ".".to_owned(), error })?;
        let mut numbers: Vec<u64> = listed.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        let gap = numbers.windows(2).rposition(|pair| pair[1] != pair[0] + 1);
        let kept = gap.map_or(0, |gap| gap + 1);
        for leftover in numbers.drain(..kept) {
            self.on(leftover, |disk, name| disk.remove(name))?;
        }
        Ok(numbers)
    }

    fn on<T>(
        &self,
        number: u64,
        work: impl FnOnce(&dyn Disk, &str) -> io::Result<T>,
    ) -> Result<T, JournalError> {
        let file = name(number);
        work(&*self.disk, &file).map_err(|error| JournalError::Io { file, error })
    }

    fn replay(&mut self, number: u64, is_last: bool, into: &mut Recovered) -> Result<(), JournalError> {
        let bytes = self.on(number, |disk, name| disk.read(name))?;
        let damaged =
            |at, what: &str| JournalError::Damaged { file: name(number), at, what: what.to_owned() };
        match read_header(&bytes, number) {
            Header::Whole => {}
            Header::Version(found) => return Err(JournalError::Version { file: name(number), found }),
            Header::Broken if is_last && !has_frame_above(&bytes, self.frames) => {
                // power was lost while it was being created
                self.on(number, |disk, name| disk.remove(name))?;
                return Ok(());
            }
            Header::Broken => return Err(damaged(0, "no header of a segment")),
        }
        let mut at = SEGMENT_HEADER_BYTES;
        let mut highest = 0;
        while at < bytes.len() {
            let due = self.frames + 1;
            // the first frame of all has the number that the removed segments left it
            let whole = read_frame(&bytes[at..]).filter(|(found, ..)| *found == due || self.frames == 0);
            let Some((found, content, length)) = whole else {
                if !is_last || has_frame_above(&bytes[at..], self.frames) {
                    return Err(damaged(at, "a frame is broken that is not the last"));
                }
                // the end of a write that was never acknowledged
                self.on(number, |disk, name| disk.truncate(name, at as u64).and_then(|()| disk.sync(name)))?;
                break;
            };
            for record in read_records(content).map_err(|error| damaged(at, &error.to_string()))? {
                if let Record::Entry(entry) = &record {
                    highest = highest.max(entry.log_id.index);
                }
                into.follow(record);
            }
            self.frames = found;
            at += length;
        }
        self.segments.insert(number, highest);
        self.active = number;
        self.active_bytes = at;
        Ok(())
    }

    /// Begins a segment. Once this returns it outlives a loss of power.
    fn rotate(&mut self) -> Result<(), JournalError> {
        let next = self.active + 1;
        let summary = &self.summary;
        let records: Vec<Record> = (summary.vote.map(Record::Vote).into_iter())
            .chain(summary.purged.map(Record::Purge))
            .chain(summary.committed.map(Record::Committed))
            .collect();
        let mut bytes = segment_header(next);
        bytes.extend(frame(self.frames + 1, &records));
        self.on(next, |disk, name| {
            disk.append(name, &bytes)?;
            disk.sync(name)?;
            disk.sync_names()
        })?;
        self.frames += 1;
        self.segments.insert(next, 0);
        (self.active, self.active_bytes) = (next, bytes.len());
        Ok(())
    }

    /// Writes records as one frame, once the one before is synced. They outlive a loss of power after [`Journal::sync`].
    pub(crate) fn write(&mut self, records: &[Record]) -> Result<(), JournalError> {
        if self.active_bytes >= self.segment_bytes_max {
            self.rotate()?;
        }
        let bytes = frame(self.frames + 1, records);
        self.on(self.active, |disk, name| disk.append(name, &bytes))?;
        self.frames += 1;
        self.active_bytes += bytes.len();
        for record in records {
            match record {
                Record::Vote(vote) => self.summary.vote = Some(*vote),
                Record::Purge(upto) => self.summary.purged = self.summary.purged.max(Some(*upto)),
                Record::Committed(upto) => self.summary.committed = self.summary.committed.max(Some(*upto)),
                Record::Truncate(_) => {}
                Record::Entry(entry) => {
                    let highest = self.segments.entry(self.active).or_default();
                    *highest = (*highest).max(entry.log_id.index);
                }
            }
        }
        Ok(())
    }

    /// Returns once all that was written outlives a loss of power.
    pub(crate) fn sync(&self) -> Result<(), JournalError> {
        self.on(self.active, |disk, name| disk.sync(name))
    }

    /// Forgets all entries: the log begins behind this one, which a snapshot on disk has. Once this returns it outlives a
    /// loss of power.
    pub(crate) fn begin_after(&mut self, start: LogId) -> Result<(), JournalError> {
        self.write(&[Record::Truncate(0), Record::Purge(start)])?;
        self.sync()?;
        self.remove_purged()
    }

    /// Removes the oldest segments that hold nothing above the purged index.
    pub(crate) fn remove_purged(&mut self) -> Result<(), JournalError> {
        let Some(purged) = self.summary.purged else { return Ok(()) };
        while let Some((number, highest)) = self.segments.first_key_value().map(|(n, h)| (*n, *h))
            && number != self.active
            && highest <= purged.index
        {
            self.on(number, |disk, name| disk.remove(name))?;
            self.segments.remove(&number);
        }
        Ok(())
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }
}
