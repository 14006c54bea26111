//! What stands in a log file: frames of records, each frame written at once, synced at once and whole or not there.
//!
//! A segment is a header and frames. A frame has a number one above its predecessor's, also across segments, and a
//! checksum over number and content. So a torn end can be told from damage: a write is only begun when the one before is
//! synced, hence behind a torn frame there is nothing, and a whole frame behind a broken one means that something which
//! was acknowledged is damaged.

use crate::codec::{DecodeError, Encode, Reader};
use crate::types::{Entry, LogId, NodeId, Vote};
use std::collections::VecDeque;

/// Version of the form of a data directory.
pub(crate) const FORMAT_VERSION: u32 = 1;

const SEGMENT_MAGIC: &[u8; 8] = b"ARSNRAFT";
const FRAME_MAGIC: &[u8; 4] = b"frm\x01";
/// Magic, version, number, checksum.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 8 + 4 + 8 + 4;
/// Magic, length, number, checksum.
const FRAME_HEADER_BYTES: usize = 4 + 4 + 8 + 4;

/// One change of the log.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    Vote(Vote),
    Entry(Entry),
    /// Entries from this index on are gone.
    Truncate(u64),
    /// Entries up to this one are gone, the snapshot has them.
    Purge(LogId),
    Committed(LogId),
}

mod tag {
    pub(super) const VOTE: u8 = 1;
    pub(super) const ENTRY: u8 = 2;
    pub(super) const TRUNCATE: u8 = 3;
    pub(super) const PURGE: u8 = 4;
    pub(super) const COMMITTED: u8 = 5;
}

impl Encode for Record {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Vote(vote) => {
                out.push(tag::VOTE);
                vote.encode(out);
            }
            Self::Entry(entry) => {
                out.push(tag::ENTRY);
                entry.encode(out);
            }
            Self::Truncate(since) => {
                out.push(tag::TRUNCATE);
                since.encode(out);
            }
            Self::Purge(upto) => {
                out.push(tag::PURGE);
                upto.encode(out);
            }
            Self::Committed(upto) => {
                out.push(tag::COMMITTED);
                upto.encode(out);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match u8::decode(from)? {
            tag::VOTE => Self::Vote(Vote::decode(from)?),
            tag::ENTRY => Self::Entry(Entry::decode(from)?),
            tag::TRUNCATE => Self::Truncate(u64::decode(from)?),
            tag::PURGE => Self::Purge(LogId::decode(from)?),
            tag::COMMITTED => Self::Committed(LogId::decode(from)?),
            tag => return Err(DecodeError::Tag { what: "log record", tag }),
        })
    }
}

/// What the records of a log add up to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Recovered {
    pub(crate) vote: Option<Vote>,
    pub(crate) committed: Option<LogId>,
    pub(crate) purged: Option<LogId>,
    pub(crate) entries: VecDeque<Entry>,
    /// First index after entries that were not seen: a later purge must cover them.
    pub(crate) gap_below: Option<u64>,
}

impl Recovered {
    /// Follows one record.
    ///
    /// A gap is taken for the entries of segments that were removed, since the purge that allowed it may stand further
    /// on; [`Recovered::missing`] tells whether it does.
    pub(crate) fn follow(&mut self, record: Record) {
        match record {
            Record::Vote(vote) => self.vote = Some(vote),
            Record::Committed(upto) => self.committed = self.committed.max(Some(upto)),
            Record::Truncate(since) => {
                while self.entries.back().is_some_and(|entry| entry.log_id.index >= since) {
                    self.entries.pop_back();
                }
            }
            Record::Purge(upto) => {
                while self.entries.front().is_some_and(|entry| entry.log_id.index <= upto.index) {
                    self.entries.pop_front();
                }
                self.purged = self.purged.max(Some(upto));
            }
            Record::Entry(entry) => {
                let last = self.entries.back().map(|last| last.log_id).or(self.purged);
                let due = last.map_or(entry.log_id.index, |last| last.index + 1);
                if entry.log_id.index != due {
                    self.entries.clear();
                    self.gap_below = Some(entry.log_id.index);
                }
                self.entries.push_back(entry);
            }
        }
    }

    /// Lets a voter that led when it ended stand for election again.
    ///
    /// openraft would let it lead on under its old vote. But it has forgotten how far the log was committed, and would
    /// take an older mark for the truth: a read that asks it would miss what was acknowledged before. A leader that is
    /// elected commits an entry of its own first.
    pub(crate) fn resign(&mut self, own: NodeId) {
        if let Some(vote) = self.vote.as_mut().filter(|vote| vote.leader_id.node_id == own) {
            vote.committed = false;
        }
    }

    /// Whether the log goes on from this entry: it has it, or what it has begins behind it.
    pub(crate) fn leads_up_to(&self, start: LogId) -> bool {
        let held = self.entries.iter().find(|entry| entry.log_id.index == start.index);
        held.is_some_and(|entry| entry.log_id == start) || self.purged >= Some(start)
    }

    /// Forgets all entries: the log begins behind this one. The vote stays.
    pub(crate) fn begin_after(&mut self, start: LogId) {
        self.follow(Record::Truncate(0));
        self.follow(Record::Purge(start));
        self.committed = self.committed.max(Some(start));
    }

    /// Index of an entry that was neither found nor purged, if there is one.
    pub(crate) fn missing(&self) -> Option<u64> {
        let covered = self.purged.map_or(0, |purged| purged.index);
        self.gap_below.filter(|first| covered + 1 < *first).map(|first| first - 1)
    }
}

/// The beginning of a segment.
pub(crate) fn segment_header(number: u64) -> Vec<u8> {
    let mut out = SEGMENT_MAGIC.to_vec();
    FORMAT_VERSION.encode(&mut out);
    number.encode(&mut out);
    crc32fast::hash(&out).encode(&mut out);
    out
}

/// What a segment's header says.
pub(crate) enum Header {
    Whole,
    /// Another form of the data directory.
    Version(u32),
    Broken,
}

/// Reads a segment's header.
pub(crate) fn read_header(bytes: &[u8], number: u64) -> Header {
    let Some(header) = bytes.get(..SEGMENT_HEADER_BYTES) else { return Header::Broken };
    let (content, checksum) = header.split_at(SEGMENT_HEADER_BYTES - 4);
    if &content[..8] != SEGMENT_MAGIC || crc32fast::hash(content).to_le_bytes() != checksum {
        return Header::Broken;
    }
    let mut from = Reader::new(&content[8..]);
    match (u32::decode(&mut from), u64::decode(&mut from)) {
        (Ok(FORMAT_VERSION), Ok(found)) if found == number => Header::Whole,
        (Ok(version), _) if version != FORMAT_VERSION => Header::Version(version),
        _ => Header::Broken,
    }
}

fn checksum(number: u64, content: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// Records as one frame.
pub(crate) fn frame(number: u64, records: &[Record]) -> Vec<u8> {
    let mut content = Vec::new();
    records.iter().for_each(|record| record.encode(&mut content));
    let mut out = Vec::with_capacity(FRAME_HEADER_BYTES + content.len());
    out.extend_from_slice(FRAME_MAGIC);
    crate::codec::put_count(content.len(), &mut out);
    number.encode(&mut out);
    checksum(number, &content).encode(&mut out);
    out.extend_from_slice(&content);
    out
}

/// A frame at the beginning of `bytes`: its number, its content, and its length. Nothing if it is not whole.
pub(crate) fn read_frame(bytes: &[u8]) -> Option<(u64, &[u8], usize)> {
    let content_at = bytes.strip_prefix(FRAME_MAGIC)?;
    let mut from = Reader::new(content_at);
    let length = u32::decode(&mut from).ok()? as usize;
    let number = u64::decode(&mut from).ok()?;
    let sum = u32::decode(&mut from).ok()?;
    let content = from.take(length).ok()?;
    (checksum(number, content) == sum).then_some((number, content, FRAME_HEADER_BYTES + length))
}

/// Whether there is a whole frame anywhere in `bytes` with a number above `number`.
pub(crate) fn has_frame_above(bytes: &[u8], number: u64) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        if read_frame(rest).is_some_and(|(found, ..)| found > number) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// The records of a frame.
///
/// # Errors
/// Where this build does not know one: the checksum is right, so a newer build wrote it.
pub(crate) fn read_records(content: &[u8]) -> Result<Vec<Record>, DecodeError> {
    let mut from = Reader::new(content);
    let mut records = Vec::new();
    while !from.is_empty() {
        records.push(Record::decode(&mut from)?);
    }
    Ok(records)
}
