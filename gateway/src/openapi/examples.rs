//! Examples: of values, where a field's comment ends in one; of errors, from what a method's comment says of them.

use serde_json::{Value, json};

use super::Context;
use crate::{
    code::Code,
    config::{Config, ErrorFormat},
    schema::{Cardinality, Field, Form, Kind, MessageId},
    transcode::{
        JsonOptions, decode,
        encode::{self, Printing},
    },
};

/// The example in a field's comment, as the field's JSON: what stands in backquotes at its end behind a colon or behind
/// `such as`, like in "The module to run, such as `counter`."
///
/// It is read as the gateway reads it and printed as the gateway prints it, so that it fits the field's schema: the `41` of an
/// int64 becomes `"41"`. What cannot be read is no example.
pub(super) fn of_field(
    context: &Context<'_>,
    message: MessageId,
    field: &Field,
    comment: &str,
) -> Option<Value> {
    let text = at_the_end(comment)?;
    let quoted = Value::from(text).to_string();
    let form = field.kind.message().map(|id| context.schema.message(id).form);
    let is_text = matches!(field.kind, Kind::String | Kind::Bytes | Kind::Enum(_))
        || matches!(form, Some(Form::Timestamp | Form::Duration | Form::FieldMask));
    if is_text && field.cardinality == Cardinality::Singular {
        return canonical(context, message, field, &quoted);
    }
    // null is no value but of one form
    let plain = Some(text).filter(|text| *text != "null" || form == Some(Form::Value));
    plain.and_then(|text| canonical(context, message, field, text)).or_else(|| {
        let singular = field.cardinality == Cardinality::Singular;
        if singular { canonical(context, message, field, &quoted) } else { None }
    })
}

/// The JSON of a field as the gateway prints what it reads of it.
fn canonical(context: &Context<'_>, message: MessageId, field: &Field, json: &str) -> Option<Value> {
    let (schema, limits) = (context.schema, context.config.limits);
    let options = JsonOptions { emit_defaults: false, ..context.config.json };
    let (mut wire, mut printed) = (Vec::new(), Vec::new());
    decode::field(schema, field, json, options, limits.json(), &mut wire).ok()?;
    let index = schema.message(message).field_by_number(field.number)?;
    let (depth, bytes_max) = (limits.depth_max, limits.json_bytes_max);
    let printing = Printing { options, depth, bytes_max, opaque_any: false };
    encode::field(schema, message, index, &wire, printing, &mut printed).ok()?;
    serde_json::from_slice(&printed).ok()
}

fn at_the_end(comment: &str) -> Option<&str> {
    let (before, text) = comment.trim_end().trim_end_matches('.').strip_suffix('`')?.rsplit_once('`')?;
    let led = [": ", ":\n", "such as ", "such as\n"].iter().any(|lead| before.ends_with(lead));
    (led && !text.is_empty()).then_some(text)
}

/// The body of an error that a comment tells of: a code, and `REASON: what it means`.
pub(super) fn of_error(config: &Config, code: Code, text: &str) -> Option<(String, Value)> {
    let (reason, message) = text.split_once(':')?;
    let is_reason = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if reason.is_empty() || !reason.bytes().all(is_reason) {
        return None;
    }
    let message = message.trim().trim_end_matches('.');
    let details = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]);
    let body = match config.error_format {
        ErrorFormat::Envelope => json!({"error": {
            "code": code.http_status().as_u16(),
            "message": message,
            "status": code.name(),
            "details": details,
        }}),
        ErrorFormat::Status => json!({"code": code.number(), "message": message, "details": details}),
    };
    Some((reason.to_owned(), body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_example_is_what_a_comment_ends_in() {
        assert_eq!(at_the_end("The module, such as `counter`."), Some("counter"));
        assert_eq!(at_the_end("CEL over it: `a > 1 && b == 'x'`."), Some("a > 1 && b == 'x'"));
        for none in ["Absent for `shutdown`.", "`-` for all: see above.", "Nothing: ``.", ""] {
            assert_eq!(at_the_end(none), None, "{none}");
        }
    }

    #[test]
    fn an_error_without_a_reason_has_no_example() {
        let config = Config::default();
        let (reason, body) = of_error(&config, Code::NotFound, "NOPROC: no such process.").unwrap();
        assert_eq!((&*reason, &body["error"]["message"]), ("NOPROC", &json!("no such process")));
        assert_eq!(of_error(&config, Code::NotFound, "it is gone"), None);
        assert_eq!(of_error(&config, Code::NotFound, "gone: for good"), None);
    }
}
