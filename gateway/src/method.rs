//! A method as the gateway serves it: its rule checked against the descriptors and resolved to plans.
//!
//! Everything a request needs is found here at load, so that a bad rule stops the start and not a request.

pub mod etag;
pub mod partial;
pub mod resume;

use http::{HeaderName, Uri};
use prost_reflect::MethodDescriptor;

pub use etag::Guard;
pub use partial::Partial;
pub use resume::Resume;

use crate::{
    config::Resumption,
    path::{self, Unescape},
    rule::Rule,
    schema::{Cardinality, Field, Form, MessageId, Schema},
    template::{Template, TemplateError, Variable},
    transcode::query::{self, Scope},
};

/// One binding of a method.
#[derive(Debug)]
pub struct Method {
    /// Where it stands among the routes.
    pub index: usize,
    /// Its descriptor.
    pub descriptor: MethodDescriptor,
    /// The path that gRPC calls it by, `/package.Service/Method`.
    pub grpc_path: Uri,
    /// The HTTP method, or `*`.
    pub http_method: String,
    /// The template, as written.
    pub template_text: String,
    /// The template, parsed.
    pub template: Template,
    /// Where each variable of the template goes, in the same order.
    pub captures: Vec<Capture>,
    /// The request message.
    pub input: MessageId,
    /// The response message.
    pub output: MessageId,
    /// What the body becomes.
    pub body: Body,
    /// What of the response becomes the body: the index of a field, or all of it.
    pub response_body: Option<usize>,
    /// The response, or that field of it, is google.api.HttpBody.
    pub raw_response: bool,
    /// What query parameters may set.
    pub scope: Scope,
    /// The request field `update_mask` of a PATCH whose body is a field.
    pub mask: Option<usize>,
    /// Where the request holds the etag that `If-Match` demands.
    pub guard: Option<Guard>,
    /// Where the answer has its etag.
    pub etag: etag::Place,
    /// When its answers are told in part.
    pub partial: Partial,
    /// How its stream is taken up again, if it has one.
    pub resume: Resume,
    /// The client sends a stream.
    pub client_streaming: bool,
    /// The server sends a stream.
    pub server_streaming: bool,
}

/// Where the text of a path variable goes.
#[derive(Debug)]
pub struct Capture {
    /// The field path, for messages.
    pub name: String,
    /// Message and field index at each step.
    pub steps: Vec<(MessageId, usize)>,
}

/// What the body of a request becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// There is none.
    None,
    /// The whole message as JSON.
    Message,
    /// A field as JSON, by its index.
    Field(usize),
    /// google.api.HttpBody as the whole message: the bytes as they are.
    RawMessage,
    /// google.api.HttpBody as a field: the bytes as they are.
    RawField(usize),
}

impl Body {
    /// The bytes are taken as they are.
    pub fn is_raw(self) -> bool {
        matches!(self, Body::RawMessage | Body::RawField(_))
    }
}

/// Why a rule was refused.
#[derive(Debug, thiserror::Error)]
pub enum MethodError {
    /// The template cannot be parsed.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A variable names no field.
    #[error("path variable `{{{variable}}}` names no field of `{message}`")]
    UnknownVariable {
        /// The variable.
        variable: String,
        /// The request message.
        message: String,
    },
    /// A variable names a field that text cannot fill.
    #[error("path variable `{{{0}}}` is a list, a map or a message")]
    UnfitVariable(String),
    /// The body names no field.
    #[error("body `{body}` is no field of `{message}`")]
    UnknownBody {
        /// The field named.
        body: String,
        /// The request message.
        message: String,
    },
    /// The response body names no field.
    #[error("response_body `{body}` is no field of `{message}`")]
    UnknownResponseBody {
        /// The field named.
        body: String,
        /// The response message.
        message: String,
    },
    /// GET and DELETE have no body.
    #[error("a body on {0}")]
    UnexpectedBody(String),
    /// The HTTP method is no token.
    #[error("`{0}` is no HTTP method")]
    HttpMethod(String),
    /// The descriptor's own name does not make a path.
    #[error("`{0}` is no gRPC path")]
    GrpcPath(String),
    /// What is configured to resume a stream by does not fit.
    #[error("`{field}` is no integer or string of `{message}`, by which a stream could be resumed")]
    UnfitId {
        /// The field named.
        field: String,
        /// The message.
        message: String,
    },
    /// A message that the schema lacks.
    #[error("message `{0}` is not in the descriptor set")]
    UnknownMessage(String),
}

const HTTP_BODY: &str = "google.api.HttpBody";

impl Method {
    /// Checks a rule and resolves it.
    pub fn compile(
        schema: &Schema,
        descriptor: &MethodDescriptor,
        rule: &Rule,
        index: usize,
        resumption: &Resumption,
    ) -> Result<Self, MethodError> {
        let template = Template::parse(&rule.template)?;
        let known =
            |name: &str| schema.message_id(name).ok_or_else(|| MethodError::UnknownMessage(name.to_owned()));
        let input = known(descriptor.input().full_name())?;
        let output = known(descriptor.output().full_name())?;
        if rule.method.is_empty() || HeaderName::from_bytes(rule.method.as_bytes()).is_err() {
            return Err(MethodError::HttpMethod(rule.method.clone()));
        }
        let captures = template.variables.iter().map(|variable| compile_variable(schema, input, variable));
        let captures = captures.collect::<Result<_, _>>()?;
        let body = body_of(schema, input, rule)?;
        let (response_body, raw_response) = response_body_of(schema, output, rule)?;
        let path = format!("/{}/{}", descriptor.parent_service().full_name(), descriptor.name());
        let grpc_path = path.parse().map_err(|_| MethodError::GrpcPath(path))?;
        let field = match body {
            Body::Field(index) | Body::RawField(index) => Some(index),
            _ => None,
        };
        let plan = schema.message(input);
        let mask = plan.field_by_name("update_mask", 0).filter(|&index| {
            let form = plan.fields[index].kind.message().map(|id| schema.message(id).form);
            rule.method == "PATCH" && matches!(body, Body::Field(_)) && form == Some(Form::FieldMask)
        });
        let streaming = descriptor.is_client_streaming() || descriptor.is_server_streaming();
        let guard = if streaming { None } else { Guard::of(schema, input, body, &rule.method) };
        let answered = (output, response_body);
        let etag =
            if streaming { etag::Place::default() } else { etag::Place::of(schema, answered, &rule.method) };
        let told = (input, output, response_body);
        let partial = Partial::of(schema, told, !etag.numbers.is_empty(), streaming);
        let resume = if descriptor.is_server_streaming() {
            Resume::of(schema, descriptor.full_name(), (input, output), resumption)?
        } else {
            Resume::default()
        };
        Ok(Self {
            index,
            descriptor: descriptor.clone(),
            grpc_path,
            http_method: rule.method.clone(),
            template_text: rule.template.clone(),
            template,
            captures,
            input,
            output,
            body,
            response_body,
            raw_response,
            scope: Scope { nothing: matches!(body, Body::Message | Body::RawMessage), body: field },
            mask,
            guard,
            etag,
            partial,
            resume,
            client_streaming: descriptor.is_client_streaming(),
            server_streaming: descriptor.is_server_streaming(),
        })
    }

    /// The text that a variable captures from a request path, decoded. `path` is without query and verb.
    pub fn capture<'p>(
        &self,
        variable: &Variable,
        path: &'p str,
        unescape: Unescape,
    ) -> Result<std::borrow::Cow<'p, str>, path::DecodeError> {
        let raw = capture(&self.template, variable, path);
        if variable.multi { path::decode_multi(raw, unescape) } else { path::decode_all(raw) }
    }
}

/// The raw text of a capture: a slice of the path. `**` takes what the segments around it leave.
pub fn capture<'p>(template: &Template, variable: &Variable, path: &'p str) -> &'p str {
    let path = path.strip_prefix('/').unwrap_or(path);
    let count = if path.is_empty() { 0 } else { path.bytes().filter(|&byte| byte == b'/').count() + 1 };
    let many = template.segments.iter().position(|segment| *segment == crate::template::Segment::Many);
    // `**` stands for this many segments more than the one place it has in the template, or for one less.
    let shift = |index: usize| match many {
        Some(many) if index > many => (index + count).saturating_sub(template.segments.len()),
        _ => index,
    };
    let (start, end) = (shift(variable.start), shift(variable.end));
    let start_byte = segment_start(path, start);
    let end_byte = if end >= count { path.len() } else { segment_start(path, end).saturating_sub(1) };
    path.get(start_byte..end_byte).unwrap_or("")
}

fn segment_start(path: &str, index: usize) -> usize {
    if index == 0 {
        return 0;
    }
    memchr::memchr_iter(b'/', path.as_bytes()).nth(index - 1).map_or(path.len(), |slash| slash + 1)
}

fn compile_variable(schema: &Schema, input: MessageId, variable: &Variable) -> Result<Capture, MethodError> {
    let name = variable.field_path.join(".");
    let Some(path) = query::resolve(schema, input, &name) else {
        return Err(MethodError::UnknownVariable {
            variable: name,
            message: schema.message(input).name().to_owned(),
        });
    };
    let (leaf, above) = match path.split_last() {
        Some(((_, _, leaf), above)) => (leaf, above),
        None => return Err(MethodError::UnfitVariable(name)),
    };
    let within_list = above.iter().any(|(_, _, field)| field.cardinality != Cardinality::Singular);
    if within_list || !query::is_text_like(schema, leaf) {
        return Err(MethodError::UnfitVariable(name));
    }
    Ok(Capture { name, steps: path.iter().map(|&(message, index, _)| (message, index)).collect() })
}

fn body_of(schema: &Schema, input: MessageId, rule: &Rule) -> Result<Body, MethodError> {
    if rule.body.is_empty() {
        return Ok(Body::None);
    }
    if matches!(&*rule.method, "GET" | "HEAD" | "DELETE") {
        return Err(MethodError::UnexpectedBody(rule.method.clone()));
    }
    let plan = schema.message(input);
    if rule.body == "*" {
        return Ok(if plan.name() == HTTP_BODY { Body::RawMessage } else { Body::Message });
    }
    let unknown = || MethodError::UnknownBody { body: rule.body.clone(), message: plan.name().to_owned() };
    let index = plan.field_by_name(&rule.body, 0).ok_or_else(unknown)?;
    let field = &plan.fields[index];
    let raw = is_http_body(schema, field);
    Ok(if raw { Body::RawField(index) } else { Body::Field(index) })
}

fn response_body_of(
    schema: &Schema,
    output: MessageId,
    rule: &Rule,
) -> Result<(Option<usize>, bool), MethodError> {
    let plan = schema.message(output);
    if rule.response_body.is_empty() {
        return Ok((None, plan.name() == HTTP_BODY));
    }
    let unknown = || MethodError::UnknownResponseBody {
        body: rule.response_body.clone(),
        message: plan.name().to_owned(),
    };
    let index = plan.field_by_name(&rule.response_body, 0).ok_or_else(unknown)?;
    Ok((Some(index), is_http_body(schema, &plan.fields[index])))
}

fn is_http_body(schema: &Schema, field: &Field) -> bool {
    let message = field.kind.message().filter(|_| field.cardinality == Cardinality::Singular);
    message.is_some_and(|id| schema.message(id).name() == HTTP_BODY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_behind_a_double_wildcard_counts_from_the_end() {
        let template = Template::parse("/f/{x=*}/{y=**}/g").unwrap();
        let captured = |index: usize, path| capture(&template, &template.variables[index], path);
        assert_eq!(captured(0, "/f/foo/bar/baz/g"), "foo");
        assert_eq!(captured(1, "/f/foo/bar/baz/g"), "bar/baz");
        assert_eq!(captured(1, "/f/foo/g"), "");
    }
}
