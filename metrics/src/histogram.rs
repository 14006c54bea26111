//! Durations in buckets that are the same everywhere, so that those of nodes and gateways can be added up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds in microseconds, each inclusive: OpenTelemetry's for requests, and below them those that a call in
/// memory needs.
pub(crate) const BOUNDS_US: [u64; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// See the module.
#[derive(Debug, Default)]
pub struct Histogram {
    /// How many fell between a bound and the one before it; the last beyond all bounds.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Snapshot {
    /// How many took as long as each bound or shorter, and then how many there were.
    pub(crate) cumulative: [u64; BOUNDS_US.len() + 1],
    pub(crate) sum_seconds: f64,
}

impl Histogram {
    /// Adds one.
    pub fn observe(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let us = ns.div_ceil(1_000);
        // most calls end within the first bounds
        let bucket = BOUNDS_US.iter().position(|&bound| us <= bound).unwrap_or(BOUNDS_US.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// How many were added.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let sum_seconds = self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        let (mut cumulative, mut total) = ([0; BOUNDS_US.len() + 1], 0);
        for (so_far, bucket) in cumulative.iter_mut().zip(&self.buckets) {
            total += bucket.load(Ordering::Relaxed);
            *so_far = total;
        }
        Snapshot { cumulative, sum_seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_is_beyond_all_is_counted_too() {
        let histogram = Histogram::default();
        let us = Duration::from_micros;
        for duration in [us(50), us(50) + Duration::from_nanos(1), us(10_000_000), us(10_000_001)] {
            histogram.observe(duration);
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.cumulative[..3], [1, 2, 2]);
        assert_eq!(snapshot.cumulative[15..], [2, 3, 4]);
        assert_eq!((histogram.count(), snapshot.sum_seconds.round()), (4, 20.0));
    }
}
