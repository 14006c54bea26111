//! Templates as OpenAPI paths.
//!
//! OpenAPI has one segment a variable and nothing like `**`; what a template captures over several segments becomes a
//! variable for each wildcard, called as Google's discovery documents call them (`{shelvesId}` in `flatPath`). Two templates
//! of one shape are one path there, so the later takes the earlier's names.

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::{
    method::Method,
    template::{Segment, Variable},
};

/// A path and its variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpenApiPath {
    /// Such as `/v1/processes/{process}:kill`.
    pub(super) text: String,
    /// The variables in order.
    pub(super) variables: Vec<PathVariable>,
}

/// A variable in a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PathVariable {
    /// Its name.
    pub(super) name: String,
    /// The request's field that it fills, wholly or in part.
    pub(super) field: Option<String>,
    /// It is all that the field is.
    pub(super) whole: bool,
    /// It takes slashes.
    pub(super) many: bool,
}

impl PathVariable {
    /// As a parameter, whose schema is the field's when it is the whole of it.
    pub(super) fn parameter(&self, schema: Value, description: &str) -> Value {
        let more = match self.many {
            true => {
                " It may contain slashes, sent as they are: one that comes as `%2F` is no slash to the service."
            }
            false => "",
        };
        let mut parameter = json!({
            "name": self.name,
            "in": "path",
            "required": true,
            "description": format!("{description}{more}").trim(),
            "schema": schema,
        });
        if self.many {
            parameter["x-multi-segment"] = true.into();
        }
        parameter
    }
}

/// The paths so far, by shape.
#[derive(Debug, Default)]
pub(super) struct Paths(HashMap<String, Vec<String>>);

impl Paths {
    /// The path of a method.
    pub(super) fn place(&mut self, method: &Method) -> OpenApiPath {
        let mut variables = Vec::new();
        let mut pieces = Vec::new();
        let mut shape = Vec::new();
        for (index, segment) in method.template.segments.iter().enumerate() {
            match segment {
                Segment::Literal(text) => {
                    pieces.push(Piece::Literal(text.clone()));
                    shape.push(text.clone());
                }
                wildcard => {
                    let many = *wildcard == Segment::Many;
                    variables.push(variable(method, index, many, &variables));
                    pieces.push(Piece::Variable);
                    shape.push("{}".to_owned());
                }
            }
        }
        let verb = &method.template.verb;
        let shape = format!("{}:{verb}", shape.join("/"));
        let names =
            self.0.entry(shape).or_insert_with(|| variables.iter().map(|each| each.name.clone()).collect());
        for (variable, name) in variables.iter_mut().zip(names) {
            variable.name.clone_from(name);
        }
        let mut text = String::new();
        let mut filled = variables.iter();
        for piece in pieces {
            text.push('/');
            match piece {
                Piece::Literal(literal) => text.push_str(&literal),
                Piece::Variable => {
                    let name = filled.next().map_or("", |variable| &variable.name);
                    text.push_str(&format!("{{{name}}}"));
                }
            }
        }
        if text.is_empty() {
            text.push('/');
        }
        if !verb.is_empty() {
            text.push_str(&format!(":{verb}"));
        }
        OpenApiPath { text, variables }
    }
}

enum Piece {
    Literal(String),
    Variable,
}

fn variable(method: &Method, index: usize, many: bool, known: &[PathVariable]) -> PathVariable {
    let template = &method.template;
    let holder = template.variables.iter().find(|variable| (variable.start..variable.end).contains(&index));
    let wildcards = |variable: &Variable| {
        template.captured(variable).iter().filter(|segment| !matches!(segment, Segment::Literal(_))).count()
    };
    let whole = holder.is_some_and(|variable| variable.end - variable.start == 1);
    let field = holder.map(|variable| variable.field_path.join("."));
    let before = index.checked_sub(1).and_then(|before| match &template.segments[before] {
        Segment::Literal(text) => Some(format!("{text}Id")),
        _ => None,
    });
    let base = match (&field, before) {
        (Some(field), _) if whole => field.clone(),
        (_, Some(literal)) => literal,
        (Some(field), None) if holder.is_some_and(|variable| wildcards(variable) == 1) => field.clone(),
        _ => format!("segment{index}"),
    };
    let taken = |name: &str| known.iter().any(|variable| variable.name == name);
    let name = if taken(&base) { format!("{base}{index}") } else { base };
    PathVariable { name, field, whole, many }
}
