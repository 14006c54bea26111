//! Whether an answer is told in part (AIP-157), so that a default in it would look as if it had been read.
//!
//! A resource is whole unless the request's `read_mask` says otherwise: whoever reads it without one sees what whoever changes
//! it sees. Lists, and the items of streams, may leave out what is dear to read though nobody asked them to.

use crate::{
    grpc,
    schema::{Cardinality, Field, MessageId, Schema},
    transcode::wire::{Reader, WireType},
};

/// The wire form of a FieldMask with the one path `*`, which is the whole.
const ALL: &[u8] = b"\x0a\x01*";

/// When an answer is told in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partial {
    /// The request has no `read_mask`.
    Never,
    /// Where the request's `read_mask`, by its number, names fields.
    Masked(u32),
    /// Whatever the request's `read_mask` says.
    Always,
}

impl Partial {
    /// That of a method's messages. `resource` is whether the answer has an etag, and `streaming` whether it is one of many.
    pub(super) fn of(
        schema: &Schema,
        (input, output, response_body): (MessageId, MessageId, Option<usize>),
        resource: bool,
        streaming: bool,
    ) -> Self {
        let plan = schema.message(input);
        match plan.field_by_name("read_mask", 0) {
            None => Self::Never,
            Some(_) if streaming || (!resource && is_list(schema, output, response_body)) => Self::Always,
            Some(index) => Self::Masked(plan.fields[index].number),
        }
    }

    /// Whether the answer to a request is in part; a frame that is not at hand has no mask.
    pub(crate) fn applies(self, frame: &[u8]) -> bool {
        match self {
            Self::Never => false,
            Self::Always => true,
            Self::Masked(number) => has_mask(frame.get(grpc::PREFIX..).unwrap_or_default(), number),
        }
    }
}

/// Whether the answer is a list of messages, or holds one.
fn is_list(schema: &Schema, output: MessageId, response_body: Option<usize>) -> bool {
    let is_many = |field: &Field| {
        matches!(field.cardinality, Cardinality::Repeated { .. }) && field.kind.message().is_some()
    };
    let holds = |id| schema.message(id).fields.iter().any(is_many);
    match response_body.map(|index| &schema.message(output).fields[index]) {
        None => holds(output),
        Some(field) => is_many(field) || field.kind.message().is_some_and(holds),
    }
}

/// Messages that the gateway made itself: what cannot be read is not there.
fn has_mask(message: &[u8], number: u32) -> bool {
    let (mut reader, mut found) = (Reader::new(message), false);
    while let Ok((this, wire_type)) = reader.tag() {
        let read = match wire_type {
            WireType::Length if this == number => {
                reader.bytes().map(|mask| found |= !mask.is_empty() && mask != ALL)
            }
            _ => reader.skip(this, wire_type, 100),
        };
        if read.is_err() {
            break;
        }
    }
    found
}
