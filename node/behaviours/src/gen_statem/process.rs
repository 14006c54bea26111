//! The loop of a `gen_statem`'s process: carries events into the core and its effects out.
//!
//! Invariant: a timer that the core cancelled is never seen again, even if it fired while its message was on the way.

use super::core::{Core, Effect, Event, EventKind, Progress, TimerToken, TransitionError};
use super::{GenStatem, Ready, Transition};
use crate::pause::Then;
use crate::raise::{Exception, guard};
use crate::start::{InitFunction, Progress as StartProgress, Starting};
use crate::system::{self, Request};
use crate::termination::{Farewell, Parting, Termination};
use arsenal_runtime::body::{Body, Event as Turn, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::{Kind, Message};
use arsenal_runtime::pid::{OwnedId, Ref};
use arsenal_runtime::term::{Reason, Term};
use std::any::type_name;
use std::ops::ControlFlow;
use std::sync::Arc;

/// The body of a machine's process.
pub(super) struct Machine<S: GenStatem> {
    /// Nothing until init has ended.
    running: Option<Running<S>>,
    /// Nothing while it waits for a message or for its turn.
    phase: Option<Box<Phase<S>>>,
}

struct Running<S> {
    data: S,
    core: Core,
    timers: Vec<(TimerToken, OwnedId)>,
    /// Timers that were cancelled too late: their messages are on the way.
    stale: Vec<Ref>,
}

/// What is under way between two turns.
enum Phase<S> {
    Starting(Starting<Ready<S>>),
    Paused { then: Then<S, Transition<S>>, callback: Callback },
    Entering { previous: Term },
    Terminating { then: Then<S, Termination<S>>, farewell: Farewell },
}

/// Which callback a result is of.
enum Callback {
    Event(Event),
    Enter,
}

impl Callback {
    const fn name(&self) -> &'static str {
        match self {
            Self::Event(_) => "handle_event",
            Self::Enter => "enter",
        }
    }

    /// What its event says.
    const fn content(&self) -> Option<&Term> {
        match self {
            Self::Event(event) => Some(&event.content),
            Self::Enter => None,
        }
    }
}

impl<S: GenStatem> Running<S> {
    fn new(state: Term, data: S) -> Self {
        Self { data, core: Core::new(state, S::STATE_ENTER), timers: Vec::new(), stale: Vec::new() }
    }

    fn handle(&mut self, event: &Event, cx: &mut Context<'_>) -> Result<Transition<S>, Exception> {
        guard(|| self.data.handle_event(event, self.core.state(), cx))
    }

    fn enter(&mut self, previous: &Term, cx: &mut Context<'_>) -> Result<Transition<S>, Exception> {
        guard(|| self.data.enter(previous, self.core.state(), cx))
    }

    /// Whether its state and data are all there is to it.
    fn is_at_rest(&self) -> bool {
        self.core.is_at_rest() && self.stale.is_empty()
    }

    fn carry_out(&mut self, cx: &mut Context<'_>) {
        for effect in self.core.take_effects() {
            match effect {
                Effect::Reply(to, reply) => cx.reply(to, reply),
                Effect::Start(token, after) => {
                    let timer = cx.start_timer(Term::Null, after);
                    self.timers.push((token, timer));
                }
                Effect::Cancel(token) => self.cancel(token, cx),
            }
        }
    }

    fn cancel(&mut self, token: TimerToken, cx: &mut Context<'_>) {
        let Some(index) = self.timers.iter().position(|(started, _)| *started == token) else { return };
        let (_, timer) = self.timers.swap_remove(index);
        if cx.cancel_timer(timer).is_none() {
            self.stale.extend(timer.reference());
        }
    }

    /// What a timer's message comes to, if it is of a timer of ours: its event, or nothing if it was cancelled.
    fn timer_fired(&mut self, message: &Message) -> Option<Option<Event>> {
        let reference = message.reference.filter(|_| message.kind == Kind::Timeout)?;
        if let Some(index) = self.stale.iter().position(|stale| *stale == reference) {
            self.stale.swap_remove(index);
            return Some(None);
        }
        let ours = |(_, timer): &(TimerToken, OwnedId)| timer.number() == reference.number();
        let index = self.timers.iter().position(ours)?;
        let (token, _) = self.timers.swap_remove(index);
        Some(self.core.fired(token))
    }
}

impl<S: GenStatem> Machine<S> {
    pub(super) fn new(init: Arc<InitFunction<Ready<S>>>, args: Term) -> Self {
        Self { running: None, phase: Some(Box::new(Phase::Starting(Starting::Begin { init, args }))) }
    }

    pub(super) fn restored(state: Term, data: S) -> Self {
        Self { running: Some(Running::new(state, data)), phase: None }
    }

    fn proceed(&mut self, phase: Phase<S>, turn: Turn, cx: &mut Context<'_>) -> Step {
        match (phase, &mut self.running) {
            (Phase::Starting(starting), _) => self.start(starting, turn, cx),
            (Phase::Paused { then, callback }, Some(running)) => {
                let transition = guard(|| then(&mut running.data, turn.into(), cx));
                let step = self.settle(transition, callback, cx);
                self.or_run(step, cx)
            }
            (Phase::Entering { previous }, Some(running)) => {
                let transition = running.enter(&previous, cx);
                let step = self.settle(transition, Callback::Enter, cx);
                self.or_run(step, cx)
            }
            (Phase::Terminating { then, farewell }, Some(running)) => {
                let termination = guard(|| then(&mut running.data, turn.into(), cx));
                self.part(termination, farewell, cx)
            }
            (_, None) => no_state(),
        }
    }

    fn start(&mut self, starting: Starting<Ready<S>>, turn: Turn, cx: &mut Context<'_>) -> Step {
        let Ready { state, data, actions } = match starting.advance(turn, cx) {
            StartProgress::Running(ready) => ready,
            StartProgress::Paused(starting, step) => {
                self.phase = Some(Box::new(Phase::Starting(starting)));
                return step;
            }
            StartProgress::Failed(step) => return step,
        };
        let running = self.running.insert(Running::new(state, data));
        let progress = running.core.begin(actions);
        let step = match self.advance(progress, cx) {
            ControlFlow::Continue(entered) => self.settle(entered, Callback::Enter, cx),
            ControlFlow::Break(step) => step,
        };
        self.or_run(step, cx)
    }

    fn or_run(&mut self, step: Option<Step>, cx: &mut Context<'_>) -> Step {
        match step {
            Some(step) => step,
            None => self.run(None, cx),
        }
    }

    /// Handles `first`, then what is due, until nothing is or it is time to give way. A message is read only when
    /// nothing is due, so it need not queue.
    fn run(&mut self, mut first: Option<Event>, cx: &mut Context<'_>) -> Step {
        loop {
            let Some(running) = &mut self.running else { return no_state() };
            if first.is_none() && cx.should_yield() && running.core.has_event() {
                return Step::Yield;
            }
            let Some(event) = first.take().or_else(|| running.core.next_event()) else {
                let hibernates = running.core.hibernates();
                return if hibernates { Step::Hibernate(Receive::any()) } else { Step::Wait(Receive::any()) };
            };
            cx.burn(1);
            let transition = running.handle(&event, cx);
            if let Some(step) = self.settle(transition, Callback::Event(event), cx) {
                return step;
            }
        }
    }

    /// Does what a callback's result asks for, with the state enter calls that follow from it; nothing if the machine
    /// goes on at once.
    fn settle(
        &mut self,
        mut transition: Result<Transition<S>, Exception>,
        mut callback: Callback,
        cx: &mut Context<'_>,
    ) -> Option<Step> {
        loop {
            let Some(running) = &mut self.running else { return Some(no_state()) };
            let (cause, reason) = match transition.unwrap_or_else(Transition::from) {
                Transition::Go(change, actions) => {
                    let progress = match callback {
                        Callback::Event(event) => Ok(running.core.handled(event, change, actions)),
                        Callback::Enter => running.core.entered(change, actions),
                    };
                    transition = match self.advance(progress, cx) {
                        ControlFlow::Continue(entered) => entered,
                        ControlFlow::Break(step) => return step,
                    };
                    callback = Callback::Enter;
                    continue;
                }
                Transition::Await(pause) => {
                    let (step, then) = pause.into_parts();
                    self.phase = Some(Box::new(Phase::Paused { then, callback }));
                    return Some(step);
                }
                Transition::Stop(reason, replies) => {
                    for (to, reply) in replies {
                        cx.reply(to, reply);
                    }
                    (reason.clone(), reason)
                }
                Transition::Exit(reason) => (reason.clone(), reason),
                Transition::Crash(error) => (error.clone(), Term::crash(error)),
                Transition::BadReturn(value) => {
                    let error = Term::tagged("bad_return_from_state_function", value);
                    (error.clone(), Term::crash(error))
                }
            };
            cx.report_crash(callback.name(), callback.content(), &reason);
            return Some(self.terminate(&cause, reason, cx));
        }
    }

    /// Carries out what the core decided; goes on with the result of a state enter call if one is due.
    fn advance(
        &mut self,
        progress: Result<Progress, TransitionError>,
        cx: &mut Context<'_>,
    ) -> ControlFlow<Option<Step>, Result<Transition<S>, Exception>> {
        let Some(running) = &mut self.running else { return ControlFlow::Break(Some(no_state())) };
        running.carry_out(cx);
        match progress {
            Ok(Progress::Done) => ControlFlow::Break(None),
            // A state that is always entered once more must not keep its scheduler.
            Ok(Progress::Enter { previous }) if cx.should_yield() => {
                self.phase = Some(Box::new(Phase::Entering { previous }));
                ControlFlow::Break(Some(Step::Yield))
            }
            Ok(Progress::Enter { previous }) => {
                cx.burn(1);
                ControlFlow::Continue(running.enter(&previous, cx))
            }
            Err(error) => ControlFlow::Break(Some(self.crash(&error.to_term(), cx))),
        }
    }

    fn crash(&mut self, error: &Reason, cx: &mut Context<'_>) -> Step {
        self.terminate(error, Term::crash(error.clone()), cx)
    }

    /// Runs terminate, which sees `cause`, and exits with `reason`.
    fn terminate(&mut self, cause: &Reason, reason: Reason, cx: &mut Context<'_>) -> Step {
        let Some(Running { data, core, .. }) = &mut self.running else { return no_state() };
        let termination = guard(|| data.terminate(cause, core.state(), cx));
        self.part(termination, Farewell { reason, reply: None }, cx)
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

    fn deliver(&mut self, message: Message, cx: &mut Context<'_>) -> Step {
        let Some(running) = &mut self.running else { return no_state() };
        if let Some(event) = running.timer_fired(&message) {
            return self.run(event, cx);
        }
        let kind = match message.kind {
            Kind::Exit if system::is_parent(message.from, cx) => {
                return self.terminate(&message.payload, message.payload.clone(), cx);
            }
            Kind::System => match system::request(&message, cx) {
                Some(Request::Terminate(reason)) => return self.terminate(&reason, reason.clone(), cx),
                Some(Request::Raise(exception)) => return self.fail(exception, cx),
                None => EventKind::Info,
            },
            Kind::Call => message.reply_to().map_or(EventKind::Info, EventKind::Call),
            Kind::Cast => EventKind::Cast,
            _ => EventKind::Info,
        };
        let content = if kind == EventKind::Info { message.to_term(cx.me()) } else { message.payload };
        self.run(Some(Event { kind, content }), cx)
    }

    /// Fails as a callback that raised would have.
    fn fail(&mut self, exception: Exception, cx: &mut Context<'_>) -> Step {
        let nothing = Event { kind: EventKind::Internal, content: Term::Null };
        let step = self.settle(Err(exception), Callback::Event(nothing), cx);
        self.or_run(step, cx)
    }
}

/// A running machine without a state does not exist; should it ever, it ends instead of pretending.
fn no_state() -> Step {
    Step::Exit(Term::crash(Term::Atom("no_state")))
}

impl<S: GenStatem> Body for Machine<S> {
    fn step(&mut self, turn: Turn, cx: &mut Context<'_>) -> Step {
        if let Some(phase) = self.phase.take() {
            return self.proceed(*phase, turn, cx);
        }
        match turn {
            Turn::Message(message) => self.deliver(message, cx),
            // A restored machine has no init to run; whoever waits for one is answered.
            Turn::Start => {
                cx.started();
                self.run(None, cx)
            }
            Turn::Resume | Turn::Timeout | Turn::Unblocked(_) => self.run(None, cx),
        }
    }

    fn inspect(&self) -> Option<Term> {
        let running = self.running.as_ref()?;
        Some([running.core.state().clone(), running.data.inspect()?].into())
    }

    fn state_name(&self) -> Option<Term> {
        Some(self.running.as_ref()?.core.state().clone())
    }

    fn replace(&mut self, state: &Term) -> bool {
        let (Some(running), Some([state, data])) = (&mut self.running, state.as_list()) else { return false };
        let replaced = running.data.replace(data);
        if replaced {
            running.core.replace_state(state.clone());
        }
        replaced
    }

    fn snapshot(&self) -> Option<Term> {
        let running = self.running.as_ref().filter(|running| running.is_at_rest())?;
        Some([running.core.state().clone(), running.data.snapshot()?].into())
    }

    fn heap_bytes(&self) -> Option<usize> {
        self.running.as_ref()?.data.heap_bytes()
    }

    fn shrink(&mut self) {
        if let Some(running) = &mut self.running {
            running.core.shrink();
            running.timers.shrink_to_fit();
            running.stale.shrink_to_fit();
        }
    }

    fn in_hand(&self) -> Option<Term> {
        match self.phase.as_deref()? {
            Phase::Paused { callback, .. } => callback.content().cloned(),
            _ => None,
        }
    }

    fn backtrace(&self) -> Vec<String> {
        let callback = match self.phase.as_deref() {
            None => None,
            Some(Phase::Starting(_)) => Some("init"),
            Some(Phase::Paused { callback, .. }) => Some(callback.name()),
            Some(Phase::Entering { .. }) => Some(Callback::Enter.name()),
            Some(Phase::Terminating { .. }) => Some("terminate"),
        };
        let frame = callback.map(|callback| format!("{}::{callback}", type_name::<S>()));
        frame.into_iter().chain(["gen_statem::loop".to_owned()]).collect()
    }
}
