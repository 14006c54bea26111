//! Terms to and from JSON: a pid becomes its text, bytes become `{"hex": ..}`.

use super::Term;
use serde_json::{Map, Number, Value};

impl Term {
    /// The term as JSON.
    pub fn to_json(&self) -> Value {
        match self.view() {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Number((*value).into()),
            Self::Float(value) => Number::from_f64(*value).map_or(Value::Null, Value::Number),
            Self::Atom(text) => Value::String((*text).to_owned()),
            Self::Str(text) => Value::String(text.to_string()),
            Self::List(terms) => Value::Array(terms.iter().map(Self::to_json).collect()),
            Self::Map(members) => {
                Value::Object(members.iter().map(|(key, value)| (key.to_string(), value.to_json())).collect())
            }
            Self::Bytes(bytes) => {
                let text = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                Value::Object(Map::from_iter([("hex".to_owned(), Value::String(text))]))
            }
            Self::Pid(pid) => Value::String(pid.to_string()),
            Self::Id(id) => Value::String(id.to_string()),
            Self::Null | Self::Encoded(_) => Value::Null,
        }
    }

    /// The term that a JSON value stands for. Integral numbers within 64 bits are [`Term::Int`].
    pub fn from_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(value) => Self::Int(value),
                None => Self::number(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => Self::str(text.as_str()),
            Value::Array(values) => Self::list(values.iter().map(Self::from_json)),
            Value::Object(members) => {
                Self::map(members.iter().map(|(key, value)| (key.as_str(), Self::from_json(value))))
            }
        }
    }

    /// A number: integral within 2^53 it is a [`Term::Int`], else a [`Term::Float`].
    pub fn number(value: f64) -> Self {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && value.abs() <= EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "integral and within 2^53, just checked")]
            Self::Int(value as i64)
        } else {
            Self::Float(value)
        }
    }
}

impl From<&Value> for Term {
    fn from(value: &Value) -> Self {
        Self::from_json(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect()))
            ]
        })
    }

    proptest! {
        #[test]
        fn json_comes_back_as_it_went_in(value in json()) {
            prop_assert_eq!(Term::from_json(&value).to_json(), value);
        }
    }

    #[test]
    fn an_integral_double_prints_without_a_fraction() {
        assert_eq!(Term::number(1.0).to_json().to_string(), "1");
        assert_eq!(Term::number(1.5).to_json().to_string(), "1.5");
    }
}
