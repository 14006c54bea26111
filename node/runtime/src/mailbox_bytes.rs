//! The bounds of mailboxes in bytes: what the ordinary messages of a process may weigh together.
//!
//! Only processes that have such a bound are counted, and only they own anything here: the others pay nothing, neither
//! bytes nor a look. What a message weighs is [`Term::content_bytes`](crate::term::Term::content_bytes) of its payload,
//! which does not change while it waits.
//!
//! Invariant: `held` is the weight of the ordinary messages in the inbound and the inner queue. It grows under the lock
//! of the inbound queue and shrinks under that of the signal state, in which the messages are taken out.

use crate::core::Core;
use crate::inbound::Inbound;
use crate::limits::MailboxLimit;
use crate::message::{Message, Signal};
use crate::node::Node;
use crate::pid::Pid;
use crate::process::{Process, ProcessRef, flag};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What one mailbox may hold, and holds.
#[derive(Debug)]
pub(crate) struct ByteBound {
    max: u64,
    held: AtomicU64,
}

impl ByteBound {
    fn fits(&self, message: &Message) -> bool {
        self.held.load(Relaxed).saturating_add(weight(message)) <= self.max
    }

    pub(crate) fn put(&self, message: &Message) {
        if message.kind.is_ordinary() {
            self.held.fetch_add(weight(message), Relaxed);
        }
    }

    pub(crate) fn taken(&self, message: &Message) {
        if message.kind.is_ordinary() {
            self.held.fetch_sub(weight(message), Relaxed);
        }
    }
}

fn weight(message: &Message) -> u64 {
    message.payload.content_bytes() as u64
}

/// The bounds in bytes of the node's mailboxes, by process: a sender looks here while it may not look at the
/// receiver's signal state.
#[derive(Default)]
pub(crate) struct ByteBounds(Mutex<BTreeMap<Pid, Arc<ByteBound>>>);

impl ByteBounds {
    fn of(&self, process: &Process) -> Option<Arc<ByteBound>> {
        process.has(flag::BYTES_BOUND).then(|| self.0.lock().get(&process.pid).cloned()).flatten()
    }

    /// The process has ended, and its inbound queue is closed.
    pub(crate) fn forget(&self, process: &Process) {
        if process.has(flag::BYTES_BOUND) {
            self.0.lock().remove(&process.pid);
        }
    }
}

/// `messages_max` of an inbound queue that is bounded in bytes alone: whoever has no bound at all has 0 there.
const BYTES_ALONE: u32 = u32::MAX;

impl MailboxLimit {
    /// As the inbound queue keeps it.
    pub(crate) fn of_inbound(self) -> u32 {
        if self.messages_max == 0 && self.bytes_max > 0 { BYTES_ALONE } else { self.messages_max }
    }
}

/// Moves what a bounded mailbox takes out of `signals` into the inbound queue, and gives what it does not take.
#[cold]
pub(crate) fn admit(
    node: &Node,
    to: &Process,
    inbound: &mut Inbound,
    signals: &mut Vec<Signal>,
) -> Vec<Message> {
    let bytes = node.byte_bounds().of(to);
    let max = inbound.messages_max as usize;
    let mut refused = Vec::new();
    for signal in signals.drain(..) {
        match signal {
            Signal::Message(message) if message.kind.is_ordinary() => {
                let full = to.queue_len.load(Relaxed) as usize + inbound.messages() >= max;
                if full || bytes.as_ref().is_some_and(|bytes| !bytes.fits(&message)) {
                    refused.push(message);
                    continue;
                }
                if let Some(bytes) = &bytes {
                    bytes.put(&message);
                }
                inbound.push(Signal::Message(message), node.coarse_ms());
            }
            signal => inbound.push(signal, node.coarse_ms()),
        }
    }
    refused
}

impl Node {
    /// Whether the mailbox of a process has no room for this message just now.
    pub fn has_no_room(&self, process: &ProcessRef, message: &Message) -> bool {
        let max = process.0.inbound.lock().messages_max;
        max > 0
            && message.kind.is_ordinary()
            && (process.0.message_count() >= max as usize
                || self.byte_bounds().of(&process.0).is_some_and(|bytes| !bytes.fits(message)))
    }

    /// The bound of a mailbox, if it has one.
    pub fn mailbox_limit(&self, process: &ProcessRef) -> Option<MailboxLimit> {
        let inbound = process.0.inbound.lock();
        self.limit_of(&process.0, &inbound)
    }

    fn limit_of(&self, process: &Process, inbound: &Inbound) -> Option<MailboxLimit> {
        let messages_max = if inbound.messages_max == BYTES_ALONE { 0 } else { inbound.messages_max };
        let bytes_max = self.byte_bounds().of(process).map_or(0, |bytes| bytes.max);
        (inbound.messages_max > 0).then_some(MailboxLimit { messages_max, bytes_max })
    }

    /// Sets or removes the bound of a mailbox; gives the old one. What waits already stays, however much it is.
    pub fn set_mailbox_limit(
        &self,
        process: &ProcessRef,
        limit: Option<MailboxLimit>,
    ) -> Option<MailboxLimit> {
        let process = &process.0;
        let mut core = process.core.lock();
        let mut inbound = process.inbound.lock();
        let old = self.limit_of(process, &inbound);
        if inbound.is_closed() {
            return old;
        }
        let limit = limit.unwrap_or_default();
        inbound.messages_max = limit.of_inbound();
        self.bound_bytes(process, &mut core, &inbound, limit.bytes_max);
        old
    }

    fn bound_bytes(&self, process: &Process, core: &mut Core, inbound: &Inbound, max: u64) {
        let was_bound = process.set(flag::BYTES_BOUND, max > 0);
        if max == 0 {
            if was_bound {
                self.byte_bounds().0.lock().remove(&process.pid);
                core.extras_mut().byte_bound = None;
            }
            return;
        }
        let arrived = inbound.iter().filter_map(|signal| match signal {
            Signal::Message(message) => Some(message),
            _ => None,
        });
        let waiting = core.inner.iter().chain(arrived).filter(|message| message.kind.is_ordinary());
        let bound = Arc::new(ByteBound { max, held: AtomicU64::new(waiting.map(weight).sum()) });
        core.extras_mut().byte_bound = Some(Arc::clone(&bound));
        self.byte_bounds().0.lock().insert(process.pid, bound);
    }
}
