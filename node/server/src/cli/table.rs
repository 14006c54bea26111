//! JSON as text for people: a list in an answer becomes columns, anything else a line a field.

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
            let width = members.keys().map(String::len).max().unwrap_or_default();
            let lines: Vec<String> =
                members.iter().map(|(key, value)| format!("{key:width$}  {}", cell(value))).collect();
            lines.join("\n")
        }
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
