//! A client of any operation, by the descriptor: JSON in, JSON out over gRPC, and the HTTP request that does the same.

pub use arsenal_services::dynamic::{call, encode, send, to_json};

use arsenal_services::operations::{Operation, pool};
use prost::Message as _;
use serde_json::Value;
use tonic::Status;

/// The status's details, each with its type's name.
pub fn details(status: &Status) -> Vec<(String, Value)> {
    let details = arsenal_proto::google::rpc::Status::decode(status.details()).map(|status| status.details);
    let known = details.unwrap_or_default().into_iter().filter_map(|detail| {
        let name = detail.type_url.rsplit('/').next()?;
        let json = to_json(pool().get_message_by_name(name)?, &detail.value).ok()?;
        Some((name.to_owned(), json))
    });
    known.collect()
}

/// The HTTP request that does the same as an RPC.
#[derive(Clone, Debug, PartialEq)]
pub struct RestRequest {
    /// `GET`, `POST`, ...
    pub verb: String,
    /// Path and query.
    pub path: String,
    /// The body, where the verb has one.
    pub body: Option<Value>,
}

/// The primary HTTP binding of an operation, filled with the fields of `request`.
pub fn rest_request(operation: &Operation, request: &Value) -> RestRequest {
    let (verb, template) = operation.bindings.first().cloned().unwrap_or_default();
    let mut fields = request.as_object().cloned().unwrap_or_default();
    let mut path = fill(&template, &mut fields);
    if verb == "POST" || verb == "PUT" {
        return RestRequest { verb, path, body: Some(Value::Object(fields)) };
    }
    // PATCH: the body is one field, the resource; all else is in the query
    let body = match (&*verb, operation.body.as_str()) {
        ("PATCH", "*") => Some(Value::Object(std::mem::take(&mut fields))),
        ("PATCH", field) => fields.remove(field).or_else(|| fields.remove(&camel(field))),
        _ => None,
    };
    let query = fields.iter().flat_map(|(key, value)| match is_payload(operation, key) {
        true => vec![format!("{key}={}", escape(&payload(value)))],
        false => query_of(key, value),
    });
    let query: Vec<String> = query.collect();
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    RestRequest { verb, path, body }
}

/// Puts the fields that the template captures into the path, and takes them out of `fields`.
fn fill(template: &str, fields: &mut serde_json::Map<String, Value>) -> String {
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(before);
        let (capture, after) = after.split_once('}').unwrap_or((after, ""));
        let field = capture.split('=').next().unwrap_or(capture);
        let value = fields.remove(field).or_else(|| fields.remove(&camel(field)));
        path.push_str(&escape(&plain(&value.unwrap_or_default())));
        rest = after;
    }
    path.push_str(rest);
    path
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |text, word| {
        let (head, tail) = word.split_at_checked(1).unwrap_or((word, ""));
        text + &head.to_uppercase() + tail
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        value => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

/// Whether a field holds any JSON value, which travels in one parameter.
fn is_payload(operation: &Operation, key: &str) -> bool {
    let input = operation.method.input();
    let field = input.get_field_by_name(key).or_else(|| input.get_field_by_json_name(key));
    field.is_some_and(|field| {
        let kind = field.kind();
        !field.is_list()
            && kind.as_message().is_some_and(|message| message.full_name() == "google.protobuf.Value")
    })
}

/// A JSON value as a parameter: text as it stands, unless it would be read as something else.
fn payload(value: &Value) -> String {
    match value.as_str() {
        Some(text) if serde_json::from_str::<Value>(text).is_err() => text.to_owned(),
        _ => value.to_string(),
    }
}

fn query_of(key: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(|value| query_of(key, value)).collect(),
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| query_of(&format!("{key}.{name}"), value)).collect()
        }
        value => vec![format!("{key}={}", escape(&plain(value)))],
    }
}

fn escape(text: &str) -> String {
    let kept = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(byte);
    text.bytes()
        .map(|byte| if kept(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
