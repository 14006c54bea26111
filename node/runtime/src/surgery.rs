//! Mailbox surgery: peek, drain, filter, reorder, compact. Each is one step between two turns, on the inner queue, with
//! all that has arrived in it; the process may be busy, paused or suspended meanwhile.

use crate::dead_letters::DeadLetterReason;
use crate::limits::MailboxLimit;
use crate::message::{Kind, Message, Signal};
use crate::node::Node;
use crate::pid::Pid;
use crate::process::{ProcessRef, flag};
use crate::term::Term;
use std::sync::atomic::Ordering::Relaxed;

/// Sizes of a mailbox.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct MailboxStats {
    /// Messages that wait.
    pub messages: usize,
    /// Bytes that they cost.
    pub bytes: usize,
    /// Age of the oldest, in milliseconds.
    pub oldest_ms: Option<u32>,
    /// Messages refused by its limit.
    pub dropped: u64,
    /// Turns that the process has had.
    pub turns: u32,
    /// Its limit.
    pub limit: Option<MailboxLimit>,
}

/// Which messages surgery takes out, and what becomes of them.
#[derive(Clone, Copy, Debug)]
pub struct Extraction {
    /// What the dead letters say.
    pub reason: DeadLetterReason,
    /// EXIT and DOWN messages go too.
    pub signals: bool,
    /// How many go at most, oldest first.
    pub max: usize,
    /// How many have to go, if that is to be checked.
    pub expected: Option<usize>,
    /// The operation, 0 for none.
    pub operation: u64,
}

impl Extraction {
    /// All ordinary messages.
    pub const fn new(reason: DeadLetterReason) -> Self {
        Self { reason, signals: false, max: usize::MAX, expected: None, operation: 0 }
    }

    /// Whether it may take such a message at all: system requests and replies stay, whoever asks.
    pub fn may_take(&self, message: &Message) -> bool {
        message.kind.is_ordinary() || (self.signals && matches!(message.kind, Kind::Exit | Kind::Down))
    }
}

/// Other than the expected number of messages would be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{found} messages match, not {expected}")]
pub struct UnexpectedCount {
    /// How many were expected.
    pub expected: usize,
    /// How many there are.
    pub found: usize,
}

/// How long messages waited before they were handled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waits {
    /// How many were measured.
    pub messages: u64,
    /// What they waited together, in milliseconds.
    pub total_ms: u64,
}

/// What has passed through a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueCounters {
    /// When this was read, in nanoseconds of the node's clock.
    pub at_ns: u64,
    /// Messages that wait.
    pub waiting: usize,
    /// The most that ever waited.
    pub high_water: u32,
    /// Messages that entered the mailbox; wraps.
    pub received: u32,
    /// Messages that surgery took out.
    pub removed: u64,
    /// Messages that the mailbox's bound refused.
    pub refused: u64,
    /// Of messages handled since [`Node::measure_waits`].
    pub waits: Waits,
}

impl QueueCounters {
    /// Messages that were handled so far; wraps as `received` does.
    pub fn handled(&self) -> u32 {
        self.received.wrapping_sub(self.waiting as u32).wrapping_sub(self.removed as u32)
    }
}

impl Node {
    /// A copy of the messages that wait, in the order in which they will be handled, each as `look` wants it.
    pub fn mailbox<R>(
        &self,
        process: &ProcessRef,
        mut look: impl FnMut(usize, &Message) -> Option<R>,
    ) -> Vec<R> {
        self.with_core(&process.0, |core, _| {
            core.inner.iter().enumerate().filter_map(|(position, message)| look(position, message)).collect()
        })
    }

    /// Copies of the messages that wait with a number above `number`, in the order in which they will be handled: `max` at
    /// most, and none behind the one that makes them weigh `bytes_max`.
    pub fn mailbox_after(
        &self,
        process: &ProcessRef,
        number: u32,
        max: usize,
        bytes_max: usize,
    ) -> Vec<Message> {
        let mut bytes = 0;
        let mut fits = |message: &&Message| {
            let fits = bytes < bytes_max;
            bytes += message.size_bytes();
            fits
        };
        self.with_core(&process.0, |core, _| {
            let later = core.inner.iter().filter(|message| message.number > number);
            later.take(max).take_while(&mut fits).cloned().collect()
        })
    }

    /// Messages that wait.
    pub fn queue_length(&self, process: &ProcessRef) -> usize {
        self.with_core(&process.0, |core, _| core.inner.len())
    }

    /// How many messages have entered the mailbox so far, the number of the last one; wraps.
    pub fn messages_received(&self, process: &ProcessRef) -> u32 {
        self.with_core(&process.0, |core, _| core.received)
    }

    /// How many messages the mailbox's bound has refused.
    pub fn messages_refused(&self, process: &ProcessRef) -> u64 {
        process.0.core.lock().extras().map_or(0, |extras| extras.dropped)
    }

    /// Whether one of the messages that wait is one that the process waits for.
    pub fn waits_for_any(&self, process: &ProcessRef) -> bool {
        self.with_core(&process.0, |core, _| {
            core.inner.iter().any(|message| core.receive.filter.admits(message))
        })
    }

    /// Takes out up to `max` ordinary messages for which `doomed` is true, oldest first, and puts copies among the dead
    /// letters. Whoever waits on a call among them is told at once. With `signals` the EXIT and DOWN messages go too.
    pub fn extract(
        &self,
        process: &ProcessRef,
        reason: DeadLetterReason,
        signals: bool,
        max: usize,
        doomed: impl FnMut(&Message) -> bool,
    ) -> Vec<Message> {
        let how = Extraction { signals, max, ..Extraction::new(reason) };
        // without an expected count nothing is refused
        self.extract_expected(process, &how, doomed).unwrap_or_default()
    }

    /// As [`Node::extract`], in one step with the check of how many would go.
    ///
    /// # Errors
    /// Other than the expected number of messages would go; none went.
    pub fn extract_expected(
        &self,
        process: &ProcessRef,
        how: &Extraction,
        mut doomed: impl FnMut(&Message) -> bool,
    ) -> Result<Vec<Message>, UnexpectedCount> {
        let mut goes = |message: &Message| how.may_take(message) && doomed(message);
        let taken = self.with_core(&process.0, |core, outbox| {
            if let Some(expected) = how.expected {
                let found = core.inner.iter().filter(|message| goes(message)).count().min(how.max);
                if found != expected {
                    return Err(UnexpectedCount { expected, found });
                }
            }
            let taken = core.inner.extract(how.max, goes);
            if !taken.is_empty() {
                core.extras_mut().removed += taken.len() as u64;
                taken.iter().for_each(|message| core.weigh_out(message));
            }
            for call in
                taken.iter().filter(|message| message.kind == Kind::Call).filter_map(Message::reply_to)
            {
                let object = Term::Pid(process.pid());
                let (reference, reason) = (call.reference, Term::Atom("flushed"));
                let down = Signal::Down { reference, from: process.pid(), object, reason };
                outbox.send(self, call.to, down);
            }
            Ok(taken)
        })?;
        self.dead_letters().add(
            process.pid(),
            taken.iter().cloned(),
            how.reason,
            self.now_ns(),
            how.operation,
        );
        Ok(taken)
    }

    /// What has passed through a mailbox so far.
    pub fn queue_counters(&self, process: &ProcessRef) -> QueueCounters {
        self.with_core(&process.0, |core, _| {
            let extras = core.extras();
            QueueCounters {
                at_ns: self.now_ns(),
                waiting: core.inner.len(),
                high_water: core.high_water,
                received: core.received,
                removed: extras.map_or(0, |extras| extras.removed),
                refused: extras.map_or(0, |extras| extras.dropped),
                waits: extras.map(|extras| extras.waits).unwrap_or_default(),
            }
        })
    }

    /// From now on, or no longer, adds up how long the process's messages wait: a reading of the clock for each.
    pub fn measure_waits(&self, process: &ProcessRef, on: bool) {
        process.0.set(flag::MEASURED, on);
    }

    /// Reorders stably: `rank` gives each message's rank; lower ones are handled first. Gives how many messages moved.
    pub fn reorder<K: Ord + Clone>(&self, process: &ProcessRef, rank: impl FnMut(&Message) -> K) -> usize {
        self.with_core(&process.0, |core, _| {
            let ranks: Vec<K> = core.inner.iter().map(rank).collect();
            let mut order: Vec<usize> = (0..ranks.len()).collect();
            order.sort_by(|a, b| ranks[*a].cmp(&ranks[*b]));
            core.inner.reorder(ranks);
            order.iter().enumerate().filter(|(to, from)| to != *from).count()
        })
    }

    /// Sizes of the mailbox.
    pub fn mailbox_stats(&self, process: &ProcessRef) -> MailboxStats {
        let limit = self.mailbox_limit(process);
        let now = self.now_ms();
        self.with_core(&process.0, |core, _| MailboxStats {
            messages: core.inner.len(),
            bytes: core.inner.bytes() - core.inner.spare_bytes(),
            oldest_ms: core.inner.iter().map(|message| now.wrapping_sub(message.arrived_ms)).max(),
            dropped: core.extras().map_or(0, |extras| extras.dropped),
            turns: process.0.turns.load(Relaxed),
            limit,
        })
    }

    /// How many messages each process has sent to each other one, as far as the bounded table goes.
    pub fn traffic(&self, wanted: impl Fn(Pid, Pid) -> bool) -> Vec<crate::traffic::Traffic> {
        let mut all: Vec<_> = self.traffic_tables().iter().flat_map(|table| table.list(&wanted)).collect();
        // what came in a row from the last sender is still with the receiver
        self.table().visit(0, |process| {
            let core = process.core.lock();
            let (run, to, last_ms) = (core.current_run(), process.pid, core.last_message_ms);
            if run.counts() && wanted(run.from, to) {
                let (count, calls) = (u64::from(run.messages), u64::from(run.calls));
                all.push(crate::traffic::Traffic { from: run.from, to, count, calls, last_ms });
            }
            true
        });
        all.sort_by_key(|traffic| (traffic.from, traffic.to));
        all.dedup_by(|b, a| {
            let same = (a.from, a.to) == (b.from, b.to);
            if same {
                a.count += b.count;
                a.calls += b.calls;
                a.last_ms = a.last_ms.max(b.last_ms);
            }
            same
        });
        all
    }
}
