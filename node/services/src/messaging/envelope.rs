//! Envelopes for the wire, and the expressions that speak of them.

use super::carried::Carried;
use crate::status::failure;
use crate::time;
use arsenal_observe::mailbox::{Envelope, FIELDS};
use arsenal_observe::predicate::{Predicate, PredicateError};
use arsenal_proto::v1;
use arsenal_proto::v1::mailbox_message::Kind as WireKind;
use arsenal_runtime::Kind;
use std::time::Duration;
use tonic::{Code, Status};

/// A kind for the wire.
pub(super) const fn kind(kind: Kind) -> WireKind {
    match kind {
        Kind::Info => WireKind::Info,
        Kind::Call => WireKind::Call,
        Kind::Cast => WireKind::Cast,
        Kind::Notify => WireKind::Event,
        Kind::Reply => WireKind::Reply,
        Kind::Exit => WireKind::Exit,
        Kind::Down => WireKind::Down,
        Kind::Timeout => WireKind::Timeout,
        Kind::System => WireKind::System,
    }
}

/// An envelope for the wire, with its payload if `payload` says so.
pub(super) fn encode(envelope: &Envelope, payload: bool) -> v1::MailboxMessage {
    v1::MailboxMessage {
        position: u32::try_from(envelope.position).unwrap_or(u32::MAX),
        from: envelope.from.map(|pid| pid.to_string()).unwrap_or_default(),
        kind: kind(envelope.kind).into(),
        r#type: envelope.tag(),
        age: Some(time::to_proto(Duration::from_millis(envelope.age_ms.into()))),
        size_bytes: envelope.payload.content_bytes() as u64,
        operation_id: envelope.operation.map(|id| id.to_string()).unwrap_or_default(),
        reference: envelope.reference.map(|id| id.to_string()).unwrap_or_default(),
        payload: payload.then(|| Carried::of_term(&envelope.payload)),
    }
}

/// `INVALID_ARGUMENT BAD_FILTER`: the expression in `field` is wrong.
pub(super) fn bad_expression(field: &str, error: &PredicateError) -> Status {
    failure(Code::InvalidArgument, "BAD_FILTER", format!("`{field}`: {error}")).field(field).status()
}

/// A condition over messages.
///
/// # Errors
/// `BAD_FILTER`, also where it is empty.
pub(super) fn condition(field: &str, source: &str) -> Result<Predicate, Status> {
    Predicate::condition(source, &FIELDS).map_err(|error| bad_expression(field, &error))
}

/// An expression over messages with a result of any type.
///
/// # Errors
/// `BAD_FILTER`, also where it is empty.
pub(super) fn key(field: &str, source: &str) -> Result<Predicate, Status> {
    Predicate::key(source, &FIELDS).map_err(|error| bad_expression(field, &error))
}

/// Those that the condition in `field` is true of.
///
/// # Errors
/// `BAD_FILTER`.
pub(super) fn matching(
    field: &str,
    condition: &Predicate,
    all: Vec<Envelope>,
) -> Result<Vec<Envelope>, Status> {
    let names = condition.variables();
    let mut found = Vec::new();
    for envelope in all {
        if condition.matches(&envelope.bind(&names)).map_err(|error| bad_expression(field, &error))? {
            found.push(envelope);
        }
    }
    Ok(found)
}
