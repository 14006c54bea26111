//! What a pool counts of its nodes, and how it tells.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arsenal_metrics::{Calls, Kind, Text};

use super::{Node, retry::Failed};

/// How an attempt can end, as the label tells it.
const ENDS: [&str; 5] = ["answered", "unavailable", "unsent", "broken", "given_up"];

/// The attempts on one node.
pub(super) type Attempts = Calls<{ ENDS.len() }>;

/// How many of them ended in an answer, whatever it said.
pub(super) fn answers(attempts: &Attempts) -> u64 {
    let [answered, unavailable, ..] = attempts.ended();
    answered + unavailable
}

/// One of them, until its answer begins or, where it may be made again, is there whole.
pub(super) struct Attempted<'n>(arsenal_metrics::Timed<&'n Attempts, { ENDS.len() }>);

impl<'n> Attempted<'n> {
    pub(super) fn begin(attempts: &'n Attempts, now: Instant) -> Self {
        Self(arsenal_metrics::Timed::begin_at(now, attempts, ENDS.len() - 1))
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    pub(super) fn answered(&mut self) {
        self.0.end(0);
    }

    pub(super) fn failed(&mut self, how: Failed) {
        self.0.end(match how {
            Failed::Unavailable => 1,
            Failed::Unsent | Failed::Busy => 2,
            Failed::Broken => 3,
        });
    }
}

/// What is counted of all of them together.
#[derive(Debug, Default)]
pub(super) struct Tally {
    again: AtomicU64,
    not_again: AtomicU64,
}

impl Tally {
    /// A call failed, and is made again or not.
    pub(super) fn decide(&self, again: bool) {
        let count = if again { &self.again } else { &self.not_again };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn write(&self, nodes: &[Arc<Node>], text: &mut Text) {
        let gauges = [
            ("gateway_upstream_up", "Whether a node gets calls: it says that it serves, and does not fail."),
            ("gateway_upstream_active_calls", "Calls that a node is answering."),
        ];
        let values: [fn(&Node) -> f64; 2] = [
            |node| f64::from(u8::from(node.serving.load(Ordering::Relaxed) && node.is_closed())),
            |node| node.under_way.load(Ordering::Relaxed) as f64,
        ];
        for ((name, help), value) in gauges.into_iter().zip(values) {
            let mut family = text.family(name, Kind::Gauge, help);
            for node in nodes {
                family.sample(&[("upstream", &node.name)], value(node));
            }
        }
        let help = "Attempts of calls on a node, by how they ended.";
        let mut family = text.family("gateway_upstream_attempts_total", Kind::Counter, help);
        for node in nodes {
            for (outcome, count) in ENDS.into_iter().zip(node.attempts.ended()) {
                family.sample(&[("upstream", &node.name), ("outcome", outcome)], count as f64);
            }
        }
        let help =
            "How long an attempt took until its answer began, or was there whole where it may be made again.";
        let mut family = text.family("gateway_upstream_attempt_duration_seconds", Kind::Histogram, help);
        for node in nodes {
            family.histogram(&[("upstream", &node.name)], node.attempts.durations());
        }
        let counters = [
            ("gateway_upstream_retries_total", "Calls that failed and were made again.", &self.again),
            (
                "gateway_upstream_retries_refused_total",
                "Calls that failed and were not made again: it could do harm, or there were too many.",
                &self.not_again,
            ),
        ];
        for (name, help, count) in counters {
            text.one(name, Kind::Counter, help, count.load(Ordering::Relaxed) as f64);
        }
    }
}
