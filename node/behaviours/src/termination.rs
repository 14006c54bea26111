//! The end of a behaviour's process: its terminate callback, which may itself wait, crash or exit.

use crate::pause::{Pause, Then};
use crate::raise::{Class, Exception};
use arsenal_runtime::body::Step;
use arsenal_runtime::context::Context;
use arsenal_runtime::message::ReplyTo;
use arsenal_runtime::term::{Reason, Term};

/// What a terminate callback results in.
#[derive(Debug, Default)]
pub enum Termination<S> {
    /// It is done; the process exits with the reason that it was given.
    #[default]
    Done,
    /// `exit(Reason)`: the process exits with this reason instead.
    Exit(Reason),
    /// `error(Reason)`: it exits with `{"crash": reason}` instead.
    Crash(Reason),
    /// It has not ended yet.
    Await(Pause<S, Termination<S>>),
}

impl<S> From<Pause<S, Termination<S>>> for Termination<S> {
    fn from(pause: Pause<S, Termination<S>>) -> Self {
        Self::Await(pause)
    }
}

impl<S> From<Exception> for Termination<S> {
    fn from(exception: Exception) -> Self {
        match exception.class {
            Class::Error => Self::Crash(exception.reason),
            Class::Exit => Self::Exit(exception.reason),
            // A throw counts as a return value, and what terminate returns is nobody's business.
            Class::Throw => Self::Done,
        }
    }
}

/// What is left to do once terminate has ended.
#[derive(Debug)]
pub(crate) struct Farewell {
    /// The exit reason, unless terminate gives another.
    pub(crate) reason: Reason,
    /// The answer to the call that stopped the server; sent after terminate, as `gen_server` does.
    pub(crate) reply: Option<(ReplyTo, Term)>,
}

/// What a terminate callback came to.
pub(crate) enum Parting<S> {
    /// The process ends.
    Over(Step),
    /// Terminate goes on after this step.
    Later(Step, Then<S, Termination<S>>, Farewell),
}

impl Farewell {
    /// Ends the process, unless terminate itself waits for something.
    pub(crate) fn settle<S: 'static>(self, termination: Termination<S>, cx: &mut Context<'_>) -> Parting<S> {
        let reason = match termination {
            Termination::Await(pause) => {
                let (step, then) = pause.into_parts();
                return Parting::Later(step, then, self);
            }
            Termination::Done => self.reason,
            Termination::Exit(reason) => reason,
            Termination::Crash(reason) => Term::crash(reason),
        };
        if let Some((to, reply)) = self.reply {
            cx.reply(to, reply);
        }
        Parting::Over(Step::Exit(reason))
    }
}
