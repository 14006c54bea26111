//! A former pid of a process: it has no body, and sends on what comes.
//!
//! Messages wait in its mailbox until there is room on the way; all else is applied to its own links, monitors and callers
//! first, so that those can be told when the process ends. After the process has moved once more, a relay asks behind all
//! that it has sent on where the process is, keeps what comes meanwhile, and sends to that place from then on: a chain of
//! relays becomes a star, and no message overtakes another.

use super::{Note, Passage};
use crate::core::Core;
use crate::message::{Kind, Message, Signal};
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pid::{Pid, Ref};
use crate::process::{Process, flag};
use crate::remote::{Carried, NOCONNECTION, Queue};
use crate::term::{Reason, Term};
use std::sync::Arc;

/// Messages that a relay sends on in a slice.
const AT_ONCE: usize = 2_000;
/// A [`Note::Fence`] where it waits among the messages; no sender can make such a message.
const FENCE: Term = Term::Atom("$fence");
const FENCE_AND_WATCH: Term = Term::Atom("$fence_and_watch");

/// Where what comes for a former pid is sent.
pub(crate) struct Relay {
    /// The process, or a later one of its former pids.
    to: Pid,
    /// The monitor by which its end is heard of.
    way: Ref,
    /// Whether the process has got all that it left behind, and takes what is sent on.
    open: bool,
    /// What has come before that, messages aside.
    held: Vec<Signal>,
    /// `to` may be a former pid by now.
    astray: bool,
    /// The question where the process is, until it is answered.
    asked: Option<Ref>,
}

impl Relay {
    pub(super) fn new(to: Pid, way: Ref) -> Self {
        Self { to, way, open: false, held: Vec::new(), astray: false, asked: None }
    }

    /// Where it sends, once it does.
    pub(super) fn target(&self) -> Option<Pid> {
        self.open.then_some(self.to)
    }
}

/// A signal that goes on to `to`; whether it was taken. State is never refused, and is lost with the connection alone.
fn go_on(outbox: &mut Outbox, node: &Node, (me, to): (Pid, Pid), signal: Signal) -> Carried {
    if node.is_local(to) {
        outbox.send(node, to, signal);
        return Carried::Sent;
    }
    outbox.pass(node, to, me, signal)
}

impl Core {
    fn relay_mut(&mut self) -> Option<&mut Relay> {
        match self.passage_mut() {
            Some(Passage::Relay(relay)) => Some(relay),
            _ => None,
        }
    }

    /// Applies a signal that came to a former pid, and sends it on.
    pub(crate) fn relay(&mut self, process: &Process, signal: Signal, node: &Node, outbox: &mut Outbox) {
        let me = process.pid;
        let came = |signal| Signal::Passing { from: me, note: Box::new(Note::Came(signal)) };
        match signal {
            Signal::Message(message) => self.relay_message(process, message, node, outbox),
            Signal::Monitor { watcher, reference, name } => self.add_watcher(watcher, reference, name),
            Signal::Demonitor { watcher, reference } => {
                if !self.remove_watcher(watcher, reference) {
                    self.close_call(crate::message::ReplyTo { to: watcher, reference });
                    self.hand_on(me, Signal::Demonitor { watcher, reference }, node, outbox);
                }
            }
            Signal::Link { from } => {
                self.add_link(from);
                self.hand_on(me, came(Signal::Link { from }), node, outbox);
            }
            Signal::Unlink { from } | Signal::LinkExit { from, .. } => {
                if self.remove_link(from) {
                    self.hand_on(me, came(signal), node, outbox);
                }
            }
            Signal::Monitoring { from, reference, .. } => {
                self.add_monitor(reference, from);
                self.hand_on(me, came(signal), node, outbox);
            }
            Signal::Down { reference, reason, .. } if self.is_way(reference) => self.exiting = Some(reason),
            Signal::Down { reference, reason, .. } if self.is_asked(reference) => self.not_found(reason),
            Signal::Down { reference, .. } => {
                let awaited = self.remove_monitor(reference).or_else(|| self.settle_reply(reference));
                if awaited.is_some() {
                    self.hand_on(me, signal, node, outbox);
                }
            }
            Signal::Exit { .. } | Signal::Kill { .. } => self.hand_on(me, signal, node, outbox),
            Signal::Passing { from, note } => self.relay_note(process, from, *note, node, outbox),
        }
    }

    /// Whether a monitor with this reference tells of the process's end.
    fn is_way(&mut self, reference: Ref) -> bool {
        self.relay_mut().is_some_and(|relay| relay.way == reference)
    }

    fn is_asked(&mut self, reference: Ref) -> bool {
        self.relay_mut().is_some_and(|relay| relay.asked == Some(reference))
    }

    /// The process ended before it said where it is, and told why if it had the question. If it had not, the way that
    /// the question took tells.
    fn not_found(&mut self, reason: Reason) {
        let came_too_late = reason == Term::NOPROC || reason == NOCONNECTION;
        match self.relay_mut() {
            Some(relay) if came_too_late => relay.asked = None,
            _ => self.exiting = Some(reason),
        }
    }

    fn relay_note(&mut self, process: &Process, from: Pid, note: Note, node: &Node, outbox: &mut Outbox) {
        let me = process.pid;
        match note {
            // of an earlier one, which sends here still
            Note::Came(signal) => self.relay(process, signal, node, outbox),
            Note::Unlink { of } => {
                if let Some((to, signal)) = self.unlink(me, of) {
                    outbox.send(node, to, signal);
                }
            }
            Note::Demonitor { reference, .. } => {
                if let Some((to, signal)) = self.demonitor(me, reference) {
                    outbox.send(node, to, signal);
                }
            }
            Note::Fence { reference, watch } => {
                let payload = if watch { FENCE_AND_WATCH } else { FENCE };
                self.push(Message::of(Kind::System, from, payload).with_reference(reference), node);
            }
            Note::Via { links, monitors } => self.rebind(from, &links, &monitors),
            Note::Moved => {
                if let Some(relay) = self.relay_mut() {
                    relay.astray = true;
                }
            }
        }
    }

    fn relay_message(&mut self, process: &Process, message: Message, node: &Node, outbox: &mut Outbox) {
        if message.kind == Kind::Reply
            && let Some(reference) = message.reference
        {
            if self.relay_mut().is_some_and(|relay| relay.asked == Some(reference)) {
                return self.found(process, message.from, reference, node, outbox);
            }
            self.settle_reply(reference);
        }
        self.push(message, node);
    }

    /// Sends on what is no message, or keeps it until the process takes it.
    fn hand_on(&mut self, me: Pid, signal: Signal, node: &Node, outbox: &mut Outbox) {
        let Some(relay) = self.relay_mut() else { return };
        if relay.open {
            let to = relay.to;
            go_on(outbox, node, (me, to), signal);
        } else {
            relay.held.push(signal);
        }
    }

    /// The process takes what is sent on from now on: first what is no message and has come before.
    pub(super) fn open_relay(&mut self, me: Pid, node: &Node, outbox: &mut Outbox) {
        let Some(relay) = self.relay_mut() else { return };
        relay.open = true;
        let (to, reference) = (relay.to, relay.way);
        let held = std::mem::take(&mut relay.held);
        // it watches already; but only a connection that was opened can be lost
        go_on(outbox, node, (me, to), Signal::Monitor { watcher: me, reference, name: None });
        for signal in held {
            go_on(outbox, node, (me, to), signal);
        }
        let former = self.bonds().map(|bonds| bonds.former.clone()).unwrap_or_default();
        for earlier in former {
            outbox.send(node, earlier, Signal::Passing { from: me, note: Box::new(Note::Moved) });
        }
    }

    /// Sends on the messages that wait, as far as there is room; whether some are left for the next slice.
    pub(crate) fn send_on(&mut self, process: &Arc<Process>, node: &Node, outbox: &mut Outbox) -> bool {
        let me = process.pid;
        let Some(relay) = self.relay_mut().filter(|relay| relay.open && relay.asked.is_none()) else {
            return false;
        };
        let to = relay.to;
        if std::mem::take(&mut relay.astray) {
            let reference = node.new_ref();
            relay.asked = Some(reference);
            let note = Box::new(Note::Fence { reference, watch: true });
            go_on(outbox, node, (me, to), Signal::Passing { from: me, note });
            outbox.flush(node);
            return false;
        }
        for _ in 0..AT_ONCE {
            let Some(message) = self.inner.first().cloned() else { break };
            let call = message.reply_to().filter(|_| is_awaited(&message));
            match go_on(outbox, node, (me, to), sent_on(message)) {
                Carried::NoConnection => {
                    self.exiting = Some(NOCONNECTION);
                    break;
                }
                Carried::Full(number) => {
                    node.hold_back(process, Queue { node: to.node, number });
                    break;
                }
                // who waits for an answer has heard
                Carried::TooBig => drop(self.inner.pop()),
                carried => {
                    self.inner.pop();
                    call.into_iter().for_each(|call| self.open_call(call));
                    if let Carried::Crowded(number) = carried {
                        node.hold_back(process, Queue { node: to.node, number });
                        break;
                    }
                }
            }
        }
        outbox.flush(node);
        self.exiting.is_none() && !process.has(flag::HELD_BACK) && self.inner.len() > 0
    }

    /// The process has said where it is, and all that was sent on before is there.
    fn found(&mut self, process: &Process, at: Pid, reference: Ref, node: &Node, outbox: &mut Outbox) {
        let me = process.pid;
        let Some(relay) = self.relay_mut() else { return };
        relay.asked = None;
        let before = std::mem::replace(&mut relay.to, at);
        let former_way = std::mem::replace(&mut relay.way, reference);
        self.remove_monitor(former_way);
        let monitors: Vec<Ref> = self.monitors().map(|(reference, _)| reference).collect();
        let monitors = monitors.into_iter().chain(self.pending().map(|(reference, _)| reference)).collect();
        let links = self.links().collect();
        self.add_monitor(reference, at);
        if node.is_remote(at) {
            node.remote().ties.note(at.node, process);
        }
        outbox.send(node, before, Signal::Demonitor { watcher: me, reference: former_way });
        // it watches already, unless the connection was lost since: then this is answered
        outbox.send(node, at, Signal::Monitor { watcher: me, reference, name: None });
        let note = Box::new(Note::Via { links, monitors });
        outbox.send(node, at, Signal::Passing { from: me, note });
    }
}

/// Whether somebody has to hear of the relay's end before the message is answered. A relay that asks hears of it anyway.
fn is_awaited(message: &Message) -> bool {
    matches!(message.kind, Kind::Call | Kind::System) && message.payload != FENCE_AND_WATCH
}

/// A message as it goes on.
fn sent_on(message: Message) -> Signal {
    match (message.kind, message.reference) {
        (Kind::System, Some(reference)) if message.payload == FENCE || message.payload == FENCE_AND_WATCH => {
            let watch = message.payload == FENCE_AND_WATCH;
            Signal::Passing { from: message.from, note: Box::new(Note::Fence { reference, watch }) }
        }
        _ => Signal::Message(message),
    }
}
