//! Messages as they wait in a mailbox: what is known of each without handling it, and what expressions say of them.
//!
//! Lives here: envelopes, their names, how they are counted and ranked. Does not live here: what takes messages out or
//! reorders them (the runtime's surgery, which takes them by their numbers).
//!
//! Invariant: an expression is evaluated over a copy, never while the process is kept from going on; what it chose is
//! then taken or moved in one step, as far as it still waits.

pub mod patterns;
mod rank;

pub use rank::{Order, RankError, rank};

use crate::predicate::{Bindings, Field, FieldType};
use arsenal_runtime::{Kind, Message, Node, OwnedId, Pid, ProcessRef, Term};
use std::collections::BTreeMap;

/// What expressions over messages may refer to: the fields of the contract's `MailboxMessage`. `age` is in seconds.
pub const FIELDS: [Field; 9] = [
    ("position", FieldType::Number),
    ("from", FieldType::Text),
    ("kind", FieldType::Text),
    ("type", FieldType::Text),
    ("age", FieldType::Number),
    ("size_bytes", FieldType::Number),
    ("operation_id", FieldType::Text),
    ("reference", FieldType::Text),
    ("message", FieldType::Any),
];

/// A message that waits.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Its place in the order of handling, from 0.
    pub position: usize,
    /// Its place among all messages that entered the mailbox.
    pub number: u32,
    /// How it came to be.
    pub kind: Kind,
    /// Who sent it; nothing for a client without a process.
    pub from: Option<Pid>,
    /// How long it has waited, in milliseconds.
    pub age_ms: u32,
    /// The operation that sent it.
    pub operation: Option<OwnedId>,
    /// The call, monitor or timer that it belongs to.
    pub reference: Option<OwnedId>,
    /// What it says. EXIT, DOWN and timeout messages are the tuples that OTP makes of them; a call and a cast say their
    /// request alone.
    pub payload: Term,
}

impl Envelope {
    /// The envelope of a message at `position` in the mailbox of `me`.
    pub fn of(node: &Node, me: Pid, position: usize, message: &Message) -> Self {
        let payload = match message.kind {
            Kind::Exit | Kind::Down | Kind::Timeout => message.to_term(me),
            _ => message.payload.clone(),
        };
        let kind_of_reference = if message.kind == Kind::Timeout { b't' } else { b'm' };
        Self {
            position,
            number: message.number,
            kind: message.kind,
            from: message.from.some().filter(|from| !from.is_alias()),
            age_ms: node.now_ms().wrapping_sub(message.arrived_ms),
            operation: (message.operation != 0).then(|| node.owned(b'o', message.operation)),
            reference: message.reference.map(|reference| node.owned(kind_of_reference, reference.number())),
            payload,
        }
    }

    /// Its tag: the payload where it is a string, the first element where it is a list that begins with one, else what
    /// JSON calls its type.
    pub fn tag(&self) -> String {
        let head = |term: &Term| match term.view() {
            Term::Pid(pid) => Some(pid.to_string()),
            Term::Id(id) => Some(id.to_string()),
            term => term.as_str().map(str::to_owned),
        };
        let of_list = |terms: &[Term]| terms.first().and_then(head);
        let tag = match self.payload.view() {
            Term::List(terms) => of_list(terms),
            term => head(term),
        };
        tag.unwrap_or_else(|| type_name(&self.payload).to_owned())
    }

    /// The value of one of [`FIELDS`]; nothing for another name.
    pub fn value(&self, name: &str) -> Option<Term> {
        let id = |id: Option<OwnedId>| Term::from(id.map(|id| id.to_string()).unwrap_or_default());
        Some(match name {
            "position" => integer(self.position),
            "from" => Term::from(self.from.map(|pid| pid.to_string()).unwrap_or_default()),
            "kind" => kind_name(self.kind).into(),
            "type" => self.tag().into(),
            "age" => Term::Float(f64::from(self.age_ms) / 1_000.0),
            "size_bytes" => integer(self.payload.content_bytes()),
            "operation_id" => id(self.operation),
            "reference" => id(self.reference),
            "message" => self.payload.clone(),
            _ => return None,
        })
    }

    /// Binds those of `names` that it has.
    pub fn bind<'n>(&self, names: impl IntoIterator<Item = &'n String>) -> Bindings {
        let mut bindings = Bindings::default();
        for name in names {
            if let Some(value) = self.value(name) {
                bindings.insert(name.clone(), value);
            }
        }
        bindings
    }
}

fn integer(value: usize) -> Term {
    Term::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

/// The contract's name of a kind.
pub const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Info => "INFO",
        Kind::Call => "CALL",
        Kind::Cast => "CAST",
        Kind::Notify => "EVENT",
        Kind::Reply => "REPLY",
        Kind::Exit => "EXIT",
        Kind::Down => "DOWN",
        Kind::Timeout => "TIMEOUT",
        Kind::System => "SYSTEM",
    }
}

/// What JSON calls the type of a value.
fn type_name(term: &Term) -> &'static str {
    match term.view() {
        Term::Null | Term::Encoded(_) => "null",
        Term::Bool(_) => "bool",
        Term::Int(_) | Term::Float(_) => "number",
        Term::Atom(_) | Term::Str(_) | Term::Pid(_) | Term::Id(_) => "string",
        Term::List(_) => "array",
        Term::Map(_) => "object",
        Term::Bytes(_) => "bytes",
    }
}

/// Envelopes of all messages that wait, next to be handled first.
pub fn envelopes(node: &Node, process: &ProcessRef) -> Vec<Envelope> {
    let me = process.pid();
    node.mailbox(process, |position, message| Some(Envelope::of(node, me, position, message)))
}

/// How many messages there are of each key, the most frequent first and equally frequent ones by their key.
pub fn count<K: Ord>(keys: impl IntoIterator<Item = K>) -> Vec<(K, usize)> {
    let mut counts: BTreeMap<K, usize> = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

#[cfg(test)]
mod tests;
