//! The node's clock: nanoseconds since the node began, from the machine or, for a deterministic run, from the test.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where time comes from.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's monotonic clock, counted from this instant.
    System(Instant, SystemTime),
    /// A number that only moves when it is told to.
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's clock, beginning now.
    pub fn system() -> Self {
        Self::System(Instant::now(), SystemTime::now())
    }

    /// A clock that stands at 0 and moves by [`Clock::advance`] alone.
    pub fn virtual_clock() -> Self {
        Self::Virtual(Arc::default())
    }

    /// Nanoseconds since the node began.
    pub fn now_ns(&self) -> u64 {
        match self {
            Self::System(start, _) => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
            Self::Virtual(now) => now.load(Relaxed),
        }
    }

    /// The calendar time of a reading of this clock. A virtual clock began in 1970.
    pub fn calendar(&self, ns: u64) -> SystemTime {
        match self {
            Self::System(_, start) => *start + Duration::from_nanos(ns),
            Self::Virtual(_) => UNIX_EPOCH + Duration::from_nanos(ns),
        }
    }

    pub(crate) fn advance_to(&self, ns: u64) {
        if let Self::Virtual(now) = self {
            now.fetch_max(ns, Relaxed);
        }
    }
}
