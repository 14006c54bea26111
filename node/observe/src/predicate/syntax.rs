//! What can be told of an expression before it runs: where it is wrong, what it refers to, how deep it is.

use super::{LOOP_NESTING_MAX, NESTING_MAX, PredicateError};
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo};
use std::collections::BTreeMap;

/// The parser's own measure of depth. Brackets are counted before it runs; this bounds what else recurses in it.
#[expect(clippy::cast_possible_truncation, reason = "the bound is a small constant")]
pub(super) const PARSER_DEPTH: u16 = NESTING_MAX as u16;

/// CEL's standard functions, by the names under which they are called.
pub(super) const FUNCTIONS: &[&str] = &[
    "bool",
    "bytes",
    "contains",
    "double",
    "duration",
    "dyn",
    "endsWith",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getFullYear",
    "getHours",
    "getMilliseconds",
    "getMinutes",
    "getMonth",
    "getSeconds",
    "int",
    "matches",
    "size",
    "startsWith",
    "string",
    "timestamp",
    "type",
    "uint",
];

/// CEL's type names, which need no binding. `type` itself is not among them: things have a field of that name.
pub(super) const TYPES: &[&str] =
    &["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "uint"];

/// Refuses brackets nested deeper than [`NESTING_MAX`] and long runs of prefix operators, before the parser, which
/// recurses for each, sees them.
pub(super) fn check_brackets(source: &str) -> Result<(), PredicateError> {
    let mut depth = 0_usize;
    let mut prefixes = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (position, char) in source.chars().enumerate() {
        if let Some(open) = quote {
            match char {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if char == open => quote = None,
                _ => {}
            }
            continue;
        }
        prefixes = if matches!(char, '!' | '-') { prefixes + 1 } else { 0 };
        match char {
            '\'' | '"' => quote = Some(char),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > NESTING_MAX || prefixes > NESTING_MAX {
            return Err(too_deep(position));
        }
    }
    Ok(())
}

fn too_deep(position: usize) -> PredicateError {
    PredicateError::expression(format!("the expression is nested deeper than {NESTING_MAX}"), position)
}

/// The first error of the parser, with the position in characters that it names by line and column.
pub(super) fn first_error(source: &str, errors: &cel::ParseErrors) -> PredicateError {
    let Some(error) = errors.errors.first() else {
        return PredicateError::expression("the expression cannot be parsed", 0);
    };
    let (line, column) =
        (usize::try_from(error.pos.0).unwrap_or(0), usize::try_from(error.pos.1).unwrap_or(0));
    let before: usize =
        source.split_inclusive('\n').take(line.saturating_sub(1)).map(|l| l.chars().count()).sum();
    let position = (before + column.saturating_sub(1)).min(source.chars().count());
    let message = error.msg.lines().next().unwrap_or_default();
    PredicateError::expression(format!("no valid expression: {message}"), position)
}

/// The names that an expression refers to and does not bind itself, with where each first stands.
#[derive(Default)]
pub(super) struct Names {
    pub(super) variables: BTreeMap<String, usize>,
    pub(super) functions: BTreeMap<String, usize>,
}

impl Names {
    /// Those of `expression`.
    ///
    /// # Errors
    /// It is too deep, or calls what is no function.
    pub(super) fn of(
        source: &str,
        expression: &IdedExpr,
        positions: &SourceInfo,
    ) -> Result<Self, PredicateError> {
        let mut walk = Walk { source, positions, bound: Vec::new(), loops: 0, names: Self::default() };
        walk.visit(expression, 0)?;
        Ok(walk.names)
    }
}

struct Walk<'e> {
    source: &'e str,
    positions: &'e SourceInfo,
    /// Names that the loops around bind.
    bound: Vec<&'e str>,
    loops: usize,
    names: Names,
}

impl<'e> Walk<'e> {
    fn position(&self, expression: &IdedExpr) -> usize {
        let offset = self.positions.offset_for(expression.id).map_or(0, |(start, _)| start as usize);
        self.source.char_indices().take_while(|(at, _)| *at < offset).count()
    }

    fn visit(&mut self, expression: &'e IdedExpr, depth: usize) -> Result<(), PredicateError> {
        if depth > NESTING_MAX {
            return Err(too_deep(self.position(expression)));
        }
        let depth = depth + 1;
        match &expression.expr {
            Expr::Ident(name) => self.refer(name, expression),
            Expr::Select(select) => self.visit(&select.operand, depth)?,
            Expr::Call(call) => {
                self.call(&call.func_name, expression)?;
                self.check_literals(call, expression)?;
                for part in call.target.as_deref().into_iter().chain(&call.args) {
                    self.visit(part, depth)?;
                }
            }
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.visit(element, depth))?,
            Expr::Map(map) => self.entries(map.entries.iter().map(|entry| &entry.expr), depth)?,
            Expr::Struct(_) => {
                return Err(PredicateError::expression(
                    "there are no message types here",
                    self.position(expression),
                ));
            }
            Expr::Comprehension(_) => self.comprehension(expression, depth)?,
            Expr::Literal(_) | Expr::Unspecified => {}
        }
        Ok(())
    }

    fn entries(
        &mut self,
        entries: impl Iterator<Item = &'e EntryExpr>,
        depth: usize,
    ) -> Result<(), PredicateError> {
        for entry in entries {
            match entry {
                EntryExpr::MapEntry(entry) => {
                    self.visit(&entry.key, depth)?;
                    self.visit(&entry.value, depth)?;
                }
                EntryExpr::StructField(field) => self.visit(&field.value, depth)?,
            }
        }
        Ok(())
    }

    fn comprehension(&mut self, expression: &'e IdedExpr, depth: usize) -> Result<(), PredicateError> {
        let Expr::Comprehension(comprehension) = &expression.expr else { return Ok(()) };
        self.visit(&comprehension.iter_range, depth)?;
        self.visit(&comprehension.accu_init, depth)?;
        if self.loops == LOOP_NESTING_MAX {
            let message = format!("loops are nested deeper than {LOOP_NESTING_MAX}");
            return Err(PredicateError::expression(message, self.position(expression)));
        }
        let outside = self.bound.len();
        self.bound.push(&comprehension.accu_var);
        self.bound.push(&comprehension.iter_var);
        self.bound.extend(comprehension.iter_var2.as_deref());
        self.loops += 1;
        self.visit(&comprehension.loop_cond, depth)?;
        self.visit(&comprehension.loop_step, depth)?;
        self.visit(&comprehension.result, depth)?;
        self.loops -= 1;
        self.bound.truncate(outside);
        Ok(())
    }

    fn refer(&mut self, name: &str, expression: &IdedExpr) {
        let name = name.strip_prefix('.').unwrap_or(name);
        if self.bound.contains(&name) || name.starts_with('@') || TYPES.contains(&name) {
            return;
        }
        let position = self.position(expression);
        self.names.variables.entry(name.to_owned()).or_insert(position);
    }

    fn call(&mut self, function: &str, expression: &IdedExpr) -> Result<(), PredicateError> {
        let position = self.position(expression);
        let operator = function.starts_with(|first: char| !first.is_alphabetic());
        if !operator && !FUNCTIONS.contains(&function) {
            return Err(PredicateError::expression(format!("there is no function `{function}`"), position));
        }
        self.names.functions.entry(function.to_owned()).or_insert(position);
        Ok(())
    }

    /// What a call of literals alone fails with, it fails with whatever the values are: `duration('soon')`, `1 / 0`. So
    /// does a literal pattern that is none.
    fn check_literals(&self, call: &CallExpr, expression: &IdedExpr) -> Result<(), PredicateError> {
        let is_literal = |part: &IdedExpr| matches!(part.expr, Expr::Literal(_));
        let mut parts = call.target.as_deref().into_iter().chain(&call.args);
        let checked = match call.args.last() {
            Some(pattern) if call.func_name == "matches" && is_literal(pattern) => {
                let nothing = Expr::Literal(LiteralValue::String("".into()));
                let args = vec![IdedExpr { id: pattern.id, expr: nothing }, pattern.clone()];
                let call = CallExpr { func_name: call.func_name.clone(), target: None, args };
                IdedExpr { id: expression.id, expr: Expr::Call(call) }
            }
            Some(_) if parts.all(is_literal) => expression.clone(),
            _ => return Ok(()),
        };
        match super::resolve(&checked, &super::context()) {
            Ok(_) => Ok(()),
            Err(error) => {
                let words = error.to_string();
                let words = words.lines().next().unwrap_or_default().trim_end_matches(':');
                Err(PredicateError::expression(
                    format!("this always fails: {words}"),
                    self.position(expression),
                ))
            }
        }
    }
}

/// Whether the result can be no boolean, whatever the values.
pub(super) fn never_boolean(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
        Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => true,
        Expr::Call(call) => matches!(
            call.func_name.as_str(),
            "_+_"
                | "_-_"
                | "_*_"
                | "_/_"
                | "_%_"
                | "-_"
                | "size"
                | "string"
                | "int"
                | "uint"
                | "double"
                | "bytes"
                | "duration"
                | "timestamp"
                | "type"
        ),
        _ => false,
    }
}
