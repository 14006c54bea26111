//! Why a supervisor refuses a request.

use super::spec::{SpecError, Strategy};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};

/// Why a supervisor refuses a request. Nothing has changed, except where the variant says so.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SupervisorError {
    /// No child has this id, or no instance this pid.
    #[error("the supervisor has no child {0}")]
    NotFound(Term),
    /// The child runs; it would have to be terminated first.
    #[error("the child runs as {0}")]
    Running(Pid),
    /// The child's restart failed and is being tried again.
    #[error("the child is being restarted")]
    Restarting,
    /// The id belongs to a child that is down.
    #[error("the id {0} belongs to a child that is down")]
    AlreadyPresent(Term),
    /// The id belongs to a child that runs.
    #[error("the child runs already, as {0}")]
    AlreadyStarted(Pid),
    /// Instances are known by pid alone, and share one template.
    #[error("a simple_one_for_one supervisor does not allow this; its instances are known by pid")]
    SimpleOneForOne,
    /// Only a `simple_one_for_one` supervisor starts children from a template.
    #[error("the supervisor has the strategy {}; children are added from a template under simple_one_for_one alone", .0.as_str())]
    NotSimpleOneForOne(Strategy),
    /// To or from `simple_one_for_one` children have to be converted.
    #[error("a change from {} to {} is a conversion", .from.as_str(), .to.as_str())]
    NeedsConversion {
        /// The strategy it has.
        from: Strategy,
        /// The strategy asked for.
        to: Strategy,
    },
    /// It has as many children as it may.
    #[error("the supervisor has its maximum of {0} children")]
    MaxChildren(usize),
    /// The specification is refused.
    #[error("{message}")]
    InvalidSpec {
        /// Which field.
        field: String,
        /// OTP's term.
        reason: Term,
        /// In words.
        message: String,
    },
    /// What the caller has read is no longer so.
    #[error("the etag {given} is stale; it is {current} now")]
    StaleEtag {
        /// The caller's.
        given: String,
        /// The present one.
        current: String,
    },
    /// The child's init failed. `child` is named where a new child was to be added, and is not kept then.
    #[error("the child failed to start: {reason}")]
    StartFailed {
        /// Its id.
        child: Option<Term>,
        /// What its init gave.
        reason: Reason,
    },
    /// The children have no common spec to be a template.
    #[error("children {} differ from the others in more than id and args", Term::list(.0.iter().cloned()))]
    MixedChildren(Vec<Term>),
    /// Without a child there is nothing to make a template of.
    #[error("the supervisor has no child to make a template of")]
    NoTemplate,
    /// It is no request of a supervisor.
    #[error("{0} is no request of a supervisor")]
    UnknownRequest(Term),
}

impl From<SpecError> for SupervisorError {
    fn from(error: SpecError) -> Self {
        Self::InvalidSpec { field: error.field().into(), reason: error.to_term(), message: error.to_string() }
    }
}

impl SupervisorError {
    /// OTP's atom for it, and the stable word where OTP has none.
    pub fn atom(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::Running(_) => "running",
            Self::Restarting => "restarting",
            Self::AlreadyPresent(_) => "already_present",
            Self::AlreadyStarted(_) => "already_started",
            Self::SimpleOneForOne => "simple_one_for_one",
            Self::NotSimpleOneForOne(_) => "not_simple_one_for_one",
            Self::NeedsConversion { .. } => "needs_conversion",
            Self::MaxChildren(_) => "max_children",
            Self::InvalidSpec { .. } => "invalid_spec",
            Self::StaleEtag { .. } => "stale_etag",
            Self::StartFailed { .. } => "start_failed",
            Self::MixedChildren(_) => "mixed_children",
            Self::NoTemplate => "no_template",
            Self::UnknownRequest(_) => "unknown_request",
        }
    }

    /// OTP's `Error` in `{error, Error}`.
    pub fn to_otp(&self) -> Term {
        match self {
            Self::AlreadyStarted(pid) => Term::tagged("already_started", (*pid).into()),
            Self::InvalidSpec { reason, .. } | Self::StartFailed { child: None, reason } => reason.clone(),
            Self::StartFailed { child: Some(child), reason } => {
                [reason.clone(), Term::map([("child_spec", child.clone())])].into()
            }
            Self::MixedChildren(odd) => Term::tagged("mixed_children", Term::list(odd.iter().cloned())),
            error => Term::Atom(error.atom()),
        }
    }

    /// As plain data, readable by [`SupervisorError::from_term`].
    pub fn to_term(&self) -> Term {
        let mut members = vec![("error", Term::Atom(self.atom()))];
        match self {
            Self::NotFound(term) | Self::AlreadyPresent(term) | Self::UnknownRequest(term) => {
                members.push(("term", term.clone()));
            }
            Self::Running(pid) | Self::AlreadyStarted(pid) => members.push(("pid", (*pid).into())),
            Self::NotSimpleOneForOne(strategy) => members.push(("from", strategy.as_str().into())),
            Self::NeedsConversion { from, to } => {
                members.extend([("from", from.as_str().into()), ("to", to.as_str().into())]);
            }
            Self::MaxChildren(max) => {
                members.push(("max", Term::Int(i64::try_from(*max).unwrap_or(i64::MAX))))
            }
            Self::InvalidSpec { field, reason, message } => members.extend([
                ("field", Term::str(field.as_str())),
                ("reason", reason.clone()),
                ("message", Term::str(message.as_str())),
            ]),
            Self::StaleEtag { given, current } => {
                members
                    .extend([("given", Term::str(given.as_str())), ("current", Term::str(current.as_str()))]);
            }
            Self::StartFailed { child, reason } => {
                members.extend([("child", child.clone().unwrap_or_default()), ("reason", reason.clone())]);
            }
            Self::MixedChildren(odd) => members.push(("children", Term::list(odd.iter().cloned()))),
            Self::Restarting | Self::SimpleOneForOne | Self::NoTemplate => {}
        }
        Term::map(members)
    }

    /// Reads what [`SupervisorError::to_term`] wrote; nothing if it is something else.
    pub fn from_term(term: &Term) -> Option<Self> {
        let field = |key| term.get(key).cloned();
        let text = |key| Some(term.get(key)?.as_str()?.to_owned());
        let pid = || term.get("pid")?.as_pid();
        let strategy = |key| Strategy::from_name(term.get(key)?.as_str()?);
        Some(match term.get("error")?.as_str()? {
            "not_found" => Self::NotFound(field("term")?),
            "running" => Self::Running(pid()?),
            "restarting" => Self::Restarting,
            "already_present" => Self::AlreadyPresent(field("term")?),
            "already_started" => Self::AlreadyStarted(pid()?),
            "simple_one_for_one" => Self::SimpleOneForOne,
            "not_simple_one_for_one" => Self::NotSimpleOneForOne(strategy("from")?),
            "needs_conversion" => Self::NeedsConversion { from: strategy("from")?, to: strategy("to")? },
            "max_children" => Self::MaxChildren(usize::try_from(term.get("max")?.as_int()?).ok()?),
            "invalid_spec" => Self::InvalidSpec {
                field: text("field")?,
                reason: field("reason")?,
                message: text("message")?,
            },
            "stale_etag" => Self::StaleEtag { given: text("given")?, current: text("current")? },
            "start_failed" => Self::StartFailed {
                child: field("child").filter(|child| !child.is_null()),
                reason: field("reason")?,
            },
            "mixed_children" => Self::MixedChildren(term.get("children")?.as_list()?.to_vec()),
            "no_template" => Self::NoTemplate,
            "unknown_request" => Self::UnknownRequest(field("term")?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_back_as_it_was_written() {
        let pid = Pid::new(1, 1, 7);
        let errors = [
            SupervisorError::NotFound("a".into()),
            SupervisorError::Running(pid),
            SupervisorError::Restarting,
            SupervisorError::AlreadyPresent("a".into()),
            SupervisorError::AlreadyStarted(pid),
            SupervisorError::SimpleOneForOne,
            SupervisorError::NotSimpleOneForOne(Strategy::RestForOne),
            SupervisorError::NeedsConversion { from: Strategy::OneForOne, to: Strategy::SimpleOneForOne },
            SupervisorError::MaxChildren(3),
            SpecError::Missing("id").into(),
            SupervisorError::StaleEtag { given: "1".into(), current: "2".into() },
            SupervisorError::StartFailed { child: Some("a".into()), reason: Term::KILLED },
            SupervisorError::StartFailed { child: None, reason: Term::KILLED },
            SupervisorError::MixedChildren(vec!["a".into()]),
            SupervisorError::NoTemplate,
            SupervisorError::UnknownRequest(Term::Int(1)),
        ];
        for error in errors {
            assert_eq!(SupervisorError::from_term(&error.to_term()), Some(error));
        }
    }

    #[test]
    fn a_failed_start_of_a_new_child_names_its_spec_as_otp_does() {
        let error = SupervisorError::StartFailed { child: Some("g".into()), reason: "nope".into() };
        assert_eq!(error.to_otp().to_json().to_string(), r#"["nope",{"child_spec":"g"}]"#);
    }
}
