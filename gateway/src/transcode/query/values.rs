//! Values as text: what a parameter or a path variable may stand for, and how it is written.

use super::Reason;
use crate::{
    schema::{Cardinality, Field, Form, Kind, MessageId, Schema},
    transcode::{
        JsonOptions, decode,
        lexer::{JsonLimits, Lexer},
        mask, scalar, structure, time, wire,
    },
};

/// Appends a field with its tag from text. A default is written too: it may have to override the body's.
pub(super) fn put_text(
    schema: &Schema,
    field: &Field,
    text: &str,
    json: JsonOptions,
    limits: JsonLimits,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    let tag = crate::schema::Tag::new(field.number, field.kind.wire_type());
    out.extend_from_slice(tag.as_bytes());
    put_value(schema, field.kind, text, json, limits, out)
}

fn put_value(
    schema: &Schema,
    kind: Kind,
    text: &str,
    json: JsonOptions,
    limits: JsonLimits,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    match kind {
        Kind::String => wire::put_bytes(out, text.as_bytes()),
        Kind::Bytes => scalar::put_base64(out, text)?,
        Kind::Bool => out.push(match text {
            "true" => 1,
            "false" => 0,
            _ => return Err(format!("true or false expected, found `{}`", decode::shown(text)).into()),
        }),
        Kind::Enum(id) => {
            let plan = schema.enumeration(id);
            let number = plan.number(text, json.enum_case_insensitive);
            match number.or_else(|| text.parse().ok()) {
                Some(number) => wire::put_varint(out, i64::from(number) as u64),
                None => return Err(decode::unknown_enum(plan, text).into()),
            }
        }
        Kind::Message(id) => {
            let start = wire::begin_length(out);
            put_message(schema, id, text, json, limits, out)?;
            wire::end_length(out, start);
        }
        Kind::Group(_) => return Err("a message cannot be given as a parameter".into()),
        _ => scalar::put_number(out, kind, text, true)
            .map_err(|reason| format!("`{}` is {reason}", decode::shown(text)))?,
    }
    Ok(())
}

/// The messages that have a text form: the scalar-like well-known types, and JSON for Struct and its kin.
fn put_message(
    schema: &Schema,
    id: MessageId,
    text: &str,
    json: JsonOptions,
    limits: JsonLimits,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    let plan = schema.message(id);
    let put = |result: Option<()>, expected: &str| {
        result.ok_or_else(|| Reason::from(format!("{expected} expected, found `{}`", decode::shown(text))))
    };
    match plan.form {
        Form::Timestamp => {
            let parts = time::parse_timestamp(text);
            let put_parts = parts.map(|parts| decode::put_seconds_and_nanos(out, parts, true));
            put(put_parts, "a timestamp such as 2006-01-02T15:04:05Z")
        }
        Form::Duration => {
            let parts = time::parse_duration(text);
            put(parts.map(|parts| decode::put_seconds_and_nanos(out, parts, true)), "a duration such as 1.5s")
        }
        Form::FieldMask => put(mask::put_paths(out, text), "field paths with commas between"),
        Form::Wrapper => match plan.fields.first() {
            Some(field) => put_text(schema, field, text, json, limits, out),
            None => Ok(()),
        },
        Form::Struct | Form::Value | Form::ListValue => {
            let start = out.len();
            let mut lexer = Lexer::new(text, limits);
            let result = match plan.form {
                Form::Struct => structure::put_struct(&mut lexer, out),
                Form::ListValue => structure::put_list(&mut lexer, out),
                _ => structure::put_value(&mut lexer, out),
            };
            match result.and_then(|()| lexer.end()) {
                // What is no JSON is a string: `?message=hello` need not be quoted.
                Err(error) if plan.form == Form::Value && !error.beyond_limit => {
                    out.truncate(start);
                    out.push(3 << 3 | wire::WireType::Length as u8);
                    wire::put_bytes(out, text.as_bytes());
                    Ok(())
                }
                result => result.map_err(|error| Reason::from(error.to_string())),
            }
        }
        Form::Object | Form::Any => Err("a message cannot be given as one parameter".into()),
    }
}

/// Whether a path variable may end in this field. A FieldMask may not: a list cannot be overridden by merging.
pub fn is_text_like(schema: &Schema, field: &Field) -> bool {
    let form = field.kind.message().map(|id| schema.message(id).form);
    field.cardinality == Cardinality::Singular
        && matches!(form, None | Some(Form::Timestamp | Form::Duration | Form::Wrapper))
}
