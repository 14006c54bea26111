//! JSON to wire in one pass.
//!
//! Strict where proto3 JSON is: a name that comes twice, two members of one oneof, null in a list, a value beyond its
//! type are refused, each with the field's path. What has its default and no presence is not written.

mod any;

use std::borrow::Cow;

use super::{
    JsonOptions, Keys, Seen,
    lexer::{JsonError, JsonLimits, Lexer, TYPE_KEY, Types},
    mask, nearest, scalar, structure, time, wire,
};
use crate::schema::{Cardinality, Field, Form, Kind, MessageId, Schema};

/// Appends the wire form of a whole JSON text, which must be a `message`.
pub fn message(
    schema: &Schema,
    id: MessageId,
    json: &str,
    options: JsonOptions,
    limits: JsonLimits,
    out: &mut Vec<u8>,
) -> Result<(), JsonError> {
    let mut decoder = Decoder::new(schema, json, options, limits);
    decoder.message(id, out)?;
    decoder.lexer.end()
}

/// Appends one field, tag and all, of which the whole JSON text is the value.
pub fn field(
    schema: &Schema,
    field: &Field,
    json: &str,
    options: JsonOptions,
    limits: JsonLimits,
    out: &mut Vec<u8>,
) -> Result<(), JsonError> {
    let mut decoder = Decoder::new(schema, json, options, limits);
    decoder.field(field, out).map_err(|error| error.within(&field.json_name))?;
    decoder.lexer.end()
}

pub(super) struct Decoder<'a> {
    pub(super) lexer: Lexer<'a>,
    schema: &'a Schema,
    options: JsonOptions,
    /// Of the objects that were looked through for the type of an Any around them.
    types: Types,
}

/// Whether a value was written; an unknown enum name may be passed over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    Yes,
    Dropped,
}

impl<'a> Decoder<'a> {
    fn new(schema: &'a Schema, json: &'a str, options: JsonOptions, limits: JsonLimits) -> Self {
        Self { lexer: Lexer::new(json, limits), schema, options, types: Types::default() }
    }

    fn message(&mut self, id: MessageId, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let plan = self.schema.message(id);
        match plan.form {
            Form::Object => self.object(id, out, false),
            Form::Any => self.any(out),
            Form::Timestamp => self.text(out, "a timestamp such as 2006-01-02T15:04:05Z", put_timestamp),
            Form::Duration => self.text(out, "a duration such as 1.5s", put_duration),
            Form::FieldMask => self.text(out, "a field mask such as name,childId", mask::put_json_mask),
            Form::Struct => structure::put_struct(&mut self.lexer, out),
            Form::Value => structure::put_value(&mut self.lexer, out),
            Form::ListValue => structure::put_list(&mut self.lexer, out),
            Form::Wrapper => match plan.fields.first() {
                Some(value) => self.field_value_unless_default(value, out),
                None => Ok(()),
            },
        }
    }

    fn text(
        &mut self,
        out: &mut Vec<u8>,
        expected: &str,
        put: fn(&mut Vec<u8>, &str) -> Option<()>,
    ) -> Result<(), JsonError> {
        let text = self.lexer.string()?;
        put(out, &text)
            .ok_or_else(|| self.lexer.error(format!("{expected} expected, found `{}`", shown(&text))))
    }

    /// An object whose members are fields; with `typed` it also has `@type`, which was read before.
    fn object(&mut self, id: MessageId, out: &mut Vec<u8>, typed: bool) -> Result<(), JsonError> {
        let plan = self.schema.message(id);
        let (mut seen, mut oneofs) = (Seen::default(), Seen::default());
        let (mut first, mut hint) = (true, 0);
        self.lexer.open(b'{')?;
        while self.lexer.more(&mut first, b'}')? {
            let key = self.lexer.key()?;
            let Some(index) = plan.field_by_name(&key, hint) else {
                if typed && key == TYPE_KEY {
                    self.lexer.skip()?;
                    continue;
                }
                self.unknown_field(id, &key)?;
                continue;
            };
            hint = index + 1;
            let field = &plan.fields[index];
            if !seen.insert(index) {
                return Err(self.lexer.error("named twice").within(&key));
            }
            if let Some(oneof) = field.oneof {
                let absent = self.lexer.peek() == Some(b'n') && !self.takes_null(field.kind);
                if !absent && !oneofs.insert(usize::from(oneof)) {
                    return Err(self.lexer.error("another member of its oneof is set too").within(&key));
                }
            }
            self.field(field, out).map_err(|error| error.within(&key))?;
        }
        Ok(())
    }

    fn unknown_field(&mut self, id: MessageId, key: &str) -> Result<(), JsonError> {
        if self.options.ignore_unknown_fields {
            return self.lexer.skip().map(drop);
        }
        let plan = self.schema.message(id);
        let near = nearest(key, plan.fields.iter().map(|field| &*field.json_name));
        let hint = near.map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
        let error = self.lexer.error(format!("`{}` has no field `{}`{hint}", plan.name(), shown(key)));
        Err(JsonError { unknown: Some(shown(key).to_string()), ..error })
    }

    fn field(&mut self, field: &Field, out: &mut Vec<u8>) -> Result<(), JsonError> {
        if self.lexer.peek() == Some(b'n') {
            let value = field.cardinality == Cardinality::Singular && self.takes_null(field.kind);
            if !value {
                return self.lexer.take_null().map(drop);
            }
        }
        match field.cardinality {
            Cardinality::Singular if field.presence => {
                let start = out.len();
                out.extend_from_slice(field.tag.as_bytes());
                if self.value(field, out)? == Written::Dropped {
                    out.truncate(start);
                }
                Ok(())
            }
            Cardinality::Singular => self.field_value_unless_default(field, out),
            Cardinality::Repeated { packed } => self.list(field, packed, out),
            Cardinality::Map => self.map(field, out),
        }
    }

    /// Writes tag and value, and takes both back when the value is the default: every default is all zero bytes.
    fn field_value_unless_default(&mut self, field: &Field, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let start = out.len();
        out.extend_from_slice(field.tag.as_bytes());
        let value = out.len();
        let written = self.value(field, out)?;
        if written == Written::Dropped || out[value..].iter().all(|&byte| byte == 0) {
            out.truncate(start);
        }
        Ok(())
    }

    fn list(&mut self, field: &Field, packed: bool, out: &mut Vec<u8>) -> Result<(), JsonError> {
        self.lexer.open(b'[')?;
        let start = out.len();
        let run = packed.then(|| {
            out.extend_from_slice(field.tag.as_bytes());
            wire::begin_length(out)
        });
        let (mut first, mut index) = (true, 0);
        while self.lexer.more(&mut first, b']')? {
            let element = out.len();
            if run.is_none() {
                out.extend_from_slice(field.tag.as_bytes());
            }
            let written = self.element(field, out).map_err(|error| error.within(&format!("[{index}]")))?;
            if written == Written::Dropped {
                out.truncate(element);
            }
            index += 1;
        }
        match run {
            Some(run) if out.len() == run => out.truncate(start),
            Some(run) => wire::end_length(out, run),
            None => {}
        }
        Ok(())
    }

    fn element(&mut self, field: &Field, out: &mut Vec<u8>) -> Result<Written, JsonError> {
        if self.lexer.peek() == Some(b'n') && !self.takes_null(field.kind) {
            return Err(self.lexer.error("null in a list"));
        }
        self.value(field, out)
    }

    fn map(&mut self, field: &Field, out: &mut Vec<u8>) -> Result<(), JsonError> {
        let entry = field.kind.message().map(|id| self.schema.message(id));
        let Some([key_field, value_field]) = entry.map(|entry| &*entry.fields) else {
            return Err(self.lexer.error("not a map entry"));
        };
        let mut keys = Keys::new();
        let mut first = true;
        self.lexer.open(b'{')?;
        while self.lexer.more(&mut first, b'}')? {
            let key = self.lexer.key()?;
            let start = out.len();
            out.extend_from_slice(field.tag.as_bytes());
            let length = wire::begin_length(out);
            out.extend_from_slice(key_field.tag.as_bytes());
            put_key(out, key_field.kind, &key)
                .map_err(|reason| self.lexer.error(reason).within(&bracketed(&key)))?;
            out.extend_from_slice(value_field.tag.as_bytes());
            if self.lexer.peek() == Some(b'n') && !self.takes_null(value_field.kind) {
                return Err(self.lexer.error("null in a map").within(&bracketed(&key)));
            }
            let written = self.value(value_field, out).map_err(|error| error.within(&bracketed(&key)))?;
            match written {
                Written::Yes => wire::end_length(out, length),
                Written::Dropped => out.truncate(start),
            }
            if !keys.insert(one_spelling(key_field.kind, key)) {
                return Err(self.lexer.error("a key that comes twice"));
            }
        }
        Ok(())
    }

    /// Null is a value of `google.protobuf.Value` and of `google.protobuf.NullValue`, and of nothing else.
    fn takes_null(&self, kind: Kind) -> bool {
        match kind {
            Kind::Message(id) => self.schema.message(id).form == Form::Value,
            Kind::Enum(id) => self.schema.enumeration(id).is_null,
            _ => false,
        }
    }

    /// One value without its tag.
    fn value(&mut self, field: &Field, out: &mut Vec<u8>) -> Result<Written, JsonError> {
        match field.kind {
            Kind::Bool => out.push(self.lexer.boolean()?.into()),
            Kind::String => wire::put_bytes(out, self.lexer.string()?.as_bytes()),
            Kind::Bytes => {
                let text = self.lexer.string()?;
                scalar::put_base64(out, &text).map_err(|reason| self.lexer.error(reason))?;
            }
            Kind::Enum(_) => return self.enumeration(field.kind, out),
            Kind::Message(id) => {
                let start = wire::begin_length(out);
                self.message(id, out)?;
                wire::end_length(out, start);
            }
            Kind::Group(id) => {
                self.message(id, out)?;
                wire::put_varint(out, u64::from(field.number) << 3 | wire::WireType::GroupEnd as u64);
            }
            kind if self.lexer.peek() == Some(b'"') => {
                let text = self.lexer.string()?;
                scalar::put_number(out, kind, &text, true)
                    .map_err(|reason| self.lexer.error(format!("`{}` is {reason}", shown(&text))))?;
            }
            kind => {
                let text = self.lexer.number()?;
                scalar::put_number(out, kind, text, false)
                    .map_err(|reason| self.lexer.error(format!("`{}` is {reason}", shown(text))))?;
            }
        }
        Ok(Written::Yes)
    }

    fn enumeration(&mut self, kind: Kind, out: &mut Vec<u8>) -> Result<Written, JsonError> {
        let Kind::Enum(id) = kind else { return Ok(Written::Dropped) };
        let plan = self.schema.enumeration(id);
        if plan.is_null && self.lexer.take_null()? {
            out.push(0);
            return Ok(Written::Yes);
        }
        if self.lexer.peek() != Some(b'"') {
            let text = self.lexer.number()?;
            scalar::put_number(out, Kind::Int32, text, false).map_err(|reason| self.lexer.error(reason))?;
            return Ok(Written::Yes);
        }
        let name = self.lexer.string()?;
        match plan.number(&name, self.options.enum_case_insensitive) {
            Some(number) => wire::put_varint(out, i64::from(number) as u64),
            None if self.options.ignore_unknown_fields => return Ok(Written::Dropped),
            None => return Err(self.lexer.error(unknown_enum(plan, &name))),
        }
        Ok(Written::Yes)
    }
}

/// The message for a name that an enum lacks.
pub(super) fn unknown_enum(plan: &crate::schema::Enum, name: &str) -> String {
    let hint = match nearest(name, plan.names()) {
        Some(near) => format!(", did you mean `{near}`?"),
        None => String::new(),
    };
    format!("`{}` is no value of `{}`{hint}", shown(name), plan.descriptor.full_name())
}

/// Appends a map key without its tag.
pub(super) fn put_key(out: &mut Vec<u8>, kind: Kind, key: &str) -> Result<(), &'static str> {
    match kind {
        Kind::String => wire::put_bytes(out, key.as_bytes()),
        Kind::Bool => out.push(match key {
            "true" => 1,
            "false" => 0,
            _ => return Err("true or false expected as key"),
        }),
        // the text of an integer, and not whatever a number could be written as: so C++ and Go read keys
        _ if key.bytes().any(|byte| !byte.is_ascii_digit() && byte != b'-') => return Err("no integer"),
        _ => scalar::put_number(out, kind, key, true)?,
    }
    Ok(())
}

/// A key in the form that all its spellings share.
pub(super) fn one_spelling(kind: Kind, key: Cow<'_, str>) -> Cow<'_, str> {
    if key == "-0" && !matches!(kind, Kind::String | Kind::Bool) { Cow::Borrowed("0") } else { key }
}

/// Appends the fields of a Timestamp.
fn put_timestamp(out: &mut Vec<u8>, text: &str) -> Option<()> {
    time::parse_timestamp(text).map(|parts| put_seconds_and_nanos(out, parts, false))
}

/// Appends the fields of a Duration.
fn put_duration(out: &mut Vec<u8>, text: &str) -> Option<()> {
    time::parse_duration(text).map(|parts| put_seconds_and_nanos(out, parts, false))
}

/// Appends the two fields of a Timestamp or Duration; with `zeros` also what is zero, so that merging them over another
/// value leaves nothing of it.
pub(super) fn put_seconds_and_nanos(out: &mut Vec<u8>, (seconds, nanos): (i64, i32), zeros: bool) {
    for (tag, value) in [(1 << 3, seconds), (2 << 3, i64::from(nanos))] {
        if value != 0 || zeros {
            out.push(tag);
            wire::put_varint(out, value as u64);
        }
    }
}

fn bracketed(key: &str) -> String {
    format!("[{}]", shown(key))
}

/// A value as messages show it, cut to a length that a log line bears.
pub(super) fn shown(text: &str) -> String {
    const SHOWN_MAX: usize = 80;
    match text.char_indices().nth(SHOWN_MAX) {
        None => text.to_owned(),
        Some((cut, _)) => format!("{}…", &text[..cut]),
    }
}
