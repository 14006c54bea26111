//! How a stream that broke off is taken up again: which field of an item is its id, and which of the request says behind
//! which id to go on.

use super::{Capture, MethodError};
use crate::{
    config::{ResumeFields, Resumption},
    schema::{Cardinality, Kind, MessageId, Schema},
    transcode::{
        query,
        wire::{self, Reader, WireType},
    },
};

/// How one method is resumed.
#[derive(Debug, Default)]
pub struct Resume {
    /// Where an item has its id, if it has one. Browsers are told it in any case.
    pub id: Option<ItemId>,
    /// The field of the request, if the method can go on behind an id.
    pub after: Option<Capture>,
}

/// Where an item has its id.
#[derive(Debug)]
pub struct ItemId {
    /// The field path, for messages.
    pub name: String,
    /// The numbers of the fields that lead to it.
    numbers: Vec<u32>,
    kind: Kind,
}

impl Resume {
    /// As the configuration says for the method `name`. Fields that it lists for it must be there; those that it looks for
    /// in every method need not.
    pub(super) fn of(
        schema: &Schema,
        name: &str,
        (input, output): (MessageId, MessageId),
        config: &Resumption,
    ) -> Result<Self, MethodError> {
        let listed = config.methods.get(name);
        let Some(ResumeFields { id, after }) = listed.unwrap_or(&config.fields) else {
            return Ok(Self::default());
        };
        let (id_path, after_path) = (resolve(schema, output, id), resolve(schema, input, after));
        let missing = |field: &str, message| MethodError::UnfitId {
            field: field.to_owned(),
            message: schema.message(message).name().to_owned(),
        };
        if listed.is_some() && id_path.is_none() {
            return Err(missing(id, output));
        }
        if listed.is_some() && after_path.is_none() {
            return Err(missing(after, input));
        }
        let after = after_path.filter(|_| id_path.is_some()).map(|path| Capture {
            name: joined(&path),
            steps: path.iter().map(|&(message, index, _)| (message, index)).collect(),
        });
        let id = id_path.and_then(|path| {
            let kind = path.last()?.2.kind;
            let numbers = path.iter().map(|(_, _, field)| field.number).collect();
            Some(ItemId { name: joined(&path), numbers, kind })
        });
        Ok(Self { id, after })
    }
}

fn joined(path: &query::FieldPath<'_>) -> String {
    path.iter().map(|(_, _, field)| &*field.json_name).collect::<Vec<_>>().join(".")
}

/// The fields that lead to an id: an integer or a string, and not one of many.
fn resolve<'s>(schema: &'s Schema, message: MessageId, name: &str) -> Option<query::FieldPath<'s>> {
    let path = query::resolve(schema, message, name)?;
    let single = path.iter().all(|(_, _, field)| field.cardinality == Cardinality::Singular);
    let plain = path.iter().rev().skip(1).all(|(_, _, field)| matches!(field.kind, Kind::Message(_)));
    let fits = path.last().is_some_and(|(_, _, field)| is_id(field.kind));
    (single && plain && fits).then_some(path)
}

fn is_id(kind: Kind) -> bool {
    use Kind::{Fixed64, Int32, Int64, Sfixed64, Sint32, Sint64, String, Uint32, Uint64};
    matches!(kind, Int32 | Int64 | Uint32 | Uint64 | Sint32 | Sint64 | Fixed64 | Sfixed64 | String)
}

impl ItemId {
    /// The text of an item's id; none where the item has none, or one that SSE cannot tell.
    pub(crate) fn of(&self, message: &[u8]) -> Option<String> {
        self.at(message, &self.numbers)
    }

    fn at(&self, message: &[u8], numbers: &[u32]) -> Option<String> {
        const DEPTH_MAX: usize = 100;
        let (&wanted, within) = numbers.split_first()?;
        let mut reader = Reader::new(message);
        let mut id = None;
        while !reader.is_empty() {
            match reader.tag().ok()? {
                (number, WireType::Length) if number == wanted && !within.is_empty() => {
                    id = self.at(reader.bytes().ok()?, within);
                }
                (number, wire_type) if number == wanted && wire_type == self.kind.wire_type() => {
                    id = self.text(&mut reader)?;
                }
                (number, wire_type) => reader.skip(number, wire_type, DEPTH_MAX).ok()?,
            }
        }
        id
    }

    /// The text of a value; the outer nothing is that of bytes that are no message.
    fn text(&self, reader: &mut Reader<'_>) -> Option<Option<String>> {
        Some(match self.kind {
            Kind::String => {
                let text = std::str::from_utf8(reader.bytes().ok()?).ok()?;
                // a line break would end the event, and a NUL forbids the id
                (!text.contains(['\n', '\r', '\0'])).then(|| text.to_owned())
            }
            Kind::Fixed64 => Some(u64::from_le_bytes(reader.fixed64().ok()?).to_string()),
            Kind::Sfixed64 => Some(i64::from_le_bytes(reader.fixed64().ok()?).to_string()),
            Kind::Int32 | Kind::Int64 => Some((reader.varint().ok()? as i64).to_string()),
            Kind::Sint32 | Kind::Sint64 => Some(wire::unzigzag(reader.varint().ok()?).to_string()),
            _ => Some(reader.varint().ok()?.to_string()),
        })
    }
}
