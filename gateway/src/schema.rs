//! The descriptor set, compiled once at load into flat plans that the transcoder walks.
//!
//! A plan holds everything a field needs on the hot path: its encoded tag, its pre-escaped JSON key, where its type's
//! plan lies. Ids are indices into the schema that made them and mean nothing in another one. Nothing here reads or
//! writes a message.

mod compile;
pub(crate) mod editions;
mod field;
mod tags;

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{DescriptorPool, EnumDescriptor, MessageDescriptor};

pub use editions::EditionError;
pub use field::{Cardinality, Field, Kind, Tag};

/// Where a message's plan lies in its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(u32);

/// Where an enum's plan lies in its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnumId(u32);

/// The plans of all messages and enums of one descriptor set.
#[derive(Debug)]
pub struct Schema {
    pool: DescriptorPool,
    messages: Vec<Message>,
    enums: Vec<Enum>,
    ids: HashMap<Box<str>, MessageId>,
    /// Where a type that an `Any` names is looked up when this schema lacks it.
    fallback: Option<&'static Schema>,
}

/// Which JSON form a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An object with the fields as members.
    Object,
    /// `google.protobuf.Any`.
    Any,
    /// `google.protobuf.Timestamp`: RFC 3339 text.
    Timestamp,
    /// `google.protobuf.Duration`: seconds with an `s`.
    Duration,
    /// `google.protobuf.FieldMask`: paths with commas between.
    FieldMask,
    /// `google.protobuf.Struct`: any object.
    Struct,
    /// `google.protobuf.Value`: any JSON.
    Value,
    /// `google.protobuf.ListValue`: any array.
    ListValue,
    /// The wrappers, `google.protobuf.Int32Value` and its kin: the bare value.
    Wrapper,
}

/// The plan of a message.
#[derive(Debug)]
pub struct Message {
    /// Its descriptor, for the reference and for documents.
    pub descriptor: MessageDescriptor,
    /// Its JSON form.
    pub form: Form,
    /// Its fields, ordered by number.
    pub fields: Box<[Field]>,
    /// Field number to index plus one, for small numbers.
    dense: Box<[u16]>,
    /// JSON and proto names to index.
    names: HashMap<Box<str>, u16>,
}

/// The plan of an enum.
#[derive(Debug)]
pub struct Enum {
    /// Its descriptor.
    pub descriptor: EnumDescriptor,
    /// It is `google.protobuf.NullValue`, whose JSON is `null`.
    pub is_null: bool,
    by_name: HashMap<Box<str>, i32>,
    by_folded_name: HashMap<Box<str>, i32>,
    by_number: HashMap<i32, Box<str>>,
}

impl Message {
    /// The full name, such as `google.protobuf.Any`.
    pub fn name(&self) -> &str {
        self.descriptor.full_name()
    }

    /// Finds a field by its JSON or proto name. `hint` is where the writer of ordered JSON would be.
    pub fn field_by_name(&self, name: &str, hint: usize) -> Option<usize> {
        if let Some(field) = self.fields.get(hint)
            && *field.json_name == *name
        {
            return Some(hint);
        }
        self.names.get(name).map(|&index| usize::from(index))
    }

    /// Finds a field by its number.
    pub fn field_by_number(&self, number: u32) -> Option<usize> {
        match self.dense.get(number as usize) {
            Some(0) => None,
            Some(&index) => Some(usize::from(index) - 1),
            None => self.fields.binary_search_by_key(&number, |field| field.number).ok(),
        }
    }
}

impl Enum {
    /// The number of a value, by its exact name or, if asked for, in any case.
    pub fn number(&self, name: &str, case_insensitive: bool) -> Option<i32> {
        let exact = self.by_name.get(name).copied();
        if exact.is_some() || !case_insensitive {
            return exact;
        }
        self.by_folded_name.get(name.to_ascii_uppercase().as_str()).copied()
    }

    /// The name that was declared first for a number.
    pub fn name(&self, number: i32) -> Option<&str> {
        self.by_number.get(&number).map(|name| &**name)
    }

    /// All exact names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(|name| &**name)
    }
}

impl Schema {
    /// Compiles a pool; types of google.rpc are known besides.
    pub fn compile(pool: DescriptorPool) -> Self {
        Self::with_fallback(pool, Some(&GOOGLE_RPC))
    }

    fn with_fallback(pool: DescriptorPool, fallback: Option<&'static Schema>) -> Self {
        let descriptors: Vec<MessageDescriptor> = pool.all_messages().collect();
        let ids: HashMap<Box<str>, MessageId> = descriptors
            .iter()
            .zip(0..)
            .map(|(message, id)| (message.full_name().into(), MessageId(id)))
            .collect();
        let enum_descriptors: Vec<EnumDescriptor> = pool.all_enums().collect();
        let enum_ids: HashMap<&str, EnumId> =
            enum_descriptors.iter().zip(0..).map(|(each, id)| (each.full_name(), EnumId(id))).collect();
        let messages = descriptors.iter().map(|message| compile::message(message, &ids, &enum_ids)).collect();
        let enums = enum_descriptors.iter().map(compile::enumeration).collect();
        Self { pool, messages, enums, ids, fallback }
    }

    /// The descriptors that it was made from.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The plan of a message.
    pub fn message(&self, id: MessageId) -> &Message {
        &self.messages[id.0 as usize]
    }

    /// The plan of an enum.
    pub fn enumeration(&self, id: EnumId) -> &Enum {
        &self.enums[id.0 as usize]
    }

    /// Finds a message by its full name.
    pub fn message_id(&self, name: &str) -> Option<MessageId> {
        self.ids.get(name).copied()
    }

    /// The schema that knows the message of a type URL (`type.googleapis.com/NAME`), and its id there.
    pub fn resolve_type_url(&self, url: &str) -> Option<(&Schema, MessageId)> {
        let name = url.rsplit_once('/').map_or(url, |(_, name)| name);
        let here = self.message_id(name).map(|id| (self, id));
        here.or_else(|| self.fallback.and_then(|schema| schema.resolve_type_url(url)))
    }
}

/// The error types of google.rpc, which every gateway knows.
pub static GOOGLE_RPC: LazyLock<Schema> = LazyLock::new(|| {
    let set: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/google_rpc.bin"));
    #[expect(clippy::expect_used, reason = "compiled by this crate's own build script; a test reads it")]
    let pool = DescriptorPool::decode(set).expect("the shipped google.rpc descriptors are valid");
    Schema::with_fallback(pool, None)
});
