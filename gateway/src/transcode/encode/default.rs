//! What stands for a field that is not there.

use super::{Encoder, JsonOptions, Printing};
use crate::schema::{Cardinality, Field, Form, Kind, Schema};

/// Appends the default of a field.
pub(super) fn put_default(schema: &Schema, field: &Field, options: JsonOptions, out: &mut Vec<u8>) {
    let literal: &[u8] = match (field.cardinality, field.kind) {
        (Cardinality::Repeated { .. }, _) => b"[]",
        (Cardinality::Map, _) => b"{}",
        (_, Kind::Bool) => b"false",
        (_, Kind::String | Kind::Bytes) => b"\"\"",
        (_, Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64) => b"\"0\"",
        (_, Kind::Message(id) | Kind::Group(id)) => match schema.message(id).form {
            Form::Object | Form::Any | Form::Struct => b"{}",
            Form::ListValue => b"[]",
            _ => b"null",
        },
        (_, Kind::Enum(_)) => {
            // A closed enum (proto2) may have no zero; its number prints then.
            let printing = Printing { options, depth: 1, bytes_max: usize::MAX, opaque_any: false };
            Encoder::new(schema, printing, out).enumeration(field.kind, 0, out);
            return;
        }
        _ => b"0",
    };
    out.extend_from_slice(literal);
}
