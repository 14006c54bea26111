//! The calls of one kind: how many are under way, how each ended, and how long they took.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::histogram::Histogram;

/// Calls of one kind, which can end in so many ways; which way is which is the owner's matter.
#[derive(Debug)]
pub struct Calls<const ENDS: usize> {
    begun: AtomicU64,
    ended: [AtomicU64; ENDS],
    durations: Histogram,
}

impl<const ENDS: usize> Default for Calls<ENDS> {
    fn default() -> Self {
        let ended = [const { AtomicU64::new(0) }; ENDS];
        Self { begun: AtomicU64::new(0), ended, durations: Histogram::default() }
    }
}

impl<const ENDS: usize> Calls<ENDS> {
    /// One began, which is not timed yet.
    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    /// One that began has ended in this way.
    pub fn end(&self, way: usize, duration: Duration) {
        if let Some(ended) = self.ended.get(way) {
            ended.fetch_add(1, Ordering::Relaxed);
        }
        self.durations.observe(duration);
    }

    /// Whether one ever began.
    pub fn is_used(&self) -> bool {
        self.begun.load(Ordering::Relaxed) > 0
    }

    /// How many ended in each way.
    pub fn ended(&self) -> [u64; ENDS] {
        self.ended.each_ref().map(|ended| ended.load(Ordering::Relaxed))
    }

    /// How many have begun and not ended.
    pub fn under_way(&self) -> u64 {
        // what ends between the two reads is not under way
        let ended: u64 = self.ended().iter().sum();
        self.begun.load(Ordering::Relaxed).saturating_sub(ended)
    }

    /// How long those took that ended.
    pub fn durations(&self) -> &Histogram {
        &self.durations
    }
}

/// A call under way. One that is dropped before it has ended was given up, which is a way of its own.
#[derive(Debug)]
pub struct Timed<C, const ENDS: usize>
where
    C: Deref<Target = Calls<ENDS>>,
{
    calls: C,
    began: Instant,
    given_up: usize,
    told: bool,
}

impl<C, const ENDS: usize> Timed<C, ENDS>
where
    C: Deref<Target = Calls<ENDS>>,
{
    /// Begins now; `given_up` is the way in which it ends if nobody says another.
    pub fn begin(calls: C, given_up: usize) -> Self {
        Self::begin_at(Instant::now(), calls, given_up)
    }

    /// Begins at this moment, for whoever has looked at the clock already.
    pub fn begin_at(now: Instant, calls: C, given_up: usize) -> Self {
        calls.begin();
        Self { calls, began: now, given_up, told: false }
    }

    /// How long it has been under way.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// It has ended in this way. Only the first word counts.
    pub fn end(&mut self, way: usize) {
        if !std::mem::replace(&mut self.told, true) {
            self.calls.end(way, self.began.elapsed());
        }
    }
}

impl<C, const ENDS: usize> Drop for Timed<C, ENDS>
where
    C: Deref<Target = Calls<ENDS>>,
{
    fn drop(&mut self) {
        self.end(self.given_up);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_once_and_one_that_is_dropped_was_given_up() {
        let calls = Calls::<3>::default();
        let (mut answered, dropped) = (Timed::begin(&calls, 2), Timed::begin(&calls, 2));
        let _open = Timed::begin(&calls, 2);
        assert_eq!(calls.under_way(), 3);
        answered.end(0);
        answered.end(1);
        drop((answered, dropped));
        assert_eq!((calls.ended(), calls.under_way(), calls.durations().count()), ([1, 0, 1], 1, 2));
    }
}
