//! How many bytes there may be of all requests together that are still coming, and of all answers that are not read.
//!
//! Each of them has a bound of its own, but there may be as many as connections and streams allow: without a bound on all
//! of them, whoever sends each request but for its last byte, or reads no answer, has the memory of all. Invariants: no more
//! is given out than there is, but to who is alone, since what one may have alone is bounded elsewhere; what a share has
//! goes back when it is dropped.

use crate::status::failure;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tonic::{Code, Status};

/// What an answer may have for nothing: its headers may have as much.
const FREE_BYTES: usize = 16 << 10;

/// What there is. Clones are the same.
#[derive(Clone)]
pub(super) struct Budget(Arc<Account>);

struct Account {
    max: usize,
    taken: AtomicUsize,
}

/// What one request has of it.
#[derive(Debug)]
pub(super) struct Share {
    of: Budget,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(max: usize) -> Self {
        Self(Arc::new(Account { max, taken: AtomicUsize::new(0) }))
    }

    /// A share, of nothing yet.
    pub(super) fn share(&self) -> Share {
        Share { of: self.clone(), bytes: 0 }
    }
}

/// The answers of an RPC, or of all: what is not read of them counts.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    budget: Budget,
    changes: bool,
}

impl Answers {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { budget: Budget::new(bytes_max), changes: false }
    }

    /// Those of an RPC that changes something, or does not.
    pub(crate) fn of(&self, changes: bool) -> Self {
        Self { budget: self.budget.clone(), changes }
    }

    /// An answer, or a piece of one, that counts until the last of it was sent.
    ///
    /// # Errors
    /// If those that are not read have all that there is: `RESOURCE_EXHAUSTED SYSTEM_LIMIT`; of what has changed something
    /// `ABORTED ANSWER_LOST`, which no repeat may take for a word that nothing was done.
    pub(crate) fn hold(&self, answer: Bytes) -> Result<Bytes, Status> {
        let mut coming = self.coming();
        coming.grow(answer.len())?;
        Ok(coming.whole(answer))
    }

    /// An answer that is still coming, and counts all the while.
    pub(super) fn coming(&self) -> Coming<'_> {
        Coming { answers: self, share: self.budget.share() }
    }
}

/// An answer of which more and more is there.
pub(super) struct Coming<'a> {
    answers: &'a Answers,
    share: Share,
}

impl Coming<'_> {
    /// So many bytes of it are there.
    ///
    /// # Errors
    /// As [`Answers::hold`].
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Status> {
        if bytes <= FREE_BYTES || self.share.resize(bytes) {
            return Ok(());
        }
        let full =
            format!("the answers that are not read have {} bytes together, the maximum", self.share.max());
        Err(match self.answers.changes {
            true => failure(Code::Aborted, "ANSWER_LOST", format!("it was done, but {full}")).status(),
            false => failure(Code::ResourceExhausted, "SYSTEM_LIMIT", full).status(),
        })
    }

    /// All of it is there: it counts until the last of it was sent.
    pub(super) fn whole(self, answer: Bytes) -> Bytes {
        if answer.len() <= FREE_BYTES {
            return answer;
        }
        Bytes::from_owner(Unread { answer, _share: self.share })
    }
}

/// An answer, with its share for as long as there is some of it.
struct Unread {
    answer: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Unread {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} of {})", self.0.taken.load(Relaxed), self.0.max)
    }
}

impl Share {
    /// Has so many bytes from now on; `false`, and what it had before, if there are not as many.
    pub(super) fn resize(&mut self, bytes: usize) -> bool {
        let Account { max, taken } = &*self.of.0;
        if let Some(less) = self.bytes.checked_sub(bytes) {
            if less > 0 {
                taken.fetch_sub(less, Relaxed);
            }
        } else {
            let more = bytes - self.bytes;
            let is_alone = |taken: usize| taken == self.bytes;
            let fits = |taken: usize| taken.checked_add(more).filter(|then| then <= max || is_alone(taken));
            if taken.fetch_update(Relaxed, Relaxed, fits).is_err() {
                return false;
            }
        }
        self.bytes = bytes;
        true
    }

    /// How many bytes there are in all.
    pub(super) fn max(&self) -> usize {
        self.of.0.max
    }

    /// How many bytes it has.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_given_out_than_there_is_and_what_is_dropped_comes_back() {
        let budget = Budget::new(10);
        let (mut a, mut b) = (budget.share(), budget.share());
        assert!(a.resize(6) && b.resize(4));
        assert!(!b.resize(5));
        assert_eq!(b.bytes(), 4);
        assert!(a.resize(5) && b.resize(5));
        drop(a);
        assert!(b.resize(11), "it is alone");
        assert!(!budget.share().resize(1));
        assert_eq!(format!("{budget:?}"), "Budget(11 of 10)");
    }

    #[test]
    fn what_is_large_of_answers_counts_until_the_last_of_it_is_gone() {
        let answers = Answers::new(100 << 10);
        let answer = |bytes: usize| answers.hold(Bytes::from(vec![0; bytes]));
        let first = answer(60 << 10).unwrap();
        let piece = first.slice(10..20);
        drop(first);
        assert_eq!(answer(60 << 10).unwrap_err().code(), Code::ResourceExhausted);
        let of_a_change = answers.of(true).hold(Bytes::from(vec![0; 60 << 10]));
        assert_eq!(of_a_change.unwrap_err().code(), Code::Aborted, "a key keeps it");
        assert_eq!(answer(FREE_BYTES).unwrap().len(), FREE_BYTES);
        drop(piece);
        assert_eq!(answer(60 << 10).unwrap(), vec![0; 60 << 10]);
    }
}
