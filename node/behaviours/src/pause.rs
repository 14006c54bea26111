//! Pauses: how a callback of any behaviour waits in the middle, for a reply, for a time, for blocking work.
//!
//! A callback never blocks its scheduler. It hands back a [`Pause`] instead of its result: what it waits for, and what
//! goes on then with the state. Until that comes the process reads nothing else; its mailbox stays as it is, as it
//! would for an Erlang process that sits in a `receive` inside a callback.

use arsenal_runtime::body::{Event, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::{Kind, Message};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};
use std::fmt;
use std::time::Duration;

/// What goes on after a pause.
pub(crate) type Then<S, O> = Box<dyn FnOnce(&mut S, Woken, &mut Context<'_>) -> O + Send>;

/// A callback that has not ended yet: `S` is the state that it goes on with, `O` what it results in.
pub struct Pause<S, O> {
    until: Until,
    then: Then<S, O>,
}

enum Until {
    Message(Receive),
    Work(Box<dyn FnOnce() -> Term + Send>),
    NextTurn,
}

/// Why a paused callback goes on.
#[derive(Debug)]
pub(crate) enum Woken {
    Message(Message),
    Timeout,
    Work(Term),
    Turn,
}

impl Woken {
    fn message(self) -> Option<Message> {
        match self {
            Self::Message(message) => Some(message),
            _ => None,
        }
    }
}

impl From<Event> for Woken {
    fn from(event: Event) -> Self {
        match event {
            Event::Message(message) => Self::Message(message),
            Event::Timeout => Self::Timeout,
            Event::Unblocked(result) => Self::Work(result),
            Event::Start | Event::Resume => Self::Turn,
        }
    }
}

impl<S: 'static, O: 'static> Pause<S, O> {
    /// Waits for a message that `receive` admits; `then` gets it, or nothing when the time was up first.
    pub fn receive(
        receive: Receive,
        then: impl FnOnce(&mut S, Option<Message>, &mut Context<'_>) -> O + Send + 'static,
    ) -> Self {
        Self::until(Until::Message(receive), move |state, woken, cx| then(state, woken.message(), cx))
    }

    /// Sleeps, as `timer:sleep/1` inside a callback does.
    pub fn sleep(
        duration: Duration,
        then: impl FnOnce(&mut S, &mut Context<'_>) -> O + Send + 'static,
    ) -> Self {
        let receive = Receive::none().within(Some(duration));
        Self::until(Until::Message(receive), move |state, _, cx| then(state, cx))
    }

    /// Calls another process, as `gen_server:call/3` inside a callback does; `None` waits for ever. `then` gets the
    /// reply, or why there is none: `timeout`, `noproc`, `calling_self`, or the exit reason of the server.
    pub fn call(
        cx: &mut Context<'_>,
        to: Pid,
        request: Term,
        timeout: Option<Duration>,
        then: impl FnOnce(&mut S, Result<Term, Reason>, &mut Context<'_>) -> O + Send + 'static,
    ) -> Self {
        if to == cx.me() {
            let refusal = Err(Term::Atom("calling_self"));
            return Self::until(Until::NextTurn, move |state, _, cx| then(state, refusal, cx));
        }
        let reference = cx.request(to, request);
        let receive = Receive::reply(reference).within(timeout);
        Self::receive(receive, move |state, message, cx| {
            let result = match message {
                None => {
                    cx.abandon(reference);
                    Err(Term::TIMEOUT)
                }
                Some(message) if message.kind == Kind::Reply => Ok(message.payload),
                Some(message) => Err(message.down().map_or(Term::NOPROC, |(_, reason)| reason.clone())),
            };
            then(state, result, cx)
        })
    }

    /// Runs `work`, which may block its thread, on the blocking pool and goes on with its result.
    pub fn block(
        work: impl FnOnce() -> Term + Send + 'static,
        then: impl FnOnce(&mut S, Term, &mut Context<'_>) -> O + Send + 'static,
    ) -> Self {
        Self::until(Until::Work(Box::new(work)), move |state, woken, cx| {
            let result = match woken {
                Woken::Work(result) => result,
                _ => Term::UNDEFINED,
            };
            then(state, result, cx)
        })
    }

    /// Gives way to other processes and goes on afterwards: a preemption point for long work.
    pub fn give_way(then: impl FnOnce(&mut S, &mut Context<'_>) -> O + Send + 'static) -> Self {
        Self::until(Until::NextTurn, move |state, _, cx| then(state, cx))
    }

    fn until(until: Until, then: impl FnOnce(&mut S, Woken, &mut Context<'_>) -> O + Send + 'static) -> Self {
        Self { until, then: Box::new(then) }
    }

    /// The same, with its result turned into another one.
    pub(crate) fn map<P: 'static>(self, change: impl FnOnce(O) -> P + Send + 'static) -> Pause<S, P> {
        let then = self.then;
        Pause { until: self.until, then: Box::new(move |state, woken, cx| change(then(state, woken, cx))) }
    }

    /// What the process does now, and what it goes on with.
    pub(crate) fn into_parts(self) -> (Step, Then<S, O>) {
        let step = match self.until {
            Until::Message(receive) => Step::Wait(receive),
            Until::Work(work) => Step::Block(work),
            Until::NextTurn => Step::Yield,
        };
        (step, self.then)
    }
}

impl<S, O> fmt::Debug for Pause<S, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.until {
            Until::Message(receive) => write!(f, "Pause({receive:?})"),
            Until::Work(_) => f.write_str("Pause(work)"),
            Until::NextTurn => f.write_str("Pause(next turn)"),
        }
    }
}
