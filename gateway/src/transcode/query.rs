//! Query parameters and path captures to wire.
//!
//! Each assignment becomes a fragment of its own, nested as its field path says; protobuf merges fragments, so they are
//! appended behind the body in the order query, path. What two assignments could contradict is refused: a singular field
//! given twice, two members of one oneof.

use std::borrow::Cow;

use super::{
    JsonOptions, decode,
    lexer::{JsonLimits, Lexer},
    mask, nearest, scalar, structure, time, wire,
};
use crate::{
    path::{self, DecodeError},
    schema::{Cardinality, Field, Form, Kind, MessageId, Schema},
};

/// Why a parameter was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum QueryError {
    /// A broken escape, or no UTF-8.
    #[error("query: {0}")]
    Encoding(#[from] DecodeError),
    /// No such field.
    #[error("unknown query parameter `{name}`{}", .near.as_ref().map(|near| format!(", did you mean `{near}`?")).unwrap_or_default())]
    Unknown {
        /// The parameter's name.
        name: String,
        /// The nearest known one.
        near: Option<String>,
    },
    /// The value does not fit the field.
    #[error("query parameter `{name}`: {reason}")]
    Invalid {
        /// The parameter's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
}

/// What the query of a method may set.
#[derive(Debug, Default)]
pub struct Scope {
    /// There are no parameters: the body is the whole message.
    pub nothing: bool,
    /// The index of the field that the body fills, which parameters may not reach into.
    pub body: Option<usize>,
}

/// How parameters are read.
#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// `+` stands for a blank.
    pub plus_as_space: bool,
    /// Pass over unknown parameters instead of refusing them.
    pub ignore_unknown: bool,
    /// Names that belong to others (API keys and the like) and are passed over.
    pub ignored: Vec<String>,
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self { plus_as_space: true, ignore_unknown: false, ignored: Vec::new() }
    }
}

/// A field path resolved along the plans: the fields from the top to the leaf.
pub type FieldPath<'s> = Vec<(MessageId, usize, &'s Field)>;

/// What the query has set so far.
#[derive(Debug, Default)]
pub struct Assigned {
    /// Field numbers from the top, for each singular leaf.
    paths: Vec<Vec<u32>>,
    /// Likewise for each oneof: where it lies, which one it is, which member was set.
    oneofs: Vec<(Vec<u32>, u16, u32)>,
}

impl Assigned {
    /// A parameter set this field, or one beneath it.
    pub fn covers(&self, number: u32) -> bool {
        self.paths.iter().any(|path| path.first() == Some(&number))
    }

    fn add(&mut self, path: &FieldPath<'_>) -> Result<(), &'static str> {
        let numbers: Vec<u32> = path.iter().map(|(_, _, field)| field.number).collect();
        for (depth, (_, _, field)) in path.iter().enumerate() {
            let Some(oneof) = field.oneof else { continue };
            let place = &numbers[..depth];
            match self.oneofs.iter().find(|(at, which, _)| at == place && *which == oneof) {
                Some((_, _, member)) if *member != field.number => {
                    return Err("another member of its oneof is set too");
                }
                Some(_) => {}
                None => self.oneofs.push((place.to_vec(), oneof, field.number)),
            }
        }
        let single = path.last().is_some_and(|(_, _, leaf)| leaf.cardinality == Cardinality::Singular);
        if single && self.paths.contains(&numbers) {
            return Err("given twice");
        }
        self.paths.push(numbers);
        Ok(())
    }
}

/// Reads a raw query and appends what it sets.
pub fn put_query(
    schema: &Schema,
    id: MessageId,
    query: &str,
    scope: &Scope,
    how: (&QueryOptions, JsonOptions, JsonLimits),
    out: &mut Vec<u8>,
) -> Result<Assigned, QueryError> {
    let mut assigned = Assigned::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = path::decode_query(name, how.0.plus_as_space)?;
        if how.0.ignored.iter().any(|ignored| *ignored == *name) {
            continue;
        }
        let value = path::decode_query(value, how.0.plus_as_space)?;
        put_parameter(schema, id, &name, &value, scope, how, &mut assigned, out)?;
    }
    Ok(assigned)
}

/// Appends one parameter, decoded before.
#[expect(
    clippy::too_many_arguments,
    reason = "the innermost step of a walk; a struct would only rename them"
)]
pub fn put_parameter(
    schema: &Schema,
    id: MessageId,
    name: &str,
    value: &str,
    scope: &Scope,
    (options, json, limits): (&QueryOptions, JsonOptions, JsonLimits),
    assigned: &mut Assigned,
    out: &mut Vec<u8>,
) -> Result<(), QueryError> {
    let (field_name, map_key) = split_map_key(name);
    let resolved = if scope.nothing { None } else { resolve(schema, id, field_name) };
    let reachable = resolved.filter(|path| path.first().map(|(_, index, _)| *index) != scope.body);
    let Some(path) = reachable else {
        if options.ignore_unknown {
            return Ok(());
        }
        let near = (!scope.nothing).then(|| nearest_parameter(schema, id, field_name, scope)).flatten();
        return Err(QueryError::Unknown { name: decode::shown(name), near });
    };
    let invalid = |reason: String| QueryError::Invalid { name: decode::shown(name), reason };
    let Some((_, _, leaf)) = path.last().copied() else { return Ok(()) };
    if path[..path.len() - 1].iter().any(|(_, _, field)| field.cardinality != Cardinality::Singular) {
        return Err(invalid("a field within a list cannot be set by a parameter".to_owned()));
    }
    if path.len() > limits.depth {
        return Err(invalid("nested too deep".to_owned()));
    }
    assigned.add(&path).map_err(|reason| invalid(reason.to_owned()))?;
    let result = match (leaf.cardinality, map_key) {
        (Cardinality::Map, Some(key)) => {
            put_nested(&path, out, &mut |out| put_entry(schema, leaf, key, value, json, limits, out))
        }
        (Cardinality::Map, None) => Err("a map is set as `name[key]=value`".into()),
        (_, Some(_)) => Err("not a map".into()),
        _ => put_nested(&path, out, &mut |out| put_text(schema, leaf, value, json, limits, out)),
    };
    result.map_err(|reason| invalid(reason.into_owned()))
}

fn nearest_parameter(schema: &Schema, id: MessageId, name: &str, scope: &Scope) -> Option<String> {
    // For `a.b.wrogn` the last name that does not resolve is compared within its message.
    let mut message = id;
    let mut prefix = String::new();
    for part in name.split('.') {
        let plan = schema.message(message);
        let known = plan.field_by_name(part, 0);
        match known.and_then(|index| plan.fields[index].kind.message()).filter(|_| known != scope.body) {
            Some(inner) => {
                prefix.push_str(part);
                prefix.push('.');
                message = inner;
            }
            None => {
                let fields = plan.fields.iter().enumerate();
                let fields = fields.filter(|(index, _)| !prefix.is_empty() || Some(*index) != scope.body);
                let near = nearest(part, fields.map(|(_, field)| &*field.json_name));
                return near.filter(|near| *near != part).map(|near| format!("{prefix}{near}"));
            }
        }
    }
    None
}

fn split_map_key(name: &str) -> (&str, Option<&str>) {
    let split = name.strip_suffix(']').and_then(|name| name.split_once('['));
    split.map_or((name, None), |(field, key)| (field, Some(key)))
}

/// Finds the fields of a path such as `book.name`, by JSON or proto names.
pub fn resolve<'s>(schema: &'s Schema, id: MessageId, path: &str) -> Option<FieldPath<'s>> {
    let mut fields = Vec::new();
    let mut message = Some(id);
    for name in path.split('.') {
        let within = message?;
        let plan = schema.message(within);
        let index = plan.field_by_name(name, 0)?;
        let field = &plan.fields[index];
        fields.push((within, index, field));
        let enterable = field.cardinality != Cardinality::Map;
        message =
            field.kind.message().filter(|&inner| enterable && schema.message(inner).form == Form::Object);
    }
    Some(fields)
}

/// Appends a captured path variable.
pub fn put_capture(
    schema: &Schema,
    path: &FieldPath<'_>,
    value: &str,
    json: JsonOptions,
    limits: JsonLimits,
    out: &mut Vec<u8>,
) -> Result<(), String> {
    let Some((_, _, leaf)) = path.last().copied() else { return Ok(()) };
    put_nested(path, out, &mut |out| put_text(schema, leaf, value, json, limits, out))
        .map_err(Cow::into_owned)
}

type Reason = Cow<'static, str>;

/// Wraps what `put` appends (a field with its tag) into the messages above it.
pub fn put_nested(
    path: &[(MessageId, usize, &Field)],
    out: &mut Vec<u8>,
    put: &mut dyn FnMut(&mut Vec<u8>) -> Result<(), Reason>,
) -> Result<(), Reason> {
    match path {
        [] | [_] => put(out),
        [(_, _, outer), rest @ ..] => {
            out.extend_from_slice(outer.tag.as_bytes());
            if let Kind::Group(_) = outer.kind {
                put_nested(rest, out, put)?;
                wire::put_varint(out, u64::from(outer.number) << 3 | wire::WireType::GroupEnd as u64);
                return Ok(());
            }
            let start = wire::begin_length(out);
            put_nested(rest, out, put)?;
            wire::end_length(out, start);
            Ok(())
        }
    }
}

/// Appends a field with its tag from text. A default is written too: it may have to override the body's.
fn put_text(
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

fn put_entry(
    schema: &Schema,
    field: &Field,
    key: &str,
    value: &str,
    json: JsonOptions,
    limits: JsonLimits,
    out: &mut Vec<u8>,
) -> Result<(), Reason> {
    let entry = field.kind.message().map(|id| schema.message(id));
    let Some([key_field, value_field]) = entry.map(|entry| &*entry.fields) else {
        return Err("not a map".into());
    };
    out.extend_from_slice(field.tag.as_bytes());
    let start = wire::begin_length(out);
    out.extend_from_slice(key_field.tag.as_bytes());
    decode::put_key(out, key_field.kind, key)?;
    put_text(schema, value_field, value, json, limits, out)?;
    wire::end_length(out, start);
    Ok(())
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
