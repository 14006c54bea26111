//! Aliases: the addresses of requests from outside that wait for an answer. To a process an alias is a pid like any
//! other; what is sent to it resolves the request, or is dropped once nobody waits.

use crate::dead_letters::DeadLetterReason;
use crate::message::{Kind, Signal};
use crate::node::Node;
use crate::pid::{Pid, Ref};
use crate::remote::NOCONNECTION;
use crate::term::{Reason, Term};
use crate::wakes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::poll_fn;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

/// The answer to a request from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The reply.
    Reply(Term),
    /// The process ended first, or was not there (`noproc`), or the request was taken out of its mailbox (`flushed`).
    Down(Reason),
}

const SHARDS: usize = 16;

type Shard = Mutex<HashMap<u64, Arc<Arrival>, BuildHasherDefault<Serials>>>;

/// All waiting requests of a node.
pub(crate) struct Aliases {
    shards: [Shard; SHARDS],
    next: AtomicU64,
    waiting: AtomicUsize,
    max: usize,
}

/// A request that waits; it is given up when this is dropped.
pub(crate) struct Waiting<'a> {
    node: &'a Node,
    pub(crate) alias: Pid,
    pub(crate) reference: Ref,
    pub(crate) server: Pid,
    arrival: Arc<Arrival>,
}

/// Where the answer to one request arrives.
#[derive(Default)]
struct Arrival {
    /// Who was asked.
    server: Pid,
    arriving: Mutex<Arriving>,
}

#[derive(Default)]
struct Arriving {
    answer: Option<Answer>,
    /// Who replied.
    replier: Pid,
    waker: Option<Waker>,
    /// Who wakes, if the thread that waits gathers its wake-ups.
    gatherer: Option<Arc<wakes::Queue>>,
}

/// The serials of aliases are counted, not chosen by anybody: they need no hash against collisions.
#[derive(Default)]
struct Serials(u64);

impl Hasher for Serials {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, serial: u64) {
        // the table takes its bucket from the low bits and a tag from the high ones
        self.0 = (serial / SHARDS as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Arrival {
    fn arrive(&self, from: Pid, answer: Answer) {
        let mut arriving = self.arriving.lock();
        arriving.answer = Some(answer);
        arriving.replier = from;
        let Some(waker) = arriving.waker.take() else { return };
        let gatherer = arriving.gatherer.take();
        drop(arriving);
        match gatherer {
            Some(gatherer) => gatherer.push(waker),
            None => waker.wake(),
        }
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<Answer> {
        let mut arriving = self.arriving.lock();
        if let Some(answer) = arriving.answer.take() {
            return Poll::Ready(answer);
        }
        if !arriving.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            arriving.waker = Some(context.waker().clone());
            arriving.gatherer = wakes::here();
        }
        Poll::Pending
    }
}

impl Aliases {
    pub(crate) fn new(max: usize) -> Self {
        Self { shards: Default::default(), next: AtomicU64::new(1), waiting: AtomicUsize::new(0), max }
    }

    fn shard(&self, alias: Pid) -> &Shard {
        &self.shards[alias.serial as usize % SHARDS]
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    pub(crate) fn open<'a>(&self, node: &'a Node, server: Pid) -> Option<Waiting<'a>> {
        if self.waiting.fetch_add(1, Relaxed) >= self.max {
            self.waiting.fetch_sub(1, Relaxed);
            return None;
        }
        let alias = Pid::alias(node.id(), node.incarnation(), self.next.fetch_add(1, Relaxed));
        let arrival = Arc::new(Arrival { server, arriving: Mutex::default() });
        self.shard(alias).lock().insert(alias.serial, Arc::clone(&arrival));
        Some(Waiting { node, alias, reference: node.new_ref(), server, arrival })
    }

    fn take(&self, alias: Pid) -> Option<Arc<Arrival>> {
        let arrival = self.shard(alias).lock().remove(&alias.serial);
        if arrival.is_some() {
            self.waiting.fetch_sub(1, Relaxed);
        }
        arrival
    }

    /// Ends the requests to processes of a node that is out of reach.
    pub(crate) fn cut(&self, node: u32) {
        for shard in &self.shards {
            let mut waiting = shard.lock();
            let lost: Vec<u64> = waiting
                .iter()
                .filter(|(_, arrival)| arrival.server.node == node)
                .map(|(serial, _)| *serial)
                .collect();
            let lost: Vec<_> = lost.into_iter().filter_map(|serial| waiting.remove(&serial)).collect();
            drop(waiting);
            self.waiting.fetch_sub(lost.len(), Relaxed);
            lost.into_iter().for_each(|arrival| arrival.arrive(Pid::NONE, Answer::Down(NOCONNECTION)));
        }
    }

    pub(crate) fn deliver(&self, node: &Node, alias: Pid, signal: Signal) {
        match signal {
            Signal::Message(message) if message.kind == Kind::Reply => match self.take(alias) {
                Some(arrival) => {
                    if let Some(reference) = message.reference
                        && arrival.server != message.from
                        && arrival.server.serial != 0
                    {
                        node.with_outbox(|out| out.retract(node, arrival.server, alias, reference));
                    }
                    arrival.arrive(message.from, Answer::Reply(message.payload));
                }
                None => {
                    node.count_late_reply();
                    node.lost(Pid::NONE, [message], DeadLetterReason::Expired);
                }
            },
            Signal::Down { from, reason, .. } => match self.take(alias) {
                Some(arrival) => arrival.arrive(from, Answer::Down(reason)),
                None => node.count_late_reply(),
            },
            _ => {}
        }
    }
}

impl Waiting<'_> {
    /// Who answered.
    pub(crate) fn replier(&self) -> Pid {
        self.arrival.arriving.lock().replier
    }

    /// Waits for the answer.
    pub(crate) async fn answer(&mut self) -> Answer {
        poll_fn(|context| self.arrival.poll(context)).await
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.node.aliases().take(self.alias).is_some() {
            let signal = Signal::Demonitor { watcher: self.alias, reference: self.reference };
            self.node.send_signal(self.server, signal);
        }
    }
}
