//! Processes of other nodes: where a signal leaves this node, where one arrives, and what happens when a node is out of
//! reach.
//!
//! How signals travel is a [`Carrier`]'s business. This file promises what OTP promises of a connection: signals of one
//! sender to one receiver arrive in order; when a connection is lost, whoever has a link, a monitor or a call across it
//! hears `noconnection`, once; a process that sends more than a connection takes is held back until there is room.
//!
//! Invariants: what a process must hear of is noted ([`Ties`]) before the signal leaves; the local path never comes
//! here.

mod acting;
mod cut;
mod refusal;
mod ties;
mod wire;

pub(crate) use ties::Ties;

use crate::codec::{DecodeError, Reader};
use crate::message::{Kind, Message, Signal};
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pid::{Pid, Ref};
use crate::process::{Process, flag};
use crate::slice::SLICE;
use crate::term::Term;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The exit reason of a process that can no longer be reached.
pub(crate) const NOCONNECTION: Term = Term::Atom("noconnection");

/// Carries signals to other nodes.
pub trait Carrier: Send + Sync + 'static {
    /// Takes a signal for a process of another node. It must not block, and must not call the node.
    fn carry(&self, parcel: &Parcel) -> Carried;

    /// Whether less waits there than makes a sender wait.
    fn has_room(&self, queue: Queue) -> bool;
}

/// Where signals to a node wait: a carrier may have several, so that those who fill one do not hold up the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Queue {
    /// The other node.
    pub node: u32,
    /// As the carrier numbers its queues to that node.
    pub number: u8,
}

/// What became of a signal for another node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carried {
    /// It is on its way.
    Sent,
    /// It is on its way; but so much waits in the queue of this number that its sender should wait until
    /// [`Node::room_again`].
    Crowded(u8),
    /// It was not taken: it is a message, and too much waits in the queue of this number.
    Full(u8),
    /// It was not taken, and never will be: it has more bytes than a signal to another node may have.
    TooBig,
    /// It was not taken: there is no way to that node.
    NoConnection,
}

/// Whom a signal to another node is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Address {
    /// This process.
    Pid(Pid),
    /// Whoever has this local name there when the signal arrives: OTP's `{Name, Node}`.
    Name {
        /// The node.
        node: u32,
        /// The name.
        name: Arc<str>,
    },
}

/// A signal and whom it is for.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub(crate) to: Address,
    pub(crate) signal: Signal,
    /// The former pid of its receiver by way of which it goes; [`Pid::NONE`] where its sender knew where that is.
    pub(crate) via: Pid,
}

impl Parcel {
    /// An ordinary message for a process, as a test or a bench of a carrier wants it.
    pub fn message(to: Pid, message: Message) -> Self {
        Self::new(Address::Pid(to), Signal::Message(message))
    }

    pub(crate) fn new(to: Address, signal: Signal) -> Self {
        Self { to, signal, via: Pid::NONE }
    }

    /// The node that it is for.
    pub fn node(&self) -> u32 {
        match &self.to {
            Address::Pid(pid) => pid.node,
            Address::Name { node, .. } => *node,
        }
    }

    /// Whom it is for.
    pub fn to(&self) -> &Address {
        &self.to
    }

    /// Who has it leave this node, so that all that one has leave keeps its order: its sender, or the former pid of its
    /// receiver that sends it on; [`Pid::NONE`] for nobody.
    pub fn from(&self) -> Pid {
        self.via.some().unwrap_or_else(|| self.signal.sender())
    }

    /// Whether it is a message, which may be refused where too much waits, unlike a link, an exit or an answer.
    pub fn may_be_refused(&self) -> bool {
        matches!(&self.signal, Signal::Message(message) if message.kind.is_ordinary())
    }

    /// About how many bytes it takes.
    pub fn size_bytes(&self) -> usize {
        wire::size_bytes(self)
    }

    /// Writes it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        wire::write(self, out);
    }

    /// Reads one.
    ///
    /// # Errors
    /// Bytes that are none.
    pub fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        wire::read(from)
    }
}

/// What a node knows of others.
#[derive(Default)]
pub(crate) struct Remote {
    carrier: OnceLock<Arc<dyn Carrier>>,
    pub(crate) ties: Ties,
    /// Processes that wait until there is room, by where.
    held_back: Mutex<BTreeMap<Queue, Vec<Pid>>>,
}

impl Remote {
    fn carry(&self, parcel: &Parcel) -> Carried {
        self.carrier.get().map_or(Carried::NoConnection, |carrier| carrier.carry(parcel))
    }
}

impl Signal {
    /// Who sent it.
    pub(crate) fn sender(&self) -> Pid {
        match self {
            Self::Message(message) => message.from,
            Self::Exit { from, .. }
            | Self::LinkExit { from, .. }
            | Self::Kill { from, .. }
            | Self::Link { from }
            | Self::Unlink { from }
            | Self::Monitoring { from, .. }
            | Self::Down { from, .. }
            | Self::Passing { from, .. } => *from,
            Self::Monitor { watcher, .. } | Self::Demonitor { watcher, .. } => *watcher,
        }
    }

    /// The process at its sender's end that has to hear of a lost connection, or at the receiver's end of it.
    fn ties(&self) -> Option<Pid> {
        match self {
            Self::Link { from } | Self::Monitoring { from, .. } => Some(*from),
            Self::Monitor { watcher, .. } => Some(*watcher),
            Self::Message(Message { kind: Kind::Call | Kind::System, from, reference: Some(_), .. }) => {
                Some(*from)
            }
            _ => None,
        }
    }
}

impl Outbox {
    /// A signal to nobody on this node, or to a process of another one.
    #[cold]
    pub(crate) fn elsewhere(&mut self, node: &Node, to: Pid, signal: Signal) {
        if to.node == node.id() || to.is_none() {
            return self.bounce(node, to, signal);
        }
        // what was sent before leaves first, so that it is not seen after what this may cause
        self.flush(node);
        self.leave(node, Parcel::new(Address::Pid(to), signal));
    }

    /// A signal to another node.
    pub(crate) fn leave(&mut self, node: &Node, parcel: Parcel) -> Carried {
        let remote = node.remote();
        if let Some(process) = parcel.signal.ties().and_then(|pid| node.process(pid)) {
            remote.ties.note(parcel.node(), &process.0);
        }
        let carried = remote.carry(&parcel);
        match carried {
            Carried::Sent => {}
            Carried::Crowded(number) => self.crowded_link(Queue { node: parcel.node(), number }),
            Carried::Full(number) => {
                self.crowded_link(Queue { node: parcel.node(), number });
                self.refused(node, parcel);
            }
            Carried::TooBig => self.too_big(node, parcel),
            Carried::NoConnection => {
                let to = parcel.to.stand_in();
                self.bounce(node, to, parcel.signal);
            }
        }
        carried
    }

    /// Sends on what came to a former pid of its receiver, in the lane of that one. What there is no room for stays where it
    /// is; what is too big is lost.
    pub(crate) fn pass(&mut self, node: &Node, to: Pid, via: Pid, signal: Signal) -> Carried {
        self.flush(node);
        if let Some(process) = signal.ties().and_then(|pid| node.process(pid)) {
            node.remote().ties.note(to.node, &process.0);
        }
        let parcel = Parcel { to: Address::Pid(to), signal, via };
        let carried = node.remote().carry(&parcel);
        if carried == Carried::TooBig {
            self.too_big(node, parcel);
        }
        carried
    }

    /// Has the process whose turn this is wait when the turn is over.
    fn crowded_link(&mut self, queue: Queue) {
        if self.in_turn {
            self.clogged = Some(queue);
            self.toll = self.toll.max(SLICE);
        }
    }

    /// A signal that another node sent, for a process of this one.
    fn arrive(&mut self, node: &Node, parcel: Parcel) {
        let Parcel { to, mut signal, .. } = parcel;
        let to = match to {
            Address::Pid(pid) => pid,
            Address::Name { name, node: on } => match node.whereis(&name) {
                Some(pid) => pid,
                None => Address::Name { name, node: on }.stand_in(),
            },
        };
        if let (Signal::Demonitor { watcher, reference }, 0) = (&signal, to.serial) {
            return self.demonitor_by_name(node, *watcher, *reference);
        }
        if let Signal::Message(message) = &mut signal {
            // operations are numbered by each node
            message.operation = 0;
        }
        let tied = signal.ties().filter(|other| other.node != node.id());
        let process = tied.and_then(|other| Some((other.node, node.process(to)?)));
        if let Some((other, process)) = &process {
            node.remote().ties.note(*other, &process.0);
        }
        self.send(node, to, signal);
    }

    /// Ends a monitor by name: the name may have gone to another process since.
    fn demonitor_by_name(&mut self, node: &Node, watcher: Pid, reference: Ref) {
        for pid in node.remote().ties.of(watcher.node) {
            let Some(process) = node.process(pid) else { continue };
            let watched = process.0.core.lock().watchers().any(|held| held == (watcher, reference));
            if watched {
                return self.send(node, pid, Signal::Demonitor { watcher, reference });
            }
        }
    }
}

impl Address {
    /// A pid of no process in place of a name, so that answers know the node.
    pub(crate) fn stand_in(&self) -> Pid {
        match self {
            Self::Pid(pid) => *pid,
            Self::Name { node, .. } => Pid::new(*node, 0, 0),
        }
    }
}

impl Node {
    /// Has signals to other nodes carried; once.
    pub fn set_carrier(&self, carrier: Arc<dyn Carrier>) {
        if self.remote().carrier.set(carrier).is_err() {
            tracing::warn!("the node's signals are carried already; the second carrier is not used");
        }
    }

    /// Whether that is another node, and this one sends signals to others at all.
    pub fn reaches(&self, node: u32) -> bool {
        node != self.id() && self.remote().carrier.get().is_some()
    }

    /// Whether this is the pid of a process, living or not, of another node.
    pub fn is_remote(&self, pid: Pid) -> bool {
        pid.node != self.id() && !pid.is_none()
    }

    /// Takes signals that another node sent, in order. Gives the reductions that they cost a local sender besides, which
    /// sends into mailboxes that are crowded: whoever carries signals lets their senders have as much less.
    pub fn deliver(&self, parcels: impl IntoIterator<Item = Parcel>) -> u32 {
        let mut outbox = Outbox::default();
        outbox.in_turn = true;
        for parcel in parcels {
            outbox.arrive(self, parcel);
        }
        let toll = outbox.end_turn(self);
        self.schedule_ready(&mut outbox);
        toll
    }

    /// There is room again: those who were held back for it go on.
    pub fn room_again(&self, queue: Queue) {
        let waiting = self.remote().held_back.lock().remove(&queue);
        self.let_go_on(waiting.into_iter().flatten());
    }

    /// Nothing waits for that node any more.
    fn room_everywhere(&self, node: u32) {
        let (first, last) = (Queue { node, number: u8::MIN }, Queue { node, number: u8::MAX });
        let mut held_back = self.remote().held_back.lock();
        let queues: Vec<Queue> = held_back.range(first..=last).map(|(queue, _)| *queue).collect();
        let waiting: Vec<Pid> = queues.iter().filter_map(|queue| held_back.remove(queue)).flatten().collect();
        drop(held_back);
        self.let_go_on(waiting);
    }

    fn let_go_on(&self, waiting: impl IntoIterator<Item = Pid>) {
        for pid in waiting {
            if let Some(process) = self.process(pid) {
                process.0.set(flag::HELD_BACK, false);
                self.nudge(&process.0);
            }
        }
    }

    /// A turn is over that sent more than can leave.
    #[cold]
    pub(crate) fn hold_back(&self, process: &Arc<Process>, queue: Queue) {
        process.set(flag::HELD_BACK, true);
        self.remote().held_back.lock().entry(queue).or_default().push(process.pid);
        // room that came before it was noted would be told to nobody
        if self.remote().carrier.get().is_none_or(|carrier| carrier.has_room(queue)) {
            self.room_again(queue);
        }
    }

    /// Sends a message from outside to a process of another node.
    pub(crate) fn send_away(&self, to: Address, message: Message) -> Carried {
        let parcel = Parcel::new(to, Signal::Message(message));
        self.with_outbox(|outbox| outbox.leave(self, parcel))
    }

    /// The node's number, of a name such as `n7`.
    pub fn node_number(name: &str) -> Option<u32> {
        let number = crate::pid::number(name.strip_prefix('n')?)?;
        u32::try_from(number).ok().filter(|number| *number > 0)
    }
}
