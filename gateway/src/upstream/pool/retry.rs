//! Whether a call that failed is made again, on another node: a decision core.
//!
//! What never left may always be made again. What may have been done is made again only where doing it twice does no
//! harm. A budget keeps those repeats to a share of the calls, so that a service in trouble is not asked twice as much;
//! what never left asked nobody, and costs nothing of it.
//!
//! A node that dies breaks all that it was answering at once, and that is as much as clients have under way. So for calls
//! that broke the budget is as large as that was of late.

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

/// What repeats have cost and calls have earned back.
#[derive(Debug)]
pub(super) struct Budget {
    spent: f64,
    max: f64,
    /// The most calls that were under way together; forgotten as calls succeed.
    peak: f64,
}

/// What a call that succeeded earns: one repeat in five calls in the long run.
const EARNED: f64 = 0.2;

impl Budget {
    /// Nothing is spent, of so many repeats at once.
    pub(super) fn new(max: u32) -> Self {
        Self { spent: 0.0, max: max.into(), peak: 0.0 }
    }

    /// A call succeeded, as one of so many under way.
    pub(super) fn earn(&mut self, under_way: usize) {
        self.spent = (self.spent - EARNED).max(0.0);
        self.peak = (self.peak - EARNED).max(under_way as f64);
    }

    /// Takes what the repeat of a call costs that failed so, if it is there.
    fn spend(&mut self, failed: Failed, under_way: usize) -> bool {
        self.peak = self.peak.max(under_way as f64);
        let max = match failed {
            Failed::Unsent => return true,
            Failed::Broken => self.max.max(self.peak),
            Failed::Unavailable => self.max,
        };
        let enough = self.spent + 1.0 <= max;
        if enough {
            self.spent += 1.0;
        }
        enough
    }
}

/// What there is to know of a call that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) idempotent: bool,
    /// How often it was made.
    pub(super) attempts: u32,
    /// How many calls are under way, with this one.
    pub(super) under_way: usize,
}

/// Decides, and takes from the budget.
pub(super) fn again(failed: Failed, call: Call, attempts_max: u32, budget: &mut Budget) -> bool {
    let harmless = failed == Failed::Unsent || call.idempotent;
    harmless && call.attempts < attempts_max && budget.spend(failed, call.under_way)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call = Call { idempotent: true, attempts: 1, under_way: 1 };

    #[test]
    fn only_what_never_left_or_does_no_harm_is_made_again() {
        let mut budget = Budget::new(100);
        let mut ask = |failed, idempotent| again(failed, Call { idempotent, ..CALL }, 3, &mut budget);
        for failed in [Failed::Unsent, Failed::Broken, Failed::Unavailable] {
            assert!(ask(failed, true), "{failed:?}");
            assert_eq!(ask(failed, false), failed == Failed::Unsent, "{failed:?}");
        }
    }

    #[test]
    fn attempts_and_the_budget_bound_repeats() {
        for failed in [Failed::Broken, Failed::Unavailable] {
            let mut budget = Budget::new(2);
            assert!(!again(failed, Call { attempts: 3, ..CALL }, 3, &mut budget));
            assert!(again(failed, CALL, 3, &mut budget));
            assert!(again(failed, CALL, 3, &mut budget));
            assert!(!again(failed, CALL, 3, &mut budget));
            for _ in 0..5 {
                budget.earn(1);
            }
            assert!(again(failed, CALL, 3, &mut budget));
            assert!(!again(failed, CALL, 3, &mut budget));
        }
    }

    #[test]
    fn what_never_left_costs_nothing() {
        let mut budget = Budget::new(0);
        assert!(again(Failed::Unsent, CALL, 3, &mut budget));
        assert!(!again(Failed::Unsent, Call { attempts: 3, ..CALL }, 3, &mut budget));
    }

    #[test]
    fn all_that_a_node_breaks_when_it_dies_is_made_again_however_the_other_calls_end() {
        let mut budget = Budget::new(100);
        for under_way in (256..=512).rev() {
            let call = Call { under_way, ..CALL };
            assert!(again(Failed::Broken, call, 3, &mut budget), "{under_way}");
            budget.earn(under_way);
        }
        // the same is no reason to ask a service that is in trouble
        assert!(!again(Failed::Unavailable, Call { under_way: 512, ..CALL }, 3, &mut budget));
    }

    #[test]
    fn that_many_were_under_way_once_is_forgotten() {
        let mut budget = Budget::new(0);
        budget.earn(10);
        assert!(again(Failed::Broken, CALL, 3, &mut budget));
        for _ in 0..50 {
            budget.earn(0);
        }
        assert!(!again(Failed::Broken, Call { under_way: 0, ..CALL }, 3, &mut budget));
    }
}
