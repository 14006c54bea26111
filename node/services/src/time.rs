//! Durations and times between protobuf and the node's clock.

use crate::status::bad_argument;
use arsenal_runtime::Node;
use prost_types::{Duration as ProtoDuration, Timestamp};
use std::time::Duration;
use tonic::Status;

/// The longest lease.
pub const LEASE_MAX: Duration = Duration::from_secs(24 * 3600);
/// The lease where none is asked for.
pub const LEASE_DEFAULT: Duration = Duration::from_secs(60);

/// A duration that must not be negative; nothing if there is none.
///
/// # Errors
/// `INVALID_ARGUMENT` naming `field`.
pub fn duration(field: &str, value: Option<&ProtoDuration>) -> Result<Option<Duration>, Status> {
    let Some(value) = value else { return Ok(None) };
    let negative = |_| bad_argument(field, format!("`{field}` is negative or out of range"));
    Duration::try_from(*value).map(Some).map_err(negative)
}

/// A lease: positive, at most 24 hours, 60 seconds by default.
///
/// # Errors
/// `INVALID_ARGUMENT` naming `field`.
pub fn lease(field: &str, value: Option<&ProtoDuration>) -> Result<Duration, Status> {
    match duration(field, value)? {
        None => Ok(LEASE_DEFAULT),
        Some(lease) if lease.is_zero() || lease > LEASE_MAX => {
            Err(bad_argument(field, format!("`{field}` is {lease:?}; a lease is positive and at most 24 h")))
        }
        Some(lease) => Ok(lease),
    }
}

/// A duration for the wire.
pub fn to_proto(duration: Duration) -> ProtoDuration {
    ProtoDuration::try_from(duration).unwrap_or(ProtoDuration { seconds: i64::MAX, nanos: 0 })
}

/// The calendar time of a reading of the node's clock in nanoseconds.
pub fn timestamp(node: &Node, ns: u64) -> Timestamp {
    Timestamp::from(node.clock().calendar(ns))
}

/// The calendar time of a reading in milliseconds.
pub fn timestamp_ms(node: &Node, ms: u32) -> Timestamp {
    timestamp(node, u64::from(ms) * 1_000_000)
}
