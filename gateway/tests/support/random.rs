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

    fn text(&mut self) -> String {
        const PIECES: [&str; 9] = ["a", "é", "\"", "\\", "\n", "\u{1}", "😀", "</", "\u{2028}"];
        (0..self.below(6)).map(|_| PIECES[self.below(PIECES.len() as u64) as usize]).collect()
    }
}

const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64",
    "sfixed32", "sfixed64", "bool", "string", "bytes",
];
const OTHERS: [&str; 10] = [
    "E",
    "M0",
    "M1",
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "google.protobuf.FieldMask",
    "google.protobuf.Struct",
    "google.protobuf.Value",
    "google.protobuf.Int64Value",
    "google.protobuf.StringValue",
];

/// The text of a proto file with two messages, `t.M0` and `t.M1`, of random fields.
pub(crate) fn proto(random: &mut Random) -> String {
    let imports = ["timestamp", "duration", "field_mask", "struct", "wrappers"];
    let imports: String =
        imports.iter().map(|name| format!("import \"google/protobuf/{name}.proto\"; ")).collect();
    let mut source =
        format!("syntax = \"proto3\"; package t; {imports} enum E {{ ZERO = 0; ONE = 1; LOW = -5; }} ");
    for message in 0..2 {
        source.push_str(&format!("message M{message} {{ "));
        let mut number = 0;
        for field in 0..1 + random.below(12) {
            number += 1 + random.below(40);
            source.push_str(&field_text(random, field, number));
        }
        source.push_str("} ");
    }
    source
}

fn field_text(random: &mut Random, field: u64, number: u64) -> String {
    let all = SCALARS.len() + OTHERS.len();
    let index = random.below(all as u64) as usize;
    let kind = SCALARS.get(index).or_else(|| OTHERS.get(index - SCALARS.len())).unwrap();
    let scalar = index < SCALARS.len();
    match random.below(6) {
        0 => format!("repeated {kind} some_field_{field} = {number}; "),
        1 => {
            let keys = ["string", "int32", "uint64", "bool", "sfixed64"];
            format!("map<{}, {kind}> map_{field} = {number}; ", keys[random.below(5) as usize])
        }
        2 => format!(
            "oneof choice_{field} {{ {kind} left_{field} = {number}; string right_{field} = {}; }} ",
            number + 500
        ),
        3 if scalar => format!("optional {kind} maybe_{field} = {number}; "),
        _ => format!("{kind} the_field{field} = {number}; "),
    }
}

/// A random message that has a JSON form.
pub(crate) fn message(random: &mut Random, descriptor: &MessageDescriptor, depth: u64) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    let seconds = Value::I64(random.integer() % 62_000_000_000);
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
        "google.protobuf.FieldMask" => {
            let paths = ["a", "foo_bar", "a.b_c"].map(|path| Value::String(path.to_owned()));
            message.set_field_by_number(1, Value::List(paths[..random.below(4) as usize].to_vec()));
        }
        "google.protobuf.Value" => set_json_value(random, &mut message, depth),
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
                Kind::Int32 => MapKey::I32(random.integer() as i32),
                Kind::Uint64 => MapKey::U64(random.next()),
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
        Kind::Double => Value::F64(random.integer() as f64 / 8.0),
        Kind::Float => Value::F32(random.integer() as f32 / 8.0),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(random.integer() as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(random.integer()),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(random.next() as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(random.next()),
        Kind::Bool => Value::Bool(random.below(2) == 0),
        Kind::String => Value::String(random.text()),
        Kind::Bytes => Value::Bytes(random.text().into_bytes().into()),
        Kind::Enum(_) => Value::EnumNumber([0, 1, -5, 77][random.below(4) as usize]),
        Kind::Message(message) => Value::Message(self::message(random, message, depth)),
    }
}
