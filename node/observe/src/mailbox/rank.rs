//! In which order messages are to be handled: by a key, or by a list of conditions.
//!
//! Pure: envelopes and expressions in, a rank for each message's number out. Equal ranks keep their order.

use super::Envelope;
use crate::predicate::{Fault, Predicate, PredicateError};
use arsenal_runtime::Term;
use std::cmp::Ordering;
use std::collections::HashMap;

/// How messages are ordered.
#[derive(Debug)]
pub enum Order {
    /// By the value of this expression, the smallest first.
    Key(Predicate),
    /// The same, the largest first.
    Descending(Predicate),
    /// What the first condition is true of comes first, then the second, then the rest.
    Conditions(Vec<Predicate>),
}

/// Why messages cannot be ordered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RankError {
    /// An expression is wrong.
    #[error(transparent)]
    Expression(#[from] PredicateError),
    /// There is no telling which of two keys is smaller, or a message has none.
    #[error("{0}")]
    Keys(String),
}

/// The rank of each message by its number; the lowest is handled first.
///
/// # Errors
/// An expression refers to what messages do not have; two keys cannot be compared.
pub fn rank(envelopes: &[Envelope], order: &Order) -> Result<HashMap<u32, usize>, RankError> {
    match order {
        Order::Conditions(conditions) => by_conditions(envelopes, conditions),
        Order::Key(key) => by_key(envelopes, key, false),
        Order::Descending(key) => by_key(envelopes, key, true),
    }
}

fn by_conditions(envelopes: &[Envelope], conditions: &[Predicate]) -> Result<HashMap<u32, usize>, RankError> {
    let names: Vec<_> = conditions.iter().flat_map(Predicate::variables).collect();
    let mut ranks = HashMap::with_capacity(envelopes.len());
    for envelope in envelopes {
        let bindings = envelope.bind(&names);
        let mut rank = conditions.len();
        for (at, condition) in conditions.iter().enumerate() {
            if condition.matches(&bindings)? {
                rank = at;
                break;
            }
        }
        ranks.insert(envelope.number, rank);
    }
    Ok(ranks)
}

fn by_key(
    envelopes: &[Envelope],
    key: &Predicate,
    descending: bool,
) -> Result<HashMap<u32, usize>, RankError> {
    let names = key.variables();
    let mut keyed = Vec::with_capacity(envelopes.len());
    for envelope in envelopes {
        let value = match key.evaluate(&envelope.bind(&names)) {
            Ok(value) => value,
            Err(error) if error.fault == Fault::Expression => return Err(error.into()),
            Err(error) => return Err(RankError::Keys(format!("message {}: {error}", envelope.position))),
        };
        keyed.push((envelope, value));
    }
    check_comparable(&keyed)?;
    keyed.sort_by(|(_, a), (_, b)| {
        let ordering = compare(a, b).unwrap_or(Ordering::Equal);
        if descending { ordering.reverse() } else { ordering }
    });
    let mut ranks = HashMap::with_capacity(keyed.len());
    let mut rank = 0;
    for (at, (envelope, value)) in keyed.iter().enumerate() {
        if at > 0 && compare(&keyed[at - 1].1, value) != Some(Ordering::Equal) {
            rank += 1;
        }
        ranks.insert(envelope.number, rank);
    }
    Ok(ranks)
}

/// Each key is comparable with the first, and so with every other one.
fn check_comparable(keyed: &[(&Envelope, Term)]) -> Result<(), RankError> {
    let Some((first, one)) = keyed.first() else { return Ok(()) };
    for (envelope, other) in keyed {
        if compare(one, other).is_none() {
            let places = (first.position, envelope.position);
            let message = format!(
                "the keys {one} and {other} of messages {} and {} cannot be compared",
                places.0, places.1
            );
            return Err(RankError::Keys(message));
        }
    }
    Ok(())
}

/// Numbers compare with numbers, texts with texts.
fn compare(a: &Term, b: &Term) -> Option<Ordering> {
    match (a.as_int(), b.as_int()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) => a.partial_cmp(&b),
            _ => Some(a.as_str()?.cmp(b.as_str()?)),
        },
    }
}
