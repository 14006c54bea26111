//! What is told of a crash to people: the module, what it was doing, the message in hand, the reason; as OTP's crash
//! reports have it.
//!
//! Invariant: a report is short whatever a message or a reason holds, as twenty thousand of them may be kept.

use crate::process::Process;
use crate::term::{Reason, Term};
use std::any::Any;
use std::fmt::Write as _;
use std::sync::Arc;

/// Bytes of a message or a reason that a report shows.
const SHOWN_BYTES_MAX: usize = 500;

/// Bytes from which on a term is not even written out to be cut.
const WRITTEN_BYTES_MAX: usize = 64 << 10;

/// The exit reason of a panic.
pub(crate) fn reason_of(panic: &(dyn Any + Send)) -> Reason {
    let words = panic
        .downcast_ref::<&'static str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".to_owned());
    Term::crash(Term::from(words))
}

/// The report of a process that ended itself by an error; nothing where it exited otherwise.
pub(crate) fn of_exit(process: &Process, reason: &Reason) -> Option<Arc<str>> {
    let error = !reason.is_orderly() && reason.get("crash").is_some();
    error.then(|| report(process, None, None, reason))
}

/// The report of a process whose `callback` failed.
#[cold]
pub(crate) fn report(
    process: &Process,
    callback: Option<&str>,
    message: Option<&Term>,
    reason: &Reason,
) -> Arc<str> {
    let mut text = format!("{} crashed", process.code.description.name);
    if let Some(callback) = callback {
        let _ = write!(text, " in {callback}");
    }
    if let Some(message) = message {
        let _ = write!(text, "\nmessage: {}", shortened(message));
    }
    let _ = write!(text, "\nreason: {}", shortened(reason));
    text.into()
}

/// A term as JSON, cut where it is long.
fn shortened(term: &Term) -> String {
    let bytes = term.content_bytes();
    if bytes > WRITTEN_BYTES_MAX {
        return format!("{bytes} bytes, too many to show");
    }
    let mut text = term.to_string();
    if text.len() > SHOWN_BYTES_MAX {
        let whole = (0..=SHOWN_BYTES_MAX).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(whole.unwrap_or_default());
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_report_shows_is_short_and_whole_characters() {
        assert_eq!(shortened(&Term::tagged("crash", Term::Int(1))), r#"["crash",1]"#);
        let long = shortened(&Term::from("\u{e9}".repeat(1_000)));
        assert!(long.len() <= SHOWN_BYTES_MAX + 3 && long.ends_with("\u{e9}..."), "{long}");
        assert_eq!(shortened(&Term::from("x".repeat(70_000))), "70000 bytes, too many to show");
    }
}
