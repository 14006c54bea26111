//! Mailbox surgery: peek, drain, filter, reorder, compact. Each is one step between two turns, on the inner queue, with
//! all that has arrived in it; the process may be busy, paused or suspended meanwhile.

use crate::dead_letters::DeadLetterReason;
use crate::limits::MailboxLimit;
use crate::message::{Kind, Message, Signal};
use crate::node::Node;
use crate::pid::Pid;
use crate::process::ProcessRef;
use crate::term::Term;
use std::collections::HashMap;
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

    /// Takes out up to `max` ordinary messages for which `doomed` is true, oldest first, and puts copies among the dead
    /// letters. Whoever waits on a call among them is told at once. With `signals` the EXIT, DOWN and other system
    /// messages go too.
    pub fn extract(
        &self,
        process: &ProcessRef,
        reason: DeadLetterReason,
        signals: bool,
        max: usize,
        mut doomed: impl FnMut(&Message) -> bool,
    ) -> Vec<Message> {
        let taken = self.with_core(&process.0, |core, outbox| {
            let taken = core.inner.extract(max, |message| {
                (message.kind.is_ordinary() || (signals && message.kind != Kind::System)) && doomed(message)
            });
            for call in
                taken.iter().filter(|message| message.kind == Kind::Call).filter_map(Message::reply_to)
            {
                let object = Term::Pid(process.pid());
                let down = Signal::Down { reference: call.reference, object, reason: Term::Atom("flushed") };
                outbox.send(self, call.to, down);
            }
            taken
        });
        self.dead_letters().add(process.pid(), taken.iter().cloned(), reason, self.now_ns());
        taken
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

    /// Gives back spare capacity and lets equal payloads share one; bytes before and after.
    pub fn compact_mailbox(&self, process: &ProcessRef) -> (usize, usize) {
        self.with_core(&process.0, |core, _| {
            let before = core.inner.bytes();
            let mut seen: HashMap<String, Term> = HashMap::new();
            let mut shared = 0;
            for message in core.inner.iter_mut() {
                let size = message.payload.size_bytes();
                match seen.get(&message.payload.to_string()) {
                    Some(same) if *same == message.payload => {
                        message.payload = same.clone();
                        shared += size - size_of::<Term>();
                    }
                    _ => {
                        seen.insert(message.payload.to_string(), message.payload.clone());
                    }
                }
            }
            core.inner.shrink();
            (before, core.inner.bytes().saturating_sub(shared))
        })
    }

    /// Sizes of the mailbox.
    pub fn mailbox_stats(&self, process: &ProcessRef) -> MailboxStats {
        let max = process.0.inbound.lock().messages_max;
        let now = self.now_ms();
        self.with_core(&process.0, |core, _| MailboxStats {
            messages: core.inner.len(),
            bytes: core.inner.bytes() - core.inner.spare_bytes(),
            oldest_ms: core.inner.iter().map(|message| now.wrapping_sub(message.arrived_ms)).max(),
            dropped: core.extras().map_or(0, |extras| extras.dropped),
            turns: process.0.turns.load(Relaxed),
            limit: (max > 0).then_some(MailboxLimit { messages_max: max }),
        })
    }

    /// Sets or removes the bound of a mailbox; gives the old one.
    pub fn set_mailbox_limit(
        &self,
        process: &ProcessRef,
        limit: Option<MailboxLimit>,
    ) -> Option<MailboxLimit> {
        let mut inbound = process.0.inbound.lock();
        let new = limit.map_or(0, |limit| limit.messages_max);
        let old = std::mem::replace(&mut inbound.messages_max, new);
        (old > 0).then_some(MailboxLimit { messages_max: old })
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
