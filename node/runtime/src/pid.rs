//! Process identifiers and references: what names a process, a monitor, a call or a timer.
//!
//! Invariants: a pid is never reused. Its serial is a table index (the low [`INDEX_BITS`]) below a generation that
//! grows with every reuse of the index; the highest bit marks an *alias*, the address of a waiting request from
//! outside, which is no process but is written to in the same way.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

/// How many bits of a serial are the index into the process table: 16,777,216 live processes a node.
pub const INDEX_BITS: u32 = 24;
const ALIAS_BIT: u64 = 1 << 63;

/// A process identifier, `n1.7.42`: node, incarnation of that node, serial.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pid {
    /// Number of the node, from 1.
    pub node: u32,
    /// Which life of the node this is, from 1.
    pub incarnation: u32,
    /// Unique in that life of the node.
    pub serial: u64,
}

impl Pid {
    /// No process: the sender of a message that comes from outside.
    pub const NONE: Self = Self { node: 0, incarnation: 0, serial: 0 };

    /// The pid with this serial on that incarnation of a node.
    pub const fn new(node: u32, incarnation: u32, serial: u64) -> Self {
        Self { node, incarnation, serial }
    }

    /// Whether this is [`Pid::NONE`].
    pub const fn is_none(self) -> bool {
        self.node == 0
    }

    /// The pid, or nothing for [`Pid::NONE`].
    pub fn some(self) -> Option<Self> {
        (!self.is_none()).then_some(self)
    }

    /// Whether this addresses a waiting request instead of a process.
    pub const fn is_alias(self) -> bool {
        self.serial & ALIAS_BIT != 0
    }

    pub(crate) const fn index(self) -> usize {
        (self.serial & ((1 << INDEX_BITS) - 1)) as usize
    }

    pub(crate) const fn alias(node: u32, incarnation: u32, serial: u64) -> Self {
        Self { node, incarnation, serial: serial | ALIAS_BIT }
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, incarnation, serial } = self;
        if self.is_alias() {
            write!(f, "n{node}.{incarnation}.a{}", serial & !ALIAS_BIT)
        } else {
            write!(f, "n{node}.{incarnation}.{serial}")
        }
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no pid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a pid; a pid looks like n1.7.42")]
pub struct ParsePidError(pub String);

impl FromStr for Pid {
    type Err = ParsePidError;

    fn from_str(text: &str) -> Result<Self, ParsePidError> {
        parse(text).ok_or_else(|| ParsePidError(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Pid> {
    let (node, rest) = text.strip_prefix('n')?.split_once('.')?;
    let (incarnation, serial) = rest.split_once('.')?;
    let (node, incarnation) = (life_number(node)?, life_number(incarnation)?);
    if node == 0 {
        return None;
    }
    match serial.strip_prefix('a') {
        Some(alias) => Some(Pid::alias(node, incarnation, number(alias)?)),
        None => Some(Pid::new(node, incarnation, number(serial)?)),
    }
}

/// A decimal number as we print it: digits alone, no leading zero, below the alias bit.
pub(crate) fn number(text: &str) -> Option<u64> {
    if text.is_empty()
        || !text.bytes().all(|b| b.is_ascii_digit())
        || (text.len() > 1 && text.starts_with('0'))
    {
        return None;
    }
    text.parse().ok().filter(|n| n & ALIAS_BIT == 0)
}

/// A reference, unique in the life of the node that made it: of a monitor, a call, a timer or a hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ref(NonZeroU64);

impl Ref {
    pub(crate) fn from_number(number: u64) -> Option<Self> {
        NonZeroU64::new(number).map(Self)
    }

    /// Its number on the node that made it.
    pub const fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Debug for Ref {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// An id that a node owns, written with the node's life and a letter for its kind: `n1.7-m42`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnedId {
    /// Number of the owning node.
    pub node: u32,
    /// Its incarnation.
    pub incarnation: u32,
    /// The kind's letter in the highest byte, the number below it.
    tagged: u64,
}

impl OwnedId {
    const NUMBER_BITS: u32 = 56;

    /// The id of the `kind`: `m` monitor or call reference, `t` timer, `h` hold, `s` session, `o` operation, `d` dead
    /// letter.
    pub const fn new(node: u32, incarnation: u32, kind: u8, number: u64) -> Self {
        Self { node, incarnation, tagged: (kind as u64) << Self::NUMBER_BITS | number }
    }

    /// The letter of its kind.
    pub const fn kind(self) -> u8 {
        (self.tagged >> Self::NUMBER_BITS) as u8
    }

    /// Its number on the owning node.
    pub const fn number(self) -> u64 {
        self.tagged & ((1 << Self::NUMBER_BITS) - 1)
    }

    /// The reference with that number.
    pub fn reference(self) -> Option<Ref> {
        Ref::from_number(self.number())
    }
}

impl fmt::Display for OwnedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}.{}-{}{}", self.node, self.incarnation, self.kind() as char, self.number())
    }
}

impl fmt::Debug for OwnedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for OwnedId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let id = || {
            let (life, rest) = text.strip_prefix('n')?.split_once('-')?;
            let (node, incarnation) = life.split_once('.')?;
            let kind = *rest.as_bytes().first().filter(|letter| letter.is_ascii_lowercase())?;
            let number = number(rest.get(1..)?).filter(|n| n >> Self::NUMBER_BITS == 0)?;
            Some(Self::new(life_number(node)?, life_number(incarnation)?, kind, number))
        };
        id().ok_or_else(|| ParseIdError(text.to_owned()))
    }
}

fn life_number(text: &str) -> Option<u32> {
    u32::try_from(number(text)?).ok()
}

/// A text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an id; an id looks like n1.7-t42")]
pub struct ParseIdError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_reads_back_as_it_was_written() {
        for pid in [Pid::new(1, 7, 42), Pid::alias(3, 1, 9), Pid::new(u32::MAX, u32::MAX, (1 << 63) - 1)] {
            assert_eq!(pid.to_string().parse(), Ok(pid));
        }
    }

    #[test]
    fn what_only_looks_like_a_pid_is_refused() {
        for text in
            ["", "n", "n1", "n1.1", "n1.1.", "n0.1.1", "n1.1.01", "n1.1.x", "n1.1.1.1", "n1.+1.1", "1.1.1"]
        {
            assert!(text.parse::<Pid>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_owned_id_reads_back_as_it_was_written() {
        let id = OwnedId::new(1, 7, b't', 42);
        assert_eq!(id.to_string(), "n1.7-t42");
        assert_eq!("n1.7-t42".parse(), Ok(id));
        assert!("n1.7-t".parse::<OwnedId>().is_err());
        assert!("n1.7-é1".parse::<OwnedId>().is_err());
    }
}
