//! Messages and signals: all that ever reaches a process.
//!
//! Invariants: a signal is plain data that could cross a wire at any time; a reply address is data too (a pid or an
//! alias, and a reference). Signals from one sender to one receiver arrive in the order in which they were sent.

use crate::passage::Note;
use crate::pid::{OwnedId, Pid, Ref};
use crate::term::{Reason, Term};

/// What kind of message this is; decides which callback of a behaviour sees it.
// A word, for speed: seven bytes of padding beside a byte are copied as two words that overlap, and a load that overlaps
// two recent stores has to wait for both. A message is copied some times on its way; that was a tenth of a hop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Kind {
    /// An ordinary message.
    Info,
    /// A `gen_server` call: answered with a [`Kind::Reply`] to `from` under `reference`.
    Call,
    /// A `gen_server` cast.
    Cast,
    /// A `gen_event` notification.
    Notify,
    /// The answer to a call; matched by `reference`.
    Reply,
    /// An exit signal that was trapped: `from` ended with `payload`.
    Exit,
    /// A monitor fired; `payload` is `[object, reason]`.
    Down,
    /// A timer of `start_timer` fired: `reference` and `payload` are its own.
    Timeout,
    /// A request to the process's system layer (`sys`), handled between two turns by the runtime.
    System,
}

/// A message in a mailbox.
#[derive(Clone, Debug)]
pub struct Message {
    /// Who sent it; [`Pid::NONE`] where nobody said.
    pub from: Pid,
    /// The call's, monitor's or timer's reference.
    pub reference: Option<Ref>,
    /// What it says.
    pub payload: Term,
    /// The operation that caused it, 0 for none: the number behind `arsenal-operation-id`.
    pub operation: u64,
    /// When it was put into the mailbox, in milliseconds of the node's clock; 0 before.
    pub arrived_ms: u32,
    /// Its place among all messages that entered the mailbox, from 1; 0 before, and for a system message. Wraps.
    pub number: u32,
    /// What kind it is.
    pub kind: Kind,
}

impl Message {
    /// An ordinary message.
    pub const fn info(from: Pid, payload: Term) -> Self {
        Self { from, reference: None, payload, operation: 0, arrived_ms: 0, number: 0, kind: Kind::Info }
    }

    /// A message of another kind.
    pub const fn of(kind: Kind, from: Pid, payload: Term) -> Self {
        Self { from, reference: None, payload, operation: 0, arrived_ms: 0, number: 0, kind }
    }

    /// The same with a reference.
    #[must_use]
    pub const fn with_reference(mut self, reference: Ref) -> Self {
        self.reference = Some(reference);
        self
    }

    /// The same, caused by this operation.
    #[must_use]
    pub const fn with_operation(mut self, operation: u64) -> Self {
        self.operation = operation;
        self
    }

    /// A call's reply address.
    pub fn reply_to(&self) -> Option<ReplyTo> {
        Some(ReplyTo { to: self.from, reference: self.reference? })
    }

    /// A [`Kind::Down`]'s monitored object (a pid, or `{"name", "node"}`) and exit reason.
    pub fn down(&self) -> Option<(&Term, &Reason)> {
        match (self.kind, self.payload.as_list()) {
            (Kind::Down, Some([object, reason])) => Some((object, reason)),
            _ => None,
        }
    }

    /// The message as OTP would show it to process `me`: `["EXIT", pid, reason]`,
    /// `["DOWN", reference, "process", object, reason]`, `["timeout", reference, message]`, `["$gen_call", [from,
    /// reference], request]`, `["$gen_cast", request]`, or the payload itself.
    pub fn to_term(&self, me: Pid) -> Term {
        let id = |kind| match self.reference {
            Some(reference) => Term::Id(OwnedId::new(me.node, me.incarnation, kind, reference.number())),
            None => Term::UNDEFINED,
        };
        match self.kind {
            Kind::Info => self.payload.clone(),
            Kind::Exit => [Term::Atom("EXIT"), self.from.into(), self.payload.clone()].into(),
            Kind::Down => {
                let (object, reason) = self.down().unwrap_or((&Term::UNDEFINED, &Term::UNDEFINED));
                [Term::Atom("DOWN"), id(b'm'), Term::Atom("process"), object.clone(), reason.clone()].into()
            }
            Kind::Timeout => [Term::Atom("timeout"), id(b't'), self.payload.clone()].into(),
            Kind::Call => {
                [Term::Atom("$gen_call"), [self.from.into(), id(b'm')].into(), self.payload.clone()].into()
            }
            Kind::Cast => Term::tagged("$gen_cast", self.payload.clone()),
            Kind::Notify => Term::tagged("notify", self.payload.clone()),
            Kind::Reply => [id(b'm'), self.payload.clone()].into(),
            Kind::System => Term::tagged("system", self.payload.clone()),
        }
    }

    /// What it costs to keep, in bytes.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() - size_of::<Term>() + self.payload.size_bytes()
    }
}

/// Where the answer to a request goes: data, never a channel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct ReplyTo {
    /// A process or an alias.
    pub to: Pid,
    /// What it knows the request by.
    pub reference: Ref,
}

/// A signal on its way to a process.
#[derive(Clone, Debug)]
pub(crate) enum Signal {
    /// Appended to the mailbox.
    Message(Message),
    /// `exit/2`: obeys the receiver's `trap_exit`.
    Exit { from: Pid, reason: Reason },
    /// A linked process ended; dropped if the link is gone by then.
    LinkExit { from: Pid, reason: Reason },
    /// Ends the receiver whatever it traps; those linked to it see `reason`.
    Kill { from: Pid, reason: Reason },
    /// `from` linked itself to the receiver.
    Link { from: Pid },
    /// `from` removed the link.
    Unlink { from: Pid },
    /// `watcher` monitors the receiver, which it named by `name` if by name.
    Monitor { watcher: Pid, reference: Ref, name: Option<Box<Term>> },
    /// The receiver, of another node, monitors `from` from now on, by `name` if by name: somebody asked for it here.
    Monitoring { from: Pid, reference: Ref, name: Option<Box<Term>> },
    /// The monitor, or the call, with this reference is over for its owner.
    Demonitor { watcher: Pid, reference: Ref },
    /// A monitored process, `from`, ended; dropped if the monitor is gone by then. `object` is what it was named by.
    Down { reference: Ref, from: Pid, object: Term, reason: Reason },
    /// What a process that has moved and its former pids tell each other.
    Passing { from: Pid, note: Box<Note> },
}

const _: () = assert!(size_of::<Message>() <= 72);
const _: () = assert!(size_of::<Signal>() <= 80);
