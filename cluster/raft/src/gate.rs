//! Refuses early what cannot succeed: a voter that has not heard from a quorum for a while, as leader, or from a leader,
//! as follower, says so at once instead of letting a caller hang.
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
    contact: Mutex<Instant>,
}

impl Gate {
    pub(crate) fn new(lease: Duration) -> Self {
        // a voter that has just begun is given the time to hear from the others
        Self { lease, contact: Mutex::new(Runtime::now()) }
    }

    /// There was a sign at this moment.
    pub(crate) fn saw(&self, at: Instant) {
        let mut contact = self.contact.lock();
        *contact = (*contact).max(at);
    }

    /// Why nothing can be done now, if nothing can.
    pub(crate) fn check(&self) -> Result<(), String> {
        let age = self.contact.lock().age().as_millis();
        let lease = self.lease.as_millis();
        if age <= lease {
            Ok(())
        } else {
            Err(format!("no sign of a quorum for {age} ms; the lease is {lease} ms"))
        }
    }
}
