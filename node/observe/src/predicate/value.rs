//! Terms as CEL values, and back. A pid and an id are their texts; bytes are CEL's bytes.
//!
//! Terms that arrive over the wire are bounded in depth where they are decoded; those made inside are cut at
//! [`DEPTH_MAX`], so that no value recurses without bound.

use arsenal_runtime::term::Term;
use cel::Value;
use cel::objects::{Key, Map};
use std::collections::HashMap;
use std::sync::Arc;

/// How deep a value is looked into; what lies deeper is null.
const DEPTH_MAX: usize = 128;

/// The CEL value of a term.
pub(super) fn of_term(term: &Term) -> Value {
    at_depth(term, 0)
}

fn at_depth(term: &Term, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    match term.view() {
        Term::Null | Term::Encoded(_) => Value::Null,
        Term::Bool(value) => Value::Bool(*value),
        Term::Int(value) => Value::Int(*value),
        Term::Float(value) => Value::Float(*value),
        Term::Atom(text) => text_value(text),
        Term::Str(text) => text_value(text),
        Term::List(terms) => {
            Value::List(Arc::new(terms.iter().map(|term| at_depth(term, depth + 1)).collect()))
        }
        Term::Map(members) => {
            let member = |(key, value): &(Arc<str>, Term)| (Key::from(&**key), at_depth(value, depth + 1));
            Value::Map(Map { map: Arc::new(members.iter().map(member).collect::<HashMap<_, _>>()) })
        }
        Term::Bytes(bytes) => Value::Bytes(Arc::new(bytes.to_vec())),
        Term::Pid(pid) => text_value(&pid.to_string()),
        Term::Id(id) => text_value(&id.to_string()),
    }
}

fn text_value(text: &str) -> Value {
    Value::String(Arc::new(text.to_owned()))
}

/// The term of a CEL value: a timestamp is its RFC 3339 text, a duration its seconds, a map ordered by its keys' text.
pub(super) fn to_term(value: &Value) -> Term {
    match value {
        Value::Bool(value) => Term::Bool(*value),
        Value::Int(value) => Term::Int(*value),
        #[expect(clippy::cast_precision_loss, reason = "beyond 63 bits a term has only doubles")]
        Value::UInt(value) => i64::try_from(*value).map_or(Term::Float(*value as f64), Term::Int),
        Value::Float(value) => Term::Float(*value),
        Value::String(text) => Term::str(text.as_str()),
        Value::Bytes(bytes) => Term::Bytes(Arc::new(bytes.as_slice().to_vec().into())),
        Value::List(values) => Term::list(values.iter().map(to_term)),
        Value::Map(map) => {
            let mut members: Vec<_> =
                map.map.iter().map(|(key, value)| (key.to_string(), to_term(value))).collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            Term::map(members)
        }
        #[expect(clippy::cast_precision_loss, reason = "a duration of CEL's has at most 2^53 milliseconds")]
        Value::Duration(duration) => Term::Float(duration.num_milliseconds() as f64 / 1000.0),
        Value::Timestamp(time) => Term::str(time.to_rfc3339()),
        Value::Null | Value::Function(..) | Value::Opaque(_) | Value::Struct(_) => Term::Null,
    }
}
