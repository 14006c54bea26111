//! Examples: of values, where a field's comment ends in one; of errors, from what a method's comment says of them.

use serde_json::{Value, json};

use crate::{
    code::Code,
    config::{Config, ErrorFormat},
    schema::{Cardinality, Field, Form, Kind, Schema},
};

/// The example in a field's comment, as the field's JSON: what stands in backquotes at its end behind a colon or behind
/// `such as`, like in "The module to run, such as `counter`."
pub(super) fn of_field(schema: &Schema, field: &Field, comment: &str) -> Option<Value> {
    let text = at_the_end(comment)?;
    let message = field.kind.message().map(|id| schema.message(id).form);
    let single = field.cardinality == Cardinality::Singular;
    match (field.kind, message) {
        (Kind::String | Kind::Bytes | Kind::Enum(_), _) if single => Some(text.into()),
        (_, Some(Form::Timestamp | Form::Duration | Form::FieldMask)) if single => Some(text.into()),
        (_, Some(Form::Value)) if single => Some(serde_json::from_str(text).unwrap_or_else(|_| text.into())),
        // a list of texts is shown as JSON; what is none of either is no example
        _ => serde_json::from_str(text).ok().filter(|value: &Value| value.is_array() != single),
    }
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
