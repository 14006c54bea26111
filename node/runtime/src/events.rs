//! The event log: every transition is a fixed-size record in a bounded ring, numbered across the node; and the records
//! of how processes ended.
//!
//! Invariants: sequence numbers grow by one and are never reused; the oldest records go first, and a reader who asks
//! for lost ones learns how many.

use crate::module::Description;
use crate::pid::Pid;
use crate::term::{Reason, Term};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use tokio::sync::Notify;

/// One transition.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRecord {
    /// Its number on the node, from 1.
    pub sequence: u64,
    /// When, in nanoseconds of the node's clock.
    pub at_ns: u64,
    /// What happened, as a `CloudEvents` type without prefix: `process.started`, `supervisor.child_restarted`.
    pub kind: &'static str,
    /// The process it is about.
    pub pid: Pid,
    /// The other process in it, if any: a parent, a child, a holder.
    pub other: Pid,
    /// The exit reason, the name, the child's id.
    pub detail: Term,
    /// The operation that caused it, 0 for none.
    pub operation: u64,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub struct ExitRecord {
    /// The process.
    pub pid: Pid,
    /// Why.
    pub reason: Reason,
    /// When, in nanoseconds of the node's clock.
    pub at_ns: u64,
    /// When it began, in milliseconds of the node's clock.
    pub started_ms: u32,
    /// What it ran.
    pub code: Arc<Description>,
    /// Its local name.
    pub name: Option<Arc<str>>,
    /// Its key.
    pub key: Option<Arc<str>>,
    /// Who started it.
    pub parent: Pid,
    /// Its id under its supervisor.
    pub child_id: Option<Term>,
    /// What a crash said of itself, with its backtrace.
    pub error: Option<Arc<str>>,
    /// Messages that were lost with it.
    pub messages_lost: usize,
    /// Its labels at the end.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Turns that it had.
    pub turns: u32,
    /// Which life of its supervised child it was, from 1; 0 where nobody supervised it.
    pub incarnation: u64,
    /// The operation that ended it, 0 for none.
    pub operation: u64,
}

struct Ring {
    events: VecDeque<EventRecord>,
}

/// The node's event log and exit records.
pub struct EventLog {
    ring: Mutex<Ring>,
    max: usize,
    sequence: AtomicU64,
    exits: Mutex<VecDeque<ExitRecord>>,
    exits_max: usize,
    exits_dropped: AtomicU64,
    followers: AtomicUsize,
    news: Notify,
}

/// Events after a position.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Events {
    /// In order.
    pub events: Vec<EventRecord>,
    /// How many between the position and the first of them are lost.
    pub dropped: u64,
}

/// Keeps [`EventLog::changed`] awake while somebody follows.
pub struct Follower<'a>(&'a EventLog);

impl EventLog {
    pub(crate) fn new(max: usize, exits_max: usize) -> Self {
        Self {
            ring: Mutex::new(Ring { events: VecDeque::new() }),
            max: max.max(1),
            sequence: AtomicU64::new(0),
            exits: Mutex::new(VecDeque::new()),
            exits_max: exits_max.max(1),
            exits_dropped: AtomicU64::new(0),
            followers: AtomicUsize::new(0),
            news: Notify::new(),
        }
    }

    /// Appends a record; gives its number.
    pub fn record(
        &self,
        at_ns: u64,
        kind: &'static str,
        pid: Pid,
        other: Pid,
        detail: Term,
        operation: u64,
    ) -> u64 {
        let sequence = {
            let mut ring = self.ring.lock();
            let sequence = self.sequence.load(Relaxed) + 1;
            self.sequence.store(sequence, Relaxed);
            if ring.events.len() >= self.max {
                ring.events.pop_front();
            }
            ring.events.push_back(EventRecord { sequence, at_ns, kind, pid, other, detail, operation });
            sequence
        };
        if self.followers.load(SeqCst) > 0 {
            self.news.notify_waiters();
        }
        sequence
    }

    /// What the records take, in bytes.
    pub fn bytes(&self) -> usize {
        let heap = |term: &Term| term.size_bytes() - size_of::<Term>();
        let ring = self.ring.lock();
        let events = ring.events.capacity() * size_of::<EventRecord>();
        let details: usize = ring.events.iter().map(|event| heap(&event.detail)).sum();
        drop(ring);
        let exits = self.exits.lock();
        let reasons: usize = exits.iter().map(|record| heap(&record.reason)).sum();
        events + details + exits.capacity() * size_of::<ExitRecord>() + reasons
    }

    /// The number of the newest record, 0 for none.
    pub fn last_sequence(&self) -> u64 {
        self.sequence.load(Relaxed)
    }

    /// Up to `max` records after number `after`.
    pub fn after(&self, after: u64, max: usize) -> Events {
        let ring = self.ring.lock();
        let Some(first) = ring.events.front().map(|event| event.sequence) else { return Events::default() };
        let dropped = (first - 1).saturating_sub(after);
        let skip = usize::try_from((after + 1).saturating_sub(first)).unwrap_or(usize::MAX);
        Events { events: ring.events.iter().skip(skip).take(max).cloned().collect(), dropped }
    }

    /// Says that somebody follows, until the follower is dropped.
    pub fn follow(&self) -> Follower<'_> {
        self.followers.fetch_add(1, SeqCst);
        Follower(self)
    }

    /// Waits for the next record. Make the future before reading, so that nothing is missed.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.news.notified()
    }

    pub(crate) fn record_exit(&self, record: ExitRecord) {
        let mut exits = self.exits.lock();
        if exits.len() >= self.exits_max {
            exits.pop_front();
            self.exits_dropped.fetch_add(1, Relaxed);
        }
        exits.push_back(record);
    }

    /// How many exit records went because there were too many.
    pub fn exits_dropped(&self) -> u64 {
        self.exits_dropped.load(Relaxed)
    }

    /// How this process ended, if that is still known.
    pub fn exit_of(&self, pid: Pid) -> Option<ExitRecord> {
        self.exits.lock().iter().rev().find(|record| record.pid == pid).cloned()
    }

    /// The records for which `wanted` is true, newest first.
    pub fn exits(&self, wanted: impl Fn(&ExitRecord) -> bool, max: usize) -> Vec<ExitRecord> {
        self.exits.lock().iter().rev().filter(|record| wanted(record)).take(max).cloned().collect()
    }
}

impl Drop for Follower<'_> {
    fn drop(&mut self) {
        self.0.followers.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_of_lost_records_learns_how_many() {
        let log = EventLog::new(3, 1);
        for _ in 0..5 {
            log.record(0, "test", Pid::NONE, Pid::NONE, Term::Null, 0);
        }
        let read = log.after(0, 10);
        assert_eq!((read.dropped, read.events.len(), read.events[0].sequence), (2, 3, 3));
        assert_eq!(log.after(3, 10).events.len(), 2);
        assert_eq!(log.after(4, 10).dropped, 0);
        assert_eq!(log.after(9, 10), Events::default());
    }
}
