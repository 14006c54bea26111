//! The plan of a field: its tag, its keys, what its values are.

use super::{EnumId, MessageId};
use crate::transcode::wire::{self, WireType};

/// The plan of a field.
#[derive(Debug)]
pub struct Field {
    /// Its number.
    pub number: u32,
    /// Its name in the proto file.
    pub name: Box<str>,
    /// Its name in JSON.
    pub json_name: Box<str>,
    /// `"jsonName":`
    pub json_key: Box<[u8]>,
    /// `"proto_name":`
    pub proto_key: Box<[u8]>,
    /// What a value is.
    pub kind: Kind,
    /// How many values there are.
    pub cardinality: Cardinality,
    /// A value that equals the default still counts as set.
    pub presence: bool,
    /// The index of the (real) oneof that it is a member of.
    pub oneof: Option<u16>,
    /// The tag before one value, or before a packed run.
    pub tag: Tag,
}

/// How many values a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// One.
    Singular,
    /// Any number, written one by one or as a packed run.
    Repeated {
        /// Written as a packed run.
        packed: bool,
    },
    /// A map; the field's kind is its entry message, whose fields 1 and 2 are key and value.
    Map,
}

/// What one value of a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `double`
    Double,
    /// `float`
    Float,
    /// `int32`
    Int32,
    /// `int64`
    Int64,
    /// `uint32`
    Uint32,
    /// `uint64`
    Uint64,
    /// `sint32`
    Sint32,
    /// `sint64`
    Sint64,
    /// `fixed32`
    Fixed32,
    /// `fixed64`
    Fixed64,
    /// `sfixed32`
    Sfixed32,
    /// `sfixed64`
    Sfixed64,
    /// `bool`
    Bool,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// An enum.
    Enum(EnumId),
    /// A message behind a length.
    Message(MessageId),
    /// A message between a start and an end tag.
    Group(MessageId),
}

/// An encoded tag.
#[derive(Clone, Copy, Debug)]
pub struct Tag {
    bytes: [u8; 5],
    length: u8,
}

impl Tag {
    /// The tag of a field number with a wire type.
    pub fn new(number: u32, wire_type: WireType) -> Self {
        let mut buffer = Vec::with_capacity(5);
        wire::put_varint(&mut buffer, u64::from(number) << 3 | wire_type as u64);
        let mut bytes = [0; 5];
        bytes[..buffer.len()].copy_from_slice(&buffer);
        Self { bytes, length: buffer.len() as u8 }
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl Kind {
    /// How one value looks on the wire.
    pub fn wire_type(self) -> WireType {
        match self {
            Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => WireType::Fixed64,
            Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => WireType::Fixed32,
            Kind::String | Kind::Bytes | Kind::Message(_) => WireType::Length,
            Kind::Group(_) => WireType::GroupStart,
            _ => WireType::Varint,
        }
    }

    /// The message's id, if it is one.
    pub fn message(self) -> Option<MessageId> {
        match self {
            Kind::Message(id) | Kind::Group(id) => Some(id),
            _ => None,
        }
    }
}

impl Field {
    /// The key as the options ask for it.
    pub fn key(&self, proto_names: bool) -> &[u8] {
        if proto_names { &self.proto_key } else { &self.json_key }
    }
}
