//! JSON respelled for prost-reflect 0.16, which does not read every spelling that proto3 JSON has: an integer in quotes with
//! a fraction or an exponent, an enum's number with a fraction, and names of enums in any case, for which it has no option.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::Value;

use super::super::{JsonOptions, number};

/// The same message in spellings that prost-reflect reads. What is no JSON of the message stays as it is, to be refused.
pub(super) fn respell(descriptor: &MessageDescriptor, value: &mut Value, options: JsonOptions) {
    if descriptor.full_name().starts_with("google.protobuf.") {
        // the wrappers are what they wrap; the others have neither integers nor enums of anybody's
        if let (Some(field), false) = (descriptor.get_field_by_name("value"), value.is_object()) {
            respell_one(&field.kind(), value, options);
        }
        return;
    }
    for (name, member) in value.as_object_mut().into_iter().flatten() {
        let field = descriptor.get_field_by_json_name(name).or_else(|| descriptor.get_field_by_name(name));
        if let Some(field) = field {
            respell_field(&field, member, options);
        }
    }
}

fn respell_field(field: &FieldDescriptor, value: &mut Value, options: JsonOptions) {
    match (field.kind(), value) {
        (Kind::Message(entry), Value::Object(entries)) if field.is_map() => {
            let kind = entry.map_entry_value_field().kind();
            entries.values_mut().for_each(|value| respell_one(&kind, value, options));
        }
        (kind, Value::Array(elements)) if field.is_list() => {
            elements.iter_mut().for_each(|element| respell_one(&kind, element, options));
        }
        (kind, value) => respell_one(&kind, value, options),
    }
}

fn respell_one(kind: &Kind, value: &mut Value, options: JsonOptions) {
    match (kind, &*value) {
        (Kind::Message(descriptor), _) => respell(descriptor, value, options),
        (Kind::Enum(enumeration), Value::String(name)) if options.enum_case_insensitive => {
            let known = enumeration.values().find(|known| known.name().eq_ignore_ascii_case(name));
            if let Some(known) = known {
                *value = known.number().into();
            }
        }
        (Kind::Enum(_), Value::Number(told)) => {
            if let Some(whole) = number::integer(&told.to_string()) {
                *value = i64::try_from(whole).unwrap_or(i64::MAX).into();
            }
        }
        (Kind::Double | Kind::Float | Kind::Bool | Kind::String | Kind::Bytes | Kind::Enum(_), _) => {}
        (_, Value::String(text)) => {
            if let Some(whole) = number::integer(text) {
                *value = whole.to_string().into();
            }
        }
        _ => {}
    }
}
