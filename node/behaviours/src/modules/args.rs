//! Reading args and requests of the shipped modules.

use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::Term;
use std::time::Duration;

/// A number of milliseconds.
pub(super) fn milliseconds(term: &Term) -> Option<Duration> {
    u64::try_from(term.as_int()?).ok().map(Duration::from_millis)
}

/// An integer; beyond what JSON's numbers hold exactly, as text.
pub(super) fn integer(term: &Term) -> Option<i64> {
    term.as_int().or_else(|| term.as_str()?.parse().ok())
}

/// A request `[tag, argument, ...]` or a bare `tag`.
pub(super) fn request(term: &Term) -> (&str, &[Term]) {
    let arguments = term.as_list().and_then(|terms| terms.get(1..)).unwrap_or_default();
    (term.tag().unwrap_or_default(), arguments)
}

/// The process that the args' `to` names.
pub(super) fn receiver(args: &Term) -> Option<Pid> {
    args.get("to")?.as_pid()
}
