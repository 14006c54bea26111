//! `gen_event`: an event manager, and the handlers installed in it.
//!
//! Here: the trait that a handler implements and what its callbacks result in. [`core`] holds the rules (order of
//! handlers, removal, swaps, what owners are told) without a process, `process` carries them out, `request` is what a
//! manager can be asked for, `handler` hides a handler's type. A failing handler is removed; nothing else is harmed.

pub mod core;
mod handler;
mod module;
mod process;
mod request;

pub use handler::HandlerModules;
pub use module::EventManagerModule;
pub use request::{EventRequest, EventRequestError};

use crate::pause::Pause;
use crate::raise::{Class, Exception};
pub use crate::start::Init;
use arsenal_runtime::context::Context;
use arsenal_runtime::term::{Reason, Term};

/// What a handler's callback results in.
#[derive(Debug)]
pub enum Handled<H> {
    /// It goes on. To a call this is a bad return value.
    Ok,
    /// It goes on, and the manager hibernates.
    Hibernate,
    /// Answers the call in hand. To anything but a call this is a bad return value.
    Reply(Term),
    /// It is to be removed: terminate sees `remove_handler`.
    Remove,
    /// The same from a call, with its answer.
    RemoveReply(Term),
    /// Another handler takes its place.
    Swap(Swap),
    /// The same from a call, with its answer.
    SwapReply(Swap, Term),
    /// `error(Reason)`.
    Crash(Reason),
    /// `exit(Reason)`.
    Exit(Reason),
    /// A value that no callback may return.
    BadReturn(Term),
    /// The callback has not ended yet.
    Await(Pause<H, Handled<H>>),
}

/// Which handler takes a handler's place.
#[derive(Clone, Debug, PartialEq)]
pub struct Swap {
    /// What the old one's terminate sees.
    pub argument: Term,
    /// The new one: its module, or `[module, id]`.
    pub handler: Term,
    /// What the new one's init sees, beside what the old one's terminate returned.
    pub args: Term,
}

impl<H> From<Pause<H, Handled<H>>> for Handled<H> {
    fn from(pause: Pause<H, Handled<H>>) -> Self {
        Self::Await(pause)
    }
}

impl<H> From<Exception> for Handled<H> {
    fn from(exception: Exception) -> Self {
        match exception.class {
            Class::Error => Self::Crash(exception.reason),
            Class::Exit => Self::Exit(exception.reason),
            Class::Throw => Self::BadReturn(exception.reason),
        }
    }
}

/// What a handler's terminate results in.
#[derive(Debug)]
pub enum Removed<H> {
    /// It is gone and leaves this value: the answer to `delete_handler`, or what its successor gets.
    Value(Term),
    /// `error(Reason)`.
    Crash(Reason),
    /// `exit(Reason)`.
    Exit(Reason),
    /// The callback has not ended yet.
    Await(Pause<H, Removed<H>>),
}

impl<H> From<Pause<H, Removed<H>>> for Removed<H> {
    fn from(pause: Pause<H, Removed<H>>) -> Self {
        Self::Await(pause)
    }
}

impl<H> From<Exception> for Removed<H> {
    fn from(exception: Exception) -> Self {
        match exception.class {
            Class::Error => Self::Crash(exception.reason),
            Class::Exit => Self::Exit(exception.reason),
            Class::Throw => Self::Value(exception.reason),
        }
    }
}

/// An event handler: the value that implements this is its state.
///
/// Its init is the function given to [`HandlerModules::with`].
pub trait EventHandler: Sized + Send + 'static {
    /// An event that someone notified the manager of.
    fn handle_event(&mut self, event: &Term, cx: &mut Context<'_>) -> Handled<Self>;

    /// A call to this very handler.
    fn handle_call(&mut self, _request: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        Handled::Crash(Term::Atom("undef"))
    }

    /// Any other message to the manager, as OTP shows it.
    fn handle_info(&mut self, _info: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        Handled::Ok
    }

    /// It is being removed. `argument` says why: what `delete_handler` or a swap gave, `remove_handler`, `stop`,
    /// `["stop", reason]` when its owner died, `["error", value]` when it failed.
    fn terminate(&mut self, _argument: &Term, _cx: &mut Context<'_>) -> Removed<Self> {
        Removed::Value(Term::OK)
    }

    /// Its state as `sys:get_state` of the manager shows it.
    fn inspect(&self) -> Option<Term> {
        None
    }
}
