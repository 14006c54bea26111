//! When a server that could not be reached is dialled again: a decision core without clock or chance of its own.
//!
//! After a failure it is left alone for a while, and whoever calls meanwhile fails as the last one did, at once, so that he
//! can go elsewhere. The while doubles with each failure, up to a bound, and is spread by chance: many gateways that
//! lost the same server at the same moment do not come back to it at the same moment. It is shorter than what a circuit
//! of a pool waits, so that each of its tries is a try.

use std::time::{Duration, Instant};

/// The first while at most.
const PAUSE_MIN: Duration = Duration::from_millis(25);
/// And any.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Redial<E> {
    /// In a row.
    failures: u32,
    /// Until when it is left alone, and why.
    paused: Option<(Instant, E)>,
}

impl<E> Default for Redial<E> {
    fn default() -> Self {
        Self { failures: 0, paused: None }
    }
}

impl<E: Clone> Redial<E> {
    /// Why it is not to be dialled now, if it is not.
    pub(super) fn refusal(&self, now: Instant) -> Option<E> {
        self.paused.as_ref().filter(|(until, _)| now < *until).map(|(_, why)| why.clone())
    }

    /// It could not be reached. `chance` is from 0 to 1.
    pub(super) fn fail(&mut self, why: E, now: Instant, chance: f64) {
        let doubled = PAUSE_MIN.saturating_mul(1 << self.failures.min(16)).min(PAUSE_MAX);
        self.failures = self.failures.saturating_add(1);
        self.paused = Some((now + doubled.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0), why));
    }

    /// It was reached.
    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pause(failures: u32, chance: f64) -> Duration {
        let now = Instant::now();
        let mut redial = Redial::default();
        (0..failures).for_each(|_| redial.fail((), now, chance));
        redial.paused.map_or(Duration::ZERO, |(until, ())| until - now)
    }

    #[test]
    fn one_that_was_reached_since_is_left_alone_no_longer_than_at_first() {
        let now = Instant::now();
        let mut redial = Redial::default();
        (0..9).for_each(|_| redial.fail("down", now, 1.0));
        assert_eq!(redial.refusal(now), Some("down"));
        redial.succeed();
        assert_eq!(redial.refusal(now), None);
        redial.fail("down again", now, 1.0);
        assert_eq!(redial.refusal(now), Some("down again"));
        assert_eq!(redial.refusal(now + PAUSE_MIN), None);
    }

    proptest! {
        #[test]
        fn the_while_grows_within_its_bound_and_differs_by_chance(failures in 1u32..100, chance in 0.0f64..=1.0) {
            let this = pause(failures, chance);
            prop_assert!(this >= PAUSE_MIN / 2 && this <= PAUSE_MAX);
            prop_assert!(pause(failures + 1, chance) >= this);
            prop_assert!(pause(failures, 0.0) < pause(failures, 1.0));
        }
    }
}
