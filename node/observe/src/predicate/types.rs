//! Comparisons that can never hold: of a field of a known type with a literal of another.
//!
//! Only what is certain is refused: a name by itself on one side, a literal on the other. Whatever else an expression
//! compares is left to its evaluation.

use super::{Predicate, PredicateError};
use cel::common::ast::{Expr, IdedExpr, LiteralValue, operators};
use std::fmt;

/// What type the values of a field have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldType {
    /// A text; enums, pids, ids and times are texts too.
    Text,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// A list.
    List,
    /// A map.
    Map,
    /// Now this, now that: what somebody sent, or said.
    Any,
}

/// The name of a field, and the type of its values.
pub type Field = (&'static str, FieldType);

impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "a string",
            Self::Number => "a number",
            Self::Flag => "a bool",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Any => "anything",
        })
    }
}

/// The operators that compare two values, which makes sense of two of one type alone.
const COMPARISONS: [&str; 6] = [
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::LESS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::GREATER_EQUALS,
];

impl Predicate {
    /// Refuses a comparison of a field with a literal of another type.
    ///
    /// # Errors
    /// The first such comparison, with both types; `null` compares with everything.
    pub(super) fn check_comparisons(&self, fields: &[Field]) -> Result<(), PredicateError> {
        self.check_in(&self.expression, fields)
    }

    fn check_in(&self, expression: &IdedExpr, fields: &[Field]) -> Result<(), PredicateError> {
        match &expression.expr {
            Expr::Call(call) => {
                if let [left, right] = call.args.as_slice()
                    && COMPARISONS.contains(&call.func_name.as_str())
                {
                    self.check_pair(left, right, fields)?;
                    self.check_pair(right, left, fields)?;
                }
                let parts = call.target.as_deref().into_iter().chain(&call.args);
                parts.into_iter().try_for_each(|part| self.check_in(part, fields))
            }
            // a loop binds names of its own
            _ => Ok(()),
        }
    }

    fn check_pair(
        &self,
        field: &IdedExpr,
        literal: &IdedExpr,
        fields: &[Field],
    ) -> Result<(), PredicateError> {
        let Expr::Ident(name) = &field.expr else { return Ok(()) };
        let field = fields.iter().find(|(field, _)| field == name);
        let (Some((_, has)), Some(is)) = (field, literal_type(literal)) else { return Ok(()) };
        if [is, FieldType::Any].contains(has) {
            return Ok(());
        }
        let position = self.variables.get(name).copied().unwrap_or(0);
        let message = format!("`{name}` is {has} and is compared with {is}, which it never equals");
        Err(PredicateError::expression(message, position))
    }
}

fn literal_type(expression: &IdedExpr) -> Option<FieldType> {
    match &expression.expr {
        Expr::Literal(literal) => match literal {
            LiteralValue::Boolean(_) => Some(FieldType::Flag),
            LiteralValue::String(_) => Some(FieldType::Text),
            LiteralValue::Int(_) | LiteralValue::UInt(_) | LiteralValue::Double(_) => Some(FieldType::Number),
            _ => None,
        },
        Expr::List(_) => Some(FieldType::List),
        Expr::Map(_) => Some(FieldType::Map),
        _ => None,
    }
}
