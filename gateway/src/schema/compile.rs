//! From descriptors to plans.

use std::collections::HashMap;

use prost_reflect::{
    Cardinality as Label, EnumDescriptor, FieldDescriptor, Kind as DescriptorKind, MessageDescriptor,
};

use super::{Cardinality, Enum, EnumId, Field, Form, Kind, Message, MessageId, Tag};
use crate::transcode::wire::WireType;

const DENSE_NUMBERS_MAX: u32 = 256;

/// The plan of a message; fields of types that the set lacks are left out.
pub(super) fn message(
    descriptor: &MessageDescriptor,
    messages: &HashMap<Box<str>, MessageId>,
    enums: &HashMap<&str, EnumId>,
) -> Message {
    let mut fields: Vec<Field> =
        descriptor.fields().filter_map(|field| field_plan(&field, messages, enums)).collect();
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

fn field_plan(
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

/// The plan of an enum.
pub(super) fn enumeration(descriptor: &EnumDescriptor) -> Enum {
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
