//! `google.api.http` options, read from the descriptor's bytes by extension number, so that the descriptor set need not
//! hold the annotation's own file.

use prost::Message as _;
use prost_reflect::MethodDescriptor;

/// The extension `google.api.http` of `google.protobuf.MethodOptions`.
const HTTP_EXTENSION: u32 = 72_295_728;

/// One way to call a method by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The HTTP method, or `*` for any.
    pub method: String,
    /// The path template, not parsed yet.
    pub template: String,
    /// What the body is: empty for none, `*` for the whole message, or a field.
    pub body: String,
    /// The field that is the answer's body; empty for the whole message.
    pub response_body: String,
}

/// Why a method's rule cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    /// The option is no HttpRule.
    #[error("the google.api.http option cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// There is neither get nor post nor any other.
    #[error("a google.api.http rule without a path")]
    NoPattern,
    /// A binding within a binding.
    #[error("additional_bindings within additional_bindings")]
    NestedBindings,
}

/// google.api.HttpRule.
#[derive(Clone, PartialEq, prost::Message)]
struct HttpRule {
    #[prost(oneof = "Pattern", tags = "2, 3, 4, 5, 6, 8")]
    pattern: Option<Pattern>,
    #[prost(string, tag = "7")]
    body: String,
    #[prost(message, repeated, tag = "11")]
    additional_bindings: Vec<HttpRule>,
    #[prost(string, tag = "12")]
    response_body: String,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Pattern {
    #[prost(string, tag = "2")]
    Get(String),
    #[prost(string, tag = "3")]
    Put(String),
    #[prost(string, tag = "4")]
    Post(String),
    #[prost(string, tag = "5")]
    Delete(String),
    #[prost(string, tag = "6")]
    Patch(String),
    #[prost(message, tag = "8")]
    Custom(CustomPattern),
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct CustomPattern {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    path: String,
}

/// The rules of a method, the main one first; none when it has no annotation.
pub fn rules_of(method: &MethodDescriptor) -> Result<Vec<Rule>, RuleError> {
    let options = method.options().encode_to_vec();
    let Some(bytes) = extension(&options) else { return Ok(Vec::new()) };
    let main = HttpRule::decode(&*bytes)?;
    let bindings = main.additional_bindings.clone();
    let mut rules = vec![rule(main)?];
    for binding in bindings {
        if !binding.additional_bindings.is_empty() {
            return Err(RuleError::NestedBindings);
        }
        rules.push(rule(binding)?);
    }
    Ok(rules)
}

/// Whether `idempotency_level` says that calling twice does no more than calling once.
pub fn is_idempotent(method: &MethodDescriptor) -> bool {
    use prost_reflect::prost_types::method_options::IdempotencyLevel::{Idempotent, NoSideEffects};
    let options = method.method_descriptor_proto().options.as_ref();
    let level = options.map(prost_reflect::prost_types::MethodOptions::idempotency_level);
    level.is_some_and(|level| level == Idempotent || level == NoSideEffects)
}

fn rule(rule: HttpRule) -> Result<Rule, RuleError> {
    let (method, template) = match rule.pattern.ok_or(RuleError::NoPattern)? {
        Pattern::Get(path) => ("GET".to_owned(), path),
        Pattern::Put(path) => ("PUT".to_owned(), path),
        Pattern::Post(path) => ("POST".to_owned(), path),
        Pattern::Delete(path) => ("DELETE".to_owned(), path),
        Pattern::Patch(path) => ("PATCH".to_owned(), path),
        Pattern::Custom(custom) => (custom.kind, custom.path),
    };
    Ok(Rule { method, template, body: rule.body, response_body: rule.response_body })
}

/// The bytes of the http extension; several are merged, as protobuf merges them, by concatenation.
fn extension(options: &[u8]) -> Option<Vec<u8>> {
    use crate::transcode::wire::{Reader, WireType};
    let mut found = None;
    let mut reader = Reader::new(options);
    while let Ok((number, wire_type)) = reader.tag() {
        if number == HTTP_EXTENSION && wire_type == WireType::Length {
            found.get_or_insert_with(Vec::new).extend_from_slice(reader.bytes().ok()?);
        } else {
            reader.skip(number, wire_type, 10).ok()?;
        }
    }
    found
}
