//! JSON as text for people: a list in an answer becomes columns, anything else a line a field, those of a message within
//! behind its name (`process.pid`).

use serde_json::Value;
use std::fmt::Write as _;

/// Widest column.
const WIDTH_MAX: usize = 60;

/// An answer as a table.
pub(super) fn render(answer: &Value) -> String {
    let Some(members) = answer.as_object() else { return answer.to_string() };
    let list = members.iter().find_map(|(_, value)| {
        value.as_array().filter(|rows| !rows.is_empty() && rows.iter().all(Value::is_object))
    });
    match list {
        Some(rows) => {
            let mut columns_seen: Vec<&str> = Vec::new();
            for row in rows.iter().filter_map(Value::as_object) {
                for key in row.iter().filter(|(_, value)| !is_empty(value)).map(|(key, _)| key.as_str()) {
                    if !columns_seen.contains(&key) {
                        columns_seen.push(key);
                    }
                }
            }
            columns(rows, &columns_seen).trim_end().to_owned()
        }
        None => {
            let mut fields = Vec::new();
            for (key, value) in members {
                flatten(key.clone(), value, &mut fields);
            }
            let width = fields.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
            let lines =
                fields.into_iter().map(|(key, value)| format!("{key:width$}  {value}").trim_end().into());
            lines.collect::<Vec<String>>().join("\n")
        }
    }
}

/// A value as lines: members and elements that are messages behind the name of what they are in, and what is empty in
/// them left out; a list of plain values in one line.
fn flatten(key: String, value: &Value, fields: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, value) in members.iter().filter(|(_, value)| !is_empty(value)) {
                flatten(format!("{key}.{name}"), value, fields);
            }
        }
        Value::Array(values) if values.iter().any(Value::is_object) => {
            for (at, value) in values.iter().enumerate() {
                flatten(format!("{key}.{at}"), value, fields);
            }
        }
        Value::Array(values) if !values.iter().any(Value::is_array) => {
            fields.push((key, values.iter().map(cell).collect::<Vec<_>>().join(", ")));
        }
        value => fields.push((key, cell(value))),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

fn cell(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Rows as columns with a head line.
pub(super) fn columns(rows: &[Value], names: &[&str]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| names.iter().map(|name| row.get(name).map(cell).unwrap_or_default()).collect())
        .collect();
    let widths: Vec<usize> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let widest = cells.iter().map(|row| row[at].chars().count()).max().unwrap_or_default();
            widest.max(name.len()).min(WIDTH_MAX)
        })
        .collect();
    let mut text = String::new();
    let head: Vec<String> = names.iter().map(|name| name.to_uppercase()).collect();
    for row in std::iter::once(&head).chain(&cells) {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let last = at + 1 == row.len();
            if last {
                line.push_str(cell);
            } else {
                let _ = write!(line, "{cell:width$}  ", width = widths[at]);
            }
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_within_an_answer_is_a_line_a_field() {
        let answer = json!({
            "process": {"pid": "n1.1.2", "links": ["n1.1.3", "n1.1.4"], "key": "", "limits": {"bytes": "5"}},
            "items": [],
            "frames": [],
            "node": "n1",
        });
        let lines = [
            "frames",
            "items",
            "node                  n1",
            "process.limits.bytes  5",
            "process.links         n1.1.3, n1.1.4",
            "process.pid           n1.1.2",
        ];
        let text = render(&answer);
        let mut shown: Vec<&str> = text.lines().collect();
        shown.sort_unstable();
        assert_eq!(shown, lines);
    }

    #[test]
    fn a_list_of_messages_is_columns_whatever_stands_beside_it() {
        let answer =
            json!({"processes": [{"pid": "a", "name": ""}, {"pid": "b", "name": "n"}], "node": "n1"});
        assert_eq!(render(&answer), "PID  NAME\na\nb    n");
    }
}
