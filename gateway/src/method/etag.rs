//! Where a method's messages hold an entity tag: the string field `etag` (AIP-154) of a resource, or of the message around
//! it. One level is looked through, and only where it is plain which resource is meant.

use super::Body;
use crate::schema::{Cardinality, Form, Kind, MessageId, Schema};

/// The string field `etag` of a request, which the service checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The request's own, by its index.
    Request(usize),
    /// That of the resource in the request.
    Resource {
        /// The index of the request's field.
        field: usize,
        /// The resource.
        message: MessageId,
        /// The index of `etag` in it.
        etag: usize,
    },
}

impl Guard {
    /// The guard of a request: its own, that of the body's resource, or that of the one resource in a body that is the
    /// whole request and replaces something. What a POST starts has no state yet that could be guarded.
    pub(super) fn of(schema: &Schema, input: MessageId, body: Body, http_method: &str) -> Option<Self> {
        let resource = || match body {
            Body::Field(field) => tagged(schema, input, field),
            Body::Message if matches!(http_method, "PUT" | "PATCH") => only_tagged(schema, input),
            _ => None,
        };
        text_field(schema, input).map(Guard::Request).or_else(resource)
    }
}

/// The numbers of the fields that lead to the etag of an answer: its own, that of the field that is the body, or that of
/// the one resource in it. What only wraps a resource is read by its etag; of what holds more, the etag says too little for
/// that, and is told to those who changed it.
pub(super) fn of_answer(
    schema: &Schema,
    (output, response_body): (MessageId, Option<usize>),
    http_method: &str,
) -> Vec<u32> {
    let plan = schema.message(output);
    let numbers = |guard: Guard| match guard {
        Guard::Request(etag) => vec![plan.fields[etag].number],
        Guard::Resource { field, message, etag } => {
            vec![plan.fields[field].number, schema.message(message).fields[etag].number]
        }
    };
    let wrapped = match http_method {
        "GET" | "HEAD" => plan.fields.len() == 1,
        "DELETE" => false,
        _ => true,
    };
    let found = match response_body {
        Some(field) => tagged(schema, output, field),
        None => text_field(schema, output)
            .map(Guard::Request)
            .or_else(|| only_tagged(schema, output).filter(|_| wrapped)),
    };
    found.map(numbers).unwrap_or_default()
}

/// The resource in a field, if it has an etag.
fn tagged(schema: &Schema, outer: MessageId, field: usize) -> Option<Guard> {
    let resource = &schema.message(outer).fields[field];
    let message = resource.kind.message().filter(|_| resource.cardinality == Cardinality::Singular)?;
    let plain = schema.message(message).form == Form::Object && !matches!(resource.kind, Kind::Group(_));
    plain.then(|| Some(Guard::Resource { field, message, etag: text_field(schema, message)? }))?
}

/// The one resource with an etag; with two of them it is not plain whose etag would be meant.
fn only_tagged(schema: &Schema, outer: MessageId) -> Option<Guard> {
    let mut found = (0..schema.message(outer).fields.len()).filter_map(|field| tagged(schema, outer, field));
    found.next().filter(|_| found.next().is_none())
}

/// The index of a message's string field `etag`.
fn text_field(schema: &Schema, message: MessageId) -> Option<usize> {
    let plan = schema.message(message);
    plan.field_by_name("etag", 0).filter(|&index| {
        let field = &plan.fields[index];
        field.kind == Kind::String && field.cardinality == Cardinality::Singular
    })
}
