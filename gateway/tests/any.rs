//! An Any in an Any in an Any: what a pass over each costs must not multiply.
//!
//! The depths are such that whoever took two passes at each level would never come to an end.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

#[path = "support/protos.rs"]
mod protos;

use std::sync::LazyLock;

use arsenal_gateway::{
    JsonOptions,
    schema::{MessageId, Schema},
    transcode::{
        decode,
        encode::{self, EncodeError, Printing},
        lexer::{JsonError, JsonLimits},
        reference, wire,
    },
};
use prost_reflect::DescriptorPool;

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/protobuf/any.proto";
message M { string name = 1; repeated int32 numbers = 2; google.protobuf.Any any = 3; }
"#;

/// Beyond what two steps a level could reach, within how deep messages may nest.
const DEEP: usize = 80;

static SCHEMA: LazyLock<(Schema, MessageId)> = LazyLock::new(|| {
    let set = protos::descriptor_set(PROTO).unwrap();
    let schema = Schema::compile(DescriptorPool::decode(&*set).unwrap());
    let id = schema.message_id("t.M").unwrap();
    (schema, id)
});

fn print(bytes: &[u8], opaque_any: bool) -> Result<String, EncodeError> {
    let ((schema, id), mut out) = (&*SCHEMA, Vec::new());
    let printing = Printing { options: JsonOptions::default(), depth: 100, bytes_max: 1 << 20, opaque_any };
    encode::message(schema, *id, bytes, printing, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn read(json: &str, values: usize) -> Result<Vec<u8>, JsonError> {
    let ((schema, id), mut out) = (&*SCHEMA, Vec::new());
    let limits = JsonLimits { depth: 100, values };
    decode::message(schema, *id, json, JsonOptions::default(), limits, &mut out)?;
    Ok(out)
}

fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    wire::put_bytes(&mut out, value);
    out
}

fn any(name: &str, value: &[u8]) -> Vec<u8> {
    [field(1, format!("type.googleapis.com/{name}").as_bytes()), field(2, value)].concat()
}

/// `DEEP` of them around one, in the field of a message.
fn nested(innermost: Vec<u8>) -> Vec<u8> {
    let around = |inner: Vec<u8>, _| any("google.protobuf.Any", &inner);
    field(3, &(0..DEEP).fold(innermost, around))
}

/// The JSON of that.
fn nested_json(innermost: &str) -> String {
    let open = r#"{"@type":"type.googleapis.com/google.protobuf.Any","value":"#;
    format!(r#"{{"any":{}{innermost}{}}}"#, open.repeat(DEEP), "}".repeat(DEEP))
}

#[test]
fn an_unknown_type_deep_within_is_refused_or_printed_as_its_bytes() {
    let bytes = nested(any("t.Unknown", b"\x01"));
    assert_eq!(print(&bytes, false), Err(EncodeError::UnknownType("type.googleapis.com/t.Unknown".into())));
    let innermost = r#"{"@type":"type.googleapis.com/t.Unknown","value":"AQ=="}"#;
    assert_eq!(print(&bytes, true).unwrap(), nested_json(innermost));
}

#[test]
fn what_lies_scattered_deep_within_is_merged() {
    let message = [&[2 << 3, 1][..], &field(1, b"a"), &[2 << 3, 2], &field(1, b"b")].concat();
    let innermost = r#"{"@type":"type.googleapis.com/t.M","name":"b","numbers":[1,2]}"#;
    assert_eq!(print(&nested(any("t.M", &message)), false).unwrap(), nested_json(innermost));
}

#[test]
fn what_is_unprintable_deep_within_a_message_at_each_level_is_refused() {
    let unprintable = any("t.M", &field(3, &any("t.Unknown", b"\x01")));
    let around = |inner: Vec<u8>, _| any("t.M", &[field(3, &inner), field(1, b"a")].concat());
    let bytes = field(3, &(0..DEEP / 2).fold(unprintable, around));
    assert!(matches!(print(&bytes, false), Err(EncodeError::UnknownType(_))));
}

#[test]
fn nobody_minds_the_value_of_an_any_that_a_later_one_overrides() {
    let (schema, id) = &*SCHEMA;
    let good = field(3, &any("t.M", &field(1, b"a")));
    for bad in [any("t.Unknown", b"\x01"), any("t.M", b"\xff"), any("t.M", &field(1, b"\xff"))] {
        let bytes = [field(3, &bad), good.clone()].concat();
        let printed = print(&bytes, false).unwrap();
        assert_eq!(printed, r#"{"any":{"@type":"type.googleapis.com/t.M","name":"a"}}"#);
        let descriptor = schema.message(*id).descriptor.clone();
        let theirs = reference::wire_to_json(descriptor, &bytes, JsonOptions::default()).unwrap();
        assert_eq!(printed.as_bytes(), theirs);
        assert!(print(&[good.clone(), field(3, &bad)].concat(), false).is_err());
    }
}

#[test]
fn the_values_of_a_text_are_counted_once_however_deep_they_lie() {
    let innermost = r#"{"numbers":[1,2,3],"@type":"type.googleapis.com/t.M"}"#;
    let json = nested_json(innermost);
    // `any`, two members at each level, the innermost two, three numbers
    let values = 1 + 2 * DEEP + 2 + 3;
    let read_back = print(&read(&json, values).unwrap(), false).unwrap();
    assert_eq!(read_back, nested_json(r#"{"@type":"type.googleapis.com/t.M","numbers":[1,2,3]}"#));
    assert!(read(&json, values - 1).unwrap_err().beyond_limit);
}

#[test]
fn a_type_that_comes_twice_or_not_at_all_is_refused_at_any_depth() {
    for (innermost, reason) in [
        (r#"{"@type":"type.googleapis.com/t.M","@type":"type.googleapis.com/t.M"}"#, "`@type` comes twice"),
        (r#"{"name":"a"}"#, "an Any without `@type`"),
        (r#"{"@type":1}"#, "a string expected, found a number"),
        (
            r#"{"@type":"type.googleapis.com/t.Unknown"}"#,
            "unknown type `type.googleapis.com/t.Unknown` in `@type`",
        ),
    ] {
        assert_eq!(read(&nested_json(innermost), 1000).unwrap_err().reason, reason);
    }
    assert_eq!(print(&read(&nested_json("{}"), 1000).unwrap(), false).unwrap(), nested_json("{}"));
}
