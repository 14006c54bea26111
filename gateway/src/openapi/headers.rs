//! The headers that the gateway itself takes and gives, whatever the method.

use serde_json::{Map, Value, json};

use super::Context;
use crate::method::Method;

/// The shared parameters, by the names of their components.
pub(super) fn parameters(context: &Context<'_>) -> Map<String, Value> {
    let mut parameters = Map::new();
    let mut add = |name: &str, header: &str, description: &str, schema: Value| {
        let parameter = json!({"name": header, "in": "header", "description": description, "schema": schema});
        parameters.insert(name.to_owned(), parameter);
    };
    add(
        "RequestTimeout",
        "Request-Timeout",
        "The deadline of the call, in seconds.",
        json!({"type": "number", "exclusiveMinimum": 0}),
    );
    add(
        "IdempotencyKey",
        "Idempotency-Key",
        "Tells the service that two requests are one, where it looks for that.",
        json!({"type": "string"}),
    );
    if context.config.request_id {
        let description = "Names the request in logs and in its answer; without it the gateway makes one.";
        add("RequestId", "X-Request-Id", description, json!({"type": "string"}));
    }
    parameters
}

/// Those of a method, by reference.
pub(super) fn of_method(context: &Context<'_>, method: &Method) -> Vec<Value> {
    let changes = matches!(&*method.http_method, "POST" | "PATCH");
    let names =
        [("RequestTimeout", true), ("IdempotencyKey", changes), ("RequestId", context.config.request_id)];
    let told = names.into_iter().filter_map(|(name, applies)| applies.then_some(name));
    told.map(|name| json!({"$ref": format!("#/components/parameters/{name}")})).collect()
}

/// The shared headers of answers, by the names of their components.
pub(super) fn components() -> Value {
    json!({
        "RequestId": {"description": "The request's name, as the client gave it or the gateway.", "schema": {"type": "string"}},
        "RetryAfter": {"description": "Seconds after which to try again.", "schema": {"type": "string"}},
    })
}

/// The headers that every answer has.
pub(super) fn of_answer(context: &Context<'_>) -> Map<String, Value> {
    let mut headers = Map::new();
    if context.config.request_id {
        headers.insert("X-Request-Id".to_owned(), json!({"$ref": "#/components/headers/RequestId"}));
    }
    headers
}
