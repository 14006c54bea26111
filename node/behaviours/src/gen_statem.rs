//! `gen_statem`: a state machine whose callback sees the state's name beside its data.
//!
//! Here: the trait that a machine implements and what its callbacks result in. [`core`] holds the rules (postponed and
//! inserted events, timeouts, state enter calls) without a process, `process` is the loop that carries them out.

pub mod core;
mod module;
mod process;
mod timers;

pub use self::core::{Action, Change, Event, EventKind, TimeoutChange, TimeoutKind};
pub use module::{GenStatemModule, MachineLoop};

use crate::pause::Pause;
use crate::raise::{Class, Exception};
use crate::start;
pub use crate::termination::Termination;
use arsenal_runtime::context::Context;
use arsenal_runtime::message::ReplyTo;
use arsenal_runtime::term::{Reason, Term};
use std::time::Duration;

/// What a machine's init results in.
pub type Init<S> = start::Init<Ready<S>>;

/// A machine that is ready to run.
#[derive(Debug)]
pub struct Ready<S> {
    pub(crate) state: Term,
    pub(crate) data: S,
    pub(crate) actions: Vec<Action>,
}

impl<S> start::Init<Ready<S>> {
    /// `{ok, State, Data}`.
    pub fn ok(state: impl Into<Term>, data: S) -> Self {
        Self::ok_with(state, data, Vec::new())
    }

    /// `{ok, State, Data, Actions}`.
    pub fn ok_with(state: impl Into<Term>, data: S, actions: Vec<Action>) -> Self {
        Self::Ok(Ready { state: state.into(), data, actions })
    }
}

/// What a machine's callback results in.
#[derive(Debug)]
pub enum Transition<S> {
    /// Stays or changes the state, then does these things.
    Go(Change, Vec<Action>),
    /// Stops with this reason, after these replies.
    Stop(Reason, Vec<(ReplyTo, Term)>),
    /// `error(Reason)`: terminate sees the bare reason, the machine exits with `{"crash": reason}`.
    Crash(Reason),
    /// `exit(Reason)`.
    Exit(Reason),
    /// A value that no callback may return.
    BadReturn(Term),
    /// The callback has not ended yet.
    Await(Pause<S, Transition<S>>),
}

impl<S> Transition<S> {
    /// `keep_state_and_data`.
    pub const fn keep() -> Self {
        Self::Go(Change::Keep, Vec::new())
    }

    /// `{next_state, State, Data}`. To the same state it changes nothing.
    pub fn next(state: impl Into<Term>) -> Self {
        Self::Go(Change::To(state.into()), Vec::new())
    }

    /// `repeat_state`: as [`Transition::keep`], with the state enter call once more.
    pub const fn repeat() -> Self {
        Self::Go(Change::Repeat, Vec::new())
    }

    /// `{stop, Reason}`.
    pub fn stop(reason: impl Into<Reason>) -> Self {
        Self::Stop(reason.into(), Vec::new())
    }

    /// The same and one action more; a stop takes replies only.
    #[must_use]
    pub fn with(mut self, action: Action) -> Self {
        match (&mut self, action) {
            (Self::Go(_, actions), action) => actions.push(action),
            (Self::Stop(_, replies), Action::Reply(to, reply)) => replies.push((to, reply)),
            _ => {}
        }
        self
    }

    /// Answers a call.
    #[must_use]
    pub fn reply(self, to: ReplyTo, reply: impl Into<Term>) -> Self {
        self.with(Action::Reply(to, reply.into()))
    }

    /// Handles this event again once the state has changed.
    #[must_use]
    pub fn postpone(self) -> Self {
        self.with(Action::Postpone)
    }

    /// Hibernates before the next wait.
    #[must_use]
    pub fn hibernate(self) -> Self {
        self.with(Action::Hibernate)
    }

    /// Inserts an event before all that are queued.
    #[must_use]
    pub fn next_event(self, kind: EventKind, content: impl Into<Term>) -> Self {
        self.with(Action::NextEvent(Event { kind, content: content.into() }))
    }

    /// Sets the state timeout: it ends with the state.
    #[must_use]
    pub fn state_timeout(self, after: Duration, content: impl Into<Term>) -> Self {
        self.with(Action::set_timeout(TimeoutKind::State, after, content))
    }

    /// Sets the event timeout: any event ends it.
    #[must_use]
    pub fn event_timeout(self, after: Duration, content: impl Into<Term>) -> Self {
        self.with(Action::set_timeout(TimeoutKind::Event, after, content))
    }

    /// Sets a named timeout: it ends only when it is cancelled.
    #[must_use]
    pub fn named_timeout(self, name: impl Into<Term>, after: Duration, content: impl Into<Term>) -> Self {
        self.with(Action::set_timeout(TimeoutKind::Named(name.into()), after, content))
    }

    /// Cancels a timeout.
    #[must_use]
    pub fn cancel_timeout(self, kind: TimeoutKind) -> Self {
        self.with(Action::Timeout(kind, TimeoutChange::Cancel))
    }

    /// Changes what a running timeout will say; one that does not run fires at once.
    #[must_use]
    pub fn update_timeout(self, kind: TimeoutKind, content: impl Into<Term>) -> Self {
        self.with(Action::Timeout(kind, TimeoutChange::Update(content.into())))
    }
}

impl<S> From<Pause<S, Transition<S>>> for Transition<S> {
    fn from(pause: Pause<S, Transition<S>>) -> Self {
        Self::Await(pause)
    }
}

impl<S> From<Exception> for Transition<S> {
    fn from(exception: Exception) -> Self {
        match exception.class {
            Class::Error => Self::Crash(exception.reason),
            Class::Exit => Self::Exit(exception.reason),
            Class::Throw => Self::BadReturn(exception.reason),
        }
    }
}

/// A state machine: the value that implements this is its data; the state's name is kept beside it.
pub trait GenStatem: Sized + Send + 'static {
    /// Whether [`GenStatem::enter`] is called whenever a state is entered.
    const STATE_ENTER: bool = false;

    /// Handles an event in a state. OTP's callback mode `handle_event_function`.
    fn handle_event(&mut self, event: &Event, state: &Term, cx: &mut Context<'_>) -> Transition<Self>;

    /// The state was entered from `previous`, the same one at the start. May neither leave it, postpone nor insert.
    fn enter(&mut self, _previous: &Term, _state: &Term, _cx: &mut Context<'_>) -> Transition<Self> {
        Transition::keep()
    }

    /// The machine is about to exit. After a crash `reason` is the error's own, not `{"crash": reason}`.
    fn terminate(&mut self, _reason: &Reason, _state: &Term, _cx: &mut Context<'_>) -> Termination<Self> {
        Termination::Done
    }

    /// The data as `sys:get_state` shows it beside the state. Say so with [`inspectable`](crate::module::BehaviourModule::inspectable).
    fn inspect(&self) -> Option<Term> {
        None
    }

    /// Takes other data, or refuses it with `false`. Say so with [`replaceable`](crate::module::BehaviourModule::replaceable).
    fn replace(&mut self, _data: &Term) -> bool {
        false
    }

    /// The data in a form that the function given to [`restorable`](crate::module::BehaviourModule::restorable) reads.
    fn snapshot(&self) -> Option<Term> {
        None
    }

    /// Bytes of heap that the data holds, if it can tell.
    fn heap_bytes(&self) -> Option<usize> {
        None
    }
}
