//! When a node that fails is left alone, and when it is tried again: a decision core without clock or chance of its own.
//!
//! Closed, it takes calls. After so many failures in a row it opens, and for a while takes none; then one call may try.
//! Each time that fails the while doubles, up to a bound, and is spread by chance, so that many gateways do not come back
//! at the same moment. One success closes it.
//!
//! A call that is given up says nothing, so the one that tried gives its place to the next. Where the node answered nobody
//! for as long as that caller was patient, it is taken for silent for a while: others are preferred to it, and it is taken
//! where there are none, since the call may have been one that takes long.

use std::time::{Duration, Instant};

/// When a circuit opens and for how long.
#[derive(Clone, Copy, Debug)]
pub struct CircuitLimits {
    /// Failures in a row that open it.
    pub failures_max: u32,
    /// How long it stays open at first.
    pub open_min: Duration,
    /// How long at most.
    pub open_max: Duration,
}

impl Default for CircuitLimits {
    fn default() -> Self {
        Self { failures_max: 3, open_min: Duration::from_millis(100), open_max: Duration::from_secs(10) }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Circuit {
    limits: CircuitLimits,
    /// In a row.
    failures: u32,
    /// How often it opened in a row.
    openings: u32,
    state: State,
    /// Until when others are preferred to it.
    silent_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// One call tries; if nothing is heard of it by then, another may.
    Trying {
        until: Instant,
    },
}

impl Circuit {
    pub(super) fn new(limits: CircuitLimits) -> Self {
        Self { limits, failures: 0, openings: 0, state: State::Closed, silent_until: None }
    }

    /// Whether a call may be made now; nothing changes by asking.
    pub(super) fn admits(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until } | State::Trying { until } => now >= until,
        }
    }

    /// Whether calls are made as ever.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether others are preferred to it.
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        self.silent_until.is_some_and(|until| now < until)
    }

    /// A call is made. Gives whether it is one that tries.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let tries = self.state != State::Closed;
        if tries {
            self.state = State::Trying { until: now + self.limits.open_max };
        }
        tries
    }

    /// The call that tried was given up before anything was heard of it.
    pub(super) fn give_back(&mut self, now: Instant) {
        if matches!(self.state, State::Trying { .. }) {
            self.state = State::Open { until: now };
        }
    }

    /// A call was given up behind a long silence.
    pub(super) fn fall_silent(&mut self, now: Instant) {
        self.silent_until = Some(now + self.limits.open_max);
    }

    /// A call was answered.
    pub(super) fn succeed(&mut self) {
        *self = Self::new(self.limits);
    }

    /// A call failed. `chance` is from 0 to 1. Gives whether that opened it, where it was closed before.
    pub(super) fn fail(&mut self, now: Instant, chance: f64) -> bool {
        self.failures = self.failures.saturating_add(1);
        let (was, tried) = (self.state, matches!(self.state, State::Trying { .. }));
        // what was under way as it opened says nothing new
        if tried || (self.state == State::Closed && self.failures >= self.limits.failures_max.max(1)) {
            let doubled = self.limits.open_min.saturating_mul(1 << self.openings.min(16));
            let while_open = doubled.min(self.limits.open_max).mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
            self.openings = self.openings.saturating_add(1);
            self.state = State::Open { until: now + while_open };
        }
        was == State::Closed && self.state != was
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn opened(now: Instant) -> Circuit {
        let mut circuit = Circuit::new(CircuitLimits::default());
        for _ in 0..3 {
            assert!(circuit.admits(now));
            circuit.begin(now);
            circuit.fail(now, 1.0);
        }
        circuit
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_not_after_as_many_between_successes() {
        let now = Instant::now();
        assert!(!opened(now).admits(now));
        let mut circuit = Circuit::new(CircuitLimits::default());
        for _ in 0..10 {
            circuit.fail(now, 1.0);
            circuit.fail(now, 1.0);
            circuit.succeed();
        }
        assert!(circuit.admits(now));
    }

    #[test]
    fn one_call_tries_when_the_while_is_over_and_decides() {
        let mut now = Instant::now();
        let mut circuit = opened(now);
        now += Duration::from_millis(100);
        assert!(circuit.admits(now));
        circuit.begin(now);
        assert!(!circuit.admits(now), "a second one while the first tries");
        circuit.fail(now, 1.0);
        assert!(!circuit.admits(now + Duration::from_millis(199)));
        now += Duration::from_millis(200);
        circuit.begin(now);
        circuit.succeed();
        assert!(circuit.admits(now));
    }

    #[test]
    fn a_try_of_which_nothing_is_heard_does_not_keep_it_open_for_ever() {
        let now = Instant::now();
        let mut circuit = opened(now);
        circuit.begin(now + Duration::from_millis(100));
        assert!(circuit.admits(now + Duration::from_secs(11)));
    }

    #[test]
    fn a_try_that_is_given_up_is_the_next_ones() {
        let now = Instant::now();
        let mut circuit = opened(now);
        let later = now + Duration::from_millis(100);
        assert!(circuit.begin(later));
        circuit.give_back(later);
        assert!(circuit.admits(later));
        assert!(!circuit.is_closed());
        // one that was heard of meanwhile has decided already
        assert!(circuit.begin(later));
        circuit.succeed();
        circuit.give_back(later);
        assert!(circuit.is_closed());
        assert!(!circuit.begin(later), "nothing is tried where all is well");
    }

    #[test]
    fn one_that_fell_silent_is_called_where_no_other_is_left_until_it_answers_or_a_while_is_over() {
        let now = Instant::now();
        let mut circuit = Circuit::new(CircuitLimits::default());
        circuit.fall_silent(now);
        assert!(circuit.is_silent(now) && circuit.admits(now));
        assert!(!circuit.is_silent(now + CircuitLimits::default().open_max));
        circuit.succeed();
        assert!(!circuit.is_silent(now));
    }

    proptest! {
        #[test]
        fn it_never_stays_open_beyond_the_bound(chances in proptest::collection::vec(0.0f64..1.0, 1..40)) {
            let mut now = Instant::now();
            let mut circuit = opened(now);
            for chance in chances {
                now += CircuitLimits::default().open_max;
                prop_assert!(circuit.admits(now));
                circuit.begin(now);
                circuit.fail(now, chance);
            }
        }
    }
}
