//! The event log: every transition is a fixed-size record in a bounded ring, numbered across the node; and the records
//! of how processes ended.
//!
//! Invariants: sequence numbers grow by one and are never reused; the oldest records go first, and a reader who asks
//! for lost ones learns how many.

use crate::module::Description;
use crate::pid::Pid;
use crate::shards::Shards;
use crate::term::{Reason, Term};
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

/// The node's event log and exit records.
pub struct EventLog {
    /// A ring for each of a few threads; a number is given under the ring's lock, so that whoever holds all locks misses
    /// none.
    rings: Shards<VecDeque<EventRecord>>,
    /// Of one ring.
    max: usize,
    sequence: AtomicU64,
    exits: Shards<VecDeque<ExitRecord>>,
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
    /// A log of `max` events and `exits_max` exit records in `shards` parts.
    pub(crate) fn new(shards: usize, max: usize, exits_max: usize) -> Self {
        let shards = shards.max(1);
        Self {
            rings: Shards::new(shards),
            max: max.div_ceil(shards).max(1),
            sequence: AtomicU64::new(0),
            exits: Shards::new(shards),
            exits_max: exits_max.div_ceil(shards).max(1),
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
            let mut ring = self.rings.mine();
            let sequence = self.sequence.fetch_add(1, Relaxed) + 1;
            if ring.len() >= self.max {
                ring.pop_front();
            }
            ring.push_back(EventRecord { sequence, at_ns, kind, pid, other, detail, operation });
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
        let mut total = 0;
        for ring in self.rings.each() {
            let details: usize = ring.iter().map(|event| heap(&event.detail)).sum();
            total += ring.capacity() * size_of::<EventRecord>() + details;
        }
        for exits in self.exits.each() {
            let reasons: usize = exits.iter().map(|record| heap(&record.reason)).sum();
            total += exits.capacity() * size_of::<ExitRecord>() + reasons;
        }
        total
    }

    /// The number of the newest record, 0 for none.
    pub fn last_sequence(&self) -> u64 {
        self.sequence.load(Relaxed)
    }

    /// Up to `max` records after number `after`, in order.
    pub fn after(&self, after: u64, max: usize) -> Events {
        let rings = self.rings.all();
        let mut events: Vec<&EventRecord> = Vec::new();
        for ring in &rings {
            let from = ring.partition_point(|event| event.sequence <= after);
            events.extend(ring.range(from..));
        }
        events.sort_unstable_by_key(|event| event.sequence);
        events.truncate(max);
        let Some(last) = events.last() else { return Events::default() };
        let dropped = last.sequence - after - events.len() as u64;
        Events { events: events.into_iter().cloned().collect(), dropped }
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
        let mut exits = self.exits.mine();
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
        self.exits.each().find_map(|exits| exits.iter().rev().find(|record| record.pid == pid).cloned())
    }

    /// The records for which `wanted` is true, newest first.
    pub fn exits(&self, wanted: impl Fn(&ExitRecord) -> bool, max: usize) -> Vec<ExitRecord> {
        let mut found: Vec<ExitRecord> = Vec::new();
        for exits in self.exits.each() {
            found.extend(exits.iter().rev().filter(|record| wanted(record)).take(max).cloned());
        }
        found.sort_by_key(|record| std::cmp::Reverse(record.at_ns));
        found.truncate(max);
        found
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
        let log = EventLog::new(1, 3, 1);
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
