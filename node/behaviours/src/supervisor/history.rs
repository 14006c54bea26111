//! The failure history of a supervisor: a bounded ring of what made it restart something.

use arsenal_runtime::term::{Reason, Term};
use std::collections::VecDeque;
use std::time::Duration;

/// A child's end that called for a restart.
#[derive(Clone, PartialEq, Debug)]
pub struct Failure {
    /// When, on the node's clock.
    pub at: Duration,
    /// The child's id; an instance's pid.
    pub child: Term,
    /// Why it ended.
    pub reason: Reason,
}

/// The latest failures, oldest first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct History {
    failures: VecDeque<Failure>,
}

impl History {
    /// Failures kept; the oldest go first.
    pub const FAILURES_MAX: usize = 512;

    /// Adds a failure.
    pub fn record(&mut self, failure: Failure) {
        if self.failures.len() == Self::FAILURES_MAX {
            self.failures.pop_front();
        }
        self.failures.push_back(failure);
    }

    /// The failures, oldest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Failure> {
        self.failures.iter()
    }

    /// How many are known.
    pub fn len(&self) -> usize {
        self.failures.len()
    }

    /// Whether nothing has failed.
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.failures = VecDeque::new();
    }
}

impl FromIterator<Failure> for History {
    fn from_iter<I: IntoIterator<Item = Failure>>(failures: I) -> Self {
        let mut history = Self::default();
        for failure in failures {
            history.record(failure);
        }
        history
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_failure_goes_first() {
        let failure = |at| Failure { at: Duration::from_secs(at), child: "a".into(), reason: Term::KILLED };
        let history: History = (0..600).map(failure).collect();
        assert_eq!(history.len(), History::FAILURES_MAX);
        assert_eq!(history.iter().next(), Some(&failure(88)));
    }
}
