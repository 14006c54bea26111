//! Signals on their way out of a turn, batched by receiver, and what answers a signal to nobody.
//!
//! Invariants: signals leave in the order in which they were pushed; a batch holds consecutive signals to one receiver.
//! No lock of the sender is needed to flush, and the caller holds none of another process.

use crate::crowd::toll;
use crate::dead_letters::DeadLetterReason;
use crate::message::{Kind, Message, Signal};
use crate::node::Node;
use crate::passage::Note;
use crate::pid::{Pid, Ref};
use crate::process::{Code, Process};
use crate::recent::Recent;
use crate::remote::{NOCONNECTION, Queue};
use crate::term::Term;
use crate::traffic::Run;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Outbox {
    receiver: Option<Arc<Process>>,
    batch: Vec<Signal>,
    /// Processes that became runnable.
    pub(crate) ready: Vec<Arc<Process>>,
    /// The code of what was spawned last.
    pub(crate) spawned: Option<Arc<Code>>,
    /// Messages counted by (sender) for the receiver that is being fetched.
    traffic: Vec<Run>,
    /// Who rested lately on the scheduler that this is the outbox of.
    pub(crate) recent: Recent,
    /// A body runs and no signal state is locked.
    pub(crate) in_turn: bool,
    /// Reductions that this turn owes for what it sent to crowded mailboxes.
    pub(crate) toll: u32,
    /// Where more was sent than can leave.
    pub(crate) clogged: Option<Queue>,
    /// Who had the last of those mailboxes.
    pub(crate) crowded: Option<Arc<Process>>,
    /// Serial of who was sent the last signal of this turn, if it left alone; 0 for nobody.
    last: u64,
}

/// Signals after which a batch leaves though the turn goes on.
const BATCH_MAX: usize = crate::inbound::BLOCK;

impl Outbox {
    /// Sends to whoever has this pid.
    pub(crate) fn send(&mut self, node: &Node, to: Pid, signal: Signal) {
        if let Some(receiver) = &self.receiver
            && receiver.pid == to
        {
            return self.append(node, signal);
        }
        if to.is_alias() && node.is_local(to) {
            // whoever waits there must find the effects of what was sent before
            self.flush(node);
            return node.aliases().deliver(node, to, signal);
        }
        if self.leaves_alone(to)
            && let Some(process) = self.recent.get(to)
        {
            let delivered = deliver_one(node, process, signal);
            return self.sent_alone(node, to, delivered, |recent| recent.take(to));
        }
        match node.process(to) {
            Some(process) => self.push(node, &process.0, signal),
            None => self.elsewhere(node, to, signal),
        }
    }

    /// Sends to a process at hand. The first signal of a turn to a receiver leaves alone and at once, which costs no
    /// handle and no batch; more of them in a row make up a batch.
    #[inline]
    pub(crate) fn push(&mut self, node: &Node, to: &Arc<Process>, signal: Signal) {
        match &self.receiver {
            Some(receiver) if Arc::ptr_eq(receiver, to) => {}
            _ => {
                self.flush(node);
                if self.leaves_alone(to.pid) {
                    let delivered = deliver_one(node, to, signal);
                    let handle =
                        |recent: &mut Recent| Some(recent.take(to.pid).unwrap_or_else(|| Arc::clone(to)));
                    return self.sent_alone(node, to.pid, delivered, handle);
                }
                self.receiver = Some(Arc::clone(to));
            }
        }
        self.append(node, signal);
    }

    #[inline]
    fn leaves_alone(&self, to: Pid) -> bool {
        self.in_turn && self.receiver.is_none() && self.last != to.serial
    }

    #[inline]
    fn sent_alone(
        &mut self,
        node: &Node,
        to: Pid,
        delivered: Result<Accepted, Signal>,
        handle: impl FnOnce(&mut Recent) -> Option<Arc<Process>>,
    ) {
        self.last = to.serial;
        match delivered {
            Ok(accepted) => {
                self.pay(1, accepted.waiting);
                if accepted.wakes {
                    self.ready.extend(handle(&mut self.recent));
                }
            }
            Err(signal) => self.bounce(node, to, signal),
        }
    }

    #[inline]
    fn append(&mut self, node: &Node, signal: Signal) {
        if self.batch.capacity() == 0 {
            self.batch.reserve_exact(BATCH_MAX);
        }
        self.batch.push(signal);
        if self.batch.len() >= BATCH_MAX {
            self.flush(node);
        }
    }

    /// A turn is over: delivers what is pending, and gives the toll.
    pub(crate) fn end_turn(&mut self, node: &Node) -> u32 {
        self.flush(node);
        self.in_turn = false;
        self.last = 0;
        std::mem::take(&mut self.toll)
    }

    /// Delivers what is pending.
    #[inline]
    pub(crate) fn flush(&mut self, node: &Node) {
        if self.receiver.is_some() {
            self.flush_batch(node);
        }
    }

    fn flush_batch(&mut self, node: &Node) {
        while let Some(receiver) = self.receiver.take() {
            let sent = self.batch.len();
            match deliver(node, &receiver, &mut self.batch) {
                Some(accepted) => {
                    let crowded = self.pay(sent, accepted.waiting);
                    if accepted.wakes {
                        self.ready.push(receiver);
                    } else if crowded {
                        self.crowded = Some(receiver);
                    }
                }
                None => {
                    let mut lost = std::mem::take(&mut self.batch);
                    for signal in lost.drain(..) {
                        self.bounce(node, receiver.pid, signal);
                    }
                    if self.batch.capacity() == 0 {
                        self.batch = lost;
                    }
                }
            }
        }
    }

    #[inline]
    fn pay(&mut self, signals: usize, waiting: usize) -> bool {
        let toll = if self.in_turn { toll(signals, waiting) } else { 0 };
        self.toll = self.toll.saturating_add(toll);
        toll > 0
    }

    /// Answers a signal to a process that is not there, as OTP does: `noproc` to who links or monitors, or calls.
    pub(crate) fn bounce(&mut self, node: &Node, to: Pid, signal: Signal) {
        // a pid of a former life of this node is one of a process that is dead for certain
        let reason = if to.node == node.id() { Term::NOPROC } else { NOCONNECTION };
        match signal {
            Signal::Link { from } => self.send(node, from, Signal::LinkExit { from: to, reason }),
            Signal::Monitor { watcher, reference, name } => {
                let object = name.map_or(Term::Pid(to), |name| *name);
                self.send(node, watcher, Signal::Down { reference, from: to, object, reason });
            }
            Signal::Message(Message {
                kind: Kind::Call | Kind::System,
                from,
                reference: Some(reference),
                ..
            }) => {
                self.send(node, from, Signal::Down { reference, from: to, object: to.into(), reason });
            }
            Signal::Passing { from, note } => {
                if let Note::Fence { reference, .. } = *note {
                    self.send(node, from, Signal::Down { reference, from: to, object: to.into(), reason });
                }
            }
            Signal::Message(message) if message.kind.is_one_way() => {
                node.lost(to, [message], DeadLetterReason::DeadProcess);
            }
            _ => {}
        }
    }

    /// A call was answered, but not by the one who was asked: to that one it is over too.
    #[cold]
    pub(crate) fn retract(&mut self, node: &Node, asked: Pid, by: Pid, reference: Ref) {
        // a pid of no process stands for a name
        if asked.serial != 0 {
            self.send(node, asked, Signal::Demonitor { watcher: by, reference });
        }
    }

    pub(crate) fn count_traffic(&mut self, run: Run) {
        if run.counts() {
            self.traffic.push(run);
        }
    }

    pub(crate) fn take_traffic(&mut self) -> Option<std::vec::Drain<'_, Run>> {
        (!self.traffic.is_empty()).then(|| self.traffic.drain(..))
    }
}

/// Signals were accepted.
#[derive(Clone, Copy)]
pub(crate) struct Accepted {
    /// The receiver has to be put into a run queue.
    pub(crate) wakes: bool,
    /// Messages in its inbound queue.
    waiting: usize,
}

/// Moves `signals` into the inbound queue of `to`; nothing, and they stay where they are, if it is dead.
fn deliver(node: &Node, to: &Process, signals: &mut Vec<Signal>) -> Option<Accepted> {
    let mut overflow = Vec::new();
    let accepted = {
        let mut inbound = to.inbound.lock();
        if inbound.is_closed() {
            return None;
        }
        if inbound.messages_max == 0 {
            inbound.append(signals, node.coarse_ms());
        } else {
            overflow = crate::mailbox_bytes::admit(node, to, &mut inbound, signals);
        }
        let wakes = !inbound.is_empty() && inbound.wake(to);
        Accepted { wakes, waiting: inbound.messages() }
    };
    if !overflow.is_empty() {
        node.mailbox_overflow(to, overflow);
    }
    Some(accepted)
}

/// As [`deliver`] of one signal, which comes back if `to` is dead.
#[inline]
pub(crate) fn deliver_one(node: &Node, to: &Process, signal: Signal) -> Result<Accepted, Signal> {
    {
        let mut inbound = to.inbound.lock();
        if inbound.is_closed() {
            return Err(signal);
        }
        if inbound.messages_max == 0 {
            inbound.push(signal, node.coarse_ms());
            return Ok(Accepted { wakes: inbound.wake(to), waiting: inbound.messages() });
        }
    }
    Ok(deliver_bounded(node, to, signal))
}

/// To a process whose mailbox is bounded.
#[cold]
fn deliver_bounded(node: &Node, to: &Process, signal: Signal) -> Accepted {
    let mut signals = vec![signal];
    deliver(node, to, &mut signals).unwrap_or_else(|| {
        // it has died since
        node.with_outbox(|outbox| signals.drain(..).for_each(|signal| outbox.bounce(node, to.pid, signal)));
        Accepted { wakes: false, waiting: 0 }
    })
}

impl Kind {
    /// Whether surgery and limits apply to it: what a sender chose to send.
    pub const fn is_ordinary(self) -> bool {
        matches!(self, Self::Info | Self::Call | Self::Cast | Self::Notify | Self::Timeout)
    }

    /// Whether nobody hears of it if it is lost: ordinary, and no answer is awaited.
    pub(crate) const fn is_one_way(self) -> bool {
        self.is_ordinary() && !matches!(self, Self::Call)
    }
}
