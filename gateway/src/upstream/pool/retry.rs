//! Whether a call that failed is made again, on another node: a decision core.
//!
//! What never left may always be made again. What may have been done is made again only where doing it twice does no
//! harm. A budget keeps those repeats to a share of the calls, so that a service in trouble is not asked twice as much;
//! what never left asked nobody, and what a busy node did not take was no work for it: that costs nothing of it.
//!
//! A node that dies breaks all that it was answering at once, and that is as much as clients have under way. So for calls
//! that broke the budget is as large as that was of late.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It never left: no connection.
    Unsent,
    /// It was not done: the node is there, and takes no more calls now.
    Busy,
    /// It may have been done: the connection broke, or the answer did.
    Broken,
    /// The node answered UNAVAILABLE.
    Unavailable,
}

/// What repeats have cost and calls have earned back. It is kept in fifths of a call, since a call that succeeds earns one:
/// one repeat in five calls in the long run.
#[derive(Debug)]
pub(super) struct Budget {
    spent: AtomicU64,
    max: u64,
    /// The most calls that were under way together; forgotten as calls succeed.
    peak: AtomicU64,
}

/// What one repeat costs.
const COST: u64 = 5;

fn fifths(calls: usize) -> u64 {
    (calls as u64).saturating_mul(COST)
}

impl Budget {
    /// Nothing is spent, of so many repeats at once.
    pub(super) fn new(max: u32) -> Self {
        Self { spent: AtomicU64::new(0), max: u64::from(max) * COST, peak: AtomicU64::new(0) }
    }

    /// A call succeeded, as one of so many under way.
    pub(super) fn earn(&self, under_way: usize) {
        // most of the time there is nothing to be earned back
        if self.spent.load(Ordering::Relaxed) > 0 {
            let _ =
                self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |spent| spent.checked_sub(1));
        }
        let (peak, under_way) = (self.peak.load(Ordering::Relaxed), fifths(under_way));
        let next = peak.saturating_sub(1).max(under_way);
        if next != peak {
            // whoever was quicker has seen about as many
            let _ = self.peak.compare_exchange(peak, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Takes what the repeat of a call costs that failed so, if it is there.
    fn spend(&self, failed: Failed, under_way: usize) -> bool {
        let under_way = fifths(under_way);
        let peak = self.peak.fetch_max(under_way, Ordering::Relaxed).max(under_way);
        let max = match failed {
            Failed::Unsent | Failed::Busy => return true,
            Failed::Broken => self.max.max(peak),
            Failed::Unavailable => self.max,
        };
        let spend = |spent: u64| Some(spent + COST).filter(|spent| *spent <= max);
        self.spent.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }
}

/// What there is to know of a call that failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) idempotent: bool,
    /// How often it was made.
    pub(super) attempts: u32,
    /// How many of these may have been done.
    pub(super) asked: u32,
    /// Whether a node takes calls that was not tried yet.
    pub(super) fresh: bool,
    /// How many calls are under way, with this one.
    pub(super) under_way: usize,
}

/// Decides, and takes from the budget. What never left is tried on each node, as it asks none of them anything.
pub(super) fn again(failed: Failed, call: Call, attempts_max: u32, budget: &Budget) -> bool {
    let (harmless, within) = match failed {
        Failed::Unsent => (true, call.fresh || call.attempts < attempts_max),
        // not on each node: where one has too much to do others will have
        Failed::Busy => (true, call.asked < attempts_max),
        Failed::Broken | Failed::Unavailable => (call.idempotent, call.asked < attempts_max),
    };
    harmless && within && budget.spend(failed, call.under_way)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call = Call { idempotent: true, attempts: 1, asked: 1, fresh: false, under_way: 1 };

    #[test]
    fn only_what_never_left_or_does_no_harm_is_made_again() {
        let budget = Budget::new(100);
        let ask = |failed, idempotent| again(failed, Call { idempotent, ..CALL }, 3, &budget);
        for failed in [Failed::Unsent, Failed::Busy, Failed::Broken, Failed::Unavailable] {
            let harmless = matches!(failed, Failed::Unsent | Failed::Busy);
            assert!(ask(failed, true), "{failed:?}");
            assert_eq!(ask(failed, false), harmless, "{failed:?}");
        }
    }

    #[test]
    fn attempts_and_the_budget_bound_repeats() {
        for failed in [Failed::Broken, Failed::Unavailable] {
            let budget = Budget::new(2);
            assert!(!again(failed, Call { attempts: 3, asked: 3, ..CALL }, 3, &budget));
            assert!(again(failed, CALL, 3, &budget));
            assert!(again(failed, CALL, 3, &budget));
            assert!(!again(failed, CALL, 3, &budget));
            for _ in 0..5 {
                budget.earn(1);
            }
            assert!(again(failed, CALL, 3, &budget));
            assert!(!again(failed, CALL, 3, &budget));
        }
    }

    #[test]
    fn what_never_left_costs_nothing() {
        let budget = Budget::new(0);
        assert!(again(Failed::Unsent, CALL, 3, &budget));
        assert!(!again(Failed::Unsent, Call { attempts: 3, ..CALL }, 3, &budget));
    }

    #[test]
    fn what_never_left_is_tried_on_each_node_and_leaves_as_many_attempts_as_ever() {
        let budget = Budget::new(100);
        let call = Call { attempts: 9, asked: 0, fresh: true, ..CALL };
        assert!(again(Failed::Unsent, call, 3, &budget));
        assert!(!again(Failed::Unsent, Call { fresh: false, ..call }, 3, &budget));
        assert!(again(Failed::Broken, Call { asked: 2, ..call }, 3, &budget));
        assert!(!again(Failed::Broken, Call { asked: 3, ..call }, 3, &budget));
    }

    #[test]
    fn all_that_a_node_breaks_when_it_dies_is_made_again_however_the_other_calls_end() {
        let budget = Budget::new(100);
        for under_way in (256..=512).rev() {
            let call = Call { under_way, ..CALL };
            assert!(again(Failed::Broken, call, 3, &budget), "{under_way}");
            budget.earn(under_way);
        }
        // the same is no reason to ask a service that is in trouble
        assert!(!again(Failed::Unavailable, Call { under_way: 512, ..CALL }, 3, &budget));
    }

    #[test]
    fn that_many_were_under_way_once_is_forgotten() {
        let budget = Budget::new(0);
        budget.earn(10);
        assert!(again(Failed::Broken, CALL, 3, &budget));
        for _ in 0..50 {
            budget.earn(0);
        }
        assert!(!again(Failed::Broken, Call { under_way: 0, ..CALL }, 3, &budget));
    }
}
