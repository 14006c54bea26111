//! Filters over processes: a CEL condition, evaluated with no more of a process than it refers to.
//!
//! Most filters are comparisons of what the header tells, joined by `&&`, `||` and `!`. Those are compiled to plain
//! tests, so that a list of a million is filtered in the time that it takes to walk the table; every other condition is
//! interpreted.
//!
//! Invariant: the compiled test and the interpreter agree on every process. Only fields that are always there and
//! literals of their own type are compiled, so that neither an error nor a missing value can make a difference.

use crate::predicate::{Bindings, FieldType, Predicate, PredicateError};
use crate::process_variables::{NAMES, ProcessView, bind_view, type_of};
use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue, operators};
use std::collections::BTreeSet;

/// A condition over processes.
#[derive(Debug)]
pub struct ProcessFilter {
    predicate: Predicate,
    names: BTreeSet<String>,
    test: Option<Test>,
}

/// A condition over what the header tells.
#[derive(Debug)]
enum Test {
    Both(Box<Test>, Box<Test>),
    Either(Box<Test>, Box<Test>),
    Not(Box<Test>),
    Flag(Flag),
    Text(Text, Box<str>),
    Number(Number, Comparison, i64),
}

#[derive(Clone, Copy, Debug)]
enum Flag {
    TrapExit,
    Hibernating,
}

#[derive(Clone, Copy, Debug)]
enum Text {
    Module,
    /// An enum of the header, by its name.
    Enum(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Number {
    MessageQueueLen,
    Reductions,
    Turns,
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl ProcessFilter {
    /// Compiles a condition over [`NAMES`].
    ///
    /// # Errors
    /// It is no CEL, refers to another name, can never be true or false, or compares a field with a literal of another
    /// type.
    pub fn compile(source: &str) -> Result<Self, PredicateError> {
        let fields = NAMES.map(|name| (name, type_of(name).unwrap_or(FieldType::Any)));
        let predicate = Predicate::condition(source, &fields)?;
        let names = predicate.variables();
        let test = test_of(predicate.expression());
        Ok(Self { predicate, names, test })
    }

    /// Whether the condition is true of a process.
    ///
    /// # Errors
    /// The condition fails whatever process it is evaluated over.
    pub fn admits(&self, view: &ProcessView<'_>) -> Result<bool, PredicateError> {
        match &self.test {
            Some(test) => Ok(test.admits(view)),
            None => self.interpret(view),
        }
    }

    fn interpret(&self, view: &ProcessView<'_>) -> Result<bool, PredicateError> {
        self.predicate.matches(&bind_view(view, &self.names))
    }

    /// Whether the condition is true of these values, if they are all that it refers to; nothing if it asks for more.
    pub fn admits_values(&self, values: &Bindings) -> Option<bool> {
        let known = self.names.iter().all(|name| values.get(name).is_some());
        known.then(|| self.predicate.matches(values).unwrap_or(false))
    }
}

impl Test {
    fn admits(&self, view: &ProcessView<'_>) -> bool {
        match self {
            Self::Both(a, b) => a.admits(view) && b.admits(view),
            Self::Either(a, b) => a.admits(view) || b.admits(view),
            Self::Not(test) => !test.admits(view),
            Self::Flag(Flag::TrapExit) => view.header().trap_exit,
            Self::Flag(Flag::Hibernating) => view.header().hibernating,
            Self::Text(Text::Module, text) => *view.header().code.name == **text,
            Self::Text(Text::Enum(name), text) => view.value(name).is_some_and(|value| value.is(text)),
            Self::Number(number, comparison, literal) => comparison.holds(number.of(view), *literal),
        }
    }
}

impl Number {
    fn of(self, view: &ProcessView<'_>) -> i64 {
        let header = view.header();
        match self {
            Self::MessageQueueLen => i64::try_from(header.queue_len),
            Self::Reductions => i64::try_from(header.reductions),
            Self::Turns => Ok(i64::from(header.turns)),
        }
        .unwrap_or(i64::MAX)
    }
}

impl Comparison {
    fn holds(self, value: i64, literal: i64) -> bool {
        match self {
            Self::Equal => value == literal,
            Self::Less => value < literal,
            Self::LessOrEqual => value <= literal,
            Self::Greater => value > literal,
            Self::GreaterOrEqual => value >= literal,
        }
    }

    /// The comparison that holds of the operands the other way round.
    const fn mirrored(self) -> Self {
        match self {
            Self::Equal => Self::Equal,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }
}

fn test_of(expression: &IdedExpr) -> Option<Test> {
    let call = match &expression.expr {
        Expr::Ident(name) => return flag(name).map(Test::Flag),
        Expr::Call(call) if call.target.is_none() => call,
        _ => return None,
    };
    match (call.func_name.as_str(), call.args.as_slice()) {
        (operators::LOGICAL_AND, [a, b]) => Some(Test::Both(Box::new(test_of(a)?), Box::new(test_of(b)?))),
        (operators::LOGICAL_OR, [a, b]) => Some(Test::Either(Box::new(test_of(a)?), Box::new(test_of(b)?))),
        (operators::LOGICAL_NOT, [a]) => Some(Test::Not(Box::new(test_of(a)?))),
        (operators::NOT_EQUALS, [a, b]) => Some(Test::Not(Box::new(comparison(Comparison::Equal, a, b)?))),
        (operators::EQUALS, [a, b]) => comparison(Comparison::Equal, a, b),
        (operators::LESS, [a, b]) => comparison(Comparison::Less, a, b),
        (operators::LESS_EQUALS, [a, b]) => comparison(Comparison::LessOrEqual, a, b),
        (operators::GREATER, [a, b]) => comparison(Comparison::Greater, a, b),
        (operators::GREATER_EQUALS, [a, b]) => comparison(Comparison::GreaterOrEqual, a, b),
        _ => None,
    }
}

fn comparison(comparison: Comparison, a: &IdedExpr, b: &IdedExpr) -> Option<Test> {
    match (&a.expr, &b.expr) {
        (Expr::Ident(name), Expr::Literal(literal)) => of_literal(name, comparison, literal),
        (Expr::Literal(literal), Expr::Ident(name)) => of_literal(name, comparison.mirrored(), literal),
        _ => None,
    }
}

fn of_literal(name: &str, comparison: Comparison, literal: &LiteralValue) -> Option<Test> {
    match literal {
        LiteralValue::Int(value) => Some(Test::Number(number(name)?, comparison, *value.inner())),
        LiteralValue::String(value) if matches!(comparison, Comparison::Equal) => {
            Some(Test::Text(text(name)?, value.inner().into()))
        }
        _ => None,
    }
}

fn flag(name: &str) -> Option<Flag> {
    match name {
        "trap_exit" => Some(Flag::TrapExit),
        "hibernating" => Some(Flag::Hibernating),
        _ => None,
    }
}

fn text(name: &str) -> Option<Text> {
    match name {
        "module" => Some(Text::Module),
        "kind" => Some(Text::Enum("kind")),
        "behaviour" => Some(Text::Enum("behaviour")),
        "status" => Some(Text::Enum("status")),
        "priority" => Some(Text::Enum("priority")),
        _ => None,
    }
}

fn number(name: &str) -> Option<Number> {
    match name {
        "message_queue_len" => Some(Number::MessageQueueLen),
        "reductions" => Some(Number::Reductions),
        "turns" => Some(Number::Turns),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
