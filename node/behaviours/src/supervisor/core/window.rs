//! The restart window: how many restarts fall within the last period.

use std::collections::VecDeque;
use std::time::Duration;

/// The times of recent restarts, oldest first, none older than the period when last asked.
///
/// Bounded by [`RestartWindow::KEPT_MAX`]: an intensity above it is never exceeded.
#[derive(Clone, Debug, Default)]
pub struct RestartWindow {
    times: VecDeque<Duration>,
}

impl RestartWindow {
    /// Times that are kept at most, however high the intensity is.
    pub const KEPT_MAX: usize = 1 << 20;

    /// Counts a restart at `now` and says whether it was one too many: more than `intensity` within `period`.
    pub fn add(&mut self, now: Duration, intensity: u32, period: Duration) -> bool {
        self.forget(now, period);
        self.times.push_back(now);
        if self.times.len() > Self::KEPT_MAX {
            self.times.pop_front();
        }
        self.times.len() > intensity as usize
    }

    /// How many restarts count at `now`.
    pub fn used(&self, now: Duration, period: Duration) -> usize {
        self.times.len() - self.times.partition_point(|at| now.saturating_sub(*at) > period)
    }

    /// The times kept.
    pub fn times(&self) -> impl Iterator<Item = Duration> + '_ {
        self.times.iter().copied()
    }

    pub(super) fn clear(&mut self) {
        self.times = VecDeque::new();
    }

    pub(super) fn restore(&mut self, times: impl IntoIterator<Item = Duration>) {
        self.times = times.into_iter().collect();
    }

    fn forget(&mut self, now: Duration, period: Duration) {
        while self.times.front().is_some_and(|at| now.saturating_sub(*at) > period) {
            self.times.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn one_restart_more_than_the_intensity_is_too_many() {
        let mut window = RestartWindow::default();
        assert!(!window.add(SECOND, 2, SECOND * 5));
        assert!(!window.add(SECOND * 2, 2, SECOND * 5));
        assert!(window.add(SECOND * 3, 2, SECOND * 5));
    }

    #[test]
    fn a_restart_older_than_the_period_does_not_count() {
        let mut window = RestartWindow::default();
        assert!(!window.add(SECOND, 1, SECOND * 5));
        assert_eq!(window.used(SECOND * 6, SECOND * 5), 1);
        assert_eq!(window.used(SECOND * 7, SECOND * 5), 0);
        assert!(!window.add(SECOND * 7, 1, SECOND * 5));
    }

    #[test]
    fn an_intensity_of_zero_allows_no_restart() {
        assert!(RestartWindow::default().add(SECOND, 0, SECOND));
    }
}
