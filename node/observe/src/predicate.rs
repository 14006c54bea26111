//! Predicates: the one expression language, CEL, over whatever has named values: processes, messages, events, timers.
//!
//! Lives here: compiling, checking and evaluating an expression. Does not live here: which names there are to speak of;
//! each kind of thing binds its own.
//!
//! Invariants:
//! - No source text and no value panics or overflows a stack: length, nesting and loops are bounded before anything runs.
//! - What is wrong with the *expression* (its syntax, a name or function that does not exist, a result that can never be
//!   a boolean) is an error with a position. What is wrong with one *value* (a key that it lacks, an operator that its
//!   type does not have) is no match: a filter goes over things of many shapes, and one that lacks `message.user` does
//!   not match `message.user == 'ada'`. A condition that must hold for absent members says so: `!has(message.user)`.

mod syntax;
mod types;
mod value;

pub use types::{Field, FieldType};

use arsenal_runtime::term::Term;
use cel::{Context, Env, ExecutionError, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

/// Bytes that an expression may have.
pub const SOURCE_BYTES_MAX: usize = 4 * 1024;

/// How deep an expression may be nested: brackets, chains of members and of operators alike.
pub const NESTING_MAX: usize = 48;

/// How deep `all`, `exists`, `exists_one`, `map` and `filter` may stand in one another. Each multiplies the work by the
/// length of its list.
pub const LOOP_NESTING_MAX: usize = 2;

/// CEL's standard library, without its extension for optional values.
static ENVIRONMENT: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::stdlib().with_optional_support(false)));

/// A compiled expression.
#[derive(Debug)]
pub struct Predicate {
    expression: cel::IdedExpr,
    /// Where each name that it does not bind itself first stands.
    variables: BTreeMap<String, usize>,
    /// Where each function that it calls first stands.
    functions: BTreeMap<String, usize>,
    never_boolean: bool,
}

/// What is wrong with an expression, or with what it was evaluated over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} at position {position}")]
pub struct PredicateError {
    /// What is wrong.
    pub message: String,
    /// Characters of the source before it.
    pub position: usize,
    /// Whose fault it is.
    pub fault: Fault,
}

/// Whose fault a [`PredicateError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The expression's: it fails whatever it is evaluated over.
    Expression,
    /// The values': it may succeed over others.
    Values,
}

impl PredicateError {
    fn expression(message: impl Into<String>, position: usize) -> Self {
        Self { message: message.into(), position, fault: Fault::Expression }
    }
}

/// The values of the names that an expression may refer to.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    values: Vec<(Cow<'static, str>, Term)>,
}

impl Bindings {
    /// Binds `name`, anew if it was bound before.
    #[must_use]
    pub fn set(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Term>) -> Self {
        self.insert(name, value);
        self
    }

    /// As [`Bindings::set`], in place.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Term>) {
        let (name, value) = (name.into(), value.into());
        match self.values.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.values.push((name, value)),
        }
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&Term> {
        self.values.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

impl Predicate {
    /// Compiles `source`.
    ///
    /// # Errors
    /// It is empty, too long or too deep, no CEL, or calls a function that CEL does not have.
    pub fn compile(source: &str) -> Result<Self, PredicateError> {
        if source.trim().is_empty() {
            return Err(PredicateError::expression("the expression is empty", 0));
        }
        if source.len() > SOURCE_BYTES_MAX {
            let message =
                format!("the expression has {} bytes; at most {SOURCE_BYTES_MAX} are read", source.len());
            return Err(PredicateError::expression(message, 0));
        }
        syntax::check_brackets(source)?;
        let parser = ENVIRONMENT.parser().max_recursion_depth(syntax::PARSER_DEPTH);
        // the parser is generated code that indexes freely; what it trips over is no expression
        let parsed = catch_unwind(AssertUnwindSafe(|| parser.parse_with_source_info(source)))
            .map_err(|_| PredicateError::expression("the expression cannot be parsed", 0))?;
        let (expression, positions) = parsed.map_err(|errors| syntax::first_error(source, &errors))?;
        let names = syntax::Names::of(source, &expression, &positions)?;
        let never_boolean = syntax::never_boolean(&expression.expr);
        Ok(Self { expression, variables: names.variables, functions: names.functions, never_boolean })
    }

    /// Compiles a condition over things that have just these fields.
    ///
    /// # Errors
    /// As [`Predicate::key`]; or its result can never be a boolean.
    pub fn condition(source: &str, known: &[Field]) -> Result<Self, PredicateError> {
        let predicate = Self::key(source, known)?;
        predicate.check_boolean()?;
        Ok(predicate)
    }

    /// Compiles an expression with a result of any type over things that have just these fields.
    ///
    /// # Errors
    /// As [`Predicate::compile`]; it refers to another name; or it compares a field with a literal of another type.
    pub fn key(source: &str, known: &[Field]) -> Result<Self, PredicateError> {
        let predicate = Self::compile(source)?;
        predicate.check_names(|name| known.iter().any(|(field, _)| *field == name))?;
        predicate.check_comparisons(known)?;
        Ok(predicate)
    }

    /// The names that it refers to, so that nobody computes the others.
    pub fn variables(&self) -> BTreeSet<String> {
        self.variables.keys().cloned().collect()
    }

    /// The expression as it was parsed.
    pub(crate) fn expression(&self) -> &cel::IdedExpr {
        &self.expression
    }

    /// Whether it refers to `name`.
    pub fn refers_to(&self, name: &str) -> bool {
        self.variables.contains_key(name)
    }

    /// Whether the expression is true of these values. An error that comes of the values is no match.
    ///
    /// # Errors
    /// It refers to a name that is not bound, or its result can never be a boolean.
    pub fn matches(&self, bindings: &Bindings) -> Result<bool, PredicateError> {
        self.check_boolean()?;
        match self.run(bindings) {
            Ok(value) => Ok(matches!(value, Value::Bool(true))),
            Err(error) if error.fault == Fault::Values => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What the expression comes to over these values.
    ///
    /// # Errors
    /// It refers to a name that is not bound ([`Fault::Expression`]), or cannot be evaluated over these values
    /// ([`Fault::Values`]).
    pub fn evaluate(&self, bindings: &Bindings) -> Result<Term, PredicateError> {
        self.run(bindings).map(|value| value::to_term(&value))
    }

    fn run(&self, bindings: &Bindings) -> Result<Value, PredicateError> {
        let mut context = context();
        for (name, position) in &self.variables {
            let Some(term) = bindings.get(name) else { return Err(unknown_name(name, *position)) };
            context.add_variable_from_value(name.as_str(), value::of_term(term));
        }
        resolve(&self.expression, &context).map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &ExecutionError) -> PredicateError {
        let (function, fault) = match error {
            // as a function of that name there is, it is called on what it is never called on
            ExecutionError::UndeclaredReference(name) => (name.as_str(), Fault::Expression),
            ExecutionError::NoSuchOverload(overload) => (overload.function(), Fault::Values),
            _ => ("", Fault::Values),
        };
        let position = self.functions.get(function).copied().unwrap_or(0);
        PredicateError { message: error.to_string(), position, fault }
    }

    fn check_names(&self, known: impl Fn(&str) -> bool) -> Result<(), PredicateError> {
        match self.variables.iter().filter(|(name, _)| !known(name)).min_by_key(|(_, position)| **position) {
            Some((name, position)) => Err(unknown_name(name, *position)),
            None => Ok(()),
        }
    }

    fn check_boolean(&self) -> Result<(), PredicateError> {
        if self.never_boolean {
            return Err(PredicateError::expression(
                "the expression is no condition: it is never true or false",
                0,
            ));
        }
        Ok(())
    }
}

/// No names bound yet.
fn context() -> Context<'static, 'static> {
    Context::with_env(Arc::clone(&ENVIRONMENT))
}

/// Evaluates; a panic of the interpreter is an error like any other.
fn resolve(expression: &cel::IdedExpr, context: &Context<'_, '_>) -> Result<Value, ExecutionError> {
    let resolved = catch_unwind(AssertUnwindSafe(|| Value::resolve(expression, context)));
    resolved.unwrap_or_else(|_| Err(ExecutionError::InternalError("no result".to_owned())))
}

fn unknown_name(name: &str, position: usize) -> PredicateError {
    PredicateError::expression(format!("there is no name `{name}` here"), position)
}

#[cfg(test)]
mod tests;
