//! How many bytes of requests there may be that are still coming, of all together.
//!
//! Each request has a bound of its own, but there may be as many as connections and streams allow: without a bound on all
//! of them, whoever sends each but for its last byte has the memory of all. Invariants: no more is given out than there is;
//! what a share has goes back when it is dropped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What there is. Clones are the same.
#[derive(Clone)]
pub(super) struct Budget(Arc<Bytes>);

struct Bytes {
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
        Self(Arc::new(Bytes { max, taken: AtomicUsize::new(0) }))
    }

    /// A share, of nothing yet.
    pub(super) fn share(&self) -> Share {
        Share { of: self.clone(), bytes: 0 }
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
        let Bytes { max, taken } = &*self.of.0;
        if let Some(less) = self.bytes.checked_sub(bytes) {
            if less > 0 {
                taken.fetch_sub(less, Relaxed);
            }
        } else {
            let more = bytes - self.bytes;
            let fits = |taken: usize| taken.checked_add(more).filter(|taken| taken <= max);
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
        assert!(b.resize(10));
        assert!(!b.resize(usize::MAX));
    }
}
