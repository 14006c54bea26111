//! Against `prost_types::Value`, which reads and writes the same bytes its own way.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use prost_types::value::Kind;
use serde_json::json;

use super::*;

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|truth| json!(truth)),
        (-(1_i64 << 53)..=1 << 53).prop_map(|integer| json!(integer)),
        any::<f64>()
            .prop_filter("json has no such number", |n| n.is_finite() && n.fract() != 0.0)
            .prop_map(|n| json!(n)),
        ".*".prop_map(|text| json!(text)),
    ];
    leaf.prop_recursive(6, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(serde_json::Value::from),
            btree_map(".*", inner, 0..8)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

fn to_prost(json: &serde_json::Value) -> prost_types::Value {
    let kind = match json {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(truth) => Kind::BoolValue(*truth),
        serde_json::Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap()),
        serde_json::Value::String(text) => Kind::StringValue(text.clone()),
        serde_json::Value::Array(items) => {
            Kind::ListValue(prost_types::ListValue { values: items.iter().map(to_prost).collect() })
        }
        serde_json::Value::Object(members) => Kind::StructValue(prost_types::Struct {
            fields: members.iter().map(|(name, value)| (name.clone(), to_prost(value))).collect(),
        }),
    };
    prost_types::Value { kind: Some(kind) }
}

fn nested(levels: usize) -> serde_json::Value {
    (1..levels).fold(json!([]), |inner, _| json!([inner]))
}

/// All positions in which a message holds a Value: optional, oneof-like repeated and map.
#[derive(Clone, PartialEq, prost::Message)]
struct Ours {
    #[prost(message, optional, tag = "1")]
    single: Option<Value>,
    #[prost(message, repeated, tag = "2")]
    list: Vec<Value>,
    #[prost(btree_map = "string, message", tag = "3")]
    map: std::collections::BTreeMap<String, Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Theirs {
    #[prost(message, optional, tag = "1")]
    single: Option<prost_types::Value>,
    #[prost(message, repeated, tag = "2")]
    list: Vec<prost_types::Value>,
    #[prost(btree_map = "string, message", tag = "3")]
    map: std::collections::BTreeMap<String, prost_types::Value>,
}

proptest! {
    #[test]
    fn json_comes_back_as_it_went_in(json in any_json()) {
        prop_assert_eq!(Value::from_json(&json).unwrap().to_json().unwrap(), json);
    }

    #[test]
    fn what_we_encode_prost_reads_the_same(json in any_json()) {
        let value = Value::from_json(&json).unwrap();
        prop_assert_eq!(prost_types::Value::decode(value.raw().clone()).unwrap(), to_prost(&json));
        prop_assert_eq!(value.encoded_len(), value.encode_to_vec().len());
    }

    #[test]
    fn what_prost_encodes_we_read_the_same(json in any_json()) {
        let value = Value::decode(to_prost(&json).encode_to_vec().as_slice()).unwrap();
        prop_assert_eq!(value.to_json().unwrap(), json);
    }

    #[test]
    fn a_message_holds_values_wherever_it_held_prost_values(items in vec(any_json(), 0..4)) {
        let theirs = Theirs {
            single: items.first().map(to_prost),
            list: items.iter().map(to_prost).collect(),
            map: items.iter().enumerate().map(|(i, item)| (i.to_string(), to_prost(item))).collect(),
        };
        let encoded = theirs.encode_to_vec();
        let ours = Ours::decode(encoded.as_slice()).unwrap();
        let read: Vec<_> = ours.list.iter().map(|value| value.to_json().unwrap()).collect();
        prop_assert_eq!(&read, &items);
        prop_assert_eq!(Theirs::decode(ours.encode_to_vec().as_slice()).unwrap(), theirs);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in vec(any::<u8>(), 0..256)) {
        let _ = Value::from_raw(Bytes::from(bytes.clone())).to_json();
        let _ = Value::decode(bytes.as_slice()).map(|value| value.to_json());
    }
}

#[test]
fn a_value_in_two_parts_merges_as_protobuf_says() {
    let mut value = Value::from_json(&json!({"a": 1, "b": 1})).unwrap();
    value.merge(Value::from_json(&json!({"b": 2})).unwrap().raw().clone()).unwrap();
    assert_eq!(value.to_json().unwrap(), json!({"a": 1, "b": 2}));
    value.merge(Value::from_json(&json!("last")).unwrap().raw().clone()).unwrap();
    assert_eq!(value.to_json().unwrap(), json!("last"));
}

#[test]
fn nesting_is_allowed_to_the_limit_and_not_beyond() {
    let deepest = Value::from_json(&nested(DEPTH_MAX)).unwrap();
    assert_eq!(deepest.to_json().unwrap(), nested(DEPTH_MAX));
    assert_eq!(Value::from_json(&nested(DEPTH_MAX + 1)), Err(ValueError::TooDeep));
    // one list more around it, by hand: key of list_value and its length, key of values and its length
    let inner = deepest.into_raw();
    let mut raw = BytesMut::new();
    raw.put_u8(6 << 3 | 2);
    let mut content = BytesMut::new();
    encoding::bytes::encode(1, &inner, &mut content);
    encode_varint(content.len() as u64, &mut raw);
    raw.put_slice(&content);
    assert_eq!(Value::from_raw(raw.freeze()).to_json(), Err(ValueError::TooDeep));
}

#[test]
fn integral_doubles_print_without_a_fraction_and_large_integers_keep_every_digit() {
    let read = |double| {
        let value = prost_types::Value { kind: Some(Kind::NumberValue(double)) };
        Value::decode(value.encode_to_vec().as_slice()).unwrap().to_json().map(|json| json.to_string())
    };
    assert_eq!(read(1.0).unwrap(), "1");
    assert_eq!(read(1.5).unwrap(), "1.5");
    assert_eq!(read(-0.0).unwrap(), "-0.0");
    assert_eq!(read(9_007_199_254_740_992.0).unwrap(), "9007199254740992");
    let not_a_number = prost_types::Value { kind: Some(Kind::NumberValue(f64::NAN)) };
    assert!(Value::decode(not_a_number.encode_to_vec().as_slice()).is_err());
    let large = Value::from_json(&json!(u64::MAX)).unwrap();
    assert_eq!(large.to_json().unwrap(), json!("18446744073709551615"));
}

#[test]
fn an_empty_value_is_null_and_a_broken_one_says_what_is_wrong() {
    assert_eq!(Value::default().to_json().unwrap(), json!(null));
    let broken = Value::from_raw(Bytes::from_static(&[3 << 3 | 2, 5, b'a']));
    assert_eq!(broken.to_json(), Err(ValueError::Malformed("a field ends early")));
    assert_eq!(
        format!("{broken:?}"),
        "Value(3 bytes: value is not a valid encoding of google.protobuf.Value: a field ends early)"
    );
}
