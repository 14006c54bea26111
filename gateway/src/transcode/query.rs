//! Query parameters and path captures to wire.
//!
//! Each assignment becomes a fragment of its own, nested as its field path says; protobuf merges fragments, so they are
//! appended behind the body in the order query, path. What two assignments could contradict is refused: a singular field or
//! a key of a map given twice, two members of one oneof, though one be in the path. The values of maps alone are not merged:
//! what sets fields of one is put together first.

mod entries;
mod values;

use std::{borrow::Cow, collections::HashSet};

use entries::Entries;
pub use values::is_text_like;
use values::put_text;

use super::{JsonOptions, decode, lexer::JsonLimits, nearest, wire};
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

impl QueryError {
    /// The same of a parameter of a message within, whose names begin with `prefix`.
    fn within(self, prefix: &str) -> Self {
        let whole = |name: String| decode::shown(&format!("{prefix}{name}"));
        match self {
            Self::Encoding(_) => self,
            Self::Unknown { name, near } => Self::Unknown { name: whole(name), near: near.map(whole) },
            Self::Invalid { name, reason } => Self::Invalid { name: whole(name), reason },
        }
    }
}

/// What the query of a method may set.
#[derive(Clone, Copy, Debug, Default)]
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

fn numbers(path: &FieldPath<'_>) -> Vec<u32> {
    path.iter().map(|(_, _, field)| field.number).collect()
}

/// What the query has set so far.
#[derive(Debug, Default)]
pub struct Assigned {
    /// Field numbers from the top, for each singular leaf.
    paths: Vec<Vec<u32>>,
    /// Likewise for each oneof: where it lies, which one it is, which member was set.
    oneofs: Vec<(Vec<u32>, u16, u32)>,
    /// The keys that maps were given, each in the form that its spellings share.
    keys: HashSet<(Vec<u32>, String)>,
}

impl Assigned {
    /// A parameter set this field, or one beneath it.
    pub fn covers(&self, number: u32) -> bool {
        self.paths.iter().any(|path| path.first() == Some(&number))
    }

    /// Whether a parameter set another member of a oneof that a field, or one above it, is of.
    pub fn contradicts(&self, path: &FieldPath<'_>) -> bool {
        let numbers = numbers(path);
        let member = |(depth, (_, _, field)): (usize, &(_, _, &Field))| {
            let former = self.member(&numbers[..depth], field.oneof?)?;
            Some(former != field.number)
        };
        path.iter().enumerate().any(|field| member(field) == Some(true))
    }

    /// The member of a oneof that was set.
    fn member(&self, place: &[u32], oneof: u16) -> Option<u32> {
        let found = self.oneofs.iter().find(|(at, which, _)| at == place && *which == oneof);
        found.map(|(_, _, member)| *member)
    }

    fn add_key(&mut self, map: &FieldPath<'_>, key: &str) -> Result<(), &'static str> {
        if self.keys.insert((numbers(map), key.to_owned())) { Ok(()) } else { Err("given twice") }
    }

    fn add(&mut self, path: &FieldPath<'_>) -> Result<(), &'static str> {
        if self.contradicts(path) {
            return Err("another member of its oneof is set too");
        }
        let numbers = numbers(path);
        for (depth, (_, _, field)) in path.iter().enumerate() {
            let Some(oneof) = field.oneof else { continue };
            if self.member(&numbers[..depth], oneof).is_none() {
                self.oneofs.push((numbers[..depth].to_vec(), oneof, field.number));
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
    (options, json, limits): (&QueryOptions, JsonOptions, JsonLimits),
    out: &mut Vec<u8>,
) -> Result<Assigned, QueryError> {
    let mut message = Parameters::new(schema, id, *scope, (options, json, limits));
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = path::decode_query(name, options.plus_as_space)?;
        if options.ignored.iter().any(|ignored| *ignored == *name) {
            continue;
        }
        let value = path::decode_query(value, options.plus_as_space)?;
        message.put(&name, &value, out)?;
    }
    message.end(out)
}

/// The parameters of one message: of the request's, or of one that is a map's value.
struct Parameters<'q> {
    schema: &'q Schema,
    id: MessageId,
    scope: Scope,
    options: &'q QueryOptions,
    json: JsonOptions,
    /// How deep it is still allowed to go, among others.
    limits: JsonLimits,
    assigned: Assigned,
    entries: Entries<'q>,
}

impl<'q> Parameters<'q> {
    fn new(
        schema: &'q Schema,
        id: MessageId,
        scope: Scope,
        (options, json, limits): (&'q QueryOptions, JsonOptions, JsonLimits),
    ) -> Self {
        let (assigned, entries) = Default::default();
        Self { schema, id, scope, options, json, limits, assigned, entries }
    }

    /// Appends one parameter, decoded before, or keeps it for [`end`](Self::end).
    fn put(&mut self, name: &str, value: &str, out: &mut Vec<u8>) -> Result<(), QueryError> {
        let schema = self.schema;
        let (field_name, behind) = split_bracket(name);
        let resolved = if self.scope.nothing { None } else { resolve(schema, self.id, field_name) };
        let reachable = resolved.filter(|path| path.first().map(|(_, index, _)| *index) != self.scope.body);
        let Some(path) = reachable else {
            if self.options.ignore_unknown {
                return Ok(());
            }
            let near = || nearest_parameter(schema, self.id, field_name, &self.scope);
            let near = (!self.scope.nothing).then(near).flatten();
            return Err(QueryError::Unknown { name: decode::shown(name), near });
        };
        let invalid =
            |reason: Reason| QueryError::Invalid { name: decode::shown(name), reason: reason.into_owned() };
        let Some((_, _, leaf)) = path.last().copied() else { return Ok(()) };
        if path[..path.len() - 1].iter().any(|(_, _, field)| field.cardinality != Cardinality::Singular) {
            return Err(invalid("a field within a list cannot be set by a parameter".into()));
        }
        if path.len() > self.limits.depth {
            return Err(invalid("nested too deep".into()));
        }
        self.assigned.add(&path).map_err(|reason| invalid(reason.into()))?;
        let (json, limits) = (self.json, self.limits);
        let result = match (leaf.cardinality, behind) {
            (Cardinality::Map, Some(behind)) => match (entries::value_message(schema, leaf), behind) {
                (Some(_), Bracket { inside: Some((key, field)), .. }) => {
                    self.entries.keep(
                        path,
                        (field_name, &entries::one_spelling(schema, leaf, key)),
                        field,
                        value,
                    );
                    Ok(())
                }
                (_, Bracket { whole: Some(key), .. }) => {
                    let key = entries::one_spelling(schema, leaf, key);
                    self.assigned.add_key(&path, &key).map_err(|reason| invalid(reason.into()))?;
                    put_nested(&path, out, &mut |out| {
                        entries::put_entry(schema, leaf, &key, out, |value_field, out| {
                            put_text(schema, value_field, value, json, limits, out)
                        })
                    })
                }
                _ => Err("the bracket is not closed".into()),
            },
            (Cardinality::Map, None) => Err("a map is set as `name[key]=value`".into()),
            (_, Some(_)) => Err("not a map".into()),
            _ => put_nested(&path, out, &mut |out| put_text(schema, leaf, value, json, limits, out)),
        };
        result.map_err(invalid)
    }

    /// Appends what was kept.
    fn end(self, out: &mut Vec<u8>) -> Result<Assigned, QueryError> {
        self.entries.put(self.schema, (self.options, self.json, self.limits), out)?;
        Ok(self.assigned)
    }
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

/// What stands behind the first bracket of a name, in the two ways that it can be read.
#[derive(Clone, Copy)]
struct Bracket<'n> {
    /// `[key]`, up to the name's end.
    whole: Option<&'n str>,
    /// `[key].field`.
    inside: Option<(&'n str, &'n str)>,
}

fn split_bracket(name: &str) -> (&str, Option<Bracket<'_>>) {
    let Some((field, behind)) = name.split_once('[') else { return (name, None) };
    (field, Some(Bracket { whole: behind.strip_suffix(']'), inside: behind.split_once("].") }))
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
