//! The start of a behaviour's process: what init results in, and the handshake with the starter.
//!
//! Invariant: the starter is answered exactly once, before the process handles its first message or exits.

use crate::pause::{Pause, Then};
use crate::raise::{Class, Exception, guard};
use arsenal_runtime::body::{Event, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::term::{Reason, Term};
use std::sync::Arc;

/// What an init callback results in; `T` is what runs from then on.
#[derive(Debug)]
pub enum Init<T> {
    /// The process runs: `{ok, State}`.
    Ok(T),
    /// It is not wanted after all; it ends `normal` and its starter sees `ignore`.
    Ignore,
    /// The start fails with this reason: `{stop, Reason}`.
    Stop(Reason),
    /// `error(Reason)`: the start fails with `{"crash": reason}`.
    Crash(Reason),
    /// `exit(Reason)`: the start fails with it.
    Exit(Reason),
    /// A value that no init may return.
    BadReturn(Term),
    /// It has not ended yet.
    Await(Pause<(), Init<T>>),
}

impl<T> From<Pause<(), Init<T>>> for Init<T> {
    fn from(pause: Pause<(), Init<T>>) -> Self {
        Self::Await(pause)
    }
}

impl<T> From<Exception> for Init<T> {
    fn from(exception: Exception) -> Self {
        match exception.class {
            Class::Error => Self::Crash(exception.reason),
            Class::Exit => Self::Exit(exception.reason),
            Class::Throw => Self::BadReturn(exception.reason),
        }
    }
}

impl<T: 'static> Init<T> {
    /// The same, with what runs turned into something else.
    pub(crate) fn map<U: 'static>(self, change: fn(T) -> U) -> Init<U> {
        match self {
            Self::Ok(running) => Init::Ok(change(running)),
            Self::Ignore => Init::Ignore,
            Self::Stop(reason) => Init::Stop(reason),
            Self::Crash(reason) => Init::Crash(reason),
            Self::Exit(reason) => Init::Exit(reason),
            Self::BadReturn(value) => Init::BadReturn(value),
            Self::Await(pause) => Init::Await(pause.map(move |init| init.map(change))),
        }
    }
}

/// A module's init function.
pub(crate) type InitFunction<T> = dyn Fn(&Term, &mut Context<'_>) -> Init<T> + Send + Sync;

/// A process that has not been started yet, or whose init has not ended.
pub(crate) enum Starting<T> {
    Begin { init: Arc<InitFunction<T>>, args: Term },
    Paused(Then<(), Init<T>>),
}

/// How far a start came in one turn.
pub(crate) enum Progress<T> {
    /// Init has ended well and the starter knows.
    Running(T),
    /// Init goes on after this step.
    Paused(Starting<T>, Step),
    /// It will not run; the starter knows.
    Failed(Step),
}

impl<T: 'static> Starting<T> {
    /// Goes on with the start; consumes one event.
    pub(crate) fn advance(self, event: Event, cx: &mut Context<'_>) -> Progress<T> {
        let init = match self {
            Self::Begin { init, args } => guard(|| init(&args, cx)),
            Self::Paused(then) => guard(|| then(&mut (), event.into(), cx)),
        };
        let reason = match init.unwrap_or_else(Init::from) {
            Init::Ok(running) => {
                cx.started();
                return Progress::Running(running);
            }
            Init::Await(pause) => {
                let (step, then) = pause.into_parts();
                return Progress::Paused(Self::Paused(then), step);
            }
            Init::Ignore => {
                cx.ignore();
                return Progress::Failed(Step::Exit(Term::NORMAL));
            }
            Init::Stop(reason) | Init::Exit(reason) => reason,
            Init::Crash(reason) => Term::crash(reason),
            Init::BadReturn(value) => bad_return_value(value),
        };
        cx.start_failed(reason.clone());
        Progress::Failed(Step::Exit(reason))
    }
}

/// `{bad_return_value, Value}`.
pub(crate) fn bad_return_value(value: Term) -> Reason {
    Term::tagged("bad_return_value", value)
}
