//! The request's own deadline: the header `grpc-timeout`, which the gateway sets for REST too.

use std::time::Duration;
use tonic::Request;

/// How long the caller waits for the answer; nothing where it did not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Deadline(Option<Duration>);

impl Deadline {
    /// What is kept for the answer to travel, a tenth at most, so that it says itself that the time is up: tonic's own
    /// layers would say CANCELLED.
    const TRAVEL_MAX: Duration = Duration::from_millis(50);

    /// Reads the header; one that is malformed says nothing, as for tonic itself.
    pub(super) fn of<T>(request: &Request<T>) -> Self {
        let text = request.metadata().get("grpc-timeout").and_then(|value| value.to_str().ok());
        Self(text.and_then(parse))
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

/// At most eight digits and a unit, as gRPC has it.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3_600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_as_grpc_writes_it_and_anything_else_is_none() {
        assert_eq!(parse("5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("2H"), Some(Duration::from_secs(7_200)));
        for text in ["", "S", "5", "5s", "-5S", "123456789S", "5é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

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
