//! Lists: which rows a CEL filter keeps, in which order, and which page of them is answered.
//!
//! A row tells its fields by name, so that a filter computes only those that it refers to; it is encoded after that,
//! and only if it is on the page.

use crate::page;
use crate::status::{bad_argument, failure};
use arsenal_observe::predicate::{Bindings, Field, Predicate, PredicateError};
use arsenal_runtime::Term;
use std::cmp::Ordering;
use tonic::{Code, Status};

/// One thing in a list.
pub trait Row {
    /// What filters and orders may speak of.
    const FIELDS: &'static [Field];

    /// The value of one of [`Row::FIELDS`].
    fn field(&self, name: &str) -> Term;
}

/// What is asked of a list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<'a> {
    /// CEL over the fields; empty for all rows.
    pub filter: &'a str,
    /// Fields, each with an optional `desc`; empty for the rows' own order.
    pub order_by: &'a str,
    /// Rows a page, 0 for the default.
    pub page_size: i32,
    /// Where to go on.
    pub page_token: &'a str,
    /// Whatever else makes it another list: the node, the group.
    pub of: &'a str,
}

impl Query<'_> {
    /// The page of `rows` that is asked for, and the token of the next one.
    ///
    /// # Errors
    /// `BAD_FILTER`, `BAD_PAGE_TOKEN`, or `BADARG` for an order or a page size.
    pub fn page<R: Row>(&self, rows: Vec<R>) -> Result<(Vec<R>, String), Status> {
        let order = Order::parse(self.order_by, &names(R::FIELDS))?;
        let rows = order.sort(keep(rows, self.filter)?);
        page::of(rows, self.page_size, self.page_token, &[self.filter, self.order_by, self.of])
    }
}

/// The rows that `filter` is true of; all where it is empty.
///
/// # Errors
/// `BAD_FILTER` with the position.
pub fn keep<R: Row>(mut rows: Vec<R>, filter: &str) -> Result<Vec<R>, Status> {
    if filter.is_empty() {
        return Ok(rows);
    }
    let predicate = Predicate::condition(filter, R::FIELDS).map_err(|error| bad_filter(&error))?;
    let mut failed = None;
    rows.retain(|row| match admits(&predicate, row) {
        Ok(admitted) => admitted,
        Err(error) => {
            failed.get_or_insert(error);
            false
        }
    });
    failed.map_or(Ok(rows), |error| Err(bad_filter(&error)))
}

/// The fields' names.
pub fn names(fields: &[Field]) -> Vec<&'static str> {
    fields.iter().map(|(name, _)| *name).collect()
}

/// Whether a condition is true of a row.
///
/// # Errors
/// As [`Predicate::matches`].
pub fn admits<R: Row>(predicate: &Predicate, row: &R) -> Result<bool, PredicateError> {
    let mut bindings = Bindings::default();
    for name in predicate.variables() {
        let value = row.field(&name);
        bindings.insert(name, value);
    }
    predicate.matches(&bindings)
}

/// `INVALID_ARGUMENT BAD_FILTER`, its message with the position.
pub fn bad_filter(error: &PredicateError) -> Status {
    failure(Code::InvalidArgument, "BAD_FILTER", format!("`filter`: {error}")).field("filter").status()
}

/// Fields to order by, each ascending or descending; members of a field by a dotted path.
#[derive(Debug)]
pub struct Order(Vec<(Vec<String>, bool)>);

impl Order {
    /// Reads `order_by`.
    ///
    /// # Errors
    /// `BADARG` for what is none of `fields`.
    pub fn parse(text: &str, fields: &[&str]) -> Result<Self, Status> {
        let wrong = |part: &str| {
            let message = format!(
                "`order_by` has `{part}`; it takes {}, each with an optional `desc`",
                fields.join(", ")
            );
            bad_argument("order_by", message)
        };
        let parts = text.split(',').map(str::trim).filter(|_| !text.trim().is_empty());
        let parsed = parts.map(|part| {
            let (path, descending) = match part.split_whitespace().collect::<Vec<_>>()[..] {
                [path] | [path, "asc"] => (path, false),
                [path, "desc"] => (path, true),
                _ => return Err(wrong(part)),
            };
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            if fields.contains(&&*path[0]) { Ok((path, descending)) } else { Err(wrong(part)) }
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }

    /// Whether nothing was asked for: the list's own order.
    pub fn is_own(&self) -> bool {
        self.0.is_empty()
    }

    /// What a row is ordered by. Read once a row, as it may change while others are compared.
    pub fn key(&self, field: impl Fn(&str) -> Term) -> Vec<Term> {
        let of = |path: &[String]| {
            path[1..]
                .iter()
                .try_fold(field(&path[0]), |term, name| term.get(name).cloned())
                .unwrap_or_default()
        };
        self.0.iter().map(|(path, _)| of(path)).collect()
    }

    /// Which of two keys comes first.
    pub fn compare(&self, a: &[Term], b: &[Term]) -> Ordering {
        let compared = self.0.iter().zip(a.iter().zip(b)).map(|((_, descending), (a, b))| {
            let ordering = compare(a, b);
            if *descending { ordering.reverse() } else { ordering }
        });
        compared.fold(Ordering::Equal, Ordering::then)
    }

    /// Sorts stably, so that equal rows keep the list's own order.
    fn sort<R: Row>(&self, rows: Vec<R>) -> Vec<R> {
        if self.is_own() {
            return rows;
        }
        let mut keyed: Vec<_> = rows.into_iter().map(|row| (self.key(|name| row.field(name)), row)).collect();
        keyed.sort_by(|(a, _), (b, _)| self.compare(a, b));
        keyed.into_iter().map(|(_, row)| row).collect()
    }
}

/// Null before booleans before numbers before texts and pids; what else there is stands equal, last.
fn compare(a: &Term, b: &Term) -> Ordering {
    let rank = |term: &Term| match term.view() {
        Term::Null => 0,
        Term::Bool(_) => 1,
        Term::Int(_) | Term::Float(_) => 2,
        Term::Pid(_) | Term::Atom(_) | Term::Str(_) => 3,
        _ => 4,
    };
    rank(a).cmp(&rank(b)).then_with(|| match (a.view(), b.view()) {
        (Term::Bool(a), Term::Bool(b)) => a.cmp(b),
        (Term::Int(a), Term::Int(b)) => a.cmp(b),
        // n1.1.9 comes before n1.1.10
        (Term::Pid(a), Term::Pid(b)) => a.cmp(b),
        (a, b) => match (a.as_f64(), b.as_f64(), a.as_str(), b.as_str()) {
            (Some(a), Some(b), ..) => a.total_cmp(&b),
            // a pid's text too
            (_, _, Some(_), Some(_)) => (a.as_pid(), a.as_str()).cmp(&(b.as_pid(), b.as_str())),
            _ => Ordering::Equal,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arsenal_observe::predicate::FieldType;

    #[derive(Clone, Debug, PartialEq)]
    struct Thing(&'static str, i64);

    impl Row for Thing {
        const FIELDS: &'static [Field] =
            &[("name", FieldType::Text), ("size", FieldType::Number), ("inner", FieldType::Map)];

        fn field(&self, name: &str) -> Term {
            match name {
                "name" => self.0.into(),
                "inner" => Term::map([("size", Term::Int(-self.1))]),
                _ => self.1.into(),
            }
        }
    }

    const THINGS: [Thing; 4] = [Thing("a", 2), Thing("b", 1), Thing("c", 2), Thing("d", 10)];

    fn listed(query: Query<'_>) -> Result<String, Status> {
        query.page(THINGS.to_vec()).map(|(rows, _)| rows.iter().map(|row| row.0).collect())
    }

    #[test]
    fn a_filter_keeps_what_it_is_true_of_and_an_order_is_stable() {
        assert_eq!(listed(Query::default()).unwrap(), "abcd");
        assert_eq!(listed(Query { filter: "size == 2", ..Query::default() }).unwrap(), "ac");
        assert_eq!(listed(Query { order_by: "size desc", ..Query::default() }).unwrap(), "dacb");
        assert_eq!(listed(Query { order_by: "size, name desc", ..Query::default() }).unwrap(), "bcad");
        assert_eq!(listed(Query { order_by: "inner.size", ..Query::default() }).unwrap(), "dacb");
    }

    #[test]
    fn a_filter_or_an_order_over_what_a_row_has_not_is_refused() {
        for query in [
            Query { filter: "colour == 'red'", ..Query::default() },
            Query { filter: "size ==", ..Query::default() },
            Query { filter: "size == 'large'", ..Query::default() },
            Query { order_by: "colour", ..Query::default() },
            Query { order_by: "size down", ..Query::default() },
            Query { order_by: "size,,name", ..Query::default() },
        ] {
            assert_eq!(listed(query).unwrap_err().code(), Code::InvalidArgument, "{query:?}");
        }
    }

    #[test]
    fn a_token_does_not_go_on_with_another_filter() {
        let first = Query { page_size: 1, filter: "size == 2", ..Query::default() };
        let (_, token) = first.page(THINGS.to_vec()).unwrap();
        let (rest, end) = Query { page_token: &token, ..first }.page(THINGS.to_vec()).unwrap();
        assert_eq!((rest, end.as_str()), (vec![Thing("c", 2)], ""));
        assert!(Query { page_token: &token, filter: "size > 1", ..first }.page(THINGS.to_vec()).is_err());
    }
}
