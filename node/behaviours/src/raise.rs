//! Exceptions: Erlang's `error/1`, `exit/1` and `throw/1` for native callbacks, and the guard that catches them.
//!
//! A callback fails by returning so (`Outcome::Crash`, ...), by calling one of the functions here from however deep, or
//! by panicking. The guard sees to it that the behaviour's terminate callback runs after each of them.

use arsenal_runtime::term::{Reason, Term};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The class of an exception.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// An error: the exit reason becomes `{"crash": reason}`.
    Error,
    /// An exit with just this reason.
    Exit,
    /// A value thrown: it counts as the callback's return value.
    Throw,
}

impl Class {
    /// The class with OTP's name `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "error" => Some(Self::Error),
            "exit" => Some(Self::Exit),
            "throw" => Some(Self::Throw),
            _ => None,
        }
    }
}

/// An exception on its way.
#[derive(Clone, Debug, PartialEq)]
pub struct Exception {
    /// Its class.
    pub class: Class,
    /// Its reason or value.
    pub reason: Reason,
}

impl Exception {
    /// The exit reason of a process that does not catch it. A throw that nobody catches is the error `nocatch`.
    pub fn into_exit_reason(self) -> Reason {
        match self.class {
            Class::Error => Term::crash(self.reason),
            Class::Exit => self.reason,
            Class::Throw => Term::crash(Term::tagged("nocatch", self.reason)),
        }
    }
}

/// `erlang:error/1`.
pub fn error(reason: impl Into<Reason>) -> ! {
    raise(Class::Error, reason.into())
}

/// `erlang:exit/1`.
pub fn exit(reason: impl Into<Reason>) -> ! {
    raise(Class::Exit, reason.into())
}

/// `erlang:throw/1`.
pub fn throw(value: impl Into<Term>) -> ! {
    raise(Class::Throw, value.into())
}

/// `erlang:raise/3`, without a stack trace.
pub fn raise(class: Class, reason: Reason) -> ! {
    // Unwinding without the panic hook: an exception of a process is no bug of the node to report on stderr.
    resume_unwind(Box::new(Exception { class, reason }))
}

/// Runs a callback; an exception or a panic in it becomes the exception.
pub(crate) fn guard<O>(callback: impl FnOnce() -> O) -> Result<O, Exception> {
    // The state may be half changed afterwards, as an Erlang process's dictionary may: terminate alone sees it.
    catch_unwind(AssertUnwindSafe(callback)).map_err(exception_of)
}

/// Runs a callback; an exception raised in it becomes the exception, a panic goes on to whoever reports panics.
pub(crate) fn catch<O>(callback: impl FnOnce() -> O) -> Result<O, Exception> {
    match catch_unwind(AssertUnwindSafe(callback)) {
        Ok(result) => Ok(result),
        Err(payload) => match payload.downcast::<Exception>() {
            Ok(exception) => Err(*exception),
            Err(payload) => resume_unwind(payload),
        },
    }
}

fn exception_of(payload: Box<dyn Any + Send>) -> Exception {
    let payload = match payload.downcast::<Exception>() {
        Ok(exception) => return *exception,
        Err(payload) => payload,
    };
    let text = match payload.downcast_ref::<&'static str>() {
        Some(text) => Term::Atom(text),
        None => payload.downcast_ref::<String>().map_or(Term::Atom("panic"), |text| Term::str(text.as_str())),
    };
    Exception { class: Class::Error, reason: text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_keeps_its_reason_and_an_error_is_a_crash() {
        let caught = guard(|| exit("bye")).unwrap_err();
        assert_eq!(caught.into_exit_reason(), Term::Atom("bye"));
        let caught = guard(|| error("boom")).unwrap_err();
        assert_eq!(caught.into_exit_reason(), Term::crash(Term::Atom("boom")));
    }

    #[test]
    fn a_throw_is_told_from_an_exit() {
        let caught = guard(|| throw("x")).unwrap_err();
        assert_eq!(caught, Exception { class: Class::Throw, reason: Term::Atom("x") });
    }

    #[test]
    fn a_panic_is_an_error_with_its_text() {
        let number = 7;
        let caught = guard(|| resume_unwind(Box::new(format!("no {number}")))).map(|_: ()| ()).unwrap_err();
        assert_eq!(caught, Exception { class: Class::Error, reason: Term::str("no 7") });
    }
}
