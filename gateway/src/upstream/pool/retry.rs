//! Whether a call that failed is made again, on another node: a decision core.
//!
//! What never left may always be made again. What may have been done is made again only where doing it twice does no
//! harm. A budget keeps repeats to a share of the calls, so that a service in trouble is not asked twice as much.

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It never left: no connection.
    Unsent,
    /// It may have been done: the connection broke, or the answer did.
    Broken,
    /// The node answered UNAVAILABLE.
    Unavailable,
}

/// Tokens that repeats cost and calls earn.
#[derive(Debug)]
pub(super) struct Budget {
    tokens: f64,
    max: f64,
}

/// What a call that succeeded earns: one repeat in five calls in the long run.
const EARNED: f64 = 0.2;

impl Budget {
    /// A full one, for so many repeats at once.
    pub(super) fn new(max: u32) -> Self {
        Self { tokens: max.into(), max: max.into() }
    }

    /// A call succeeded.
    pub(super) fn earn(&mut self) {
        self.tokens = (self.tokens + EARNED).min(self.max);
    }

    /// Takes what a repeat costs, if it is there.
    fn spend(&mut self) -> bool {
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

/// Decides, and takes from the budget. `attempts` have been made.
pub(super) fn again(
    failed: Failed,
    idempotent: bool,
    attempts: u32,
    attempts_max: u32,
    budget: &mut Budget,
) -> bool {
    let harmless = failed == Failed::Unsent || idempotent;
    harmless && attempts < attempts_max && budget.spend()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_never_left_or_does_no_harm_is_made_again() {
        let mut budget = Budget::new(100);
        let mut ask = |failed, idempotent| again(failed, idempotent, 1, 3, &mut budget);
        for failed in [Failed::Unsent, Failed::Broken, Failed::Unavailable] {
            assert!(ask(failed, true), "{failed:?}");
            assert_eq!(ask(failed, false), failed == Failed::Unsent, "{failed:?}");
        }
    }

    #[test]
    fn attempts_and_the_budget_bound_repeats() {
        let mut budget = Budget::new(2);
        assert!(!again(Failed::Unsent, true, 3, 3, &mut budget));
        assert!(again(Failed::Unsent, true, 1, 3, &mut budget));
        assert!(again(Failed::Unsent, true, 1, 3, &mut budget));
        assert!(!again(Failed::Unsent, true, 1, 3, &mut budget));
        for _ in 0..5 {
            budget.earn();
        }
        assert!(again(Failed::Unsent, true, 1, 3, &mut budget));
    }
}
