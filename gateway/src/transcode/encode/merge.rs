//! What a single pass cannot print, put together first: a list scattered over the message, a value that a later one
//! overrides, a key that comes twice.
//!
//! Fields come out as protobuf merges them ("last one wins", "messages are merged", Encoding, protobuf.dev), each in one
//! place. Values stay the bytes that they are: what is decoded and encoded again may lose something on the way, such as the
//! sign of a zero. What the descriptors do not know is left out, and so is a known number with another wire type, which
//! protobuf takes for unknown.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use super::{EncodeError, any, fits};
use crate::{
    schema::{Cardinality, Field, Form, Kind, MessageId, Schema},
    transcode::{
        structure,
        wire::{self, Malformed, Reader, WireType},
    },
};

/// How deep messages may nest, which is what other readers of protobuf take.
const DEPTH_MAX: usize = 100;

/// The same message in the order and number that a pass can print.
pub(super) fn merged(schema: &Schema, id: MessageId, bytes: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut out = Vec::with_capacity(bytes.len());
    Merge { schema }.message(id, bytes, DEPTH_MAX, &mut out)?;
    Ok(out)
}

#[derive(Clone, Copy)]
struct Merge<'s> {
    schema: &'s Schema,
}

/// What came of one field.
enum Gathered<'b> {
    /// The last value, tag and all.
    Last(&'b [u8]),
    /// All values, tags and all.
    All(Vec<&'b [u8]>),
    /// The bytes of one message, which may have come in parts.
    Message(Cow<'b, [u8]>),
    /// Those of several.
    Messages(Vec<&'b [u8]>),
}

impl Merge<'_> {
    fn message(
        self,
        id: MessageId,
        bytes: &[u8],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let inside = depth.checked_sub(1).ok_or(EncodeError::TooDeep)?;
        let plan = self.schema.message(id);
        if plan.form == Form::Any {
            return self.any(bytes, inside, out);
        }
        for (index, gathered) in self.gather(id, bytes, depth)? {
            let field = &plan.fields[index];
            match gathered {
                Gathered::Last(value) => out.extend_from_slice(value),
                Gathered::All(values) => values.iter().for_each(|value| out.extend_from_slice(value)),
                Gathered::Message(bytes) => self.value(field, &bytes, inside, out)?,
                Gathered::Messages(all) if field.cardinality == Cardinality::Map => {
                    self.map(field, &all, inside, out)?;
                }
                Gathered::Messages(all) => {
                    all.iter().try_for_each(|bytes| self.value(field, bytes, inside, out))?;
                }
            }
        }
        Ok(())
    }

    /// The value of an Any is a message too, where its type is known.
    fn any(self, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let (url, value) = any::parts(bytes, depth)?;
        out.push(1 << 3 | WireType::Length as u8);
        wire::put_bytes(out, url.as_bytes());
        out.push(2 << 3 | WireType::Length as u8);
        let Some((schema, id)) = self.schema.resolve_type_url(url) else {
            wire::put_bytes(out, value);
            return Ok(());
        };
        let start = wire::begin_length(out);
        Merge { schema }.message(id, value, depth, out)?;
        wire::end_length(out, start);
        Ok(())
    }

    /// What came of each field that the descriptors know.
    fn gather<'b>(
        self,
        id: MessageId,
        bytes: &'b [u8],
        depth: usize,
    ) -> Result<BTreeMap<usize, Gathered<'b>>, EncodeError> {
        let plan = self.schema.message(id);
        let mut fields: BTreeMap<usize, Gathered<'b>> = BTreeMap::new();
        // which member each oneof has
        let mut members: HashMap<usize, usize> = HashMap::new();
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let before = reader.rest();
            let (number, wire_type) = reader.tag()?;
            let known = plan.field_by_number(number).map(|index| (index, &plan.fields[index]));
            let Some((index, field)) = known.filter(|(_, field)| fits(field, wire_type)) else {
                reader.skip(number, wire_type, depth)?;
                continue;
            };
            if let Some(oneof) = field.oneof
                && let Some(former) = members.insert(usize::from(oneof), index)
                && former != index
                && let Some(Gathered::Message(overridden)) = fields.remove(&former)
            {
                self.check_message(&plan.fields[former], &overridden, depth)?;
            }
            let singular = field.cardinality == Cardinality::Singular;
            if field.kind.message().is_some() {
                let inner = match wire_type {
                    WireType::Length => reader.bytes()?,
                    _ => reader.group(number, depth)?,
                };
                let first = || match singular {
                    true => Gathered::Message(Cow::default()),
                    false => Gathered::Messages(Vec::new()),
                };
                // a part that breaks off would take what it lacks from the one it is put before
                check_parts(inner, depth)?;
                match fields.entry(index).or_insert_with(first) {
                    Gathered::Message(bytes) if bytes.is_empty() => *bytes = Cow::Borrowed(inner),
                    Gathered::Message(bytes) => bytes.to_mut().extend_from_slice(inner),
                    Gathered::Messages(all) => all.push(inner),
                    Gathered::Last(_) | Gathered::All(_) => {}
                }
                continue;
            }
            check(field, wire_type, reader)?;
            reader.skip(number, wire_type, depth)?;
            let value = &before[..before.len() - reader.rest().len()];
            match fields.entry(index).or_insert_with(|| Gathered::All(Vec::new())) {
                all if singular => *all = Gathered::Last(value),
                Gathered::All(all) => all.push(value),
                _ => {}
            }
        }
        Ok(fields)
    }

    /// A message as a value, merged.
    fn value(self, field: &Field, bytes: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Some(id) = field.kind.message() else { return Ok(()) };
        out.extend_from_slice(field.tag.as_bytes());
        if matches!(field.kind, Kind::Group(_)) {
            self.message(id, bytes, depth, out)?;
            wire::put_varint(out, u64::from(field.number) << 3 | WireType::GroupEnd as u64);
            return Ok(());
        }
        let start = wire::begin_length(out);
        self.message(id, bytes, depth, out)?;
        wire::end_length(out, start);
        Ok(())
    }

    /// A message that is overridden.
    fn check_message(self, field: &Field, bytes: &[u8], depth: usize) -> Result<(), EncodeError> {
        self.value(field, bytes, depth, &mut Vec::new())
    }

    /// Of the entries of one key the last is left, in the place of the first.
    fn map(
        self,
        field: &Field,
        entries: &[&[u8]],
        depth: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let key_field = field.kind.message().and_then(|id| self.schema.message(id).fields.first());
        let Some(key_field) = key_field else { return Ok(()) };
        let (mut places, mut left) = (HashMap::new(), Vec::with_capacity(entries.len()));
        for &entry in entries {
            match places.entry(key(key_field, entry, depth)?) {
                std::collections::hash_map::Entry::Occupied(place) => {
                    let overridden = std::mem::replace(&mut left[*place.get()], entry);
                    self.check_message(field, overridden, depth)?;
                }
                std::collections::hash_map::Entry::Vacant(place) => {
                    place.insert(left.len());
                    left.push(entry);
                }
            }
        }
        left.iter().try_for_each(|entry| self.value(field, entry, depth, out))
    }
}

/// A key by its value: one number may be written in several ways.
#[derive(PartialEq, Eq, Hash)]
enum Key<'b> {
    Text(&'b [u8]),
    Number(u64),
}

/// The key of an entry; one without has the default.
fn key<'b>(field: &Field, entry: &'b [u8], depth: usize) -> Result<Key<'b>, Malformed> {
    let is_text = field.kind.wire_type() == WireType::Length;
    let mut key = if is_text { Key::Text(b"") } else { Key::Number(0) };
    let mut reader = Reader::new(entry);
    while !reader.is_empty() {
        let (number, wire_type) = reader.tag()?;
        if number != field.number || !fits(field, wire_type) {
            reader.skip(number, wire_type, depth)?;
            continue;
        }
        key = match wire_type {
            WireType::Length => Key::Text(reader.bytes()?),
            WireType::Fixed32 => Key::Number(u32::from_le_bytes(reader.fixed32()?).into()),
            WireType::Fixed64 => Key::Number(u64::from_le_bytes(reader.fixed64()?)),
            _ => Key::Number(match (field.kind, reader.varint()?) {
                (Kind::Bool, value) => u64::from(value != 0),
                // of what is to fit into 32 bits the upper ones do not count
                (Kind::Int32 | Kind::Uint32 | Kind::Sint32, value) => u64::from(value as u32),
                (_, value) => value,
            }),
        };
    }
    Ok(key)
}

/// Whether fields end where the bytes do.
fn check_parts(bytes: &[u8], depth: usize) -> Result<(), Malformed> {
    let mut reader = Reader::new(bytes);
    while !reader.is_empty() {
        let (number, wire_type) = reader.tag()?;
        reader.skip(number, wire_type, depth)?;
    }
    Ok(())
}

/// What is overridden must be valid all the same.
fn check(field: &Field, wire_type: WireType, mut reader: Reader<'_>) -> Result<(), EncodeError> {
    if field.kind == Kind::String && wire_type == WireType::Length {
        structure::utf8(reader.bytes()?)?;
    }
    Ok(())
}
