//! The loop of a `gen_server`'s process.
//!
//! Invariants: an idle server is its state and one empty pointer; whatever a start, a paused callback or an end needs
//! is behind that pointer. A call that is answered at once takes one turn and allocates nothing here.

use super::{GenServer, Next, Outcome, Ready};
use crate::in_hand::InHand;
use crate::pause::Then;
use crate::raise::{Class, Exception, guard};
use crate::start::{InitFunction, Progress, Starting, bad_return_value};
use crate::system::{self, Request};
use crate::termination::{Farewell, Parting, Termination};
use arsenal_runtime::body::{Body, Event, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::{Kind, Message, ReplyTo};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};
use std::any::type_name;
use std::sync::Arc;

/// The body of a server's process.
pub(super) struct Server<S: GenServer> {
    /// Nothing until init has ended.
    state: Option<S>,
    /// Nothing while it waits for a message.
    phase: Option<Box<Phase<S>>>,
}

/// What is under way between two turns.
enum Phase<S> {
    Starting(Starting<Ready<S>>),
    /// In a callback, of which `hand` is known where a message began it.
    Paused {
        then: Then<S, Outcome<S>>,
        call: Option<ReplyTo>,
        hand: Option<InHand>,
    },
    Continuing(Term),
    Terminating {
        then: Then<S, Termination<S>>,
        farewell: Farewell,
    },
}

impl<S: GenServer> Server<S> {
    pub(super) fn new(init: Arc<InitFunction<Ready<S>>>, args: Term) -> Self {
        Self { state: None, phase: Some(Box::new(Phase::Starting(Starting::Begin { init, args }))) }
    }

    pub(super) fn restored(state: S) -> Self {
        Self { state: Some(state), phase: None }
    }

    fn proceed(&mut self, phase: Phase<S>, event: Event, cx: &mut Context<'_>) -> Step {
        match (phase, &mut self.state) {
            (Phase::Starting(starting), _) => self.start(starting, event, cx),
            (Phase::Paused { then, call, hand }, Some(state)) => {
                let outcome = guard(|| then(state, event.into(), cx));
                let step = self.settle(outcome, call, cx);
                self.note(hand, &step, cx);
                step
            }
            (Phase::Continuing(continuation), Some(_)) => {
                self.settle(Ok(Outcome::NoReply(Next::Continue(continuation))), None, cx)
            }
            (Phase::Terminating { then, farewell }, Some(state)) => {
                let termination = guard(|| then(state, event.into(), cx));
                self.part(termination, farewell, cx)
            }
            (_, None) => no_state(),
        }
    }

    fn start(&mut self, starting: Starting<Ready<S>>, event: Event, cx: &mut Context<'_>) -> Step {
        match starting.advance(event, cx) {
            Progress::Running(Ready { state, next }) => {
                self.state = Some(state);
                self.settle(Ok(Outcome::NoReply(next)), None, cx)
            }
            Progress::Paused(starting, step) => {
                self.phase = Some(Box::new(Phase::Starting(starting)));
                step
            }
            Progress::Failed(step) => step,
        }
    }

    fn deliver(&mut self, message: &Message, cx: &mut Context<'_>) -> Step {
        let Some(state) = &mut self.state else { return no_state() };
        let mut call = None;
        let outcome = match message.kind {
            Kind::Call => match message.reply_to() {
                Some(from) => {
                    call = Some(from);
                    guard(|| state.handle_call(&message.payload, from, cx))
                }
                None => guard(|| state.handle_info(message, cx)),
            },
            Kind::Cast => guard(|| state.handle_cast(&message.payload, cx)),
            Kind::Exit if system::is_parent(message.from, cx) => {
                return self.terminate(message.payload.clone(), None, cx);
            }
            Kind::System => match system::request(message, cx) {
                Some(Request::Terminate(reason)) => return self.terminate(reason, None, cx),
                Some(Request::Raise(exception)) => Err(exception),
                None => guard(|| state.handle_info(message, cx)),
            },
            _ => guard(|| state.handle_info(message, cx)),
        };
        self.settle(outcome, call, cx)
    }

    /// Does what a callback's outcome asks for, and what `handle_continue` asks for after it. `call` is the call in
    /// hand, if there is one.
    fn settle(
        &mut self,
        mut outcome: Result<Outcome<S>, Exception>,
        mut call: Option<ReplyTo>,
        cx: &mut Context<'_>,
    ) -> Step {
        let mut callback = None;
        loop {
            let (reason, reply) = match outcome.unwrap_or_else(Outcome::from) {
                Outcome::NoReply(Next::Continue(continuation)) => match self.go_on(continuation, cx) {
                    Ok(continued) => {
                        (outcome, call, callback) = (continued, None, Some("handle_continue"));
                        continue;
                    }
                    Err(step) => return step,
                },
                Outcome::NoReply(next) => return receive(next),
                Outcome::Reply(reply, next) => match call.take() {
                    Some(from) => {
                        cx.reply(from, reply);
                        outcome = Ok(Outcome::NoReply(next));
                        continue;
                    }
                    None => (bad_return_value(Term::tagged("reply", reply)), None),
                },
                Outcome::Await(pause) => {
                    let (step, then) = pause.into_parts();
                    self.phase = Some(Box::new(Phase::Paused { then, call, hand: None }));
                    return step;
                }
                Outcome::StopReply(reason, reply) => match call {
                    Some(from) => (reason, Some((from, reply))),
                    None => (bad_return_value([Term::Atom("stop"), reason, reply].into()), None),
                },
                Outcome::Stop(reason) | Outcome::Exit(reason) => (reason, None),
                Outcome::Crash(reason) => (Term::crash(reason), None),
                Outcome::BadReturn(value) => (bad_return_value(value), None),
            };
            if let Some(callback) = callback {
                cx.report_crash(callback, None, &reason);
            }
            return self.terminate(reason, reply, cx);
        }
    }

    /// Keeps what a callback has in hand that waits in the middle, and reports it of one that ended the process.
    #[cold]
    fn note(&mut self, hand: Option<InHand>, step: &Step, cx: &mut Context<'_>) {
        let Some(hand) = hand else { return };
        match (self.phase.as_deref_mut(), step) {
            (Some(Phase::Paused { hand: kept, .. }), _) => *kept = Some(hand),
            (Some(Phase::Terminating { farewell, .. }), _) => hand.report(&farewell.reason, cx),
            (_, Step::Exit(reason)) => hand.report(reason, cx),
            _ => {}
        }
    }

    /// Runs `handle_continue`, unless it is time to give way: a server that always continues must not keep its
    /// scheduler.
    fn go_on(
        &mut self,
        continuation: Term,
        cx: &mut Context<'_>,
    ) -> Result<Result<Outcome<S>, Exception>, Step> {
        if cx.should_yield() {
            self.phase = Some(Box::new(Phase::Continuing(continuation)));
            return Err(Step::Yield);
        }
        cx.burn(1);
        match &mut self.state {
            Some(state) => Ok(guard(|| state.handle_continue(&continuation, cx))),
            None => Err(no_state()),
        }
    }

    fn terminate(&mut self, reason: Reason, reply: Option<(ReplyTo, Term)>, cx: &mut Context<'_>) -> Step {
        let Some(state) = &mut self.state else { return no_state() };
        let termination = guard(|| state.terminate(&reason, cx));
        self.part(termination, Farewell { reason, reply }, cx)
    }

    fn part(
        &mut self,
        termination: Result<Termination<S>, Exception>,
        farewell: Farewell,
        cx: &mut Context<'_>,
    ) -> Step {
        match farewell.settle(termination.unwrap_or_else(Termination::from), cx) {
            Parting::Over(step) => step,
            Parting::Later(step, then, farewell) => {
                self.phase = Some(Box::new(Phase::Terminating { then, farewell }));
                step
            }
        }
    }
}

/// Waits for the next message.
fn receive(next: Next) -> Step {
    match next {
        Next::Timeout(timeout) => Step::Wait(Receive::any().within(Some(timeout))),
        Next::Hibernate => Step::Hibernate(Receive::any()),
        Next::Receive | Next::Continue(_) => Step::Wait(Receive::any()),
    }
}

/// A running server without a state does not exist; should it ever, it ends instead of pretending.
fn no_state() -> Step {
    Step::Exit(Exception { class: Class::Error, reason: Term::Atom("no_state") }.into_exit_reason())
}

impl<S: GenServer> Body for Server<S> {
    fn step(&mut self, event: Event, cx: &mut Context<'_>) -> Step {
        if let Some(phase) = self.phase.take() {
            return self.proceed(*phase, event, cx);
        }
        match event {
            Event::Message(message) => {
                let step = self.deliver(&message, cx);
                if self.phase.is_some() || matches!(step, Step::Exit(_)) {
                    self.note(Some(InHand::of_server(&message, cx)), &step, cx);
                }
                step
            }
            Event::Timeout => self.deliver(&Message::info(Pid::NONE, Term::TIMEOUT), cx),
            // A restored server has no init to run; whoever waits for one is answered.
            Event::Start => {
                cx.started();
                Step::Wait(Receive::any())
            }
            Event::Resume | Event::Unblocked(_) => Step::Wait(Receive::any()),
        }
    }

    fn inspect(&self) -> Option<Term> {
        self.state.as_ref()?.inspect()
    }

    fn replace(&mut self, state: &Term) -> bool {
        self.state.as_mut().is_some_and(|server| server.replace(state))
    }

    fn snapshot(&self) -> Option<Term> {
        // In the middle of a callback there is more to a server than its state.
        if self.phase.is_some() {
            return None;
        }
        self.state.as_ref()?.snapshot()
    }

    fn heap_bytes(&self) -> Option<usize> {
        self.state.as_ref()?.heap_bytes()
    }

    fn shrink(&mut self) {
        if let Some(state) = &mut self.state {
            state.shrink();
        }
    }

    fn in_hand(&self) -> Option<Term> {
        match self.phase.as_deref()? {
            Phase::Paused { hand, .. } => hand.as_ref().map(|hand| hand.message().clone()),
            _ => None,
        }
    }

    fn backtrace(&self) -> Vec<String> {
        let mut frames = Vec::new();
        match self.phase.as_deref() {
            None => {}
            Some(Phase::Starting(_)) => frames.push(format!("{}::init", type_name::<S>())),
            Some(Phase::Paused { hand, .. }) => {
                let callback = hand.as_ref().map_or("handle_continue", InHand::callback);
                frames.push(format!("{}::{callback}", type_name::<S>()));
            }
            Some(Phase::Continuing(_)) => frames.push(format!("{}::handle_continue", type_name::<S>())),
            Some(Phase::Terminating { .. }) => frames.push(format!("{}::terminate", type_name::<S>())),
        }
        frames.push("gen_server::loop".to_owned());
        frames
    }
}

// An idle server of a small state fits the smallest allocation that holds it.
const _: () = assert!(size_of::<(Option<u64>, Option<Box<Phase<u64>>>)>() <= 24);
