//! The event log: every transition is a fixed-size record in a bounded ring, numbered across the node; and the records
//! of how processes ended.
//!
//! Invariants: sequence numbers grow by one and are never reused; the oldest records go first, and a reader who asks
//! for lost ones learns how many. A record gets its number when somebody reads: what happened before that read has
//! lower numbers than what happens after it.

mod exit;

pub use exit::ExitRecord;
pub(crate) use exit::{Exit, Notes};

use crate::pid::Pid;
use crate::shards::Shards;
use crate::term::Term;
use parking_lot::MutexGuard;
use std::collections::{VecDeque, vec_deque};
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

/// The node's event log and exit records.
pub struct EventLog {
    /// A part for each of a few threads.
    parts: Shards<Part>,
    /// Most records of one part.
    max: usize,
    /// Most exit records of one part.
    exits_max: usize,
    /// The last number given; changed by whoever holds all parts.
    sequence: AtomicU64,
    followers: AtomicUsize,
    news: Notify,
}

/// What a thread has recorded, oldest first.
#[derive(Default)]
struct Part {
    events: VecDeque<EventRecord>,
    /// How many of those, from the front, have their number.
    numbered: usize,
    /// How many went without having got one.
    lost: u64,
    exits: VecDeque<Exit>,
    exits_dropped: u64,
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
    /// A log of `max` events and `exits_max` exit records in at least `parts` parts.
    pub(crate) fn new(parts: usize, max: usize, exits_max: usize) -> Self {
        let parts = Shards::new(parts);
        Self {
            max: max.div_ceil(parts.len()).max(1),
            exits_max: exits_max.div_ceil(parts.len()).max(1),
            parts,
            sequence: AtomicU64::new(0),
            followers: AtomicUsize::new(0),
            news: Notify::new(),
        }
    }

    /// Appends a record of what happened at `at_ns`: now.
    pub fn record(&self, at_ns: u64, kind: &'static str, pid: Pid, other: Pid, detail: Term, operation: u64) {
        let event = EventRecord { sequence: 0, at_ns, kind, pid, other, detail, operation };
        let forgotten = self.parts.mine().push(event, self.max);
        drop(forgotten);
        self.tell();
    }

    /// Appends the record of an end and the event of it, which whoever reads sees together.
    pub(crate) fn record_exit(&self, exit: Exit) {
        let event = EventRecord {
            sequence: 0,
            at_ns: exit.at_ns,
            kind: "process.exited",
            pid: exit.pid,
            other: exit.parent,
            detail: exit.reason.clone(),
            operation: exit.notes.as_ref().map_or(0, |notes| notes.operation),
        };
        let forgotten = {
            let mut part = self.parts.mine();
            (part.push_exit(exit, self.exits_max), part.push(event, self.max))
        };
        drop(forgotten);
        self.tell();
    }

    fn tell(&self) {
        if self.followers.load(SeqCst) > 0 {
            self.news.notify_waiters();
        }
    }

    /// What the records take, in bytes.
    pub fn bytes(&self) -> usize {
        let heap = |term: &Term| term.size_bytes() - size_of::<Term>();
        let mut total = 0;
        for part in self.parts.each() {
            let details: usize = part.events.iter().map(|event| heap(&event.detail)).sum();
            let reasons: usize = part.exits.iter().map(|exit| heap(&exit.reason)).sum();
            total += part.events.capacity() * size_of::<EventRecord>() + details;
            total += part.exits.capacity() * size_of::<Exit>() + reasons;
        }
        total
    }

    /// The number of the newest record, 0 for none.
    pub fn last_sequence(&self) -> u64 {
        self.number(&mut self.parts.all())
    }

    /// Gives each record that has none its number, in the order of their times; gives the last. Numbers are given here
    /// and not to each record as it comes, because that would have all threads wait for one counter.
    fn number(&self, parts: &mut [MutexGuard<'_, Part>]) -> u64 {
        let mut sequence = self.sequence.load(Relaxed);
        for part in parts.iter_mut() {
            sequence += std::mem::take(&mut part.lost);
        }
        while let Some(event) =
            parts.iter_mut().min_by_key(|part| part.next_ns()).and_then(|part| part.next())
        {
            sequence += 1;
            event.sequence = sequence;
        }
        self.sequence.store(sequence, Relaxed);
        sequence
    }

    /// Up to `max` records after number `after`, in order.
    pub fn after(&self, after: u64, max: usize) -> Events {
        let mut parts = self.parts.all();
        self.number(&mut parts);
        let later = |part: &Part| part.events.partition_point(|event| event.sequence <= after);
        let mut left: Vec<_> = parts.iter().map(|part| part.events.range(later(part)..)).collect();
        let mut events: Vec<EventRecord> = Vec::new();
        while events.len() < max {
            let number_of =
                |events: &vec_deque::Iter<'_, EventRecord>| events.clone().next().map(|e| e.sequence);
            let next = left.iter_mut().min_by_key(|events| number_of(events).unwrap_or(u64::MAX));
            let Some(event) = next.and_then(Iterator::next) else { break };
            events.push(event.clone());
        }
        let Some(last) = events.last() else { return Events::default() };
        let dropped = last.sequence - after - events.len() as u64;
        Events { events, dropped }
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

    /// How many exit records went because there were too many.
    pub fn exits_dropped(&self) -> u64 {
        self.parts.each().map(|part| part.exits_dropped).sum()
    }

    /// How this process ended, if that is still known.
    pub fn exit_of(&self, pid: Pid) -> Option<ExitRecord> {
        self.parts
            .each()
            .find_map(|part| part.exits.iter().rev().find(|exit| exit.pid == pid).map(Exit::record))
    }

    /// The records for which `wanted` is true, newest first.
    pub fn exits(&self, wanted: impl Fn(&ExitRecord) -> bool, max: usize) -> Vec<ExitRecord> {
        let mut found: Vec<ExitRecord> = Vec::new();
        for part in self.parts.each() {
            found.extend(part.exits.iter().rev().map(Exit::record).filter(&wanted).take(max));
        }
        found.sort_by_key(|record| std::cmp::Reverse(record.at_ns));
        found.truncate(max);
        found
    }
}

impl Part {
    /// Appends an event; gives the one that goes for it, to be dropped without the lock.
    fn push(&mut self, event: EventRecord, max: usize) -> Option<EventRecord> {
        let forgotten = if self.events.len() >= max { self.events.pop_front() } else { None };
        if forgotten.is_some() {
            match self.numbered.checked_sub(1) {
                Some(numbered) => self.numbered = numbered,
                None => self.lost += 1,
            }
        }
        self.events.push_back(event);
        forgotten
    }

    fn push_exit(&mut self, exit: Exit, max: usize) -> Option<Exit> {
        let forgotten = if self.exits.len() >= max { self.exits.pop_front() } else { None };
        self.exits_dropped += u64::from(forgotten.is_some());
        self.exits.push_back(exit);
        forgotten
    }

    /// When the first record without a number happened; later than any where there is none.
    fn next_ns(&self) -> u64 {
        self.events.get(self.numbered).map_or(u64::MAX, |event| event.at_ns)
    }

    /// The first record without a number, which is about to get it.
    fn next(&mut self) -> Option<&mut EventRecord> {
        let event = self.events.get_mut(self.numbered)?;
        self.numbered += 1;
        Some(event)
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
    use std::sync::mpsc::channel;

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

    fn note(log: &EventLog, at_ns: u64) {
        log.record(at_ns, "test", Pid::NONE, Pid::NONE, Term::Null, 0);
    }

    #[test]
    fn records_of_several_threads_are_numbered_by_their_times_and_keep_their_numbers() {
        let log = EventLog::new(4, 400, 1);
        std::thread::scope(|scope| {
            let threads = [(); 4].map(|()| {
                let (turn, turns) = channel();
                let (done, ended) = channel();
                let log = &log;
                scope.spawn(move || {
                    for at_ns in turns {
                        note(log, at_ns);
                        done.send(()).unwrap();
                    }
                });
                (turn, ended)
            });
            // in turn: two threads may have one part, and what is recorded there has happened in that order
            for (at_ns, (turn, ended)) in (1..=40).zip(threads.iter().cycle()) {
                turn.send(at_ns).unwrap();
                ended.recv().unwrap();
            }
        });
        let first = log.after(0, 100);
        let numbers = |events: &Events| events.events.iter().map(|event| event.sequence).collect::<Vec<_>>();
        assert_eq!(numbers(&first), (1..=40).collect::<Vec<_>>());
        assert!(first.events.iter().all(|event| event.sequence == event.at_ns), "{first:?}");
        note(&log, 5);
        assert_eq!(numbers(&log.after(38, 100)), [39, 40, 41], "a record that comes late is no earlier one");
        assert_eq!(log.after(0, 40), first);
    }

    #[test]
    fn a_record_lost_before_anybody_read_counts_as_lost() {
        let log = EventLog::new(1, 3, 1);
        (0..5).for_each(|n| note(&log, n));
        assert_eq!(log.last_sequence(), 5);
        assert_eq!(log.after(1, 10).dropped, 1);
        (5..12).for_each(|n| note(&log, n));
        let read = log.after(5, 10);
        assert_eq!((log.last_sequence(), read.dropped, read.events[0].sequence), (12, 4, 10));
    }
}
