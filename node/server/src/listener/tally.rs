//! What became of the connections of a listener, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    admitted: AtomicU64,
    ended: AtomicU64,
    crowded: AtomicU64,
    unshaken: AtomicU64,
}

/// A connection that was let in, until it is dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<Tally>);

impl Tally {
    /// One more was let in.
    pub(super) fn admit(self: &Arc<Self>) -> Counted {
        self.admitted.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(self))
    }

    /// One was closed since its address has enough.
    pub(super) fn crowd(&self) {
        self.crowded.fetch_add(1, Ordering::Relaxed);
    }

    /// One was closed since it did not shake hands as it must.
    pub(super) fn fail(&self) {
        self.unshaken.fetch_add(1, Ordering::Relaxed);
    }

    /// Those that are open.
    pub(crate) fn open(&self) -> u64 {
        let ended = self.ended.load(Ordering::Relaxed);
        self.admitted.load(Ordering::Relaxed).saturating_sub(ended)
    }

    /// All that were let in.
    pub(crate) fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// All that were not, by why.
    pub(crate) fn refused(&self) -> [(&'static str, u64); 2] {
        [("address", &self.crowded), ("handshake", &self.unshaken)]
            .map(|(why, count)| (why, count.load(Ordering::Relaxed)))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
