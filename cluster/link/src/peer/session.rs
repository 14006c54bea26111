//! What a [`Peer`](super::Peer) keeps of one session, across the cuts of its lines.

use super::Line;
use crate::flow::{Inflow, Outflow};
use std::time::Duration;

/// What two nodes say to each other from a first greeting to a loss.
pub(super) struct Session {
    pub(super) number: u64,
    /// This side dials.
    pub(super) dials: bool,
    pub(super) attempt: u32,
    /// The other side has agreed, once.
    pub(super) established: bool,
    /// The lines are open and the greetings exchanged.
    pub(super) up: bool,
    /// Since when, at the last time.
    pub(super) since: Duration,
    pub(super) control: Option<Line>,
    pub(super) data: Option<Line>,
    pub(super) out: Outflow,
    pub(super) into: Inflow,
    /// When the other side was heard last on control and on data: one may be stuck while the other is not.
    pub(super) heard: [Duration; 2],
    /// When it was given a sign of life last.
    pub(super) spoke: Duration,
    /// While it is not up: when it is lost.
    pub(super) lost_at: Duration,
    pub(super) redial_at: Option<Duration>,
}

impl Session {
    pub(super) fn new(number: u64, dials: bool, attempt: u32, now: Duration, lost_at: Duration) -> Self {
        Self {
            number,
            dials,
            attempt,
            established: false,
            up: false,
            since: now,
            control: None,
            data: None,
            out: Outflow::default(),
            into: Inflow::default(),
            heard: [now; 2],
            spoke: now,
            lost_at,
            redial_at: None,
        }
    }

    /// When the line that has been quiet for longest was heard last.
    pub(super) fn heard(&self) -> Duration {
        self.heard[0].min(self.heard[1])
    }

    /// Whether it waits for the lines of this attempt.
    pub(super) fn awaits(&self, attempt: u32) -> bool {
        self.dials && !self.up && self.attempt == attempt && self.control.is_none()
    }
}
