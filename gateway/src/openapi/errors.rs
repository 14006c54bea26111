//! How errors are described: the schema of the body, and a response for each HTTP status that a method can answer.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::examples;
use crate::{
    code::Code,
    config::{Config, ErrorFormat},
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

/// The shared responses.
pub(super) fn responses() -> Value {
    json!({"Error": response("Any other error.")})
}

/// A response with an error as its body.
pub(super) fn response(description: &str) -> Value {
    json!({
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    })
}

/// The error responses of a method, by HTTP status, from the codes that its comment names.
pub(super) fn of_method(config: &Config, errors: &[(String, String)], out: &mut Map<String, Value>) {
    let mut by_status: BTreeMap<u16, (Vec<String>, Map<String, Value>)> = BTreeMap::new();
    for (name, text) in errors {
        if let Some(code) = code_of(name) {
            let text = text.trim();
            let (lines, examples) = by_status.entry(code.http_status().as_u16()).or_default();
            lines.push(format!("- {name} {text}"));
            let example = examples::of_error(config, code, text);
            examples.extend(example.map(|(reason, body)| (reason, json!({"value": body}))));
        }
    }
    for (status, (lines, examples)) in by_status {
        let mut response = response(&lines.join("\n"));
        if let (false, Some(content)) =
            (examples.is_empty(), response["content"]["application/json"].as_object_mut())
        {
            content.insert("examples".to_owned(), examples.into());
        }
        out.insert(status.to_string(), response);
    }
    out.insert("default".to_owned(), json!({"$ref": "#/components/responses/Error"}));
}
