//! Whether an outcome is the expected one. `"*"` is anything, `{"pid": "?"}` any pid, `{"set": [..]}` has no order.

use super::scenario::Scenario;
use serde_json::{Map, Value, json};
use std::fmt;

/// One place in which an outcome is not the expected one.
pub(super) struct Difference {
    /// The path to it.
    pub(super) place: String,
    erlang: String,
    arsenal: String,
}

impl Difference {
    /// Of a run that did not come to its end.
    pub(super) fn of_a_panic() -> Self {
        difference("the run", None, Some(&"a panic".into()))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, erlang, arsenal } = self;
        write!(f, "{place}\n        erlang:  {erlang}\n        arsenal: {arsenal}")
    }
}

/// Where the two differ.
pub(super) fn differences(scenario: &Scenario, expected: &Value, actual: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    diff("steps", &expected["steps"], &actual["steps"], &mut found);
    for section in ["processes", "logs", "supervisors", "lifecycle"] {
        let anything = Value::from("*");
        let expected = expected["final"].as_object().map_or(&anything, |parts| &parts[section]);
        let actual = &actual["final"][section];
        diff(
            section,
            &canonical(section, expected, scenario),
            &canonical(section, actual, scenario),
            &mut found,
        );
    }
    found
}

/// Without the order that is not part of the expectation.
fn canonical(section: &str, value: &Value, scenario: &Scenario) -> Value {
    match (section, value) {
        ("lifecycle", Value::Array(entries)) if !scenario.total_order => {
            let mut entries = entries.clone();
            entries.sort_by_key(|entry| entry[1].as_str().map(str::to_owned));
            entries.into()
        }
        ("logs", Value::Object(logs)) => {
            let sort = |(key, log): (&String, &Value)| match log {
                Value::Array(log) if scenario.unordered_logs.contains(key) => (key.clone(), sorted(log)),
                _ => (key.clone(), log.clone()),
            };
            Value::Object(logs.iter().map(sort).collect::<Map<_, _>>())
        }
        _ => value.clone(),
    }
}

fn sorted(values: &[Value]) -> Value {
    let mut values = values.to_vec();
    values.sort_by_key(Value::to_string);
    values.into()
}

fn is_set(value: &Map<String, Value>) -> Option<&Vec<Value>> {
    if value.len() == 1 { value.get("set")?.as_array() } else { None }
}

fn diff(path: &str, expected: &Value, actual: &Value, found: &mut Vec<Difference>) {
    let any_pid = *expected == json!({"pid": "?"})
        && actual.as_object().is_some_and(|actual| actual.len() == 1 && actual.contains_key("pid"));
    if *expected == "*" || any_pid {
        return;
    }
    match (expected, actual) {
        (Value::Object(e), Value::Object(a)) => {
            if let (Some(e), Some(a)) = (is_set(e), is_set(a)) {
                return diff_arrays(path, &sorted(e), &sorted(a), found);
            }
            for (key, value) in e {
                match a.get(key) {
                    Some(actual) => diff(&format!("{path}/{key}"), value, actual, found),
                    None => found.push(difference(&format!("{path}/{key}"), Some(value), None)),
                }
            }
            for (key, value) in a.iter().filter(|(key, _)| !e.contains_key(*key)) {
                found.push(difference(&format!("{path}/{key}"), None, Some(value)));
            }
        }
        (Value::Array(e), Value::Array(a)) if e.len() == a.len() => {
            diff_arrays(path, expected, actual, found)
        }
        _ if expected == actual => {}
        _ => found.push(difference(path, Some(expected), Some(actual))),
    }
}

fn difference(place: &str, erlang: Option<&Value>, arsenal: Option<&Value>) -> Difference {
    let text = |value: Option<&Value>| value.map_or_else(|| "(nothing)".to_owned(), Value::to_string);
    Difference { place: place.to_owned(), erlang: text(erlang), arsenal: text(arsenal) }
}

fn diff_arrays(path: &str, expected: &Value, actual: &Value, found: &mut Vec<Difference>) {
    let (Some(e), Some(a)) = (expected.as_array(), actual.as_array()) else { return };
    if e.len() != a.len() {
        found.push(difference(path, Some(expected), Some(actual)));
        return;
    }
    for (at, (e, a)) in e.iter().zip(a).enumerate() {
        diff(&format!("{path}/{at}"), e, a, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differ(expected: &Value, actual: &Value) -> bool {
        let mut found = Vec::new();
        diff("x", expected, actual, &mut found);
        !found.is_empty()
    }

    #[test]
    fn oracle_comparison_lets_a_star_be_anything_and_a_set_have_any_order() {
        assert!(!differ(&json!({"a": "*", "b": {"set": [1, 2]}}), &json!({"a": 7, "b": {"set": [2, 1]}})));
        assert!(differ(&json!({"set": [1, 1]}), &json!({"set": [1, 2]})));
    }

    #[test]
    fn oracle_comparison_sees_what_is_missing_and_what_is_too_much() {
        assert!(differ(&json!({"a": 1}), &json!({})));
        assert!(differ(&json!({}), &json!({"a": 1})));
        assert!(differ(&json!([1]), &json!([1, 2])));
        assert!(differ(&json!(1), &json!(true)));
    }

    #[test]
    fn oracle_comparison_takes_any_pid_for_one_that_never_started() {
        assert!(!differ(&json!({"pid": "?"}), &json!({"pid": "w#1"})));
        assert!(differ(&json!({"pid": "w#2"}), &json!({"pid": "w#1"})));
    }
}
