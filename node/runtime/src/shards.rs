//! A value kept once for each of a few threads, so that busy threads do not wait for each other's lock.
//!
//! A thread always gets the same shard. Whoever wants the whole locks all shards, in order. Their number is a power of
//! two, so that finding one's own costs no division.

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
        Self((0..count.next_power_of_two()).map(|_| CachePadded::default()).collect())
    }

    /// How many there are, at least as many as were asked for.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The number of this thread's shard.
    pub(crate) fn my_number(&self) -> usize {
        thread() & (self.0.len() - 1)
    }

    /// This thread's shard.
    pub(crate) fn mine(&self) -> MutexGuard<'_, T> {
        self.0[self.my_number()].lock()
    }

    /// Those of the others that are free just now, so that it may be asked for while one's own is held.
    pub(crate) fn idle_others(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        let (first, count) = (thread(), self.0.len());
        (1..count).filter_map(move |offset| self.0[(first + offset) & (count - 1)].try_lock())
    }

    /// All shards, this thread's first, one at a time.
    pub(crate) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        let (first, count) = (thread(), self.0.len());
        (0..count).map(move |offset| self.0[(first + offset) & (count - 1)].lock())
    }

    /// All shards at once.
    pub(crate) fn all(&self) -> Vec<MutexGuard<'_, T>> {
        self.0.iter().map(|shard| shard.lock()).collect()
    }
}
