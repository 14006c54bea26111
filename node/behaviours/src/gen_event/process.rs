//! The loop of an event manager's process: carries messages into the core, runs the callbacks that it asks for.
//!
//! Invariant: handlers run one after another, each to its end, and no message is read before the last is done.

use super::Init;
use super::core::{Act, Core, Key, Verdict};
use super::handler::{Answer, Handler, HandlerModules, exit_value};
use super::request::EventRequest;
use crate::pause::Then;
use crate::raise::guard;
use crate::system::{self, Request};
use arsenal_runtime::body::{Body, Event, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::{Kind, Message};
use arsenal_runtime::term::Term;
use std::sync::Arc;

/// The body of an event manager's process.
pub(super) struct Manager {
    modules: Arc<HandlerModules>,
    core: Core,
    handlers: Vec<(Key, Box<dyn Handler>)>,
    paused: Option<Paused>,
}

/// A callback in the middle.
enum Paused {
    Handler(Key),
    Init(Key, Then<(), Init<Box<dyn Handler>>>),
}

impl Manager {
    pub(super) fn new(modules: Arc<HandlerModules>) -> Self {
        Self { modules, core: Core::default(), handlers: Vec::new(), paused: None }
    }

    /// Does all that is to be done, then waits.
    fn run(&mut self, cx: &mut Context<'_>) -> Step {
        loop {
            if cx.should_yield() {
                return Step::Yield;
            }
            let Some(act) = self.core.next_act() else {
                let hibernates = self.core.take_hibernate();
                return if hibernates { Step::Hibernate(Receive::any()) } else { Step::Wait(Receive::any()) };
            };
            if let Some(step) = self.perform(act, cx) {
                return step;
            }
        }
    }

    /// Does one thing; a step if the process cannot go on at once.
    fn perform(&mut self, act: Act, cx: &mut Context<'_>) -> Option<Step> {
        match act {
            Act::Handle { key, callback, content } => {
                cx.burn(1);
                let answer = match self.handler(key) {
                    Some(handler) => handler.handle(callback, &content, cx),
                    None => Answer::Handled(Verdict::Failed(Term::Atom("no_handler"))),
                };
                return self.settle(key, answer);
            }
            Act::Terminate { key, argument } => {
                let answer = match self.handler(key) {
                    Some(handler) => handler.terminate(&argument, cx),
                    None => Answer::Terminated(Err(Term::Atom("no_handler"))),
                };
                return self.settle(key, answer);
            }
            Act::Install { key, handler, args, handed_over } => {
                let init = self.modules.install(&handler, &args, handed_over.as_ref(), cx);
                return self.settle_init(key, init);
            }
            Act::Reply(to, reply) => cx.reply(to, reply),
            Act::Tell(to, payload) => cx.send(to, payload),
            Act::Link(owner) => cx.link(owner),
            Act::Unlink(owner) => cx.unlink(owner),
            Act::Exit(reason) => return Some(Step::Exit(reason)),
        }
        None
    }

    fn handler(&mut self, key: Key) -> Option<&mut Box<dyn Handler>> {
        self.handlers.iter_mut().find(|(known, _)| *known == key).map(|(_, handler)| handler)
    }

    fn settle(&mut self, key: Key, answer: Answer) -> Option<Step> {
        match answer {
            Answer::Paused(step) => {
                self.paused = Some(Paused::Handler(key));
                return Some(step);
            }
            Answer::Handled(verdict) => self.core.handled(verdict),
            Answer::Terminated(result) => {
                self.handlers.retain(|(known, _)| *known != key);
                self.core.terminated(result);
            }
        }
        None
    }

    fn settle_init(&mut self, key: Key, init: Init<Box<dyn Handler>>) -> Option<Step> {
        let result = match init {
            Init::Await(pause) => {
                let (step, then) = pause.into_parts();
                self.paused = Some(Paused::Init(key, then));
                return Some(step);
            }
            Init::Ok(handler) => {
                self.handlers.push((key, handler));
                Ok(())
            }
            Init::Stop(reason) => Err(Term::tagged("error", reason)),
            Init::Exit(reason) => Err(exit_value(reason)),
            Init::Crash(reason) => Err(exit_value(Term::crash(reason))),
            Init::Ignore => Err(Term::Atom("ignore")),
            Init::BadReturn(value) => Err(value),
        };
        self.core.installed(result);
        None
    }

    fn resume(&mut self, paused: Paused, event: Event, cx: &mut Context<'_>) -> Step {
        let step = match paused {
            Paused::Handler(key) => match self.handler(key) {
                Some(handler) => {
                    let answer = handler.resume(event.into(), cx);
                    self.settle(key, answer)
                }
                None => None,
            },
            Paused::Init(key, then) => {
                let init = guard(|| then(&mut (), event.into(), cx)).unwrap_or_else(Init::from);
                self.settle_init(key, init)
            }
        };
        match step {
            Some(step) => step,
            None => self.run(cx),
        }
    }

    fn deliver(&mut self, message: Message, cx: &mut Context<'_>) {
        let parent = cx.parent();
        match message.kind {
            Kind::Notify => self.core.notify(message.payload),
            Kind::Call => match (EventRequest::from_term(&message.payload), message.reply_to()) {
                (Ok(request), Some(from)) => self.core.request(request, from),
                (Err(error), Some(from)) => cx.reply(from, bad_request(error.0)),
                (_, None) => self.core.inform(message.to_term(cx.me())),
            },
            Kind::Exit if system::is_parent(message.from, cx) => self.core.stop(message.payload, parent),
            Kind::Exit => {
                let info = message.to_term(cx.me());
                self.core.owner_ended(message.from, &message.payload, info);
            }
            Kind::System => match system::request(&message, cx) {
                Some(Request::Terminate(reason)) => self.core.stop(reason, parent),
                Some(Request::Raise(exception)) => self.core.stop(exception.into_exit_reason(), parent),
                None => self.core.inform(message.to_term(cx.me())),
            },
            _ => self.core.inform(message.to_term(cx.me())),
        }
    }
}

fn bad_request(payload: Term) -> Term {
    Term::tagged("error", Term::tagged("bad_request", payload))
}

impl Body for Manager {
    fn step(&mut self, event: Event, cx: &mut Context<'_>) -> Step {
        if let Some(paused) = self.paused.take() {
            return self.resume(paused, event, cx);
        }
        match event {
            Event::Start => {
                // Owners are linked, and their ends are messages to a manager.
                cx.trap_exit(true);
                cx.started();
            }
            Event::Message(message) => self.deliver(message, cx),
            Event::Timeout | Event::Resume | Event::Unblocked(_) => {}
        }
        self.run(cx)
    }

    fn inspect(&self) -> Option<Term> {
        let state_of = |key: Key| self.handlers.iter().find(|(known, _)| *known == key)?.1.inspect();
        Some(Term::list(self.core.handlers().map(|(key, handler)| {
            let (module, id) = match handler.as_list() {
                Some([module, id]) => (module.clone(), id.clone()),
                _ => (handler.clone(), Term::Bool(false)),
            };
            [module, id, state_of(key).unwrap_or_default()].into()
        })))
    }

    fn handlers(&self) -> Option<Vec<Term>> {
        Some(self.core.handlers().map(|(_, handler)| handler.clone()).collect())
    }

    fn shrink(&mut self) {
        self.handlers.shrink_to_fit();
    }

    fn backtrace(&self) -> Vec<String> {
        let callback = match self.paused {
            Some(Paused::Handler(_)) => Some("a handler"),
            Some(Paused::Init(..)) => Some("a handler's init"),
            None => None,
        };
        callback.into_iter().chain(["gen_event::loop"]).map(str::to_owned).collect()
    }
}
