//! FieldMask: its JSON text, and the mask that a PATCH body implies.

use super::{
    JsonOptions, decode,
    lexer::{JsonError, JsonLimits, Lexer},
    wire,
};
use crate::schema::{Cardinality, Field, Form, MessageId, Schema};

/// Appends the paths of a mask as JSON writes it: names in lowerCamelCase, or AIP-134's `*`, with commas between.
pub(super) fn put_json_mask(out: &mut Vec<u8>, text: &str) -> Option<()> {
    let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b".,*".contains(&byte);
    if text.bytes().all(belongs) { put_paths(out, text) } else { None }
}

/// Appends the paths of a mask in either spelling, as query parameters bring it.
pub(super) fn put_paths(out: &mut Vec<u8>, text: &str) -> Option<()> {
    for path in text.split(',').filter(|_| !text.is_empty()) {
        if path.is_empty() || path.bytes().any(|byte| byte.is_ascii_control() || byte == b' ') {
            return None;
        }
        put_path(out, &snake_case(path));
    }
    Some(())
}

/// Appends one path to the wire form of a mask.
pub fn put_path(out: &mut Vec<u8>, path: &str) {
    out.push(1 << 3 | wire::WireType::Length as u8);
    wire::put_bytes(out, path.as_bytes());
}

fn snake_case(path: &str) -> String {
    let mut snake = String::with_capacity(path.len() + 4);
    for character in path.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

/// A path in lowerCamelCase; `None` when it would not read back.
pub(super) fn camel_case(path: &str) -> Option<String> {
    let mut camel = String::with_capacity(path.len());
    let mut characters = path.chars();
    while let Some(character) = characters.next() {
        match character {
            '_' => camel.push(characters.next().filter(char::is_ascii_lowercase)?.to_ascii_uppercase()),
            'A'..='Z' => return None,
            _ => camel.push(character),
        }
    }
    Some(camel)
}

/// The paths of the fields that a PATCH body holds, down to the leaves; lists, maps and well-known types are leaves.
pub fn from_body(
    schema: &Schema,
    id: MessageId,
    json: &str,
    options: JsonOptions,
    limits: JsonLimits,
) -> Result<Vec<String>, JsonError> {
    let mut lexer = Lexer::new(json, limits);
    let mut paths = Vec::new();
    collect(schema, id, &mut lexer, options, "", &mut paths)?;
    lexer.end()?;
    Ok(paths)
}

fn collect(
    schema: &Schema,
    id: MessageId,
    lexer: &mut Lexer<'_>,
    options: JsonOptions,
    prefix: &str,
    paths: &mut Vec<String>,
) -> Result<(), JsonError> {
    let plan = schema.message(id);
    let mut first = true;
    lexer.open(b'{')?;
    while lexer.more(&mut first, b'}')? {
        let key = lexer.key()?;
        let Some(index) = plan.field_by_name(&key, 0) else {
            if options.ignore_unknown_fields {
                lexer.skip()?;
                continue;
            }
            return Err(lexer.error(format!("`{}` has no field `{}`", plan.name(), decode::shown(&key))));
        };
        let field = &plan.fields[index];
        let path = format!("{prefix}{}", field.name);
        let inner = field.kind.message().filter(|&inner| {
            field.cardinality == Cardinality::Singular && schema.message(inner).form == Form::Object
        });
        let known = paths.len();
        match inner {
            Some(inner) if lexer.peek() == Some(b'{') => {
                collect(schema, inner, lexer, options, &format!("{path}."), paths)?;
            }
            None if holds_no_members(field) && lexer.peek() == Some(b'{') => {
                return Err(lexer.error(format!("`{path}` has no fields")));
            }
            _ => drop(lexer.skip()?),
        }
        if paths.len() == known {
            paths.push(path);
        }
    }
    Ok(())
}

/// Whether a field is one scalar: a list of the wrong kind is found when the body is read.
fn holds_no_members(field: &Field) -> bool {
    field.cardinality == Cardinality::Singular && field.kind.message().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_would_not_read_back_has_no_camel_case() {
        assert_eq!(camel_case("foo_bar.baz").as_deref(), Some("fooBar.baz"));
        for path in ["foo__bar", "foo_3_bar", "fooBar", "foo_"] {
            assert_eq!(camel_case(path), None, "{path}");
        }
    }
}
