//! The request's own deadline: the header `grpc-timeout`, which the gateway sets for REST too.

use crate::layer::deadline::timeout;
use std::time::Duration;
use tonic::Request;

/// How long the caller waits for the answer; nothing where it did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deadline(Option<Duration>);

impl Deadline {
    /// What is kept for the answer to travel, a tenth at most, so that the call says itself which process the time ran
    /// out on, before the deadline's layer or the client gives it up.
    const TRAVEL_MAX: Duration = Duration::from_millis(50);

    /// Reads the header; one that is malformed says nothing.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        Self(timeout(request.metadata().as_ref()))
    }

    /// How long to wait for a process: `timeout`, but not beyond the deadline. Nothing is for ever.
    pub(super) fn bound(self, timeout: Option<Duration>) -> Option<Duration> {
        let own = self.0.map(|left| left.saturating_sub((left / 10).min(Self::TRAVEL_MAX)));
        match (own, timeout) {
            (Some(own), Some(timeout)) => Some(own.min(timeout)),
            (own, timeout) => own.or(timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_of_deadline_and_timeout_ends_the_wait() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(Deadline(None).bound(None), None);
        assert_eq!(Deadline(None).bound(second), second);
        assert_eq!(Deadline(Some(Duration::from_secs(60))).bound(second), second);
        assert!(Deadline(Some(Duration::from_millis(100))).bound(second) < second);
        assert_eq!(Deadline(second).bound(None), Some(Duration::from_millis(950)));
    }
}
