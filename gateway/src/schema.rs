//! The descriptor set, compiled once at load into flat plans that the transcoder walks.
//!
//! A plan holds everything a field needs on the hot path: its encoded tag, its pre-escaped JSON key, where its type's
//! plan lies. Ids are indices into the schema that made them and mean nothing in another one. Nothing here reads or
//! writes a message.

use std::{collections::HashMap, sync::LazyLock};

use prost_reflect::{
    Cardinality as Label, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind as DescriptorKind,
    MessageDescriptor,
};

use crate::transcode::wire::{self, WireType};

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
    /// Its descriptor, for the slow path and for documents.
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
        let messages = descriptors.iter().map(|message| compile_message(message, &ids, &enum_ids)).collect();
        let enums = enum_descriptors.iter().map(compile_enum).collect();
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

const DENSE_NUMBERS_MAX: u32 = 256;

fn compile_message(
    descriptor: &MessageDescriptor,
    messages: &HashMap<Box<str>, MessageId>,
    enums: &HashMap<&str, EnumId>,
) -> Message {
    let mut fields: Vec<Field> =
        descriptor.fields().filter_map(|field| compile_field(&field, messages, enums)).collect();
    fields.sort_by_key(|field| field.number);
    let dense_max =
        fields.iter().map(|field| field.number).filter(|&number| number < DENSE_NUMBERS_MAX).max();
    let mut dense = vec![0; dense_max.map_or(0, |max| max as usize + 1)];
    let mut names = HashMap::new();
    for (field, index) in fields.iter().zip(0u16..) {
        if let Some(slot) = dense.get_mut(field.number as usize) {
            *slot = index + 1;
        }
        names.entry(field.name.clone()).or_insert(index);
    }
    for (field, index) in fields.iter().zip(0u16..) {
        names.insert(field.json_name.clone(), index);
    }
    // Beyond the dense table a number is searched for; inside it, absence is an answer.
    Message {
        form: form_of(descriptor),
        descriptor: descriptor.clone(),
        fields: fields.into(),
        dense: dense.into(),
        names,
    }
}

fn compile_field(
    field: &FieldDescriptor,
    messages: &HashMap<Box<str>, MessageId>,
    enums: &HashMap<&str, EnumId>,
) -> Option<Field> {
    let kind = match field.kind() {
        DescriptorKind::Double => Kind::Double,
        DescriptorKind::Float => Kind::Float,
        DescriptorKind::Int32 => Kind::Int32,
        DescriptorKind::Int64 => Kind::Int64,
        DescriptorKind::Uint32 => Kind::Uint32,
        DescriptorKind::Uint64 => Kind::Uint64,
        DescriptorKind::Sint32 => Kind::Sint32,
        DescriptorKind::Sint64 => Kind::Sint64,
        DescriptorKind::Fixed32 => Kind::Fixed32,
        DescriptorKind::Fixed64 => Kind::Fixed64,
        DescriptorKind::Sfixed32 => Kind::Sfixed32,
        DescriptorKind::Sfixed64 => Kind::Sfixed64,
        DescriptorKind::Bool => Kind::Bool,
        DescriptorKind::String => Kind::String,
        DescriptorKind::Bytes => Kind::Bytes,
        DescriptorKind::Enum(each) => Kind::Enum(*enums.get(each.full_name())?),
        DescriptorKind::Message(message) => {
            let id = *messages.get(message.full_name())?;
            if field.is_group() { Kind::Group(id) } else { Kind::Message(id) }
        }
    };
    let cardinality = if field.is_map() {
        Cardinality::Map
    } else if field.cardinality() == Label::Repeated {
        Cardinality::Repeated { packed: field.is_packed() }
    } else {
        Cardinality::Singular
    };
    let packed = cardinality == Cardinality::Repeated { packed: true };
    let wire_type = if packed { WireType::Length } else { kind.wire_type() };
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    let oneof_index = oneof.and_then(|oneof| {
        let position = field.parent_message().oneofs().position(|each| each.full_name() == oneof.full_name());
        position.and_then(|position| u16::try_from(position).ok())
    });
    Some(Field {
        number: field.number(),
        name: field.name().into(),
        json_name: field.json_name().into(),
        json_key: key(field.json_name()),
        proto_key: key(field.name()),
        kind,
        cardinality,
        presence: field.supports_presence(),
        oneof: oneof_index,
        tag: Tag::new(field.number(), wire_type),
    })
}

fn key(name: &str) -> Box<[u8]> {
    let mut key = Vec::with_capacity(name.len() + 3);
    crate::transcode::text::put_string(&mut key, name);
    key.push(b':');
    key.into()
}

fn compile_enum(descriptor: &EnumDescriptor) -> Enum {
    let mut plan = Enum {
        descriptor: descriptor.clone(),
        is_null: descriptor.full_name() == "google.protobuf.NullValue",
        by_name: HashMap::new(),
        by_folded_name: HashMap::new(),
        by_number: HashMap::new(),
    };
    // In the order of declaration: among aliases the first one is printed.
    for value in &descriptor.enum_descriptor_proto().value {
        let (name, number) = (value.name(), value.number());
        plan.by_name.insert(name.into(), number);
        plan.by_folded_name.entry(name.to_ascii_uppercase().into()).or_insert(number);
        plan.by_number.entry(number).or_insert_with(|| name.into());
    }
    plan
}

fn form_of(descriptor: &MessageDescriptor) -> Form {
    match descriptor.full_name() {
        "google.protobuf.Any" => Form::Any,
        "google.protobuf.Timestamp" => Form::Timestamp,
        "google.protobuf.Duration" => Form::Duration,
        "google.protobuf.FieldMask" => Form::FieldMask,
        "google.protobuf.Struct" => Form::Struct,
        "google.protobuf.Value" => Form::Value,
        "google.protobuf.ListValue" => Form::ListValue,
        "google.protobuf.DoubleValue"
        | "google.protobuf.FloatValue"
        | "google.protobuf.Int64Value"
        | "google.protobuf.UInt64Value"
        | "google.protobuf.Int32Value"
        | "google.protobuf.UInt32Value"
        | "google.protobuf.BoolValue"
        | "google.protobuf.StringValue"
        | "google.protobuf.BytesValue" => Form::Wrapper,
        _ => Form::Object,
    }
}
