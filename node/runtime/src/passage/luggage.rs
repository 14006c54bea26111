//! What goes along when a process moves, as bytes: the *cargo*, of which it is made anew, and the *luggage*, all else that
//! it has, its messages apart.
//!
//! Version 1. Operation numbers and arrival times of messages stay behind, as in signals.

use super::arrival::Timer;
use crate::codec::{DecodeError, Reader, put_bytes, put_count, read_pid, read_term, write_pid, write_term};
use crate::limits::MailboxLimit;
use crate::message::{Message, ReplyTo, Signal};
use crate::pid::{Pid, Ref};
use crate::priority::Priority;
use crate::remote::Parcel;
use crate::term::Term;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a process is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Cargo {
    /// Its pid so far.
    pub former: Pid,
    /// Its module.
    pub module: Arc<str>,
    /// What its snapshot gave.
    pub state: Term,
    /// Who started it; [`Pid::NONE`] for nobody.
    pub parent: Pid,
    /// What its persistent things belong to.
    pub key: Option<Arc<str>>,
    /// Its id under its supervisor.
    pub child_id: Option<Term>,
    /// Which life of its supervised child it is.
    pub incarnation: u64,
    /// Bytes of state it may hold.
    pub memory_bytes_max: Option<u64>,
    /// Bound of its mailbox.
    pub mailbox: Option<MailboxLimit>,
}

impl Default for Cargo {
    fn default() -> Self {
        Self {
            former: Pid::NONE,
            module: "".into(),
            state: Term::Null,
            parent: Pid::NONE,
            key: None,
            child_id: None,
            incarnation: 0,
            memory_bytes_max: None,
            mailbox: None,
        }
    }
}

/// All else that a process has, its messages apart.
#[derive(Clone, Debug)]
pub struct Luggage {
    /// Its pid from now on.
    pub pid: Pid,
    /// The epoch in which it has that.
    pub epoch: u64,
    /// Its former pids, oldest first.
    pub former: Vec<Pid>,
    /// The reference under which the last of those hears of its end.
    pub(super) way: Ref,
    /// References below this may be its own.
    pub(super) refs: u64,
    pub(super) trap_exit: bool,
    pub(super) priority: Priority,
    pub(super) labels: BTreeMap<Arc<str>, Arc<str>>,
    pub(super) dictionary: BTreeMap<Arc<str>, Term>,
    pub(super) group_leader: Option<Pid>,
    pub(super) watched_names: BTreeMap<Ref, Term>,
    pub(super) links: Vec<Pid>,
    pub(super) monitors: Vec<(Ref, Pid)>,
    pub(super) pending: Vec<(Ref, Pid)>,
    pub(super) open_calls: Vec<ReplyTo>,
    /// How long it waits for a message, and what is left of that, in nanoseconds.
    pub(super) receive_ns: Option<(u64, u64)>,
    pub(super) timers: Vec<Timer>,
    pub(super) turns: u32,
}

impl Luggage {
    /// How many timers go along.
    pub fn timer_count(&self) -> usize {
        self.timers.len()
    }
}

/// Writes messages.
pub fn write_messages<'a>(messages: impl ExactSizeIterator<Item = &'a Message>, out: &mut Vec<u8>) {
    put_count(messages.len(), out);
    messages.for_each(|message| message.put(out));
}

/// Reads messages.
///
/// # Errors
/// Bytes that are none.
pub fn read_messages(from: &mut Reader<'_>) -> Result<Vec<Message>, DecodeError> {
    Vec::get(from)
}

/// What is written one after the other.
trait Part: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Part for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self::from_le_bytes(from.word()?))
            }
        }
    )*};
}
numbers!(u8, u32, u64);

/// Fields that are written in the order in which they are named here.
macro_rules! record {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl Part for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }
            fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $($field: Part::get(from)?),* })
            }
        }
        impl $name {
            /// Writes it.
            pub fn encode(&self, out: &mut Vec<u8>) {
                self.put(out);
            }

            /// Reads one.
            ///
            /// # Errors
            /// Bytes that are none.
            pub fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
                Self::get(from)
            }
        }
    };
}
record!(Cargo { former, module, state, parent, key, child_id, incarnation, memory_bytes_max, mailbox });
record!(Luggage {
    pid,
    epoch,
    former,
    way,
    refs,
    trap_exit,
    priority,
    labels,
    dictionary,
    group_leader,
    watched_names,
    links,
    monitors,
    pending,
    open_calls,
    receive_ns,
    timers,
    turns,
});

impl Part for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match u8::get(from)? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(DecodeError::Tag { what: "flag", tag }),
        }
    }
}

impl Part for Arc<str> {
    fn put(&self, out: &mut Vec<u8>) {
        put_bytes(self.as_bytes(), out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        from.text()
    }
}

impl Part for Term {
    fn put(&self, out: &mut Vec<u8>) {
        write_term(self, out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_term(from)
    }
}

impl Part for Pid {
    fn put(&self, out: &mut Vec<u8>) {
        write_pid(*self, out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_pid(from)
    }
}

impl Part for Ref {
    fn put(&self, out: &mut Vec<u8>) {
        self.number().put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::from_number(u64::get(from)?).ok_or(DecodeError::Tag { what: "reference", tag: 0 })
    }
}

impl Part for Priority {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self as u8);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let tag = u8::get(from)?;
        let priority = Self::from_u8(tag);
        if priority as u8 == tag { Ok(priority) } else { Err(DecodeError::Tag { what: "priority", tag }) }
    }
}

impl Part for MailboxLimit {
    fn put(&self, out: &mut Vec<u8>) {
        self.messages_max.put(out);
        self.bytes_max.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { messages_max: u32::get(from)?, bytes_max: u64::get(from)? })
    }
}

impl Part for ReplyTo {
    fn put(&self, out: &mut Vec<u8>) {
        self.to.put(out);
        self.reference.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { to: Pid::get(from)?, reference: Ref::get(from)? })
    }
}

/// As it is written in a signal, which is for nobody here.
impl Part for Message {
    fn put(&self, out: &mut Vec<u8>) {
        Parcel::message(Pid::NONE, self.clone()).encode(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match Parcel::decode(from)?.signal {
            Signal::Message(message) => Ok(message),
            _ => Err(DecodeError::Tag { what: "message", tag: 0 }),
        }
    }
}

impl<T: Part> Part for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        bool::get(from)?.then(|| T::get(from)).transpose()
    }
}

impl<T: Part> Part for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.len(), out);
        self.iter().for_each(|value| value.put(out));
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // not allocated at once: a damaged count must not ask for more than its bytes can hold
        (0..u32::get(from)?).map(|_| T::get(from)).collect()
    }
}

impl<K: Part + Ord, V: Part> Part for BTreeMap<K, V> {
    fn put(&self, out: &mut Vec<u8>) {
        put_count(self.len(), out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        (0..u32::get(from)?).map(|_| Ok((K::get(from)?, V::get(from)?))).collect()
    }
}

impl<A: Part, B: Part> Part for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok((A::get(from)?, B::get(from)?))
    }
}

impl<A: Part, B: Part, C: Part> Part for (A, B, C) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
        self.2.put(out);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok((A::get(from)?, B::get(from)?, C::get(from)?))
    }
}
