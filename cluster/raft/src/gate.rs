//! Refuses early what cannot succeed: a voter that has not heard from a quorum for a while, as leader, or from a leader,
//! as follower, says so at once instead of letting a caller hang.
//!
//! A proposal is held back, where that can still be said for certain, from when a voter has heard nothing for as long as an
//! election may wait: whoever leads by then is somebody else. It goes on with the next sign.
//!
//! Nothing rests on it. A pause longer than the lease may leave the gate open for a moment; reads ask a quorum and
//! writes are committed by one all the same.

use crate::runtime::{Instant, Runtime};
use parking_lot::Mutex;
use std::time::Duration;

/// When there was last a sign of a quorum.
#[derive(Debug)]
pub(crate) struct Gate {
    lease: Duration,
    fresh: Duration,
    contact: Mutex<Instant>,
}

impl Gate {
    /// Closed after `lease` without a sign; proposals wait once there was none for longer than `fresh`.
    pub(crate) fn new(lease: Duration, fresh: Duration) -> Self {
        // a voter that has just begun is given the time to hear from the others
        Self { lease, fresh, contact: Mutex::new(Runtime::now()) }
    }

    /// Whether the last sign is so recent that whoever led then still does.
    pub(crate) fn is_fresh(&self) -> bool {
        self.contact.lock().age() <= self.fresh
    }

    /// There was a sign at this moment.
    pub(crate) fn saw(&self, at: Instant) {
        let mut contact = self.contact.lock();
        *contact = (*contact).max(at);
    }

    /// When it closes, if there is no sign until then.
    pub(crate) fn closes(&self) -> Instant {
        // whoever looks at that moment finds it closed
        *self.contact.lock() + self.lease + Duration::from_millis(1)
    }

    /// Why nothing can be done now, if nothing can.
    pub(crate) fn check(&self) -> Result<(), String> {
        let age = self.contact.lock().age().as_millis();
        let lease = self.lease.as_millis();
        if age <= lease {
            Ok(())
        } else {
            // the same words each time: who tells of it tells once
            Err(format!("no sign of a quorum for longer than the lease, {lease} ms"))
        }
    }
}
