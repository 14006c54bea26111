//! `gen_server`: a process that answers calls and handles casts and messages one at a time, on a state of its own.
//!
//! Here: the trait that a server implements and the results of its callbacks. `module` makes a module of it, `process`
//! is the loop. What OTP's `gen_server` does is kept to: the order of reply, terminate and exit, the exit reasons, and
//! which ends run the terminate callback (a stop, a crash, an exit inside a callback, the parent's EXIT when trapping;
//! never a kill or an untrapped exit signal).

mod module;
mod process;

pub use module::{GenServerModule, ServerLoop};

use crate::pause::Pause;
use crate::raise::{Class, Exception};
use crate::start;
pub use crate::termination::Termination;
use arsenal_runtime::context::Context;
use arsenal_runtime::message::{Message, ReplyTo};
use arsenal_runtime::term::{Reason, Term};
use std::time::Duration;

/// What a server's init results in.
pub type Init<S> = start::Init<Ready<S>>;

/// A server that is ready to run, and what it does first.
#[derive(Debug)]
pub struct Ready<S> {
    pub(crate) state: S,
    pub(crate) next: Next,
}

impl<S> start::Init<Ready<S>> {
    /// `{ok, State}`.
    pub fn ok(state: S) -> Self {
        Self::Ok(Ready { state, next: Next::Receive })
    }

    /// `{ok, State, Next}`: with an idle timeout, a continue or hibernation.
    pub fn ok_then(state: S, next: Next) -> Self {
        Self::Ok(Ready { state, next })
    }
}

/// What a server does after a callback.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Next {
    /// It waits for the next message.
    #[default]
    Receive,
    /// It waits this long; then `handle_info` sees the message `timeout`. Any message cancels it.
    Timeout(Duration),
    /// It waits with as little memory as it can.
    Hibernate,
    /// `handle_continue` runs with this before any message.
    Continue(Term),
}

/// What a callback results in.
#[derive(Debug)]
pub enum Outcome<S> {
    /// Answers the call in hand. Anywhere but in a call this is a bad return value.
    Reply(Term, Next),
    /// Answers nothing; a call may be answered later with [`Context::reply`].
    NoReply(Next),
    /// Stops the server with this reason.
    Stop(Reason),
    /// The same, and answers the call in hand.
    StopReply(Reason, Term),
    /// `error(Reason)`: the server exits with `{"crash": reason}`.
    Crash(Reason),
    /// `exit(Reason)`.
    Exit(Reason),
    /// A value that no callback may return: the server exits with `["bad_return_value", value]`.
    BadReturn(Term),
    /// The callback has not ended yet.
    Await(Pause<S, Outcome<S>>),
}

impl<S> Outcome<S> {
    /// Answers the call in hand.
    pub fn reply(reply: impl Into<Term>) -> Self {
        Self::Reply(reply.into(), Next::Receive)
    }

    /// Answers nothing.
    pub const fn no_reply() -> Self {
        Self::NoReply(Next::Receive)
    }

    /// The same with another [`Next`]; no change where the server ends or the callback goes on.
    #[must_use]
    pub fn then(self, next: Next) -> Self {
        match self {
            Self::Reply(reply, _) => Self::Reply(reply, next),
            Self::NoReply(_) => Self::NoReply(next),
            other => other,
        }
    }
}

impl<S> From<Pause<S, Outcome<S>>> for Outcome<S> {
    fn from(pause: Pause<S, Outcome<S>>) -> Self {
        Self::Await(pause)
    }
}

impl<S> From<Exception> for Outcome<S> {
    fn from(exception: Exception) -> Self {
        match exception.class {
            Class::Error => Self::Crash(exception.reason),
            Class::Exit => Self::Exit(exception.reason),
            Class::Throw => Self::BadReturn(exception.reason),
        }
    }
}

/// A server: the value that implements this is its state.
///
/// Callbacks never block their scheduler: what needs time hands back a [`Pause`] (`Pause::sleep(..).into()`).
pub trait GenServer: Sized + Send + 'static {
    /// A call: answer it with [`Outcome::Reply`], or later with [`Context::reply`] to `from`.
    fn handle_call(&mut self, request: &Term, from: ReplyTo, cx: &mut Context<'_>) -> Outcome<Self>;

    /// A cast. By default dropped.
    fn handle_cast(&mut self, _request: &Term, _cx: &mut Context<'_>) -> Outcome<Self> {
        Outcome::no_reply()
    }

    /// Any other message: an ordinary one, EXIT, DOWN, a timer's, or `timeout` after [`Next::Timeout`]. By default
    /// dropped.
    fn handle_info(&mut self, _message: &Message, _cx: &mut Context<'_>) -> Outcome<Self> {
        Outcome::no_reply()
    }

    /// What [`Next::Continue`] asked for. A server that never asks needs none.
    fn handle_continue(&mut self, _continuation: &Term, _cx: &mut Context<'_>) -> Outcome<Self> {
        Outcome::Crash(Term::Atom("undef"))
    }

    /// The server is about to exit with `reason`.
    fn terminate(&mut self, _reason: &Reason, _cx: &mut Context<'_>) -> Termination<Self> {
        Termination::Done
    }

    /// The state as `sys:get_state` shows it. Say so with [`inspectable`](crate::module::BehaviourModule::inspectable).
    fn inspect(&self) -> Option<Term> {
        None
    }

    /// Takes another state, or refuses it with `false`. Say so with [`replaceable`](crate::module::BehaviourModule::replaceable).
    fn replace(&mut self, _state: &Term) -> bool {
        false
    }

    /// The state in a form that the function given to [`restorable`](crate::module::BehaviourModule::restorable) reads.
    fn snapshot(&self) -> Option<Term> {
        None
    }

    /// Bytes of heap that the state holds, if it can tell.
    fn heap_bytes(&self) -> Option<usize> {
        None
    }

    /// Gives back spare capacity.
    fn shrink(&mut self) {}
}
