//! Signals on their way out of a turn, batched by receiver, and what answers a signal to nobody.
//!
//! Invariants: signals leave in the order in which they were pushed; a batch holds consecutive signals to one receiver.
//! No lock of the sender is needed to flush, and the caller holds none of another process.

use crate::message::{Kind, Message, Signal};
use crate::node::Node;
use crate::pid::Pid;
use crate::process::{Code, Process, schedule};
use crate::term::Term;
use crate::traffic::Run;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire};

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
}

/// Signals after which a batch leaves though the turn goes on.
const BATCH_MAX: usize = 128;

impl Outbox {
    /// Sends to whoever has this pid.
    pub(crate) fn send(&mut self, node: &Node, to: Pid, signal: Signal) {
        if let Some(receiver) = &self.receiver
            && receiver.pid == to
        {
            return self.append(node, signal);
        }
        if to.is_alias() {
            // whoever waits there must find the effects of what was sent before
            self.flush(node);
            return node.aliases().deliver(node, to, signal);
        }
        match node.process(to) {
            Some(process) => self.push(node, &process.0, signal),
            None => self.bounce(node, to, signal),
        }
    }

    /// Sends to a process at hand.
    pub(crate) fn push(&mut self, node: &Node, to: &Arc<Process>, signal: Signal) {
        match &self.receiver {
            Some(receiver) if Arc::ptr_eq(receiver, to) => {}
            _ => {
                self.flush(node);
                self.receiver = Some(Arc::clone(to));
            }
        }
        self.append(node, signal);
    }

    fn append(&mut self, node: &Node, signal: Signal) {
        self.batch.push(signal);
        if self.batch.len() >= BATCH_MAX {
            self.flush(node);
        }
    }

    /// Delivers what is pending.
    pub(crate) fn flush(&mut self, node: &Node) {
        while let Some(receiver) = self.receiver.take() {
            let refused = deliver(node, &receiver, &mut self.batch);
            match refused {
                Delivery::Accepted => {}
                Delivery::Wakes => self.ready.push(receiver),
                Delivery::Dead => {
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

    /// Answers a signal to a process that is not there, as OTP does: `noproc` to who links or monitors, or calls.
    pub(crate) fn bounce(&mut self, node: &Node, to: Pid, signal: Signal) {
        let reason = if node.is_local(to) { Term::NOPROC } else { Term::Atom("noconnection") };
        match signal {
            Signal::Link { from } => self.send(node, from, Signal::LinkExit { from: to, reason }),
            Signal::Monitor { watcher, reference, name } => {
                let object = name.map_or(Term::Pid(to), |name| *name);
                self.send(node, watcher, Signal::Down { reference, object, reason });
            }
            Signal::Message(Message {
                kind: Kind::Call | Kind::System,
                from,
                reference: Some(reference),
                ..
            }) => {
                self.send(node, from, Signal::Down { reference, object: to.into(), reason });
            }
            _ => {}
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

/// What became of a batch.
pub(crate) enum Delivery {
    Accepted,
    /// Accepted, and the receiver has to be put into a run queue.
    Wakes,
    Dead,
}

/// Moves `signals` into the inbound queue of `to`; they stay where they are if it is dead.
pub(crate) fn deliver(node: &Node, to: &Arc<Process>, signals: &mut Vec<Signal>) -> Delivery {
    let mut overflow = Vec::new();
    let was_empty = {
        let mut inbound = to.inbound.lock();
        if inbound.closed {
            return Delivery::Dead;
        }
        let was_empty = inbound.signals.is_empty();
        if inbound.messages_max == 0 {
            inbound.signals.append(signals);
        } else {
            overflow = crate::mailbox_bytes::admit(node, to, &mut inbound, signals);
        }
        was_empty && !inbound.signals.is_empty()
    };
    if !overflow.is_empty() {
        node.mailbox_overflow(to, overflow);
    }
    if was_empty && notify(to) { Delivery::Wakes } else { Delivery::Accepted }
}

/// Tells a process that something arrived; whether the caller has to put it into a run queue.
pub(crate) fn notify(process: &Process) -> bool {
    let mut state = process.schedule.load(Acquire);
    loop {
        let next = match state {
            schedule::IDLE => schedule::QUEUED,
            schedule::RUNNING => schedule::NOTIFIED,
            _ => return false,
        };
        match process.schedule.compare_exchange_weak(state, next, AcqRel, Acquire) {
            Ok(_) => return next == schedule::QUEUED,
            Err(actual) => state = actual,
        }
    }
}

impl Kind {
    /// Whether surgery and limits apply to it: what a sender chose to send.
    pub const fn is_ordinary(self) -> bool {
        matches!(self, Self::Info | Self::Call | Self::Cast | Self::Notify | Self::Timeout)
    }
}
