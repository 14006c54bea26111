//! Dead letters: messages that no code will handle, kept so that nothing is lost without a trace.
//!
//! A call is among them only where surgery or a bound took it: of a dead process its caller hears.
//!
//! Invariant: at most `max` are kept; the oldest go first and are counted.

use crate::message::Message;
use crate::pid::Pid;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Why a message is here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeadLetterReason {
    /// The queue was flushed.
    Flushed,
    /// The queue was drained.
    Drained,
    /// A filter took it out.
    Filtered,
    /// The mailbox was full.
    Limit,
    /// It was sent to a process that is dead, or its timer fired for a name that nobody held.
    DeadProcess,
    /// It waited in the mailbox of a process that ended.
    LeftBehind,
    /// It is an answer that nobody waits for any more.
    Expired,
}

/// A message that did not reach its receiver's code.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its number on the node.
    pub number: u64,
    /// Whose mailbox it was in or meant for.
    pub to: Pid,
    /// The message.
    pub message: Message,
    /// Why it is here.
    pub reason: DeadLetterReason,
    /// When it came here, in nanoseconds of the node's clock.
    pub at_ns: u64,
    /// The operation that took it out, 0 for none.
    pub operation: u64,
}

#[derive(Default)]
struct Letters {
    letters: VecDeque<DeadLetter>,
    last: u64,
    dropped: u64,
}

/// The node's dead letters.
pub struct DeadLetters {
    letters: Mutex<Letters>,
    max: usize,
}

impl DeadLetters {
    pub(crate) fn new(max: usize) -> Self {
        Self { letters: Mutex::default(), max: max.max(1) }
    }

    pub(crate) fn add(
        &self,
        to: Pid,
        messages: impl IntoIterator<Item = Message>,
        reason: DeadLetterReason,
        at_ns: u64,
        operation: u64,
    ) {
        let mut inner = self.letters.lock();
        for message in messages {
            inner.last += 1;
            let number = inner.last;
            if inner.letters.len() >= self.max {
                inner.letters.pop_front();
                inner.dropped += 1;
            }
            inner.letters.push_back(DeadLetter { number, to, message, reason, at_ns, operation });
        }
    }

    /// Puts letters that were taken back among the others, each to its place.
    pub fn put_back(&self, letters: Vec<DeadLetter>) {
        let mut inner = self.letters.lock();
        inner.letters.extend(letters);
        inner.letters.make_contiguous().sort_by_key(|letter| letter.number);
        while inner.letters.len() > self.max {
            inner.letters.pop_front();
            inner.dropped += 1;
        }
    }

    /// All, oldest first.
    pub fn list(&self) -> Vec<DeadLetter> {
        self.letters.lock().letters.iter().cloned().collect()
    }

    /// How many are kept.
    pub fn count(&self) -> usize {
        self.letters.lock().letters.len()
    }

    /// How many went because there were too many.
    pub fn dropped(&self) -> u64 {
        self.letters.lock().dropped
    }

    /// Takes those with these numbers out.
    pub fn take(&self, numbers: &std::collections::BTreeSet<u64>) -> Vec<DeadLetter> {
        let mut inner = self.letters.lock();
        let (taken, kept): (Vec<_>, VecDeque<_>) = {
            let mut taken = Vec::new();
            let mut kept = VecDeque::new();
            for letter in inner.letters.drain(..) {
                if numbers.contains(&letter.number) { taken.push(letter) } else { kept.push_back(letter) }
            }
            (taken, kept)
        };
        inner.letters = kept;
        taken
    }
}
