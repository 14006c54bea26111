//! Chance enough to spread load by: splitmix64.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

pub(super) struct Dice(AtomicU64);

impl Dice {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(RandomState::new().hash_one(std::process::id())))
    }

    fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Two that differ, below `bound`, or 0 twice if nothing else is. Of no more than 2^32.
    pub(super) fn two_below(&self, bound: usize) -> [usize; 2] {
        let (next, bound) = (self.next(), (bound as u64).max(1));
        let first = (next >> 32) % bound;
        let step = 1 + (next & 0xffff_ffff) % (bound - 1).max(1);
        [first as usize, ((first + step) % bound) as usize]
    }

    /// From 0 to 1.
    pub(super) fn fraction(&self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn two_differ_where_there_are_two_and_all_come_up() {
        let dice = Dice::new();
        assert_eq!((dice.two_below(0), dice.two_below(1)), ([0, 0], [0, 0]));
        for bound in 2..8 {
            let drawn: Vec<_> = (0..2_000).map(|_| dice.two_below(bound)).collect();
            assert!(drawn.iter().all(|[first, second]| first != second));
            for place in 0..2 {
                let seen: BTreeSet<_> = drawn.iter().map(|drawn| drawn[place]).collect();
                assert_eq!(seen, (0..bound).collect());
            }
        }
    }
}
