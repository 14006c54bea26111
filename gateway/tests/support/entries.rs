//! Where hostile bytes come in, each with what must hold of it: for cargo-fuzz, and for the bounded run of the tests.

use std::sync::LazyLock;

use arsenal_gateway::{
    JsonOptions,
    method::capture,
    path::{self, Unescape},
    route::Table,
    schema::{MessageId, Schema},
    template::{Segment, Template},
    transcode::{
        decode,
        encode::{self, Printing},
        lexer::JsonLimits,
        query::{self, QueryOptions, Scope},
        reference,
    },
};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};

use crate::protos;

/// An entry: it panics when something does not hold.
pub(crate) type Entry = fn(&[u8]);

/// All of them, by the names of their corpora.
#[allow(dead_code, reason = "a fuzz target uses one of them")]
pub(crate) const ENTRIES: [(&str, Entry); 5] =
    [("template", template), ("path", path_), ("query", query_), ("json", json), ("wire", wire)];

const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/protobuf/any.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/wrappers.proto";
message M {
  string name = 1; repeated int32 numbers = 2; M inner = 3; map<string, M> by_name = 4; map<int64, string> by_id = 5;
  bytes data = 6; double ratio = 7; float share = 8; fixed64 wide = 9; sint32 small = 10; E kind = 11; repeated E kinds = 12;
  google.protobuf.Value value = 13; google.protobuf.Struct object = 14; google.protobuf.Timestamp time = 15;
  google.protobuf.Duration span = 16; google.protobuf.FieldMask mask = 17; google.protobuf.Int64Value maybe = 18;
  oneof either { string left = 19; bool right = 20; M both = 21; } optional string told = 22; repeated M many = 23;
  google.protobuf.Any any = 24; repeated google.protobuf.Any anys = 25;
}
enum E { E_UNSPECIFIED = 0; ONE = 1; MINUS = -1; }
"#;

const LIMITS: JsonLimits = JsonLimits { depth: 100, values: 100_000 };

static SCHEMA: LazyLock<(Schema, MessageId)> = LazyLock::new(|| {
    let set = protos::descriptor_set(PROTO).expect("the proto is valid");
    let schema = Schema::compile(DescriptorPool::decode(&*set).expect("so are its descriptors"));
    let id = schema.message_id("t.M").expect("it has the message");
    (schema, id)
});

fn descriptor() -> MessageDescriptor {
    let (schema, id) = &*SCHEMA;
    schema.message(*id).descriptor.clone()
}

/// A template that is one answers a path made after it, and finds its captures there.
pub(crate) fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(template) = Template::parse(text) else { return };
    let segment = |segment: &Segment| match segment {
        Segment::Literal(text) => text.clone(),
        Segment::One => "one".to_owned(),
        Segment::Many => "many/more".to_owned(),
    };
    let segments: Vec<String> = template.segments.iter().map(segment).collect();
    let verb = if template.verb.is_empty() { String::new() } else { format!(":{}", template.verb) };
    let made = format!("/{}{verb}", segments.join("/"));
    let mut table = Table::default();
    assert!(table.insert("GET", &template, ()).is_ok());
    // a literal that is no literal of a path, such as an empty one, cannot be made
    if let Ok(found) = table.find("GET", &made, false) {
        let whole = &made[..made.len() - found.verb_length];
        for variable in &template.variables {
            assert!(whole.contains(capture(&template, variable, whole)));
        }
    }
}

/// Any path is found or not, and what is captured of it decodes or is refused.
pub(crate) fn path_(data: &[u8]) {
    static TABLE: LazyLock<Table<Template>> = LazyLock::new(|| {
        let mut table = Table::default();
        for text in [
            "/v1/{name=shelves/*/books/*}",
            "/v1/{name}:do",
            "/v1/{a}/{b=**}/end",
            "/v1/{rest=**}:find",
            "/{top}",
        ] {
            let template = Template::parse(text).expect("the template is valid");
            assert!(table.insert("GET", &template.clone(), template).is_ok());
        }
        table
    });
    let Ok(text) = std::str::from_utf8(data) else { return };
    for strict in [false, true] {
        let Ok(found) = TABLE.find("GET", text, strict) else { continue };
        let whole = &text[..text.len() - found.verb_length];
        for variable in &found.route.variables {
            let raw = capture(found.route, variable, whole);
            let _ = path::decode_all(raw);
            let _ = path::decode_multi(raw, Unescape::default());
        }
    }
}

/// A query that is taken is a message.
pub(crate) fn query_(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let ((schema, id), mut out) = (&*SCHEMA, Vec::new());
    let how = (&QueryOptions::default(), JsonOptions::default(), LIMITS);
    if query::put_query(schema, *id, text, &Scope { nothing: false, body: None }, how, &mut out).is_ok() {
        DynamicMessage::decode(descriptor(), &*out).expect("what was put is a message");
    }
}

/// JSON that is taken is a message, the same that the reference makes of it, and prints as JSON that is taken again.
pub(crate) fn json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let ((schema, id), mut out, options) = (&*SCHEMA, Vec::new(), JsonOptions::default());
    if decode::message(schema, *id, text, options, LIMITS, &mut out).is_err() {
        return;
    }
    let printed = print(&out).expect("a message that was read can be printed");
    let mut again = Vec::new();
    decode::message(schema, *id, &printed, options, LIMITS, &mut again)
        .expect("what was printed can be read");
    assert_eq!(print(&again).as_deref(), Ok(&*printed));
    // as values: the order of a map's entries says nothing
    let canonical = |wire: &[u8]| -> Option<serde_json::Value> {
        serde_json::from_slice(&reference::wire_to_json(descriptor(), wire, options).ok()?).ok()
    };
    if let Ok(theirs) = reference::json_to_wire(descriptor(), text, options) {
        assert_eq!(canonical(&out), canonical(&theirs), "{text}");
    }
}

/// Any bytes print as JSON or are refused.
pub(crate) fn wire(data: &[u8]) {
    if let Ok(printed) = print(data) {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&printed);
        assert!(parsed.is_ok(), "{parsed:?}: {printed}");
    }
}

fn print(wire: &[u8]) -> Result<String, String> {
    let ((schema, id), mut out) = (&*SCHEMA, Vec::new());
    let printing =
        Printing { options: JsonOptions::default(), depth: 100, bytes_max: usize::MAX, opaque_any: false };
    encode::message(schema, *id, wire, printing, &mut out).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).expect("JSON is UTF-8"))
}
