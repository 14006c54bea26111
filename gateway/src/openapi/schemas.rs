//! Messages and enums as JSON Schema, collected while operations mention them.

use std::collections::BTreeMap;

use prost::Message as _;
use serde_json::{Map, Value, json};

use super::{Context, examples};
use crate::{
    method::Method,
    schema::{Cardinality, Field, Form, Kind, MessageId},
    transcode::wire::{Reader, WireType},
};

/// The extension `google.api.field_behavior` of `google.protobuf.FieldOptions`, and the values used here.
const FIELD_BEHAVIOR: u32 = 1052;
const REQUIRED: u64 = 2;
const OUTPUT_ONLY: u64 = 3;
const INPUT_ONLY: u64 = 4;

/// The schemas so far.
pub(super) struct Schemas<'a> {
    context: &'a Context<'a>,
    done: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(context: &'a Context<'a>) -> Self {
        let done = BTreeMap::from([(context.error.to_owned(), super::errors::schema(context.config))]);
        Self { context, done }
    }

    /// All of them, by name. The name has the package in it; the title is the short name, which generators take for their
    /// types, where it is nobody else's.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in self.done.keys() {
            let title = self.short(name);
            // What generators make of it has no dots.
            names.entry(title.replace('.', "")).or_default().push(name.clone());
        }
        for [name] in names.into_values().filter_map(|same| <[String; 1]>::try_from(same).ok()) {
            let title = self.short(&name).to_owned();
            if let Some(schema) = self.done.get_mut(&name).and_then(Value::as_object_mut) {
                schema.insert("title".to_owned(), title.into());
            }
        }
        self.done.into_iter().collect()
    }

    /// The name of a message or enum without its package.
    fn short<'b>(&self, name: &'b str) -> &'b str {
        let pool = self.context.schema.pool();
        let message = pool.get_message_by_name(name).map(|found| found.package_name().len());
        let package = message.or_else(|| pool.get_enum_by_name(name).map(|found| found.package_name().len()));
        name[package.unwrap_or(0)..].trim_start_matches('.')
    }

    /// The comment of a field.
    pub(super) fn comment(&self, message: MessageId, field: &Field) -> String {
        let descriptor = self.context.schema.message(message).descriptor.get_field(field.number);
        descriptor.map(|field| self.context.comments.of_field(&field)).unwrap_or_default()
    }

    /// The example that a field's comment has.
    pub(super) fn example(&self, message: MessageId, field: &Field) -> Option<Value> {
        examples::of_field(self.context, message, field, &self.comment(message, field))
    }

    /// A request's message of those fields that have examples: one of each oneof, and none that only answers have.
    pub(super) fn example_of(&self, id: MessageId, without: &[&str]) -> Option<Value> {
        let mut oneofs = Vec::new();
        let mut example = Map::new();
        for field in self.context.schema.message(id).fields.iter() {
            let unfit = without.contains(&&*field.name) || self.behaviors(id, field).contains(&OUTPUT_ONLY);
            if unfit || field.oneof.is_some_and(|oneof| oneofs.contains(&oneof)) {
                continue;
            }
            if let Some(value) = self.example(id, field) {
                oneofs.extend(field.oneof);
                example.insert(self.name(field), value);
            }
        }
        (!example.is_empty()).then(|| example.into())
    }

    /// The name of a field in JSON.
    fn name(&self, field: &Field) -> String {
        let name = if self.context.config.json.proto_names { &field.name } else { &field.json_name };
        name.to_string()
    }

    /// The field must be set, by `google.api.field_behavior`.
    pub(super) fn is_required(&self, message: MessageId, field: &Field) -> bool {
        self.behaviors(message, field).contains(&REQUIRED)
    }

    fn behaviors(&self, message: MessageId, field: &Field) -> Vec<u64> {
        let descriptor = self.context.schema.message(message).descriptor.get_field(field.number);
        let Some(options) = descriptor.map(|field| field.options().encode_to_vec()) else {
            return Vec::new();
        };
        let mut found = Vec::new();
        let mut reader = Reader::new(&options);
        while let Ok((number, wire_type)) = reader.tag() {
            let read = match (number, wire_type) {
                (FIELD_BEHAVIOR, WireType::Varint) => reader.varint().map(|value| found.push(value)),
                (FIELD_BEHAVIOR, WireType::Length) => reader.bytes().map(|packed| {
                    let mut packed = Reader::new(packed);
                    while let Ok(value) = packed.varint() {
                        found.push(value);
                    }
                }),
                _ => reader.skip(number, wire_type, 10),
            };
            if read.is_err() {
                break;
            }
        }
        found
    }

    /// The schema of a field with all its values.
    pub(super) fn field(&mut self, field: &Field) -> Value {
        match field.cardinality {
            Cardinality::Singular => self.value(field),
            Cardinality::Repeated { .. } => json!({"type": "array", "items": self.value(field)}),
            Cardinality::Map => {
                let entry = field.kind.message().map(|id| self.context.schema.message(id));
                let Some([key, value]) = entry.map(|entry| &*entry.fields) else {
                    return json!({"type": "object"});
                };
                let mut schema = json!({"type": "object", "additionalProperties": self.value(value)});
                match key.kind {
                    Kind::String => {}
                    Kind::Bool => schema["propertyNames"] = json!({"enum": ["true", "false"]}),
                    _ => schema["propertyNames"] = json!({"pattern": "^(0|-?[1-9][0-9]*)$"}),
                }
                schema
            }
        }
    }

    /// The schema of one value of a field.
    pub(super) fn value(&mut self, field: &Field) -> Value {
        match field.kind {
            Kind::Double => number("double"),
            Kind::Float => number("float"),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
            Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "uint32", "minimum": 0}),
            // 64 bits travel as text: JSON's numbers lose some.
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json!({"type": "string", "format": "int64"}),
            Kind::Uint64 | Kind::Fixed64 => json!({"type": "string", "format": "uint64"}),
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Enum(id) => {
                let plan = self.context.schema.enumeration(id);
                if plan.is_null {
                    return json!({"type": "null"});
                }
                let name = plan.descriptor.full_name().to_owned();
                if !self.done.contains_key(&name) {
                    let schema = self.enumeration(&plan.descriptor);
                    self.done.insert(name.clone(), schema);
                }
                reference(&name)
            }
            Kind::Message(id) | Kind::Group(id) => self.message(id),
        }
    }

    fn enumeration(&self, descriptor: &prost_reflect::EnumDescriptor) -> Value {
        let description = self.context.comments.of_enum(descriptor);
        if self.context.config.json.enum_numbers {
            return json!({"type": "integer", "description": description});
        }
        let names: Vec<String> = descriptor.values().map(|value| value.name().to_owned()).collect();
        // An `anyOf` with an integer would be truer, and no generator would make an enum of it.
        let description = format!("{description}\n\nA number without a name here is given as the integer.");
        json!({"type": "string", "enum": names, "description": description.trim()})
    }

    /// The schema of a message: a reference, or the form itself for well-known types.
    pub(super) fn message(&mut self, id: MessageId) -> Value {
        let plan = self.context.schema.message(id);
        match plan.form {
            Form::Object => {
                let name = plan.name().to_owned();
                if !self.done.contains_key(&name) {
                    // Set before it is made, so that a message that holds itself ends.
                    self.done.insert(name.clone(), Value::Null);
                    let schema = self.object(id, &[]);
                    self.done.insert(name.clone(), schema);
                }
                reference(&name)
            }
            Form::Any => json!({
                "type": "object",
                "properties": {"@type": {"type": "string"}},
                "additionalProperties": true,
            }),
            Form::Timestamp => json!({"type": "string", "format": "date-time"}),
            Form::Duration => json!({
                "type": "string",
                "pattern": r"^-?\d+(\.\d{1,9})?s$",
                "description": "Seconds, such as `1.5s`.",
            }),
            Form::FieldMask => json!({"type": "string", "description": "Field paths with commas between."}),
            Form::Struct => json!({"type": "object", "additionalProperties": true}),
            Form::Value => json!({"description": "Any JSON value."}),
            Form::ListValue => json!({"type": "array", "items": {}}),
            Form::Wrapper => {
                let value = plan.fields.first().map(|field| self.value(field));
                json!({"anyOf": [value, {"type": "null"}]})
            }
        }
    }

    /// A value where only text can stand, which is never null.
    pub(super) fn text_value(&mut self, field: &Field) -> Value {
        let mut schema = self.value(field);
        let wrapped = schema.get_mut("anyOf").and_then(Value::as_array_mut);
        match wrapped.filter(|either| either.len() == 2 && either[1] == json!({"type": "null"})) {
            Some(either) => either.swap_remove(0),
            None => schema,
        }
    }

    /// The fields that the path says whole.
    pub(super) fn bound<'m>(&self, method: &'m Method) -> Vec<&'m str> {
        let whole = method.template.variables.iter().filter(|variable| variable.field_path.len() == 1);
        whole.filter_map(|variable| variable.field_path.first().map(String::as_str)).collect()
    }

    /// The body of a request whose message is the body: without what the path says.
    pub(super) fn without_path(&mut self, method: &Method) -> Value {
        let bound = self.bound(method);
        let plan = self.context.schema.message(method.input);
        if plan.form != Form::Object || plan.fields.iter().all(|field| !bound.contains(&&*field.name)) {
            return self.message(method.input);
        }
        self.object(method.input, &bound)
    }

    fn object(&mut self, id: MessageId, without: &[&str]) -> Value {
        let plan = self.context.schema.message(id);
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in plan.fields.iter().filter(|field| !without.contains(&&*field.name)) {
            let name = self.name(field);
            let mut schema = self.field(field);
            let comment = self.comment(id, field);
            let behaviors = self.behaviors(id, field);
            if let Some(schema) = schema.as_object_mut() {
                if !comment.is_empty() {
                    schema.insert("description".to_owned(), comment.into());
                }
                if behaviors.contains(&OUTPUT_ONLY) {
                    schema.insert("readOnly".to_owned(), true.into());
                }
                if behaviors.contains(&INPUT_ONLY) {
                    schema.insert("writeOnly".to_owned(), true.into());
                }
                if let Some(example) = self.example(id, field) {
                    schema.insert("examples".to_owned(), json!([example]));
                }
            }
            if behaviors.contains(&REQUIRED) {
                required.push(name.clone());
            }
            properties.insert(name, schema);
        }
        let mut description = self.context.comments.of_message(&plan.descriptor);
        for oneof in plan.descriptor.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let proto_names = self.context.config.json.proto_names;
            let name = |field: prost_reflect::FieldDescriptor| match proto_names {
                true => format!("`{}`", field.name()),
                false => format!("`{}`", field.json_name()),
            };
            let names: Vec<String> = oneof.fields().map(name).collect();
            description.push_str(&format!("\n\nAt most one of {}.", names.join(", ")));
        }
        let mut schema =
            json!({"type": "object", "properties": properties, "description": description.trim()});
        if let (false, Some(schema)) = (required.is_empty(), schema.as_object_mut()) {
            schema.insert("required".to_owned(), required.into());
        }
        schema
    }
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// A number, or the names of what JSON's numbers lack.
fn number(format: &str) -> Value {
    json!({"anyOf": [
        {"type": "number", "format": format},
        {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]},
    ]})
}
