//! The process that owns a supervisor's core: signals in, actions out.
//!
//! Invariants: it traps exits and is linked to each of its children, so that they die with it however it dies. While a
//! child starts or stops it reads nothing else: its mailbox stays as it is, as that of an Erlang supervisor does.

mod module;
mod observer;
mod stopping;

pub use module::{Init, SupervisorCallback, SupervisorModule};
pub use observer::{EventLog, Observer};

use super::core::{Action, Event as CoreEvent, SupervisorCore};
use super::request::{Form, Outcome, SupervisorReply, SupervisorRequest, write_reply};
use super::spec::ChildSpec;
use crate::raise::Class;
use crate::start::bad_return_value;
use crate::system;
use arsenal_runtime::body::{Body, Event, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::hold::{self, HoldKind};
use arsenal_runtime::message::{Kind, Message, ReplyTo};
use arsenal_runtime::pid::{Pid, Ref};
use arsenal_runtime::start::StartOptions;
use arsenal_runtime::term::{Reason, Term};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use stopping::Stopping;

/// The body of a supervisor.
struct Supervisor {
    phase: Phase,
    observer: Arc<dyn Observer>,
}

enum Phase {
    Init { callback: Arc<dyn SupervisorCallback>, args: Term },
    Running(Box<Running>),
    Ended,
}

/// A supervisor at work.
struct Running {
    core: SupervisorCore,
    work: Work,
    /// What the core has decided and is still to be done.
    actions: VecDeque<Action>,
    /// Who waits for an answer, and in which shape.
    caller: Option<(ReplyTo, Form)>,
    /// Whether the starter was told that it runs.
    acknowledged: bool,
    /// The operation that is being carried out, 0 for none.
    operation: u64,
}

/// What it waits for.
enum Work {
    /// The next message.
    Nothing,
    /// A child's init.
    Starting { reference: Ref, pid: Pid },
    /// The end of a child whose init has failed: its name is free then.
    Failing { monitor: Ref, pid: Pid, result: Result<Option<Pid>, Reason> },
    /// The ends of children.
    Stopping(Stopping),
}

/// How far a turn came.
enum Turn {
    /// The core has an answer, or the next message is due.
    Feed(CoreEvent),
    Rest(Step),
}

impl Body for Supervisor {
    fn step(&mut self, event: Event, cx: &mut Context<'_>) -> Step {
        let turn = match &mut self.phase {
            Phase::Init { callback, args } => {
                cx.trap_exit(true);
                let init = callback.init(args, cx);
                self.begin(init, cx)
            }
            Phase::Running(running) => running.woken(event, cx),
            Phase::Ended => Turn::Rest(Step::Exit(Term::NORMAL)),
        };
        let step = match (turn, &mut self.phase) {
            (Turn::Rest(step), _) => step,
            (Turn::Feed(event), Phase::Running(running)) => running.drive(event, &*self.observer, cx),
            (Turn::Feed(_), _) => Step::Exit(Term::NORMAL),
        };
        if let Step::Exit(_) = step {
            self.phase = Phase::Ended;
        }
        step
    }

    fn inspect(&self) -> Option<Term> {
        let Phase::Running(running) = &self.phase else { return None };
        let core = &running.core;
        let children = core.children().iter().map(|(_, child)| {
            let pid = child.state.pid().map_or(Term::UNDEFINED, Term::Pid);
            Term::map([("id", child.spec.id.clone()), ("pid", pid)])
        });
        Some(Term::map([
            ("flags", core.flags().to_term()),
            ("paused", Term::Bool(core.is_paused())),
            ("children", Term::list(children)),
        ]))
    }

    fn heap_bytes(&self) -> Option<usize> {
        // A child in the map, its pid in the index, and its id's text: an estimate.
        const CHILD: usize = 224;
        let Phase::Running(running) = &self.phase else { return Some(0) };
        Some(size_of::<Running>() + running.core.children().len() * CHILD)
    }

    fn backtrace(&self) -> Vec<String> {
        let frame = match &self.phase {
            Phase::Init { .. } => "supervisor:init".to_owned(),
            Phase::Ended => return Vec::new(),
            Phase::Running(running) => match &running.work {
                Work::Nothing => "supervisor:loop".to_owned(),
                Work::Starting { pid, .. } => format!("supervisor:start_child({pid})"),
                Work::Failing { pid, .. } => format!("supervisor:await_failed_start({pid})"),
                Work::Stopping(stopping) => format!("supervisor:terminate_children({})", stopping.left()),
            },
        };
        vec![frame]
    }
}

impl Supervisor {
    fn new(callback: Arc<dyn SupervisorCallback>, args: Term, observer: Arc<dyn Observer>) -> Self {
        Self { phase: Phase::Init { callback, args }, observer }
    }

    fn begin(&mut self, init: Init, cx: &mut Context<'_>) -> Turn {
        let checked = match init {
            Init::Supervise(spec) => match spec.check() {
                Ok(()) => Ok(spec),
                Err(error) => Err(error.to_start_reason()),
            },
            Init::Ignore => {
                cx.ignore();
                return Turn::Rest(Step::Exit(Term::NORMAL));
            }
            Init::Stop(reason) => Err(reason),
        };
        match checked {
            Ok(spec) => {
                self.phase = Phase::Running(Box::new(Running {
                    core: SupervisorCore::new(spec),
                    work: Work::Nothing,
                    actions: VecDeque::new(),
                    caller: None,
                    acknowledged: false,
                    operation: cx.operation(),
                }));
                Turn::Feed(CoreEvent::Begin)
            }
            Err(reason) => {
                cx.start_failed(reason.clone());
                Turn::Rest(Step::Exit(reason))
            }
        }
    }
}

impl Running {
    /// What the runtime's event means to the core.
    fn woken(&mut self, event: Event, cx: &mut Context<'_>) -> Turn {
        match std::mem::replace(&mut self.work, Work::Nothing) {
            Work::Nothing => match event {
                Event::Message(message) => self.message(message, cx),
                _ => Turn::Rest(Step::Wait(Receive::any())),
            },
            Work::Starting { reference, pid } => self.start_ended(reference, pid, event, cx),
            Work::Failing { monitor, pid, result } => match event {
                Event::Message(_) => {
                    cx.unlink(pid);
                    Turn::Feed(CoreEvent::Started(result))
                }
                _ => self.rest(Work::Failing { monitor, pid, result }, Receive::reply(monitor)),
            },
            Work::Stopping(mut stopping) => match stopping.woken(event, cx) {
                Some((place, reason)) => {
                    if stopping.left() > 0 {
                        self.work = Work::Stopping(stopping);
                    }
                    Turn::Feed(CoreEvent::Stopped { place, reason })
                }
                None => {
                    let receive = stopping.receive(cx);
                    self.rest(Work::Stopping(stopping), receive)
                }
            },
        }
    }

    fn rest(&mut self, work: Work, receive: Receive) -> Turn {
        self.work = work;
        Turn::Rest(Step::Wait(receive))
    }

    /// A message while nothing is in progress.
    fn message(&mut self, message: Message, cx: &mut Context<'_>) -> Turn {
        self.operation = message.operation;
        let event = match message.kind {
            Kind::Call => self.call(&message, cx),
            Kind::Exit if system::is_parent(message.from, cx) => Some(CoreEvent::Terminate(message.payload)),
            Kind::Exit => Some(CoreEvent::Exited { pid: message.from, reason: message.payload }),
            Kind::Cast if message.from == cx.me() => note::read_try_again(&message.payload),
            Kind::Down if hold::tells_of_release(&message) => self.unpaused(cx),
            Kind::System => match system::request(&message, cx) {
                Some(system::Request::Terminate(reason)) => Some(CoreEvent::Terminate(reason)),
                Some(system::Request::Raise(exception)) => {
                    Some(CoreEvent::Terminate(match exception.class {
                        Class::Error => Term::crash(exception.reason),
                        Class::Exit => exception.reason,
                        Class::Throw => bad_return_value(exception.reason),
                    }))
                }
                None => None,
            },
            // As OTP's: what is not for a supervisor is dropped.
            _ => None,
        };
        match event {
            Some(event) => Turn::Feed(event),
            None => Turn::Rest(Step::Wait(Receive::any())),
        }
    }

    fn call(&mut self, message: &Message, cx: &mut Context<'_>) -> Option<CoreEvent> {
        let caller = message.reply_to()?;
        let (form, request) = SupervisorRequest::from_term(&message.payload);
        let outcome = match request {
            Ok(request) => match self.answer_without_core(&request, cx) {
                Some(reply) => Ok(reply),
                None => {
                    self.caller = Some((caller, form));
                    return Some(CoreEvent::Request(Box::new(request)));
                }
            },
            Err(error) => Err(error),
        };
        cx.reply(caller, write_reply(&outcome, form));
        None
    }

    fn answer_without_core(&self, request: &SupervisorRequest, cx: &Context<'_>) -> Option<SupervisorReply> {
        let held = || cx.node().is_held(cx.me(), HoldKind::PauseSupervision);
        match request {
            // it ended before the supervisor knew of it
            SupervisorRequest::Pause if !held() => Some(SupervisorReply::Done),
            SupervisorRequest::Resume { holder } => {
                let resumed = cx.node().release(cx.me(), HoldKind::PauseSupervision, holder).is_ok();
                // after the last one the core restarts what is owed, and answers
                (!resumed || held()).then_some(SupervisorReply::Resumed { resumed, restarted: Vec::new() })
            }
            request => self.answer_for_the_dead(request, cx),
        }
    }

    /// A hold has ended; another may have been taken since.
    fn unpaused(&self, cx: &Context<'_>) -> Option<CoreEvent> {
        let held = cx.node().is_held(cx.me(), HoldKind::PauseSupervision);
        (self.core.is_paused() && !held).then_some(CoreEvent::Unpaused)
    }

    /// An instance that is not there any more is terminated already, and was started from the template: whether it
    /// ended just before or long ago nobody remembers, as in OTP.
    fn answer_for_the_dead(&self, request: &SupervisorRequest, cx: &Context<'_>) -> Option<SupervisorReply> {
        let dead = |child: &Term| {
            let pid = child.as_pid().filter(|pid| !self.core.knows(*pid));
            pid.is_some_and(|pid| !cx.node().is_alive(pid))
        };
        let template = self.core.template()?;
        match request {
            SupervisorRequest::TerminateChild(child) if dead(child) => Some(SupervisorReply::Done),
            SupervisorRequest::GetChildSpec(child) if dead(child) => {
                Some(SupervisorReply::ChildSpec(Box::new(template.clone())))
            }
            _ => None,
        }
    }

    /// Feeds the core and does what it says, until something has to be waited for.
    fn drive(&mut self, event: CoreEvent, observer: &dyn Observer, cx: &mut Context<'_>) -> Step {
        let mut event = event;
        loop {
            let now = Duration::from_nanos(cx.node().now_ns());
            self.actions.extend(self.core.step(event, now));
            match self.perform(observer, cx) {
                Turn::Rest(step) => return step,
                Turn::Feed(next) => event = next,
            }
        }
    }

    fn perform(&mut self, observer: &dyn Observer, cx: &mut Context<'_>) -> Turn {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Start { spec, args, incarnation } => {
                    return self.start(&spec, &args, incarnation, cx);
                }
                Action::Stop(children) => {
                    let stopping = Stopping::begin(children, cx);
                    let receive = stopping.receive(cx);
                    return self.rest(Work::Stopping(stopping), receive);
                }
                Action::Reply(outcome) => self.reply(&outcome, cx),
                Action::TryAgain(place) => cx.cast(cx.me(), note::try_again(place)),
                Action::Acknowledge => {
                    self.acknowledged = true;
                    cx.started();
                }
                Action::Exit(reason) => {
                    if !self.acknowledged {
                        cx.start_failed(reason.clone());
                    }
                    return Turn::Rest(Step::Exit(reason));
                }
                Action::Publish(occurrence) => observer.observe(&occurrence, self.operation, cx),
            }
        }
        let receive = match &self.work {
            Work::Stopping(stopping) => stopping.receive(cx),
            _ => Receive::any(),
        };
        Turn::Rest(Step::Wait(receive))
    }

    fn reply(&mut self, outcome: &Outcome, cx: &mut Context<'_>) {
        if let Some((caller, form)) = self.caller.take() {
            cx.reply(caller, write_reply(outcome, form));
        }
    }

    fn start(&mut self, spec: &ChildSpec, args: &Term, incarnation: u32, cx: &mut Context<'_>) -> Turn {
        let options = StartOptions {
            name: spec.name.clone(),
            key: spec.key.clone(),
            link: true,
            labels: spec.labels.clone(),
            priority: spec.priority,
            mailbox: spec.mailbox,
            memory_bytes_max: spec.memory_bytes_max,
            child_id: Some(spec.id.clone()),
            incarnation: u64::from(incarnation),
            operation: self.operation,
            ..StartOptions::default()
        };
        match cx.start(&spec.module, args, options) {
            Ok((reference, pid)) => {
                let receive = Receive::reply(reference).within(spec.start_timeout);
                self.rest(Work::Starting { reference, pid }, receive)
            }
            Err(error) => Turn::Feed(CoreEvent::Started(Err(error.to_term()))),
        }
    }

    /// A child's init has ended, or took too long.
    fn start_ended(&mut self, reference: Ref, pid: Pid, event: Event, cx: &mut Context<'_>) -> Turn {
        let result = match event {
            Event::Message(message) if message.kind == Kind::Reply => match message.payload.as_list() {
                Some([tag, _]) if tag.is("ok") => return Turn::Feed(CoreEvent::Started(Ok(Some(pid)))),
                Some([tag, reason]) if tag.is("error") => Err(reason.clone()),
                _ => Ok(None),
            },
            Event::Message(message) => Err(message.down().map_or(Term::NOPROC, |(_, reason)| reason.clone())),
            Event::Timeout => {
                cx.abandon(reference);
                cx.exit(pid, Term::KILL);
                Err(Term::TIMEOUT)
            }
            _ => return self.rest(Work::Starting { reference, pid }, Receive::reply(reference)),
        };
        let monitor = cx.monitor(pid);
        self.rest(Work::Failing { monitor, pid, result }, Receive::reply(monitor))
    }
}

/// What a supervisor sends to itself.
mod note {
    use super::CoreEvent;
    use crate::supervisor::core::Place;
    use arsenal_runtime::term::Term;

    fn number(term: &Term, tag: &str) -> Option<u64> {
        match term.as_list() {
            Some([first, number]) if first.is(tag) => u64::try_from(number.as_int()?).ok(),
            _ => None,
        }
    }

    fn tagged(tag: &'static str, number: u64) -> Term {
        Term::tagged(tag, Term::Int(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    pub(super) fn try_again(place: Place) -> Term {
        tagged("try_again_restart", place.0)
    }

    pub(super) fn read_try_again(term: &Term) -> Option<CoreEvent> {
        number(term, "try_again_restart").map(|place| CoreEvent::TryAgain(Place(place)))
    }
}

#[cfg(test)]
mod tests;
