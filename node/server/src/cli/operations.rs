//! `arsenal ops`.

use super::{CommandError, Output, call, say, table};
use arsenal_services::operations::{self, Operation};
use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};
use std::fmt::Write as _;

#[derive(Debug, clap::Args)]
pub(super) struct OpsArguments {
    /// Describe this operation instead of listing all.
    operation: Option<String>,
    /// Only operations whose name, service or path contains this.
    #[arg(short, long)]
    filter: Option<String>,
    /// How results are printed.
    #[arg(short, long, value_enum, default_value = "table")]
    output: Output,
}

pub(super) fn ops(arguments: &OpsArguments) -> Result<(), CommandError> {
    match &arguments.operation {
        Some(name) => describe(&call::find(name)?, arguments.output),
        None => list(arguments.filter.as_deref().unwrap_or_default(), arguments.output),
    }
}

fn row(operation: &Operation) -> Value {
    let (verb, path) = operation.bindings.first().cloned().unwrap_or_default();
    json!({
        "operation": operation.name,
        "rpc": format!("{}/{}", operation.method.parent_service().name(), operation.method.name()),
        "http": format!("{verb} {path}"),
        "effect": operation.effect.as_str(),
        "summary": operation.summary(),
    })
}

fn list(filter: &str, output: Output) -> Result<(), CommandError> {
    let rows: Vec<Value> = operations::all()
        .iter()
        .map(row)
        .filter(|row| filter.is_empty() || row.to_string().to_lowercase().contains(&filter.to_lowercase()))
        .collect();
    match output {
        Output::Json => rows.iter().try_for_each(|row| say(&row.to_string())),
        Output::Table => say(&table::columns(&rows, &["operation", "http", "effect", "summary"])),
    }
}

fn describe(operation: &Operation, output: Output) -> Result<(), CommandError> {
    if output == Output::Json {
        let mut described = row(operation);
        described["comment"] = operation.comment.clone().into();
        described["request"] = fields(&operation.method.input()).into();
        described["response"] = fields(&operation.method.output()).into();
        return say(&described.to_string());
    }
    let mut text = format!("{} ({})\n  {}\n", operation.name, operation.effect.as_str(), operation.path());
    for (verb, path) in &operation.bindings {
        let _ = writeln!(text, "  {verb} {path}");
    }
    let _ = write!(text, "\n{}\n", operation.comment);
    for (title, message) in [("Request", operation.method.input()), ("Response", operation.method.output())] {
        let _ =
            write!(text, "\n{title}:\n{}", table::columns(&fields(&message), &["field", "type", "meaning"]));
    }
    say(&text)
}

fn fields(message: &MessageDescriptor) -> Vec<Value> {
    let fields = message.fields();
    fields
        .map(|field| json!({"field": field.name(), "type": type_of(&field), "meaning": meaning(&field)}))
        .collect()
}

fn type_of(field: &FieldDescriptor) -> String {
    let name = match field.kind() {
        Kind::Message(message) if message.is_map_entry() => {
            format!(
                "map<{:?}, {}>",
                message.map_entry_key_field().kind(),
                type_of(&message.map_entry_value_field())
            )
        }
        Kind::Message(message) => message.name().to_owned(),
        Kind::Enum(values) => {
            values.values().skip(1).map(|v| v.name().to_owned()).collect::<Vec<_>>().join("|")
        }
        kind => format!("{kind:?}").to_lowercase(),
    };
    if field.cardinality() == Cardinality::Repeated && !field.is_map() { format!("{name}[]") } else { name }
}

fn meaning(field: &FieldDescriptor) -> String {
    let file = field.parent_file();
    let source = file.file_descriptor_proto().source_code_info.as_ref();
    let location =
        source.and_then(|info| info.location.iter().find(|location| location.path == field.path()));
    let text = location.and_then(|location| location.leading_comments.as_deref()).unwrap_or_default();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
