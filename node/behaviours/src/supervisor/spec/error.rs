//! What is wrong with a specification, in OTP's terms.

use arsenal_runtime::term::Term;

/// Why a specification is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SpecError {
    /// A field has a value that it cannot have.
    #[error("`{field}` cannot be {value}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// OTP's atom for it, `invalid_restart_type` and the like.
        atom: &'static str,
        /// What was given.
        value: Term,
    },
    /// A field that every specification needs is absent.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// Two fields that cannot go together.
    #[error("`{}` cannot be {} while `{}` is {}", .second.0, .second.1, .first.0, .first.1)]
    BadCombination {
        /// The one.
        first: (&'static str, Term),
        /// The other.
        second: (&'static str, Term),
    },
    /// Two children have this id.
    #[error("two children have the id {0}")]
    DuplicateChild(Term),
    /// A `simple_one_for_one` supervisor has one child specification, not these.
    #[error("a simple_one_for_one supervisor has exactly one child specification, not {}", .0.len())]
    BadStartSpec(Vec<Term>),
    /// It is no specification at all.
    #[error("{0} is no specification")]
    NotASpec(Term),
}

impl SpecError {
    /// The field that it is about, for those who answer with field violations.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Invalid { field, .. } | Self::Missing(field) => field,
            Self::BadCombination { second, .. } => second.0,
            Self::DuplicateChild(_) => "id",
            Self::BadStartSpec(_) | Self::NotASpec(_) => "children",
        }
    }

    /// Whether it is about the flags instead of a child.
    pub fn is_about_flags(&self) -> bool {
        const ATOMS: [&str; 5] = [
            "invalid_strategy",
            "invalid_intensity",
            "invalid_period",
            "invalid_auto_shutdown",
            "invalid_max_children",
        ];
        matches!(self, Self::Invalid { atom, .. } if ATOMS.contains(atom))
    }

    /// OTP's term for it, as `supervisor:start_child` answers it.
    pub fn to_term(&self) -> Term {
        let pair = |(field, value): &(&'static str, Term)| Term::tagged(field, value.clone());
        // A list inside a reason, told apart from a tuple.
        let list = |terms: Vec<Term>| Term::map([("list", Term::from(terms))]);
        match self {
            Self::Invalid { atom, value, .. } => Term::tagged(atom, value.clone()),
            Self::Missing("id") => Term::Atom("missing_id"),
            Self::Missing(field) => Term::tagged("missing", Term::Atom(field)),
            Self::BadCombination { first, second } => {
                Term::tagged("bad_combination", list(vec![pair(first), pair(second)]))
            }
            Self::DuplicateChild(id) => Term::tagged("duplicate_child_name", id.clone()),
            Self::BadStartSpec(ids) => Term::tagged("bad_start_spec", list(ids.clone())),
            Self::NotASpec(term) => Term::tagged("invalid_child_spec", term.clone()),
        }
    }

    /// OTP's term for it, as a supervisor that cannot start answers it.
    pub fn to_start_reason(&self) -> Term {
        match self {
            Self::BadStartSpec(_) => self.to_term(),
            error if error.is_about_flags() => Term::tagged("supervisor_data", self.to_term()),
            _ => Term::tagged("start_spec", self.to_term()),
        }
    }
}
