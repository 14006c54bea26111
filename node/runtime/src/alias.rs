//! Aliases: the addresses of requests from outside that wait for an answer. To a process an alias is a pid like any
//! other; what is sent to it resolves the request, or is dropped once nobody waits.

use crate::message::{Kind, Message, Signal};
use crate::node::Node;
use crate::pid::{Pid, Ref};
use crate::term::{Reason, Term};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use tokio::sync::oneshot;

/// The answer to a request from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The reply.
    Reply(Term),
    /// The process ended first, or was not there (`noproc`), or the request was taken out of its mailbox (`flushed`).
    Down(Reason),
}

const SHARDS: usize = 16;

/// All waiting requests of a node.
pub(crate) struct Aliases {
    shards: [Mutex<HashMap<u64, oneshot::Sender<Answer>>>; SHARDS],
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
    pub(crate) answer: oneshot::Receiver<Answer>,
}

impl Aliases {
    pub(crate) fn new(max: usize) -> Self {
        Self { shards: Default::default(), next: AtomicU64::new(1), waiting: AtomicUsize::new(0), max }
    }

    fn shard(&self, alias: Pid) -> &Mutex<HashMap<u64, oneshot::Sender<Answer>>> {
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
        let (sender, answer) = oneshot::channel();
        self.shard(alias).lock().insert(alias.serial, sender);
        Some(Waiting { node, alias, reference: node.new_ref(), server, answer })
    }

    fn take(&self, alias: Pid) -> Option<oneshot::Sender<Answer>> {
        let waiter = self.shard(alias).lock().remove(&alias.serial);
        if waiter.is_some() {
            self.waiting.fetch_sub(1, Relaxed);
        }
        waiter
    }

    pub(crate) fn deliver(&self, node: &Node, alias: Pid, signal: Signal) {
        let answer = match signal {
            Signal::Message(Message { kind: Kind::Reply, payload, .. }) => Answer::Reply(payload),
            Signal::Down { reason, .. } => Answer::Down(reason),
            _ => return,
        };
        if let Some(waiter) = self.take(alias) {
            // a receiver that went away no longer wants it
            let _ = waiter.send(answer);
        } else {
            node.count_late_reply();
        }
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
