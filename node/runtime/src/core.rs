//! The signal state of a process, and how each signal changes it: links, monitors, exits, calls, the mailbox.
//!
//! Invariants: signals are applied in arrival order by whoever holds the lock; once `exiting` is set nothing but the
//! end follows. A call is a monitor of its own: the callee remembers the callers that it has not answered and tells
//! them when it ends, so that no second signal is needed a call.

mod relations;

use crate::body::{Body, Event, Filter, Receive};
use crate::dead_letters::DeadLetterReason;
use crate::extras::Extras;
use crate::inbound::Need;
use crate::lineage::Lineage;
use crate::message::{Kind, Message, ReplyTo, Signal};
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pid::{Pid, Ref};
use crate::process::{Process, flag};
use crate::queue::Queue;
use crate::small_map::SmallMap;
use crate::term::{Reason, Term};
use crate::traffic::Run;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Core {
    /// The code and its state where somebody looked at it; it moves from and to where signals arrive.
    pub(crate) body: Option<Box<dyn Body>>,
    pub(crate) inner: Queue,
    links: SmallMap<Pid, ()>,
    /// What this process monitors.
    monitors: SmallMap<Ref, Pid>,
    /// Who monitors this process, and by what name if not by pid.
    watchers: SmallMap<Watcher, WatchedName>,
    /// Calls handed to the body and not answered yet.
    open_calls: Vec<ReplyTo>,
    /// Own requests without an answer, and who was asked.
    pending: SmallMap<Ref, Pid>,
    pub(crate) receive: Receive,
    /// When the receive times out, in nanoseconds of the node's clock; 0 is never.
    pub(crate) deadline_ns: u64,
    /// The earliest wake-up that the timer thread knows of; 0 is none.
    pub(crate) alarm_ns: u64,
    pub(crate) ready: Ready,
    /// The starter, until it was told.
    pub(crate) ack: Option<ReplyTo>,
    pub(crate) exiting: Option<Reason>,
    /// The local name; here and not with the rest, so that to register a process allocates nothing of its own.
    pub(crate) name: Option<Arc<str>>,
    extras: Option<Box<Extras>>,
    /// What those that it started have above it, once it has started one.
    pub(crate) lineage: Option<Arc<Lineage>>,
    /// Who sent the last message, and how many in a row.
    pub(crate) last_sender: Pid,
    pub(crate) sent_in_row: u32,
    /// How many messages have entered the mailbox, system ones aside; wraps.
    pub(crate) received: u32,
    /// How many of those are calls.
    pub(crate) calls_in_row: u32,
    /// When the last message arrived, in milliseconds of the node's clock.
    pub(crate) last_message_ms: u32,
    /// The most messages that ever waited.
    pub(crate) high_water: u32,
}

/// What the body goes on with before it looks at the mailbox.
#[derive(Debug, Default)]
pub(crate) enum Ready {
    /// Nothing: it waits for a message.
    #[default]
    No,
    Start,
    Resume,
    Unblocked(Term),
}

impl Default for Pid {
    fn default() -> Self {
        Self::NONE
    }
}

/// Who monitors, and under which reference.
pub(crate) type Watcher = (Pid, Ref);
/// The name by which a process is monitored, if not by pid.
pub(crate) type WatchedName = Option<Box<Term>>;

/// What ends with a process: all that has to be told to somebody.
pub(crate) struct Remains {
    pub(crate) links: Vec<(Pid, ())>,
    pub(crate) monitors: Vec<(Ref, Pid)>,
    pub(crate) watchers: Vec<(Watcher, WatchedName)>,
    pub(crate) callers: Vec<ReplyTo>,
    pub(crate) pending: Vec<(Ref, Pid)>,
    pub(crate) ack: Option<ReplyTo>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) extras: Option<Box<Extras>>,
    pub(crate) messages: usize,
    /// Those that nobody hears of, oldest first.
    pub(crate) left: Vec<Message>,
}

impl Core {
    pub(crate) fn extras(&self) -> Option<&Extras> {
        self.extras.as_deref()
    }

    pub(crate) fn extras_mut(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Whether the next message will do, whatever it is and however many are behind it.
    pub(crate) fn takes_any(&self, process: &Process) -> bool {
        matches!(self.receive.filter, Filter::Any)
            && self.deadline_ns == 0
            // who does not read must fetch all the same, or it would have something to do for ever
            && !process.has(flag::SUSPENDED | flag::SESSION | flag::PAUSED | flag::HELD_BACK)
    }

    /// What a slice needs of what has arrived.
    pub(crate) fn need(&self, process: &Process) -> Need {
        match self.takes_any(process) {
            false => Need::All,
            true if self.inner.len() == 0 => Need::Some,
            true => Need::Pressing,
        }
    }

    /// Whether the next event is the next message, whatever it is, and nothing is to be done besides.
    #[inline]
    pub(crate) fn takes_next(&self, process: &Process) -> bool {
        matches!(self.receive.filter, Filter::Any)
            && matches!(self.ready, Ready::No)
            && self.deadline_ns == 0
            && !process.has(flag::SUSPENDED | flag::MEASURED | flag::BYTES_BOUND)
    }

    /// So many messages wait besides those in the inner queue.
    pub(crate) fn note_waiting(&mut self, more: usize) {
        self.high_water = self.high_water.max((self.inner.len() + more) as u32);
    }

    /// A new receive of whatever comes, for as long as it takes: for most bodies the same as the last one.
    #[inline]
    pub(crate) fn wait_for_any(&mut self) {
        self.deadline_ns = 0;
        if !matches!(self.receive, Receive { filter: Filter::Any, timeout: None }) {
            self.receive = Receive::any();
        }
        self.inner.rescan();
    }

    /// Whether the process, with the event that it was just given, needs nothing but the next message, whatever it is:
    /// nothing waits, nothing is due, nothing is to be given back or looked after.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.inner.is_slim()
            && self.deadline_ns == 0
            && self.exiting.is_none()
            && matches!(self.receive, Receive { filter: Filter::Any, timeout: None })
            && self.extras().is_none_or(|extras| extras.memory_bytes_max.is_none())
    }

    /// Applies signals in order until one ends the process; what is left goes back to be answered when it has ended.
    pub(crate) fn apply_all(
        &mut self,
        process: &Process,
        signals: &mut Vec<Signal>,
        node: &Node,
        outbox: &mut Outbox,
    ) {
        self.inner.reserve(signals.len());
        let relays = process.is_relay();
        let mut signals = signals.drain(..);
        while self.exiting.is_none()
            && let Some(signal) = signals.next()
        {
            match signal {
                Signal::Message(message) if !relays => self.deliver(process, message, node, outbox),
                signal => self.apply(process, signal, node, outbox),
            }
        }
        if signals.len() > 0 {
            process.inbound.lock().put_back(signals);
        }
    }

    /// Applies one signal.
    pub(crate) fn apply(&mut self, process: &Process, signal: Signal, node: &Node, outbox: &mut Outbox) {
        if process.is_relay() {
            return self.relay(process, signal, node, outbox);
        }
        match signal {
            Signal::Message(message) => self.deliver(process, message, node, outbox),
            Signal::Exit { from, reason } => self.exit_signal(process, from, reason, node),
            Signal::LinkExit { from, reason } => {
                if self.remove_link(from) {
                    self.link_exit(process, from, reason, node);
                }
            }
            Signal::Passing { from, note } => self.heed(process, from, *note, node, outbox),
            Signal::Kill { reason, .. } => self.exiting = Some(reason),
            Signal::Link { from } => {
                self.links.insert(from, ());
            }
            Signal::Unlink { from } => {
                self.remove_link(from);
            }
            Signal::Monitor { watcher, reference, name } => self.add_watcher(watcher, reference, name),
            Signal::Monitoring { from, reference, name } => {
                self.add_monitor(reference, from);
                if let Some(name) = name {
                    self.extras_mut().remote_names.insert(reference, *name);
                }
            }
            Signal::Demonitor { watcher, reference } => {
                if !self.remove_watcher(watcher, reference) {
                    self.close_call(ReplyTo { to: watcher, reference });
                }
            }
            Signal::Down { reference, object, reason, .. } => {
                self.forget_watched_name(reference);
                let from = self.remove_monitor(reference).or_else(|| self.pending.remove(reference));
                if let Some(from) = from {
                    let down =
                        Message::of(Kind::Down, from, [object, reason].into()).with_reference(reference);
                    self.push(down, node);
                }
            }
        }
    }

    #[inline]
    fn deliver(&mut self, process: &Process, message: Message, node: &Node, outbox: &mut Outbox) {
        if self.enters(process.pid, &message, node, outbox) {
            self.push(message, node);
        } else {
            Self::expired(process, message, node);
        }
    }

    #[cold]
    fn expired(process: &Process, message: Message, node: &Node) {
        node.lost(process.pid, [message], DeadLetterReason::Expired);
    }

    /// Counts a message that arrived; whether it enters the mailbox, as all do but an answer that nobody waits for.
    #[inline]
    fn enters(&mut self, me: Pid, message: &Message, node: &Node, outbox: &mut Outbox) -> bool {
        if message.kind == Kind::Reply {
            match message.reference {
                Some(reference) => match self.pending.remove(reference) {
                    Some(asked) if asked == message.from => {}
                    // whoever was asked still takes the call for open, be it that it has moved or that another answers for it
                    Some(asked) => outbox.retract(node, asked, me, reference),
                    // late: its caller gave up
                    None => return false,
                },
                None => return false,
            }
        }
        let calls = u32::from(message.kind == Kind::Call);
        if message.from == self.last_sender {
            self.sent_in_row += 1;
            self.calls_in_row += calls;
        } else {
            let former = Run { from: self.last_sender, messages: self.sent_in_row, calls: self.calls_in_row };
            (self.last_sender, self.sent_in_row, self.calls_in_row) = (message.from, 1, calls);
            outbox.count_traffic(former);
        }
        true
    }

    /// Whether a message that arrives now would be the next thing that the process looks at.
    #[inline]
    pub(crate) fn looks_out(&self, process: &Process) -> bool {
        const ELSEWHERE: u16 = flag::PAUSED
            | flag::HELD_BACK
            | flag::LOOKED_AT
            | flag::HIBERNATED
            | flag::SUSPENDED
            | flag::BLOCKING
            | flag::MEASURED
            | flag::BYTES_BOUND
            | flag::SESSION;
        self.inner.len() == 0
            && matches!(self.ready, Ready::No)
            && self.exiting.is_none()
            && !process.has(ELSEWHERE)
    }

    /// A message that arrived alone at a process that [looks out](Self::looks_out) for one: the event that it is, if the
    /// process waits for it. Else it has gone where it belongs.
    #[inline]
    pub(crate) fn meet(
        &mut self,
        process: &Process,
        mut message: Message,
        node: &Node,
        outbox: &mut Outbox,
    ) -> Option<Event> {
        if !self.receive.filter.admits(&message) {
            self.deliver(process, message, node, outbox);
            return None;
        }
        if !self.enters(process.pid, &message, node, outbox) {
            Self::expired(process, message, node);
            return None;
        }
        self.deadline_ns = 0;
        self.high_water = self.high_water.max(1);
        self.last_message_ms = message.arrived_ms;
        message.number = self.next_number();
        Some(Event::Message(message))
    }

    fn next_number(&mut self) -> u32 {
        self.received = self.received.wrapping_add(1);
        self.received
    }

    /// The run of messages that is not in the traffic table yet.
    pub(crate) fn current_run(&self) -> Run {
        Run { from: self.last_sender, messages: self.sent_in_row, calls: self.calls_in_row }
    }

    #[inline]
    pub(crate) fn push(&mut self, message: Message, node: &Node) {
        let number = if message.kind == Kind::System { 0 } else { self.next_number() };
        // an EXIT or a DOWN is made here
        let arrived_ms = if message.arrived_ms == 0 { node.coarse_ms() } else { message.arrived_ms };
        self.last_message_ms = arrived_ms;
        self.inner.push(message, number, arrived_ms);
        self.high_water = self.high_water.max(self.inner.len() as u32);
    }

    /// This message left the mailbox to be handled.
    pub(crate) fn note_taken(&mut self, process: &Process, message: &Message, node: &Node) {
        if process.has(flag::MEASURED | flag::BYTES_BOUND) {
            self.weigh_out(message);
            if process.has(flag::MEASURED) {
                let waits = &mut self.extras_mut().waits;
                waits.messages += 1;
                waits.total_ms += u64::from(node.coarse_ms().wrapping_sub(message.arrived_ms));
            }
        }
    }

    /// This message got into a mailbox, whose bytes may be bounded, past its bound.
    pub(crate) fn weigh_in(&self, message: &Message) {
        if let Some(bound) = self.extras().and_then(|extras| extras.byte_bound.as_ref()) {
            bound.put(message);
        }
    }

    /// This message left a mailbox whose bytes may be bounded.
    pub(crate) fn weigh_out(&self, message: &Message) {
        if let Some(bound) = self.extras().and_then(|extras| extras.byte_bound.as_ref()) {
            bound.taken(message);
        }
    }

    /// `exit/2`: `normal` only reaches one that traps exits, or itself.
    fn exit_signal(&mut self, process: &Process, from: Pid, reason: Reason, node: &Node) {
        if process.has(flag::TRAP_EXIT) {
            self.push(Message::of(Kind::Exit, from, reason), node);
        } else if !reason.is("normal") || from == process.pid {
            self.exiting = Some(reason);
        }
    }

    pub(crate) fn link_exit(&mut self, process: &Process, from: Pid, reason: Reason, node: &Node) {
        if process.has(flag::TRAP_EXIT) {
            self.push(Message::of(Kind::Exit, from, reason), node);
        } else if !reason.is("normal") {
            self.exiting = Some(reason);
        }
    }

    /// Takes all that has to be told to others; what is left is an empty shell.
    pub(crate) fn dissolve(&mut self) -> Remains {
        let mut callers = std::mem::take(&mut self.open_calls);
        let (mut messages, mut left) = (0, Vec::new());
        for message in self.inner.drain_all() {
            messages += 1;
            if matches!(message.kind, Kind::Call | Kind::System) {
                callers.extend(message.reply_to());
            } else if message.kind.is_one_way() {
                left.push(message);
            }
        }
        self.inner = Queue::default();
        self.ready = Ready::No;
        self.receive = Receive::none();
        Remains {
            links: self.links.take(),
            monitors: self.monitors.take(),
            watchers: self.watchers.take(),
            callers,
            pending: self.pending.take(),
            ack: self.ack.take(),
            name: self.name.take(),
            extras: self.extras.take(),
            messages,
            left,
        }
    }
}
