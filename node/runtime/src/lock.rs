//! The lock of a process's parts: taking it is one locked instruction, giving it back is none.
//!
//! A hop of a message between two processes on one scheduler takes four locks that nobody else wants. Those locked
//! instructions were most of its cost (7 to 9 ns each on the machine of the benchmarks): a mutex that can park its
//! waiters needs one more for each unlock, 16 ns a pair where this one takes 9. The price: who waits is woken by nobody
//! and has to look again, so it spins, then yields, then sleeps for longer and longer.
//!
//! Invariants: a thread holds the lock for a few moves of memory, except for surgery on a long mailbox (that is what the
//! sleeps are for); the holder never blocks.

use spin::mutex::{SpinMutex, SpinMutexGuard};
use std::time::Duration;

pub(crate) struct Lock<T>(SpinMutex<T>);

pub(crate) type Guard<'a, T> = SpinMutexGuard<'a, T>;

/// Looks at a lock that is held before the waiter offers its core to others.
const SPINS: u32 = 100;
/// Offers of the core before it sleeps.
const YIELDS: u32 = 50;
/// The first sleep and the longest; each is twice the one before.
const SLEEP_MIN: Duration = Duration::from_micros(20);
const SLEEP_MAX: Duration = Duration::from_millis(1);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(SpinMutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        match self.0.try_lock() {
            Some(guard) => guard,
            None => self.wait(),
        }
    }

    #[cold]
    fn wait(&self) -> Guard<'_, T> {
        let mut rounds = 0;
        let mut sleep = SLEEP_MIN;
        loop {
            // a look costs the holder nothing, an attempt takes the cache line from it
            if !self.0.is_locked()
                && let Some(guard) = self.0.try_lock()
            {
                return guard;
            }
            if rounds < SPINS {
                std::hint::spin_loop();
            } else if rounds < SPINS + YIELDS {
                std::thread::yield_now();
            } else {
                std::thread::sleep(sleep);
                sleep = (sleep * 2).min(SLEEP_MAX);
            }
            rounds = (rounds + 1).min(SPINS + YIELDS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn no_addition_under_the_lock_is_lost() {
        const THREADS: usize = 4;
        const EACH: usize = 50_000;
        let total = Lock::new(0);
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..EACH).for_each(|_| *total.lock() += 1));
            }
        });
        assert_eq!(*total.lock(), THREADS * EACH);
    }

    #[test]
    fn who_waits_for_a_lock_held_long_gets_it_once_it_is_given_back() {
        let lock = Lock::new(0);
        let (waits, waiting) = channel();
        std::thread::scope(|scope| {
            let mut held = lock.lock();
            scope.spawn(|| {
                waits.send(()).unwrap();
                *lock.lock() += 1;
            });
            waiting.recv().unwrap();
            // long enough that the waiter sleeps, whatever the machine does meanwhile
            for _ in 0..10_000 {
                std::thread::yield_now();
            }
            *held = 1;
            drop(held);
        });
        assert_eq!(*lock.lock(), 2);
    }
}
