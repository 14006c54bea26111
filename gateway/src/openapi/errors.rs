//! How errors are described: the schema of the body, and a response for each HTTP status that a method can answer.

use std::collections::BTreeMap;

use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use super::{Context, examples, headers};
use crate::{
    code::Code,
    config::{Config, ErrorFormat},
    method::{Body, Method},
};

/// The code of a name in capitals.
pub(super) fn code_of(name: &str) -> Option<Code> {
    (1..=16).map(Code::from_number).find(|code| code.name() == name)
}

/// The schema of an error body.
pub(super) fn schema(config: &Config) -> Value {
    let details = json!({
        "type": "array",
        "description": "google.rpc details, each with its `@type`; google.rpc.ErrorInfo names the `reason`.",
        "items": {
            "type": "object",
            "required": ["@type"],
            "properties": {"@type": {"type": "string"}},
            "additionalProperties": true,
        },
    });
    match config.error_format {
        ErrorFormat::Envelope => json!({
            "type": "object",
            "description": "An error, as AIP-193 has it.",
            "required": ["error"],
            "properties": {"error": {
                "type": "object",
                "required": ["code", "message", "status"],
                "properties": {
                    "code": {"type": "integer", "description": "The HTTP status."},
                    "message": {"type": "string", "description": "For people."},
                    "status": {"type": "string", "description": "The gRPC code, such as `NOT_FOUND`."},
                    "details": details,
                },
            }},
        }),
        ErrorFormat::Status => json!({
            "type": "object",
            "description": "An error, as google.rpc.Status.",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "integer", "description": "The number of the gRPC code."},
                "message": {"type": "string", "description": "For people."},
                "details": details,
            },
        }),
    }
}

/// What the component of an error body is called: `Error`, if no message without a package is.
pub(super) fn component(pool: &DescriptorPool) -> &'static str {
    let taken = pool.get_message_by_name("Error").is_some() || pool.get_enum_by_name("Error").is_some();
    if taken { "gateway.Error" } else { "Error" }
}

/// What the gateway itself answers, whatever a method does: the component, the status, what it means, and whether requests
/// without a body have it too.
const OWN: [(&str, u16, &str, bool); 6] = [
    ("NotAcceptable", 406, "Nothing that `Accept` names can be given.", true),
    ("RequestTimeout", 408, "The body did not come in time.", false),
    ("ContentTooLarge", 413, "The body is larger than the limit.", false),
    ("UnsupportedMediaType", 415, "The body is of a type, or in a coding, that is not taken.", false),
    ("TooManyRequests", 429, "Something is exhausted: a quota, or a limit of the service.", true),
    ("Unavailable", 503, "The service cannot be reached, or too much lies in memory.", true),
];

/// The shared responses.
pub(super) fn responses(context: &Context<'_>) -> Value {
    let mut responses = Map::new();
    responses.insert("Error".to_owned(), response(context, "Any other error."));
    for (name, status, description, _) in OWN {
        let mut told = response(context, description);
        add_retry_after(status, &mut told);
        responses.insert(name.to_owned(), told);
    }
    responses.into()
}

fn add_retry_after(status: u16, response: &mut Value) {
    if matches!(status, 429 | 503) {
        response["headers"]["Retry-After"] = json!({"$ref": "#/components/headers/RetryAfter"});
    }
}

/// A response with an error as its body.
pub(super) fn response(context: &Context<'_>, description: &str) -> Value {
    let schema = json!({"$ref": format!("#/components/schemas/{}", context.error)});
    json!({
        "description": description,
        "headers": headers::of_answer(context),
        "content": {"application/json": {"schema": schema}},
    })
}

/// The error responses of a method, by HTTP status: from the codes that its comment names, and those of the gateway's own.
pub(super) fn of_method(
    context: &Context<'_>,
    method: &Method,
    errors: &[(String, String)],
    out: &mut Map<String, Value>,
) {
    let mut by_status: BTreeMap<u16, (Vec<String>, Map<String, Value>)> = BTreeMap::new();
    for (name, text) in errors {
        if let Some(code) = code_of(name) {
            let text = text.trim();
            let (lines, examples) = by_status.entry(code.http_status().as_u16()).or_default();
            lines.push(format!("- {name} {text}"));
            let example = examples::of_error(context.config, code, text);
            examples.extend(example.map(|(reason, body)| (reason, json!({"value": body}))));
        }
    }
    for (status, (lines, examples)) in by_status {
        let mut response = response(context, &lines.join("\n"));
        add_retry_after(status, &mut response);
        if let (false, Some(content)) =
            (examples.is_empty(), response["content"]["application/json"].as_object_mut())
        {
            content.insert("examples".to_owned(), examples.into());
        }
        out.insert(status.to_string(), response);
    }
    let reference = |name: &str| json!({"$ref": format!("#/components/responses/{name}")});
    for (name, status, _, without_body) in OWN {
        if without_body || method.body != Body::None {
            out.entry(status.to_string()).or_insert_with(|| reference(name));
        }
    }
    out.insert("default".to_owned(), reference("Error"));
}
