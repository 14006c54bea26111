//! The forms of a streamed answer, and what becomes of an error in each.
//!
//! A generator reads an answer by one form of those that are listed, and the clients that it makes ask for none (`Accept: */*`).
//! What is listed is therefore what such a client can read: texts of several items, which are no JSON, or JSON where that is
//! what comes unasked. Any other form of `application/json` stands in `x-forms`, which generators pass over.

use serde_json::{Map, Value, json};

use super::Context;
use crate::config::{ErrorFormat, StreamFormat};

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";
const EVENTS: &str = "text/event-stream";

/// The answer of a stream, by its items' schema: description, what is listed, and what is not.
pub(super) struct Forms {
    pub(super) description: String,
    pub(super) content: Value,
    pub(super) others: Option<Value>,
}

impl Forms {
    pub(super) fn of(context: &Context<'_>, item: &Value) -> Self {
        let line = json!({"description": "A line.", "anyOf": [item, error_line(context)]});
        let event = json!({
            "description": "The data of an event, and of one of the type `error`.",
            "anyOf": [item, error(context)],
        });
        let mut content = Map::new();
        content.insert(LINES.to_owned(), json!({"schema": text(LINES, &line)}));
        content.insert(EVENTS.to_owned(), json!({"schema": text(EVENTS, &event)}));
        let array = json!({"schema": {"type": "array", "items": item}});
        let format = context.config.stream_format;
        let others = match format {
            StreamFormat::Ndjson | StreamFormat::Sse => Some(json!({JSON: array})),
            StreamFormat::JsonArray => {
                content.insert(JSON.to_owned(), array);
                None
            }
            StreamFormat::GatewayResult => {
                content.insert(JSON.to_owned(), json!({"schema": result_line(context, item)}));
                None
            }
        };
        Self { description: description(context), content: content.into(), others }
    }
}

fn description(context: &Context<'_>) -> String {
    let unasked = match context.config.stream_format {
        StreamFormat::Ndjson => LINES,
        StreamFormat::Sse => EVENTS,
        StreamFormat::JsonArray | StreamFormat::GatewayResult => JSON,
    };
    let (json, broken) = match context.config.stream_format {
        StreamFormat::GatewayResult => ("lines with an item each in the member `result`", ""),
        _ => ("one array", "; an array breaks off unfinished, with its connection or HTTP/2 stream"),
    };
    let end = if context.config.sse_end { " An event `end` tells that the stream ended well." } else { "" };
    format!(
        "A stream, as `Accept` asks: an item a line (`{LINES}`), a server-sent event an item (`{EVENTS}`), or {json} \
         (`{JSON}`). Whoever leaves it open gets `{unasked}`. An error behind the first item is the last line, \
         `{{\"error\": ...}}`, or the last event, of the type `error`{broken}.{end}"
    )
}

/// Several values in one text. JSON Schema has words for the text, and for one of them.
fn text(media_type: &str, one: &Value) -> Value {
    json!({"type": "string", "contentMediaType": media_type, "contentSchema": one})
}

fn error(context: &Context<'_>) -> Value {
    json!({"$ref": format!("#/components/schemas/{}", context.error)})
}

/// The last line of a stream that failed, which is told from an item by its one member.
fn error_line(context: &Context<'_>) -> Value {
    match context.config.error_format {
        ErrorFormat::Envelope => error(context),
        ErrorFormat::Status => {
            json!({"type": "object", "required": ["error"], "properties": {"error": error(context)}})
        }
    }
}

/// One of the lines that grpc-gateway's clients read.
fn result_line(context: &Context<'_>, item: &Value) -> Value {
    let result = json!({"type": "object", "required": ["result"], "properties": {"result": item}});
    json!({"description": "Each line is one of these.", "anyOf": [result, error_line(context)]})
}
