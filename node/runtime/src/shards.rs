//! A value kept once for each of a few threads, so that busy threads do not wait for each other's lock.
//!
//! A thread always gets the same shard. Whoever wants the whole locks all shards, in order.

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

pub(crate) struct Shards<T>(Box<[CachePadded<Mutex<T>>]>);

static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// A small number for this thread.
fn thread() -> usize {
    THREAD.with(|thread| {
        if thread.get() == usize::MAX {
            thread.set(THREADS.fetch_add(1, Relaxed));
        }
        thread.get()
    })
}

impl<T: Default> Shards<T> {
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count.max(1)).map(|_| CachePadded::default()).collect())
    }

    /// This thread's shard.
    pub(crate) fn mine(&self) -> MutexGuard<'_, T> {
        self.0[thread() % self.0.len()].lock()
    }

    /// All shards, this thread's first, one at a time.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        let (first, count) = (thread(), self.0.len());
        (0..count).map(move |offset| self.0[(first + offset) % count].lock())
    }

    /// All shards at once.
    pub(crate) fn all(&self) -> Vec<MutexGuard<'_, T>> {
        self.0.iter().map(|shard| shard.lock()).collect()
    }
}
