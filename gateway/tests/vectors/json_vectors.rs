//! Vectors about JSON and the wire, each on the plans and through prost-reflect.

use arsenal_gateway::{
    Config, JsonOptions,
    config::Transcoder,
    schema::{MessageId, Schema},
    transcode::{
        decode,
        encode::{self, Printing},
        mask, reference,
    },
};
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor, ReflectMessage as _,
};
use serde_json::Value;

use crate::{Vector, options, protos};

/// The schema and the message that a vector is about.
pub(crate) struct Subject {
    pub(crate) schema: Schema,
    pub(crate) id: MessageId,
    pub(crate) config: Config,
}

impl Subject {
    pub(crate) fn of(vector: &Vector) -> Result<Self, String> {
        let descriptors =
            protos::descriptor_set(vector.input["proto"].as_str().unwrap()).map_err(|e| e.to_string())?;
        let schema = Schema::compile(DescriptorPool::decode(&*descriptors).map_err(|e| e.to_string())?);
        let id = schema.message_id(vector.input["message"].as_str().unwrap()).ok_or("no such message")?;
        Ok(Self { schema, id, config: options::config(&vector.input["options"], Transcoder::Plan)? })
    }

    pub(crate) fn decode(&self, json: &str) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        decode::message(&self.schema, self.id, json, self.config.json, self.config.limits.json(), &mut out)
            .map_err(|error| error.to_string())?;
        Ok(out)
    }

    pub(crate) fn encode(&self, bytes: &[u8]) -> Result<Value, String> {
        let printing =
            Printing { options: self.config.json, depth: 100, bytes_max: usize::MAX, opaque_any: false };
        let mut out = Vec::new();
        encode::message(&self.schema, self.id, bytes, printing, &mut out)
            .map_err(|error| error.to_string())?;
        serde_json::from_slice(&out).map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&out)))
    }

    pub(crate) fn message(&self, bytes: &[u8]) -> Result<DynamicMessage, String> {
        DynamicMessage::decode(self.schema.message(self.id).descriptor.clone(), bytes)
            .map_err(|e| e.to_string())
    }

    /// Both transcoders accept the same and agree on what it means, but for what prost-reflect is known to get wrong.
    fn agrees_with_reference(&self, json: &str, plan: &Result<Vec<u8>, String>) -> Result<(), String> {
        let descriptor = self.schema.message(self.id).descriptor.clone();
        let other = reference::json_to_wire(descriptor, json, self.config.json);
        match (plan, &other) {
            (Ok(plan), Ok(other)) if same(&self.message(plan)?, &self.message(other)?) => Ok(()),
            (Ok(_), Ok(_)) if needs_more_than_a_double(json) => Ok(()),
            (Err(_), Err(_)) => Ok(()),
            _ if READING_FAULTS.iter().any(|(of_plan, of_reference)| {
                fails_with(plan, of_plan) && fails_with(&other, of_reference)
            }) =>
            {
                Ok(())
            }
            _ => Err(format!("the plan gives {plan:?}, the reference {other:?}")),
        }
    }

    /// Likewise for printing.
    fn prints_like_reference(&self, bytes: &[u8], plan: &Result<Value, String>) -> Result<(), String> {
        let descriptor = self.schema.message(self.id).descriptor.clone();
        let other = reference::wire_to_json(descriptor, bytes, self.config.json)
            .and_then(|json| serde_json::from_slice::<Value>(&json).map_err(|error| error.to_string()));
        match (plan, &other) {
            (Ok(plan), Ok(other)) if prints_the_same(plan, other) => Ok(()),
            // a zero below zero is no default, and prost-reflect leaves it out
            (Ok(plan), Ok(_)) if plan.to_string().contains("-0.0") => Ok(()),
            (Err(_), Err(_)) => Ok(()),
            _ if PRINTING_FAULTS.iter().any(|(of_plan, of_reference)| {
                fails_with(plan, of_plan) && fails_with(&other, of_reference)
            }) =>
            {
                Ok(())
            }
            _ => Err(format!("the plan prints {plan:?}, the reference {other:?}")),
        }
    }
}

/// Whether a number has a fraction or an exponent and more digits than a double tells, through which prost-reflect reads it.
pub(crate) fn needs_more_than_a_double(json: &str) -> bool {
    let mut numbers = json.split(|letter: char| !letter.is_ascii_digit() && !"+-.eE".contains(letter));
    numbers.any(|number| {
        number.contains(['.', 'e', 'E']) && number.bytes().filter(u8::is_ascii_digit).count() > 15
    })
}

/// What prost-reflect 0.16 gets wrong in reading: part of the plan's error and of its own, empty where that one accepts.
const READING_FAULTS: [(&str, &str); 17] = [
    // an Any of Empty needs no `value`, and one without anything is one
    ("", "expected 'value' field"),
    ("", "expected '@type' field"),
    // an integer in quotes may be written as `1e5`, an enum's number as `1.0`
    ("", "invalid digit found in string"),
    ("", "invalid type: floating point"),
    // there is no option for names in lower case
    ("", "unrecognized enum value"),
    // numbers in quotes are read as Rust would read them: `+1`, `01`, `.5`, `inf`
    ("no integer", ""),
    ("no double", ""),
    ("no float", ""),
    // what rounds to the largest float is one
    ("", "float value out of range"),
    // NullValue is an enum, and has numbers as any other
    ("", "expected null"),
    // base64 with half of its padding
    ("no base64", ""),
    // a path that is empty or has blanks
    ("a field mask such as", ""),
    // what a double cannot tell from an integer of 64 bits
    ("outside the 64-bit", ""),
    // a second of 60, ten digits of a second
    ("a timestamp such as", ""),
    ("a duration such as", ""),
    // a field or a key under several of its names
    ("named twice", ""),
    ("a key that comes twice", ""),
];

/// Likewise in printing.
const PRINTING_FAULTS: [(&str, &str); 9] = [
    // seconds and nanoseconds that have no JSON form are made to fit
    ("out of range has no JSON form", ""),
    // a Value of no kind has no JSON form
    ("without a kind has no JSON form", ""),
    // nor has one that is not finite, however deep it lies
    ("that is not finite has no JSON form", ""),
    // a path that ends in an underscore
    ("would not read back has no JSON form", ""),
    // a known number with another wire type is an unknown field
    ("", "invalid wire type"),
    // a map's number with another wire type is read as an entry
    ("", "delimited length exceeded"),
    ("", "buffer underflow"),
    ("malformed protobuf", ""),
    ("", "missing at least one '/'"),
];

/// Equal as JSON, but for what prost-reflect prints wrongly: null for a wrapper that is not finite, and an Any of Empty with
/// a `value`.
fn prints_the_same(plan: &Value, reference: &Value) -> bool {
    match (plan, reference) {
        (Value::String(text), Value::Null) => matches!(&**text, "NaN" | "Infinity" | "-Infinity"),
        (Value::Array(plan), Value::Array(reference)) => {
            plan.len() == reference.len()
                && plan.iter().zip(reference).all(|(plan, reference)| prints_the_same(plan, reference))
        }
        (Value::Object(plan), Value::Object(reference)) => {
            let of_empty = plan.get("@type") == Some(&"type.googleapis.com/google.protobuf.Empty".into());
            let mut told = reference.iter().filter(|(key, _)| !of_empty || *key != "value");
            plan.len() == told.clone().count()
                && told.all(|(key, told)| plan.get(key).is_some_and(|plan| prints_the_same(plan, told)))
        }
        _ => same_json(plan, reference),
    }
}

/// Whether prost-reflect is known to differ from the plan so: in an error of its own, or in that it takes what the plan
/// refuses with `on_plan`.
pub(crate) fn is_known_fault(on_plan: &str, on_reference: &str) -> bool {
    READING_FAULTS.iter().chain(&PRINTING_FAULTS).any(|(of_plan, of_reference)| {
        match (of_plan.is_empty(), of_reference.is_empty()) {
            (true, _) => on_reference.contains(of_reference),
            (_, true) => on_plan.contains(of_plan),
            _ => on_plan.contains(of_plan) && on_reference.contains(of_reference),
        }
    })
}

/// A part of its error, or success where that is empty.
fn fails_with<T>(result: &Result<T, String>, part: &str) -> bool {
    match result {
        Ok(_) => part.is_empty(),
        Err(error) => !part.is_empty() && error.contains(part),
    }
}

/// Equal, with NaN equal to itself, and with the fields that an Any holds as bytes in any order.
pub(crate) fn same(left: &DynamicMessage, right: &DynamicMessage) -> bool {
    use prost::Message as _;
    let json = |message: &DynamicMessage| {
        reference::wire_to_json(message.descriptor(), &message.encode_to_vec(), JsonOptions::default())
    };
    left == right
        || left.encode_to_vec() == right.encode_to_vec()
        || (holds_any(&left.descriptor(), 0) && json(left).is_ok_and(|left| json(right) == Ok(left)))
}

/// Whether an Any can lie in a message, or may lie deeper than is looked.
fn holds_any(descriptor: &MessageDescriptor, depth: usize) -> bool {
    let below = |field: FieldDescriptor| field.kind().as_message().is_some_and(|it| holds_any(it, depth + 1));
    depth > 4 || descriptor.full_name() == "google.protobuf.Any" || descriptor.fields().any(below)
}

/// Equal as JSON values, with numbers compared as doubles: `1` is `1.0`.
pub(crate) fn same_json(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            left == right
                || left.as_f64() == right.as_f64()
                // A float's shortest text is not the double's.
                || left.as_f64().map(|left| left as f32) == right.as_f64().map(|right| right as f32)
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same_json(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| same_json(left, right)))
        }
        _ => left == right,
    }
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|index| u8::from_str_radix(&text[index * 2..index * 2 + 2], 16).unwrap())
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn decode(vector: &Vector) -> Result<(), String> {
    let subject = Subject::of(vector)?;
    let json = vector.input["json"].as_str().unwrap();
    let plan = subject.decode(json);
    subject.agrees_with_reference(json, &plan)?;
    if vector.expect.get("error").is_some() {
        return if plan.is_err() { Ok(()) } else { Err(format!("accepted: {plan:?}")) };
    }
    subject.agrees_with_reference(json, &plan)?;
    let bytes = plan?;
    if let Some(wanted) = vector.expect["pb_hex"].as_str()
        && !same(&subject.message(&bytes)?, &subject.message(&unhex(wanted))?)
    {
        return Err(format!("found {}", hex(&bytes)));
    }
    let found = subject.encode(&bytes)?;
    if vector.expect.get("canonical").is_some_and(|wanted| !same_json(wanted, &found)) {
        return Err(format!("prints {found}"));
    }
    Ok(())
}

pub(crate) fn encode(vector: &Vector) -> Result<(), String> {
    let subject = Subject::of(vector)?;
    let bytes = unhex(vector.input["pb_hex"].as_str().unwrap());
    let plan = subject.encode(&bytes);
    subject.prints_like_reference(&bytes, &plan)?;
    match (plan, vector.expect.get("json")) {
        (Err(_), None) => Ok(()),
        (Err(error), Some(_)) => Err(error),
        (Ok(found), None) => Err(format!("printed {found}")),
        (Ok(found), Some(wanted)) if same_json(&found, wanted) => Ok(()),
        (Ok(found), Some(_)) => Err(format!("found {found}")),
    }
}

pub(crate) fn roundtrip(vector: &Vector) -> Result<(), String> {
    let subject = Subject::of(vector)?;
    let json = vector.input["json"].as_str().unwrap();
    let plan = subject.decode(json);
    subject.agrees_with_reference(json, &plan)?;
    let bytes = match (plan, vector.expect.get("error")) {
        (Err(_), Some(_)) => return Ok(()),
        (plan, _) => plan?,
    };
    let found = subject.encode(&bytes)?;
    if same_json(&found, &vector.expect["canonical"]) { Ok(()) } else { Err(format!("found {found}")) }
}

pub(crate) fn field_mask(vector: &Vector) -> Result<(), String> {
    let subject = Subject::of(vector)?;
    let body = vector.input["body"].as_str().unwrap();
    let found =
        mask::from_body(&subject.schema, subject.id, body, subject.config.json, subject.config.limits.json());
    let mut found = match (found, vector.expect.get("error")) {
        (Err(_), Some(_)) => return Ok(()),
        (Ok(found), Some(_)) => return Err(format!("accepted: {found:?}")),
        (found, None) => found.map_err(|error| error.to_string())?,
    };
    let ordered = vector.expect["paths"].as_array();
    let wanted = ordered.or_else(|| vector.expect["paths_any_order"].as_array()).ok_or("no paths wanted")?;
    let mut wanted: Vec<&str> = wanted.iter().filter_map(Value::as_str).collect();
    if ordered.is_none() {
        found.sort();
        wanted.sort_unstable();
    }
    if found == wanted { Ok(()) } else { Err(format!("found {found:?}")) }
}
