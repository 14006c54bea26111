//! Terms between the scenario's words and the service's: pids, references, handlers, names on nodes.

use super::driver::Driver;
use arsenal_runtime::pid::{OwnedId, Pid};
use arsenal_tests::modules::HANDLER_MODULE;
use serde_json::{Map, Value, json};

impl Driver {
    /// A term as the service takes it: `{"pid": "w"}` becomes the pid's text.
    pub(super) fn outgoing(&self, term: &Value) -> Value {
        match term {
            Value::Object(members) => match members.get("pid").and_then(Value::as_str) {
                Some(id) if members.len() == 1 => self.pid(id).into(),
                _ => members
                    .iter()
                    .map(|(key, value)| (key.clone(), self.outgoing(value)))
                    .collect::<Map<_, _>>()
                    .into(),
            },
            Value::Array(terms) => terms.iter().map(|term| self.outgoing(term)).collect(),
            _ => term.clone(),
        }
    }

    /// A term of the service as the scenario's outcome has it.
    pub(super) fn incoming(&self, term: &Value) -> Value {
        match term {
            Value::String(text) => self.incoming_text(text),
            Value::Number(number) => integral(number.as_f64()).unwrap_or_else(|| term.clone()),
            Value::Array(terms) => match &terms[..] {
                [tag, id] if *tag == HANDLER_MODULE => json!({"handler": id}),
                [tag, handler, reason] if *tag == "gen_event_EXIT" && handler.is_string() => {
                    json!([tag, {"handler": handler}, self.incoming(reason)])
                }
                [tag, node] if *tag == "nodedown" || *tag == "nodeup" => {
                    json!([tag, {"node": node_name(node.as_str().unwrap_or_default())}])
                }
                // Erlang has the specifications themselves there
                [tag, _] if *tag == "bad_start_spec" => json!([tag, "..."]),
                _ => terms.iter().map(|term| self.incoming(term)).collect(),
            },
            Value::Object(members) => {
                let member = |(key, value): (&String, &Value)| match value.as_str() {
                    Some(node) if key == "node" => (key.clone(), node_name(node)),
                    _ => (key.clone(), self.incoming(value)),
                };
                members.iter().map(member).collect::<Map<_, _>>().into()
            }
            _ => term.clone(),
        }
    }

    fn incoming_text(&self, text: &str) -> Value {
        if let Ok(pid) = text.parse::<Pid>() {
            return json!({"pid": self.key(pid)});
        }
        if text.parse::<OwnedId>().is_ok() {
            return json!({"ref": self.reference_name(text)});
        }
        // the name of a group that is no atom
        match serde_json::from_str(text) {
            Ok(term @ Value::Array(_)) => term,
            _ => text.into(),
        }
    }

    /// A pid as the outcome has it.
    pub(super) fn pid_value(&self, pid: &Value) -> Value {
        self.incoming(pid)
    }
}

/// What the scenario calls a node.
pub(super) fn node_name(name: &str) -> Value {
    match name {
        "n1" => "a".into(),
        "n2" => "b".into(),
        other => other.into(),
    }
}

/// The number as an integer if it is one: the service's numbers are doubles.
fn integral(number: Option<f64>) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number = number.filter(|number| number.fract() == 0.0 && number.abs() <= EXACT)?;
    #[expect(clippy::cast_possible_truncation, reason = "integral and within 2^53, just checked")]
    Some(Value::from(number as i64))
}

/// An integer of the service's JSON, where those of 64 bits are strings and zeros are absent.
pub(super) fn integer(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

/// Milliseconds as a duration of the service's JSON.
pub(super) fn duration(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    format!("{sign}{}.{:03}s", ms / 1_000, ms % 1_000)
}

/// Whole milliseconds of a duration of the service's JSON.
pub(super) fn milliseconds(duration: &Value) -> i64 {
    let seconds: f64 = duration.as_str().and_then(|text| text.strip_suffix('s')?.parse().ok()).unwrap_or(0.0);
    #[expect(clippy::cast_possible_truncation, reason = "scenarios last seconds")]
    let ms = (seconds * 1_000.0) as i64;
    ms
}
