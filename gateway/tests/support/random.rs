//! Random descriptors and random messages of them, from a seed.

use prost_reflect::{Cardinality, DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

/// SplitMix64: small, seeded, good enough to vary.
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Often small, sometimes at the edges of the type.
    fn integer(&mut self) -> i64 {
        match self.below(6) {
            0 => i64::MIN,
            1 => i64::MAX,
            2 => 0,
            3 => self.next() as i64,
            _ => self.below(400) as i64 - 200,
        }
    }

    /// Any but a zero below zero, which prost-reflect leaves out.
    fn double(&mut self) -> f64 {
        const EDGES: [f64; 8] =
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e21, 0.1];
        match self.below(4) {
            0 => EDGES[self.below(EDGES.len() as u64) as usize],
            1 => Some(f64::from_bits(self.next()))
                .filter(|value| !value.is_nan() && *value != 0.0)
                .unwrap_or(1.5),
            _ => self.integer() as f64 / 8.0,
        }
    }

    fn float(&mut self) -> f32 {
        const EDGES: [f32; 8] = [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            f32::MAX,
            f32::MIN_POSITIVE,
            1e-45,
            16_777_216.0,
            0.1,
        ];
        match self.below(4) {
            0 => EDGES[self.below(EDGES.len() as u64) as usize],
            1 => {
                let value = f32::from_bits(self.next() as u32);
                if value.is_nan() || value == 0.0 { 1.5 } else { value }
            }
            _ => self.integer() as f32 / 8.0,
        }
    }

    fn text(&mut self) -> String {
        const PIECES: [&str; 9] = ["a", "é", "\"", "\\", "\n", "\u{1}", "😀", "</", "\u{2028}"];
        (0..self.below(6)).map(|_| PIECES[self.below(PIECES.len() as u64) as usize]).collect()
    }
}

const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64",
    "sfixed32", "sfixed64", "bool", "string", "bytes",
];
const KEYS: [&str; 12] = [
    "string", "bool", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64",
    "sfixed32", "sfixed64",
];
const OTHERS: [&str; 24] = [
    "E",
    "M0",
    "M1",
    "M0.Inner",
    "M0.Inner.Deeper",
    "google.protobuf.NullValue",
    "google.protobuf.Empty",
    "google.protobuf.Any",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "google.protobuf.FieldMask",
    "google.protobuf.Struct",
    "google.protobuf.Value",
    "google.protobuf.ListValue",
    "google.protobuf.DoubleValue",
    "google.protobuf.FloatValue",
    "google.protobuf.Int64Value",
    "google.protobuf.UInt64Value",
    "google.protobuf.Int32Value",
    "google.protobuf.UInt32Value",
    "google.protobuf.BoolValue",
    "google.protobuf.StringValue",
    "google.protobuf.BytesValue",
    "E",
];
const IMPORTS: [&str; 7] = ["any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers"];

/// The syntax of a random file. Editions are left out: the compiler that the tests use has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Syntax {
    Two,
    Three,
}

/// The text of a proto file with the messages `t.M0` and `t.M1` of random fields, and two within the first.
pub(crate) fn proto(random: &mut Random) -> String {
    let syntax = if random.below(3) == 0 { Syntax::Two } else { Syntax::Three };
    let imports: String =
        IMPORTS.iter().map(|name| format!("import \"google/protobuf/{name}.proto\"; ")).collect();
    let mut source = format!(
        "syntax = \"{}\"; package t; {imports} enum E {{ ZERO = 0; ONE = 1; LOW = -5; }} ",
        if syntax == Syntax::Two { "proto2" } else { "proto3" }
    );
    for message in 0..2 {
        source.push_str(&format!("message M{message} {{ "));
        if message == 0 {
            source.push_str("message Inner { message Deeper { ");
            source.push_str(&fields_text(random, syntax, 3));
            source.push_str("} ");
            source.push_str(&fields_text(random, syntax, 4));
            source.push_str("} ");
        }
        source.push_str(&fields_text(random, syntax, 12));
        source.push_str("} ");
    }
    source
}

fn fields_text(random: &mut Random, syntax: Syntax, fields_max: u64) -> String {
    let mut number = 0;
    let mut source = String::new();
    for field in 0..1 + random.below(fields_max) {
        number += 1 + random.below(40);
        // a member of a oneof has one of 500 more, and the numbers from 19,000 on are protobuf's own
        source.push_str(&field_text(random, syntax, field, number));
    }
    source
}

fn field_text(random: &mut Random, syntax: Syntax, field: u64, number: u64) -> String {
    let all = SCALARS.len() + OTHERS.len();
    let index = random.below(all as u64) as usize;
    let kind = SCALARS.get(index).or_else(|| OTHERS.get(index - SCALARS.len())).unwrap();
    let scalar = index < SCALARS.len();
    let singular = if syntax == Syntax::Two { "optional " } else { "" };
    match random.below(8) {
        0 => {
            let packed = ["", " [packed = true]", " [packed = false]"][random.below(3) as usize];
            let packed = if scalar && !matches!(*kind, "string" | "bytes") { packed } else { "" };
            format!("repeated {kind} some_field_{field} = {number}{packed}; ")
        }
        1 => {
            let key = KEYS[random.below(KEYS.len() as u64) as usize];
            format!("map<{key}, {kind}> map_{field} = {number}; ")
        }
        2 => format!(
            "oneof choice_{field} {{ {kind} left_{field} = {number}; string right_{field} = {}; }} ",
            number + 500
        ),
        3 if scalar || *kind == "E" => format!("optional {kind} maybe_{field} = {number}; "),
        4 if syntax == Syntax::Two => {
            let label = ["optional", "required", "repeated"][random.below(3) as usize];
            format!("{label} group Group{field} = {number} {{ optional {kind} within = 1; }} ")
        }
        5 if syntax == Syntax::Two && *kind == "int32" => {
            format!("optional int32 default_{field} = {number} [default = -7]; ")
        }
        6 => format!("{singular}{kind} __Odd_name__{field}_ = {number}; "),
        7 if scalar => format!("{singular}{kind} named_{field} = {number} [json_name = \"own é {field}\"]; "),
        _ => format!("{singular}{kind} the_field{field} = {number}; "),
    }
}

/// A random message that has a JSON form.
pub(crate) fn message(random: &mut Random, descriptor: &MessageDescriptor, depth: u64) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    let seconds = match random.below(8) {
        // the first second that has a JSON form, and the last
        0 => -62_135_596_800,
        1 => 253_402_300_799,
        _ => random.integer() % 62_000_000_000,
    };
    let seconds = Value::I64(seconds);
    match descriptor.full_name() {
        "google.protobuf.Timestamp" => {
            message.set_field_by_number(1, seconds);
            message.set_field_by_number(2, Value::I32(random.below(1_000_000_000) as i32));
        }
        "google.protobuf.Duration" => {
            let nanos = random.below(1_000_000_000) as i32;
            let negative = seconds.as_i64().unwrap_or(0) < 0;
            message.set_field_by_number(1, seconds);
            message.set_field_by_number(2, Value::I32(if negative { -nanos } else { nanos }));
        }
        // prost-reflect prints what is not finite in these as null
        "google.protobuf.DoubleValue" => {
            message.set_field_by_number(1, Value::F64(random.integer() as f64 / 8.0))
        }
        "google.protobuf.FloatValue" => {
            message.set_field_by_number(1, Value::F32(random.integer() as f32 / 8.0))
        }
        "google.protobuf.Any" => set_any(random, &mut message, depth),
        "google.protobuf.FieldMask" => {
            let paths = ["a", "foo_bar", "a.b_c"].map(|path| Value::String(path.to_owned()));
            message.set_field_by_number(1, Value::List(paths[..random.below(4) as usize].to_vec()));
        }
        "google.protobuf.Value" => set_json_value(random, &mut message, depth),
        "google.protobuf.Struct" | "google.protobuf.ListValue" if depth == 0 => {}
        _ => {
            for field in descriptor.fields() {
                // A field that is not reached at this depth stays unset; members of a oneof override one another.
                if random.below(3) != 0 && (depth > 0 || !matches!(field.kind(), Kind::Message(_))) {
                    let value = field_value(random, &field, depth);
                    message.set_field(&field, value);
                }
            }
        }
    }
    message
}

/// A message of the same file, or one whose JSON stands in `value`.
fn set_any(random: &mut Random, message: &mut DynamicMessage, depth: u64) {
    use prost::Message as _;
    let names = ["t.M1", "t.M0", "google.protobuf.Timestamp", "google.protobuf.Value", "google.protobuf.Any"];
    let name = names[if depth == 0 { 2 } else { random.below(5) as usize }];
    let pool = prost_reflect::ReflectMessage::descriptor(message).parent_pool().clone();
    let inner = self::message(random, &pool.get_message_by_name(name).unwrap(), depth.saturating_sub(1));
    message.set_field_by_number(1, Value::String(format!("type.googleapis.com/{name}")));
    message.set_field_by_number(2, Value::Bytes(inner.encode_to_vec().into()));
}

fn set_json_value(random: &mut Random, message: &mut DynamicMessage, depth: u64) {
    let descriptor = prost_reflect::ReflectMessage::descriptor(message);
    let choices = if depth > 0 { 6 } else { 4 };
    let field = descriptor.get_field(1 + random.below(choices) as u32).unwrap();
    let value = match field.number() {
        1 => Value::EnumNumber(0),
        2 => Value::F64(random.integer() as f64 / 4.0),
        _ => field_value(random, &field, depth.saturating_sub(1)),
    };
    message.set_field(&field, value);
}

fn field_value(random: &mut Random, field: &FieldDescriptor, depth: u64) -> Value {
    let deeper = depth.saturating_sub(1);
    if field.is_map() {
        let Kind::Message(entry) = field.kind() else { unreachable!() };
        let (key, value) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let mut map = std::collections::HashMap::new();
        for _ in 0..random.below(3) {
            let key = match key.kind() {
                Kind::String => MapKey::String(random.text()),
                Kind::Bool => MapKey::Bool(random.below(2) == 0),
                Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => MapKey::I32(random.integer() as i32),
                Kind::Uint32 | Kind::Fixed32 => MapKey::U32(random.integer() as u32),
                Kind::Uint64 | Kind::Fixed64 => MapKey::U64(random.integer() as u64),
                _ => MapKey::I64(random.integer()),
            };
            map.insert(key, single(random, &value.kind(), deeper));
        }
        return Value::Map(map);
    }
    if field.cardinality() == Cardinality::Repeated {
        return Value::List((0..random.below(4)).map(|_| single(random, &field.kind(), deeper)).collect());
    }
    single(random, &field.kind(), deeper)
}

fn single(random: &mut Random, kind: &Kind, depth: u64) -> Value {
    match kind {
        Kind::Double => Value::F64(random.double()),
        Kind::Float => Value::F32(random.float()),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(random.integer() as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(random.integer()),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(random.next() as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(random.next()),
        Kind::Bool => Value::Bool(random.below(2) == 0),
        Kind::String => Value::String(random.text()),
        Kind::Bytes => Value::Bytes(random.text().into_bytes().into()),
        Kind::Enum(kind) if kind.full_name() == "google.protobuf.NullValue" => Value::EnumNumber(0),
        Kind::Enum(_) => Value::EnumNumber([0, 1, -5, 77][random.below(4) as usize]),
        Kind::Message(message) => Value::Message(self::message(random, message, depth)),
    }
}
