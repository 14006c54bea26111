//! Observations of mailboxes: what rates are told from.
//!
//! A process keeps counters, not rates. Whoever asks for rates leaves an observation of the counters here, and the next
//! one to ask is told what changed since the oldest that is recent enough: the first observation of a process starts it,
//! and tells nothing yet. The same observation has the runtime add up how long messages wait from then on.
//!
//! Invariants: at most [`PROCESSES_MAX`] processes with [`OBSERVATIONS_MAX`] observations each; the one that nobody has
//! asked about for longest goes first, and its waits are measured no longer.

use arsenal_runtime::surgery::QueueCounters;
use arsenal_runtime::{Node, Pid, ProcessRef};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Processes that are observed at most.
pub const PROCESSES_MAX: usize = 1_024;
/// Observations of one process at most.
pub const OBSERVATIONS_MAX: usize = 64;
/// How far back a window reaches.
pub const WINDOW_MAX: Duration = Duration::from_secs(60);
/// A shorter window says nothing about rates.
pub const WINDOW_MIN: Duration = Duration::from_millis(50);
/// Time between observations that are kept.
const SPACING: Duration = Duration::from_secs(1);

/// What changed in a mailbox over a span of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// The counters at its beginning.
    pub from: QueueCounters,
    /// The counters at its end.
    pub to: QueueCounters,
}

impl Window {
    /// How long it is.
    pub fn span(&self) -> Duration {
        Duration::from_nanos(self.to.at_ns.saturating_sub(self.from.at_ns))
    }

    /// Messages that arrived in it.
    pub fn arrived(&self) -> u32 {
        self.to.received.wrapping_sub(self.from.received)
    }

    /// Messages that were handled in it.
    pub fn handled(&self) -> u32 {
        self.to.handled().wrapping_sub(self.from.handled())
    }

    /// Messages that arrived, per second.
    pub fn arrival_rate(&self) -> f64 {
        f64::from(self.arrived()) / self.span().as_secs_f64()
    }

    /// Messages that were handled, per second.
    pub fn service_rate(&self) -> f64 {
        f64::from(self.handled()) / self.span().as_secs_f64()
    }

    /// Change of the number that wait, per second.
    pub fn growth_rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "mailboxes are far below 2^52 messages")]
        let change = self.to.waiting as f64 - self.from.waiting as f64;
        change / self.span().as_secs_f64()
    }

    /// How long those handled in it had waited on average; nothing if there were none.
    pub fn mean_wait(&self) -> Option<Duration> {
        let messages =
            self.to.waits.messages.checked_sub(self.from.waits.messages).filter(|count| *count > 0)?;
        let total = Duration::from_millis(self.to.waits.total_ms.saturating_sub(self.from.waits.total_ms));
        Some(total.div_f64(f64::from(u32::try_from(messages).unwrap_or(u32::MAX))))
    }
}

#[derive(Debug, Default)]
struct Observed {
    counters: VecDeque<QueueCounters>,
    /// When it was asked about, as a count of all questions.
    asked: u64,
}

#[derive(Debug, Default)]
struct Pool {
    observed: HashMap<Pid, Observed>,
    questions: u64,
}

/// Observations of the mailboxes of a node's processes.
#[derive(Debug, Default)]
pub struct QueueHistory {
    pool: Mutex<Pool>,
}

impl QueueHistory {
    /// Reads the counters of a process and what changed since an earlier reading; no window at the first.
    pub fn observe(&self, node: &Node, process: &ProcessRef) -> (QueueCounters, Option<Window>) {
        let now = node.queue_counters(process);
        let mut pool = self.pool.lock();
        pool.questions += 1;
        let asked = pool.questions;
        if !pool.observed.contains_key(&process.pid()) {
            if pool.observed.len() >= PROCESSES_MAX {
                pool.evict(node);
            }
            node.measure_waits(process, true);
        }
        let observed = pool.observed.entry(process.pid()).or_default();
        observed.asked = asked;
        (now, observed.add(now))
    }
}

impl Pool {
    /// Forgets the dead, or, if there are none, who was not asked about for longest.
    fn evict(&mut self, node: &Node) {
        let before = self.observed.len();
        self.observed.retain(|pid, _| node.is_alive(*pid));
        if self.observed.len() < before {
            return;
        }
        let quietest = self.observed.iter().min_by_key(|(_, observed)| observed.asked).map(|(pid, _)| *pid);
        if let Some(pid) = quietest {
            self.observed.remove(&pid);
            if let Some(process) = node.process(pid) {
                node.measure_waits(&process, false);
            }
        }
    }
}

impl Observed {
    fn add(&mut self, now: QueueCounters) -> Option<Window> {
        let age = |counters: &QueueCounters| Duration::from_nanos(now.at_ns.saturating_sub(counters.at_ns));
        while self.counters.len() > 1 && self.counters.front().is_some_and(|oldest| age(oldest) > WINDOW_MAX)
        {
            self.counters.pop_front();
        }
        let window = self.counters.front().map(|oldest| Window { from: *oldest, to: now });
        if self.counters.back().is_none_or(|newest| age(newest) >= SPACING) {
            if self.counters.len() >= OBSERVATIONS_MAX {
                self.counters.pop_front();
            }
            self.counters.push_back(now);
        }
        window.filter(|window| window.span() >= WINDOW_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arsenal_runtime::surgery::Waits;

    fn at(ms: u64, received: u32, waiting: usize) -> QueueCounters {
        let waits = Waits { messages: u64::from(received) - waiting as u64, total_ms: ms / 2 };
        QueueCounters { at_ns: ms * 1_000_000, received, waiting, waits, ..QueueCounters::default() }
    }

    #[test]
    fn the_first_observation_tells_nothing_and_the_second_what_changed() {
        let mut observed = Observed::default();
        assert_eq!(observed.add(at(1_000, 100, 10)), None);
        let window = observed.add(at(3_000, 300, 20)).unwrap();
        assert_eq!((window.arrived(), window.handled()), (200, 190));
        assert!((window.arrival_rate() - 100.0).abs() < 1e-9 && (window.growth_rate() - 5.0).abs() < 1e-9);
        let wait = window.mean_wait().unwrap();
        assert!((wait.as_secs_f64() - 1.0 / 190.0).abs() < 1e-6, "{wait:?}");
    }

    #[test]
    fn a_window_that_is_too_short_is_none() {
        let mut observed = Observed::default();
        observed.add(at(1_000, 1, 0));
        assert_eq!(observed.add(at(1_010, 2, 0)), None);
        assert!(observed.add(at(1_100, 2, 0)).is_some());
    }

    #[test]
    fn a_window_reaches_no_further_back_than_it_may() {
        let mut observed = Observed::default();
        for second in 0..200 {
            if let Some(window) = observed.add(at(second * 1_000, 1_000, 0)) {
                assert!(window.span() <= WINDOW_MAX, "{:?}", window.span());
            }
            assert!(observed.counters.len() <= OBSERVATIONS_MAX);
        }
    }

    #[test]
    fn counters_that_wrapped_still_give_the_difference() {
        let window = Window {
            from: at(0, u32::MAX - 1, 0),
            to: QueueCounters { at_ns: 1_000_000_000, received: 3, ..at(0, 3, 0) },
        };
        assert_eq!((window.arrived(), window.handled()), (5, 5));
    }
}
