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

/// Where an answer has its etag.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The numbers of the fields that lead to it; none if it has none.
    pub numbers: Vec<u32>,
    /// More is read than the resource that it is of: alone it does not tell whether the answer has changed.
    pub partial: bool,
}

impl Place {
    /// That of an answer: its own etag, that of the field that is the body, or that of the one resource in it.
    pub(super) fn of(
        schema: &Schema,
        (output, response_body): (MessageId, Option<usize>),
        http_method: &str,
    ) -> Self {
        let plan = schema.message(output);
        let found = match response_body {
            Some(field) => tagged(schema, output, field),
            // what was deleted has no state any more
            None => text_field(schema, output)
                .map(Guard::Request)
                .or_else(|| only_tagged(schema, output).filter(|_| http_method != "DELETE")),
        };
        let numbers = match found {
            None => Vec::new(),
            Some(Guard::Request(etag)) => vec![plan.fields[etag].number],
            Some(Guard::Resource { field, message, etag }) => {
                vec![plan.fields[field].number, schema.message(message).fields[etag].number]
            }
        };
        let partial = numbers.len() > 1 && response_body.is_none() && matches!(http_method, "GET" | "HEAD");
        Self { numbers, partial }
    }
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
