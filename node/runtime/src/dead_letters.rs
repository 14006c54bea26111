//! Dead letters: messages that no code will handle, kept so that nothing is lost without a trace.
//!
//! A call is among them only where surgery or a bound took it: of a dead process its caller hears.
//!
//! Invariant: at most `max` are kept, with messages of at most `bytes_max` in all; the oldest go first and are counted.

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
    /// What their messages take.
    bytes: usize,
    last: u64,
    dropped: u64,
}

impl Letters {
    fn forget_beyond(&mut self, max: usize, bytes_max: usize) {
        while self.letters.len() > max || self.bytes > bytes_max {
            let Some(oldest) = self.letters.pop_front() else { return };
            self.bytes -= weight(&oldest.message);
            self.dropped += 1;
        }
    }
}

/// The node's dead letters.
pub struct DeadLetters {
    letters: Mutex<Letters>,
    max: usize,
    bytes_max: usize,
}

impl DeadLetters {
    pub(crate) fn new(max: usize, bytes_max: usize) -> Self {
        Self { letters: Mutex::default(), max: max.max(1), bytes_max }
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
            inner.bytes += weight(&message);
            inner.letters.push_back(DeadLetter { number, to, message, reason, at_ns, operation });
            inner.forget_beyond(self.max, self.bytes_max);
        }
    }

    /// Puts letters that were taken back among the others, each to its place.
    pub fn put_back(&self, letters: Vec<DeadLetter>) {
        let mut inner = self.letters.lock();
        inner.bytes += bytes_of(&letters);
        inner.letters.extend(letters);
        inner.letters.make_contiguous().sort_by_key(|letter| letter.number);
        inner.forget_beyond(self.max, self.bytes_max);
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
        inner.bytes -= bytes_of(&taken);
        taken
    }
}

fn bytes_of(letters: &[DeadLetter]) -> usize {
    letters.iter().map(|letter| weight(&letter.message)).sum()
}

/// What a message counts for: the same when it goes as when it came, though somebody has decoded it since.
fn weight(message: &Message) -> usize {
    size_of::<Message>() + message.payload.content_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::Term;

    fn message(length: usize) -> Message {
        Message::info(Pid::NONE, Term::from("x".repeat(length)))
    }

    fn numbers(kept: &DeadLetters) -> Vec<u64> {
        kept.list().iter().map(|letter| letter.number).collect()
    }

    #[test]
    fn the_oldest_go_where_there_are_too_many_or_they_are_too_big() {
        let bytes_max = 3 * weight(&message(1_000));
        let letters = DeadLetters::new(5, bytes_max);
        let add = |length| letters.add(Pid::NONE, [message(length)], DeadLetterReason::Flushed, 0, 0);
        (0..4).for_each(|_| add(1_000));
        assert_eq!((numbers(&letters), letters.dropped()), (vec![2, 3, 4], 1));
        let taken = letters.take(&[3].into());
        add(1_000);
        assert_eq!(
            (numbers(&letters), letters.dropped()),
            (vec![2, 4, 5], 1),
            "what was taken counts no more"
        );
        letters.put_back(taken);
        assert_eq!((numbers(&letters), letters.dropped()), (vec![3, 4, 5], 2));
        add(bytes_max);
        assert_eq!((numbers(&letters), letters.dropped()), (vec![], 6), "one that is too big is not kept");
        (0..6).for_each(|_| add(1));
        assert_eq!(numbers(&letters), [8, 9, 10, 11, 12]);
    }

    #[test]
    fn a_letter_that_was_read_since_is_taken_for_no_more_than_it_came_with() {
        let letters = DeadLetters::new(5, usize::MAX);
        let encoded = Term::encoded(bytes::Bytes::from_static(b"x"), |_| Term::from("x".repeat(1_000)));
        letters.add(Pid::NONE, [Message::info(Pid::NONE, encoded)], DeadLetterReason::DeadProcess, 0, 0);
        assert!(letters.list()[0].message.payload.as_str().is_some());
        letters.put_back(letters.take(&[1].into()));
        assert_eq!((numbers(&letters), letters.dropped()), (vec![1], 0));
    }
}
