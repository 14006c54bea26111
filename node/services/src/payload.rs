//! Payloads: `google.protobuf.Value` or bytes outside, [`Term`] inside. What arrives encoded stays so until a process
//! looks, and leaves again without a copy.

use arsenal_proto::Value;
use arsenal_runtime::Term;
use bytes::{BufMut, Bytes};
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::value::Kind;

/// The term that a value stands for, decoded when somebody looks.
pub fn to_term(value: &Value) -> Term {
    Term::encoded(value.raw().clone(), decode)
}

/// As [`to_term`]; null where there is none.
pub fn to_term_or_null(value: Option<&Value>) -> Term {
    value.map(to_term).unwrap_or_default()
}

/// The term of a JSON value or bytes, whichever a `oneof payload` holds.
pub fn bytes_to_term(bytes: Bytes) -> Term {
    Term::Bytes(bytes.into())
}

/// A value was checked when it arrived, so that what cannot be read is only what nobody sent.
fn decode(raw: &[u8]) -> Term {
    match Value::from_raw(Bytes::copy_from_slice(raw)).to_json() {
        Ok(json) => Term::from_json(&json),
        Err(error) => Term::tagged("error", Term::from(error.to_string())),
    }
}

fn from_prost(value: prost_types::Value) -> Term {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Term::Null,
        Some(Kind::BoolValue(value)) => Term::Bool(value),
        Some(Kind::NumberValue(value)) => Term::number(value),
        Some(Kind::StringValue(text)) => Term::from(text),
        Some(Kind::ListValue(list)) => Term::list(list.values.into_iter().map(from_prost)),
        Some(Kind::StructValue(members)) => {
            Term::map(members.fields.into_iter().map(|(key, value)| (key, from_prost(value))))
        }
    }
}

/// A struct as a term.
pub fn struct_to_term(value: prost_types::Struct) -> Term {
    from_prost(prost_types::Value { kind: Some(Kind::StructValue(value)) })
}

/// A map as a struct; anything else as an empty one.
pub fn to_struct(term: &Term) -> prost_types::Struct {
    let value = prost_types::Value::decode(to_value(term).into_raw()).unwrap_or_default();
    match value.kind {
        Some(Kind::StructValue(value)) => value,
        _ => prost_types::Struct::default(),
    }
}

/// The value of a term. Integers beyond 2^53 become strings, bytes a member `hex`.
pub fn to_value(term: &Term) -> Value {
    if let Term::Encoded(encoded) = term {
        return Value::from_raw(encoded.bytes().clone());
    }
    let mut raw = Vec::new();
    write(term, &mut raw);
    Value::from_raw(raw.into())
}

const EXACT: i64 = 1 << 53;

fn write(term: &Term, out: &mut Vec<u8>) {
    match term {
        Term::Encoded(encoded) => out.extend_from_slice(encoded.bytes()),
        Term::Null => {
            encode_key(1, WireType::Varint, out);
            encode_varint(0, out);
        }
        Term::Bool(value) => {
            encode_key(4, WireType::Varint, out);
            encode_varint(u64::from(*value), out);
        }
        #[expect(clippy::cast_precision_loss, reason = "within 2^53 every integer is a double")]
        Term::Int(value) if value.abs() <= EXACT => write_number(*value as f64, out),
        Term::Float(value) if value.is_finite() => write_number(*value, out),
        Term::Float(value) => write_text(&value.to_string(), out),
        Term::Int(value) => write_text(&value.to_string(), out),
        Term::Atom(text) => write_text(text, out),
        Term::Str(text) => write_text(text, out),
        Term::Pid(pid) => write_text(&pid.to_string(), out),
        Term::Id(id) => write_text(&id.to_string(), out),
        Term::List(terms) => {
            let mut list = Vec::new();
            for term in terms.iter() {
                write_nested(1, term, &mut list);
            }
            write_bytes(6, &list, out);
        }
        Term::Map(members) => {
            let mut fields = Vec::new();
            for (key, value) in members.iter() {
                let mut entry = Vec::new();
                write_bytes(1, key.as_bytes(), &mut entry);
                write_nested(2, value, &mut entry);
                write_bytes(1, &entry, &mut fields);
            }
            write_bytes(5, &fields, out);
        }
        Term::Bytes(_) => write(&Term::from_json(&term.to_json()), out),
    }
}

fn write_number(value: f64, out: &mut Vec<u8>) {
    encode_key(2, WireType::SixtyFourBit, out);
    out.put_f64_le(value);
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    write_bytes(3, text.as_bytes(), out);
}

fn write_bytes(tag: u32, bytes: &[u8], out: &mut Vec<u8>) {
    encode_key(tag, WireType::LengthDelimited, out);
    encode_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn write_nested(tag: u32, term: &Term, out: &mut Vec<u8>) {
    let mut nested = Vec::new();
    write(term, &mut nested);
    write_bytes(tag, &nested, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn term() -> impl Strategy<Value = Term> {
        let leaf = prop_oneof![
            Just(Term::Null),
            any::<bool>().prop_map(Term::Bool),
            (-EXACT..=EXACT).prop_map(Term::Int),
            ".{0,8}".prop_map(Term::from)
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Term::from),
                prop::collection::btree_map(".{0,4}", inner, 0..6).prop_map(Term::map)
            ]
        })
    }

    proptest! {
        #[test]
        fn a_term_comes_back_as_it_went_out(term in term()) {
            prop_assert_eq!(to_term(&to_value(&term)), term);
        }
    }

    #[test]
    fn an_integer_that_no_double_holds_travels_as_a_string() {
        let large = Term::Int(EXACT + 1);
        assert_eq!(to_term(&to_value(&large)), Term::from((EXACT + 1).to_string()));
    }
}
