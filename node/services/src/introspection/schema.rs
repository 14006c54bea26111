//! JSON Schema (2020-12) of messages, from the descriptor: what canonical proto3 JSON of them looks like.

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

/// The schema of a message, with the messages that it refers to under `$defs`.
pub(super) fn of(message: &MessageDescriptor) -> Value {
    let mut definitions = BTreeMap::new();
    let mut schema = object(message, &mut definitions);
    schema.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    let definitions: Map<String, Value> =
        definitions.into_iter().filter_map(|(name, schema)| Some((name, schema?))).collect();
    if !definitions.is_empty() {
        schema.insert("$defs".into(), definitions.into());
    }
    schema.into()
}

/// Schemas by full name; nothing for one that is being written just now.
type Definitions = BTreeMap<String, Option<Value>>;

fn object(message: &MessageDescriptor, definitions: &mut Definitions) -> Map<String, Value> {
    let fields = message.fields().map(|field| (field.json_name().to_owned(), property(&field, definitions)));
    let properties: Map<String, Value> = fields.collect();
    let mut schema = Map::new();
    schema.insert("type".into(), "object".into());
    schema.insert("properties".into(), properties.into());
    schema.insert("additionalProperties".into(), false.into());
    if let Some(text) = comment(&message.parent_file(), message.path()) {
        schema.insert("description".into(), text.into());
    }
    schema
}

fn property(field: &FieldDescriptor, definitions: &mut Definitions) -> Value {
    let kind = field.kind();
    let schema = if let (true, Kind::Message(entry)) = (field.is_map(), &kind) {
        json!({"type": "object", "additionalProperties": scalar(&entry.map_entry_value_field().kind(), definitions)})
    } else if field.cardinality() == Cardinality::Repeated {
        json!({"type": "array", "items": scalar(&kind, definitions)})
    } else {
        scalar(&kind, definitions)
    };
    match (schema, comment(&field.parent_message().parent_file(), field.path())) {
        (Value::Object(mut schema), Some(text)) => {
            schema.insert("description".into(), text.into());
            schema.into()
        }
        (schema, _) => schema,
    }
}

fn scalar(kind: &Kind, definitions: &mut Definitions) -> Value {
    match kind {
        Kind::Double | Kind::Float => json!({"type": "number"}),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json!({"type": "integer", "format": "int32"}),
        Kind::Uint32 | Kind::Fixed32 => json!({"type": "integer", "format": "uint32", "minimum": 0}),
        // written as a string, since JavaScript's numbers end at 2^53; read in both forms
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            json!({"type": ["string", "integer"], "format": "int64"})
        }
        Kind::Uint64 | Kind::Fixed64 => json!({"type": ["string", "integer"], "format": "uint64"}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::String => json!({"type": "string"}),
        Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
        Kind::Enum(values) => enumeration(values),
        Kind::Message(message) => reference(message, definitions),
    }
}

fn enumeration(values: &EnumDescriptor) -> Value {
    if values.full_name() == "google.protobuf.NullValue" {
        return json!({"type": "null"});
    }
    json!({"type": "string", "enum": values.values().map(|value| value.name().to_owned()).collect::<Vec<_>>()})
}

fn reference(message: &MessageDescriptor, definitions: &mut Definitions) -> Value {
    let name = message.full_name();
    match name {
        "google.protobuf.Timestamp" => return json!({"type": "string", "format": "date-time"}),
        "google.protobuf.Duration" => {
            return json!({"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"});
        }
        "google.protobuf.FieldMask" => return json!({"type": "string"}),
        "google.protobuf.Value" => return json!({}),
        "google.protobuf.ListValue" => return json!({"type": "array"}),
        "google.protobuf.Struct" | "google.protobuf.Any" | "google.protobuf.Empty" => {
            return json!({"type": "object"});
        }
        _ => {}
    }
    if !definitions.contains_key(name) {
        definitions.insert(name.to_owned(), None);
        let schema = object(message, definitions);
        definitions.insert(name.to_owned(), Some(schema.into()));
    }
    json!({"$ref": format!("#/$defs/{name}")})
}

type Comments = HashMap<String, HashMap<Vec<i32>, String>>;

/// Leading comments of every file, by path: a search through the locations for each field would take a second.
static COMMENTS: LazyLock<Comments> = LazyLock::new(|| {
    let of = |file: FileDescriptor| {
        let locations = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
        let comments = locations.filter_map(|location| {
            let text = location.leading_comments.as_deref()?;
            Some((
                location.path.clone(),
                text.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned(),
            ))
        });
        (file.name().to_owned(), comments.collect())
    };
    crate::operations::pool().files().map(of).collect()
});

fn comment(file: &FileDescriptor, path: &[i32]) -> Option<&'static str> {
    COMMENTS.get(file.name())?.get(path).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::pool;

    fn schema_of(name: &str) -> Value {
        of(&pool().get_message_by_name(name).unwrap())
    }

    #[test]
    fn a_schema_says_types_enums_and_comments_under_json_names() {
        let schema = schema_of("arsenal.v1.ListAllProcessesRequest");
        assert_eq!(schema["properties"]["pageSize"]["type"], "integer");
        assert!(schema["properties"]["filter"]["description"].as_str().unwrap().contains("CEL"));
        let info = schema_of("arsenal.v1.ProcessInfo");
        assert!(info["properties"]["status"]["enum"].as_array().unwrap().contains(&"WAITING".into()));
        assert_eq!(info["properties"]["links"]["items"]["type"], "string");
        assert_eq!(info["properties"]["labels"]["additionalProperties"]["type"], "string");
    }

    #[test]
    fn a_message_within_itself_is_defined_once() {
        let schema = schema_of("arsenal.v1.BuildProcessTreeResponse");
        let tree = &schema["$defs"]["arsenal.v1.ProcessTreeNode"];
        assert_eq!(tree["properties"]["children"]["items"]["$ref"], "#/$defs/arsenal.v1.ProcessTreeNode");
    }

    #[test]
    fn every_reference_of_every_operation_is_defined() {
        fn check(value: &Value, definitions: &Value) {
            match value {
                Value::Object(members) => {
                    if let Some(name) =
                        members.get("$ref").and_then(|name| name.as_str()?.strip_prefix("#/$defs/"))
                    {
                        assert!(definitions.get(name).is_some(), "{name}");
                    }
                    members.values().for_each(|value| check(value, definitions));
                }
                Value::Array(items) => items.iter().for_each(|value| check(value, definitions)),
                _ => {}
            }
        }
        for operation in crate::operations::all() {
            for message in [operation.method.input(), operation.method.output()] {
                let schema = of(&message);
                check(&schema, &schema["$defs"]);
            }
        }
    }
}
