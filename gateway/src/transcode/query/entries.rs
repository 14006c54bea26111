//! Parameters that set entries of maps: `sizes[key]=5`, `books[key].title=...`.
//!
//! An entry replaces an earlier one of its key, and is not merged with it as other messages are. So the parameters that set
//! fields of one value are kept until all are known, and make one entry.

use std::borrow::Cow;

use super::{FieldPath, Parameters, QueryError, QueryOptions, Reason, Scope, put_nested};
use crate::{
    schema::{Field, Form, MessageId, Schema},
    transcode::{JsonOptions, decode, lexer::JsonLimits, wire},
};

/// The message that a map's values are, if they are one whose fields can be set.
pub(super) fn value_message(schema: &Schema, map: &Field) -> Option<MessageId> {
    let value = schema.message(map.kind.message()?).fields.get(1)?.kind.message()?;
    (schema.message(value).form == Form::Object).then_some(value)
}

/// A key in the form that all its spellings share.
pub(super) fn one_spelling<'k>(schema: &Schema, map: &Field, key: &'k str) -> Cow<'k, str> {
    let entry = map.kind.message().and_then(|id| schema.message(id).fields.first());
    entry.map_or(Cow::Borrowed(key), |field| decode::one_spelling(field.kind, Cow::Borrowed(key)))
}

/// Appends an entry; `put` appends its value with the tag.
pub(super) fn put_entry(
    schema: &Schema,
    map: &Field,
    key: &str,
    out: &mut Vec<u8>,
    put: impl FnOnce(&Field, &mut Vec<u8>) -> Result<(), Reason>,
) -> Result<(), Reason> {
    let entry = map.kind.message().map(|id| schema.message(id));
    let Some([key_field, value_field]) = entry.map(|entry| &*entry.fields) else {
        return Err("not a map".into());
    };
    out.extend_from_slice(map.tag.as_bytes());
    let start = wire::begin_length(out);
    out.extend_from_slice(key_field.tag.as_bytes());
    decode::put_key(out, key_field.kind, key)?;
    put(value_field, out)?;
    wire::end_length(out, start);
    Ok(())
}

/// What was said of entries whose values are messages.
#[derive(Default)]
pub(super) struct Entries<'q>(Vec<Entry<'q>>);

struct Entry<'q> {
    path: FieldPath<'q>,
    /// What the map was called, and which key is meant.
    name: (String, String),
    /// Names and values of what sets its fields.
    parameters: Vec<(String, String)>,
}

impl<'q> Entries<'q> {
    /// Keeps that `field` of the entry is to be `value`. `name` is what the map was called, and the key.
    pub(super) fn keep(&mut self, path: FieldPath<'q>, name: (&str, &str), field: &str, value: &str) {
        let numbers =
            |path: &FieldPath<'q>| path.iter().map(|(_, _, field)| field.number).collect::<Vec<_>>();
        let wanted = numbers(&path);
        let same = |entry: &Entry<'q>| entry.name.1 == name.1 && numbers(&entry.path) == wanted;
        let at = self.0.iter().position(same).unwrap_or(self.0.len());
        if at == self.0.len() {
            let name = (name.0.to_owned(), name.1.to_owned());
            self.0.push(Entry { path, name, parameters: Vec::new() });
        }
        self.0[at].parameters.push((field.to_owned(), value.to_owned()));
    }

    /// Appends all entries.
    pub(super) fn put(
        self,
        schema: &Schema,
        how: (&QueryOptions, JsonOptions, JsonLimits),
        out: &mut Vec<u8>,
    ) -> Result<(), QueryError> {
        self.0.iter().try_for_each(|entry| entry.put(schema, how, out))
    }
}

impl Entry<'_> {
    fn put(
        &self,
        schema: &Schema,
        (options, json, limits): (&QueryOptions, JsonOptions, JsonLimits),
        out: &mut Vec<u8>,
    ) -> Result<(), QueryError> {
        let Some((_, _, map)) = self.path.last().copied() else { return Ok(()) };
        let Some(id) = value_message(schema, map) else { return Ok(()) };
        let (map_name, key) = &self.name;
        // the entry is a level too
        let limits = JsonLimits { depth: limits.depth.saturating_sub(self.path.len() + 1), ..limits };
        let mut message = Parameters::new(schema, id, Scope::default(), (options, json, limits));
        let mut value = Vec::new();
        let told = self.parameters.iter().try_for_each(|(name, text)| message.put(name, text, &mut value));
        told.and_then(|()| message.end(&mut value))
            .map_err(|error| error.within(&format!("{map_name}[{key}].")))?;
        let put = put_nested(&self.path, out, &mut |out| {
            put_entry(schema, map, key, out, |field, out| {
                out.extend_from_slice(field.tag.as_bytes());
                wire::put_bytes(out, &value);
                Ok(())
            })
        });
        put.map_err(|reason| QueryError::Invalid {
            name: decode::shown(&format!("{map_name}[{key}]")),
            reason: reason.into_owned(),
        })
    }
}
