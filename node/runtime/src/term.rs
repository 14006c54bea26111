//! Terms: message payloads, arguments, states and exit reasons.
//!
//! A term is immutable and shared; cloning costs a reference count at most. What arrives encoded stays encoded until
//! somebody looks inside, and is decoded once. A string stands for an atom, a list for a tuple.

mod json;
pub(crate) mod pack;

use crate::pid::{OwnedId, Pid};
use bytes::Bytes;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A value that processes exchange.
// The tag fills its word, for the reason that `message::Kind` gives.
#[derive(Clone, Default)]
#[repr(u64)]
pub enum Term {
    /// JSON's null.
    #[default]
    Null,
    /// A boolean.
    Bool(bool),
    /// An integral number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string known when the program was built; equal to a [`Term::Str`] of the same text.
    Atom(&'static str),
    /// A string.
    Str(Arc<str>),
    /// A list; a tuple of OTP is one too.
    List(Arc<[Term]>),
    /// Members in the order in which they were given.
    Map(Arc<[(Arc<str>, Term)]>),
    /// Bytes that nobody interprets.
    Bytes(Arc<Bytes>),
    /// A process; a string in JSON.
    Pid(Pid),
    /// A reference or another id that a node owns; a string in JSON.
    Id(OwnedId),
    /// Encoded by the one who sent it.
    Encoded(Arc<Encoded>),
}

/// A term in the encoding in which it arrived, decoded at most once.
pub struct Encoded {
    bytes: Bytes,
    decode: fn(&[u8]) -> Term,
    decoded: OnceLock<Term>,
}

impl Encoded {
    /// The bytes as they arrived.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    fn term(&self) -> &Term {
        self.decoded.get_or_init(|| (self.decode)(&self.bytes))
    }
}

/// Why a process ended: a term in OTP's form.
pub type Reason = Term;

impl Term {
    /// `normal`.
    pub const NORMAL: Self = Self::Atom("normal");
    /// `kill`, which nobody can trap.
    pub const KILL: Self = Self::Atom("kill");
    /// `killed`, what those who were linked to a killed process see.
    pub const KILLED: Self = Self::Atom("killed");
    /// `shutdown`.
    pub const SHUTDOWN: Self = Self::Atom("shutdown");
    /// `noproc`.
    pub const NOPROC: Self = Self::Atom("noproc");
    /// `ok`.
    pub const OK: Self = Self::Atom("ok");
    /// `timeout`.
    pub const TIMEOUT: Self = Self::Atom("timeout");
    /// `undefined`.
    pub const UNDEFINED: Self = Self::Atom("undefined");

    /// A string made at run time.
    pub fn str(text: impl Into<Arc<str>>) -> Self {
        Self::Str(text.into())
    }

    /// A list of these terms.
    pub fn list(terms: impl IntoIterator<Item = Self>) -> Self {
        Self::List(terms.into_iter().collect())
    }

    /// A map of these members.
    pub fn map<K: Into<Arc<str>>>(members: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// `[tag, value]`, OTP's tagged pair.
    pub fn tagged(tag: &'static str, value: Self) -> Self {
        Self::List(Arc::new([Self::Atom(tag), value]))
    }

    /// `{"crash": reason}`: the exit reason of an uncaught error.
    pub fn crash(reason: Self) -> Self {
        Self::map([("crash", reason)])
    }

    /// What `decode` makes of `bytes`, once somebody looks.
    pub fn encoded(bytes: Bytes, decode: fn(&[u8]) -> Self) -> Self {
        Self::Encoded(Arc::new(Encoded { bytes, decode, decoded: OnceLock::new() }))
    }

    /// The term itself, decoded if it came encoded. Never [`Term::Encoded`].
    pub fn view(&self) -> &Self {
        let mut term = self;
        while let Self::Encoded(encoded) = term {
            term = encoded.term();
        }
        term
    }

    /// Its text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self.view() {
            Self::Atom(text) => Some(text),
            Self::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Its value, if it is an integral number.
    pub fn as_int(&self) -> Option<i64> {
        match self.view() {
            Self::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// Its value, if it is a number.
    pub fn as_f64(&self) -> Option<f64> {
        match self.view() {
            #[expect(clippy::cast_precision_loss, reason = "JSON's numbers are doubles")]
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// Its value, if it is a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self.view() {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Its elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self.view() {
            Self::List(terms) => Some(terms),
            _ => None,
        }
    }

    /// Its members, if it is a map.
    pub fn as_map(&self) -> Option<&[(Arc<str>, Self)]> {
        match self.view() {
            Self::Map(members) => Some(members),
            _ => None,
        }
    }

    /// The member with this key, if it is a map that has one.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.iter().find(|(name, _)| &**name == key).map(|(_, value)| value)
    }

    /// The process it names, be it a pid or the text of one.
    pub fn as_pid(&self) -> Option<Pid> {
        match self.view() {
            Self::Pid(pid) => Some(*pid),
            term => term.as_str()?.parse().ok(),
        }
    }

    /// Whether it is this string.
    pub fn is(&self, text: &str) -> bool {
        self.as_str() == Some(text)
    }

    /// The tag: the string itself, or the first element of a list if that is a string.
    pub fn tag(&self) -> Option<&str> {
        match self.view() {
            Self::List(terms) => terms.first().and_then(Self::as_str),
            term => term.as_str(),
        }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.view(), Self::Null)
    }

    /// As an exit reason: `normal`, `shutdown` or `[shutdown, _]`, after which a transient child stays down.
    pub fn is_orderly(&self) -> bool {
        self.is("normal") || self.is_shutdown()
    }

    /// As an exit reason: `shutdown` or `[shutdown, _]`; so also a crash with the reason `shutdown`, which to OTP is
    /// `{shutdown, Stack}`.
    pub fn is_shutdown(&self) -> bool {
        match self.view() {
            Self::List(terms) => terms.len() == 2 && terms[0].is("shutdown"),
            Self::Map(members) => {
                matches!(&**members, [(key, reason)] if &**key == "crash" && reason.is("shutdown"))
            }
            term => term.is("shutdown"),
        }
    }

    /// JSON merge patch (RFC 7396): members of `patch` replace or, where null, remove those of the same key.
    #[must_use]
    pub fn merge_patch(&self, patch: &Self) -> Self {
        let Some(changes) = patch.as_map() else { return patch.clone() };
        let mut members: Vec<(Arc<str>, Self)> = self.as_map().unwrap_or_default().to_vec();
        for (key, change) in changes {
            let at = members.iter().position(|(name, _)| name == key);
            match (at, change.is_null()) {
                (Some(at), true) => drop(members.remove(at)),
                (Some(at), false) => members[at].1 = members[at].1.merge_patch(change),
                (None, true) => {}
                (None, false) => members.push((Arc::clone(key), Self::Null.merge_patch(change))),
            }
        }
        Self::Map(members.into())
    }

    /// Where its content is, if it has content of its own: equal for terms that share it.
    pub fn address(&self) -> Option<usize> {
        match self {
            Self::Str(text) => Some(Arc::as_ptr(text).addr()),
            Self::List(terms) => Some(Arc::as_ptr(terms).addr()),
            Self::Map(members) => Some(Arc::as_ptr(members).addr()),
            Self::Bytes(bytes) => Some(Arc::as_ptr(bytes).addr()),
            Self::Encoded(encoded) => Some(Arc::as_ptr(encoded).addr()),
            _ => None,
        }
    }

    /// As [`Term::address`], of content that somebody else holds too.
    pub(crate) fn shared_address(&self) -> Option<usize> {
        let holders = match self {
            Self::Str(text) => Arc::strong_count(text),
            Self::List(terms) => Arc::strong_count(terms),
            Self::Map(members) => Arc::strong_count(members),
            Self::Bytes(bytes) => Arc::strong_count(bytes),
            Self::Encoded(encoded) => Arc::strong_count(encoded),
            _ => return None,
        };
        self.address().filter(|_| holders > 1)
    }

    /// Bytes of what it says: as it was sent, where it came encoded, else as [`Term::size_bytes`] estimates. The same
    /// whenever it is asked, whether or not somebody has decoded it since.
    pub fn content_bytes(&self) -> usize {
        match self {
            Self::Encoded(encoded) => encoded.bytes().len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Atom(text) => text.len(),
            Self::Str(text) => text.len(),
            term => term.weigh(|encoded| encoded.bytes.len()),
        }
    }

    /// What it costs to keep, in bytes: an estimate of the heap behind it, its own 24 bytes included. Shared parts
    /// count for each holder.
    pub fn size_bytes(&self) -> usize {
        let decoded =
            |encoded: &Encoded| encoded.decoded.get().map_or(0, |term| term.size_bytes() - Self::OWN);
        self.weigh(|encoded| 72 + encoded.bytes.len() + decoded(encoded))
    }

    const OWN: usize = size_of::<Self>();

    /// Its bytes, where what came encoded weighs what `of_encoded` says.
    fn weigh(&self, of_encoded: impl Fn(&Encoded) -> usize + Copy) -> usize {
        Self::OWN
            + match self {
                Self::Str(text) => 16 + text.len(),
                Self::List(terms) => 16 + terms.iter().map(|term| term.weigh(of_encoded)).sum::<usize>(),
                Self::Map(members) => {
                    let member = |(key, value): &(Arc<str>, Self)| 32 + key.len() + value.weigh(of_encoded);
                    16 + members.iter().map(member).sum::<usize>()
                }
                Self::Bytes(bytes) => 48 + bytes.len(),
                Self::Encoded(encoded) => of_encoded(encoded),
                _ => 0,
            }
    }
}

impl PartialEq for Term {
    fn eq(&self, other: &Self) -> bool {
        match (self.view(), other.view()) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a == b,
            (Self::List(a), Self::List(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => {
                a.len() == b.len() && a.iter().all(|(key, value)| other.get(key).is_some_and(|v| v == value))
            }
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Pid(a), Self::Pid(b)) => a == b,
            (Self::Id(a), Self::Id(b)) => a == b,
            (Self::Pid(pid), text) | (text, Self::Pid(pid)) => {
                text.as_str().is_some_and(|t| t == pid.to_string())
            }
            (Self::Id(id), text) | (text, Self::Id(id)) => text.as_str().is_some_and(|t| t == id.to_string()),
            (a, b) => a.as_str().is_some_and(|text| b.is(text)),
        }
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_json(), f)
    }
}

impl From<&'static str> for Term {
    fn from(text: &'static str) -> Self {
        Self::Atom(text)
    }
}
impl From<String> for Term {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}
impl From<i64> for Term {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}
impl From<bool> for Term {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<Pid> for Term {
    fn from(pid: Pid) -> Self {
        Self::Pid(pid)
    }
}
impl From<OwnedId> for Term {
    fn from(id: OwnedId) -> Self {
        Self::Id(id)
    }
}
impl<const N: usize> From<[Term; N]> for Term {
    fn from(terms: [Term; N]) -> Self {
        Self::List(Arc::new(terms))
    }
}
impl From<Vec<Term>> for Term {
    fn from(terms: Vec<Term>) -> Self {
        Self::List(terms.into())
    }
}

const _: () = assert!(size_of::<Term>() == 24);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atom_equals_the_string_of_its_text() {
        assert_eq!(Term::NORMAL, Term::str("normal"));
        assert_ne!(Term::NORMAL, Term::str("shutdown"));
    }

    #[test]
    fn an_encoded_term_is_decoded_once_and_equals_what_it_holds() {
        let term =
            Term::encoded(Bytes::from_static(b"x"), |bytes| Term::Int(bytes.len().try_into().unwrap()));
        assert_eq!(term.as_int(), Some(1));
        assert_eq!(term, Term::Int(1));
    }

    #[test]
    fn a_shutdown_with_a_value_or_a_stack_is_orderly_and_another_crash_is_not() {
        assert!(Term::tagged("shutdown", Term::Int(1)).is_orderly());
        assert!(Term::crash(Term::SHUTDOWN).is_orderly());
        assert!(!Term::crash(Term::Atom("normal")).is_orderly());
        assert!(!Term::KILLED.is_orderly());
    }
}
