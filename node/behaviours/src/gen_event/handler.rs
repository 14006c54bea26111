//! Handlers of any type behind one face, and the modules that they come from.

use super::core::Verdict;
use super::{EventHandler, Handled, Init, Removed};
use crate::pause::{Then, Woken};
use crate::raise::{Exception, guard};
use arsenal_runtime::body::Step;
use arsenal_runtime::context::Context;
use arsenal_runtime::term::{Reason, Term};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Which callback of a handler is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Callback {
    /// `handle_event`.
    Event,
    /// `handle_info`.
    Info,
    /// `handle_call`.
    Call,
}

/// What a callback came to.
pub(super) enum Answer {
    Handled(Verdict),
    /// Terminate's value, or `["EXIT", reason]` where it failed.
    Terminated(Result<Term, Term>),
    /// It goes on after this step.
    Paused(Step),
}

/// A handler of some type.
pub(super) trait Handler: Send {
    fn handle(&mut self, callback: Callback, content: &Term, cx: &mut Context<'_>) -> Answer;
    fn terminate(&mut self, argument: &Term, cx: &mut Context<'_>) -> Answer;
    /// Goes on with what paused.
    fn resume(&mut self, woken: Woken, cx: &mut Context<'_>) -> Answer;
    fn inspect(&self) -> Option<Term>;
}

struct Typed<H> {
    handler: H,
    paused: Option<Paused<H>>,
}

enum Paused<H> {
    Handling(Then<H, Handled<H>>),
    Terminating(Then<H, Removed<H>>),
}

/// `{'EXIT', Reason}`, what a caught exception is in Erlang.
pub(super) fn exit_value(reason: Reason) -> Term {
    Term::tagged("EXIT", reason)
}

impl<H: EventHandler> Typed<H> {
    fn handled(&mut self, handled: Result<Handled<H>, Exception>) -> Answer {
        Answer::Handled(match handled.unwrap_or_else(Handled::from) {
            Handled::Ok => Verdict::Ok,
            Handled::Hibernate => Verdict::Hibernate,
            Handled::Reply(reply) => Verdict::Reply(reply),
            Handled::Remove => Verdict::Remove,
            Handled::RemoveReply(reply) => Verdict::RemoveReply(reply),
            Handled::Swap(swap) => Verdict::Swap(swap),
            Handled::SwapReply(swap, reply) => Verdict::SwapReply(swap, reply),
            Handled::Crash(reason) => Verdict::Failed(exit_value(Term::crash(reason))),
            Handled::Exit(reason) => Verdict::Failed(exit_value(reason)),
            Handled::BadReturn(value) => Verdict::Failed(value),
            Handled::Await(pause) => {
                let (step, then) = pause.into_parts();
                self.paused = Some(Paused::Handling(then));
                return Answer::Paused(step);
            }
        })
    }

    fn removed(&mut self, removed: Result<Removed<H>, Exception>) -> Answer {
        Answer::Terminated(match removed.unwrap_or_else(Removed::from) {
            Removed::Value(value) => Ok(value),
            Removed::Crash(reason) => Err(exit_value(Term::crash(reason))),
            Removed::Exit(reason) => Err(exit_value(reason)),
            Removed::Await(pause) => {
                let (step, then) = pause.into_parts();
                self.paused = Some(Paused::Terminating(then));
                return Answer::Paused(step);
            }
        })
    }
}

impl<H: EventHandler> Handler for Typed<H> {
    fn handle(&mut self, callback: Callback, content: &Term, cx: &mut Context<'_>) -> Answer {
        let handler = &mut self.handler;
        let handled = guard(|| match callback {
            Callback::Event => handler.handle_event(content, cx),
            Callback::Info => handler.handle_info(content, cx),
            Callback::Call => handler.handle_call(content, cx),
        });
        self.handled(handled)
    }

    fn terminate(&mut self, argument: &Term, cx: &mut Context<'_>) -> Answer {
        let removed = guard(|| self.handler.terminate(argument, cx));
        self.removed(removed)
    }

    fn resume(&mut self, woken: Woken, cx: &mut Context<'_>) -> Answer {
        match self.paused.take() {
            Some(Paused::Handling(then)) => {
                let handled = guard(|| then(&mut self.handler, woken, cx));
                self.handled(handled)
            }
            Some(Paused::Terminating(then)) => {
                let removed = guard(|| then(&mut self.handler, woken, cx));
                self.removed(removed)
            }
            None => Answer::Handled(Verdict::Ok),
        }
    }

    fn inspect(&self) -> Option<Term> {
        self.handler.inspect()
    }
}

type InstallFunction = dyn Fn(&Term, Option<&Term>, &mut Context<'_>) -> Init<Box<dyn Handler>> + Send + Sync;

/// The handler modules that a manager can install handlers from, by name.
#[derive(Clone, Default)]
pub struct HandlerModules(BTreeMap<Arc<str>, Arc<InstallFunction>>);

impl HandlerModules {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// These and one more. `init` gets the args and, if the handler takes another one's place, what that one's
    /// terminate returned. [`Init::Stop`] is `{error, Reason}` here.
    #[must_use]
    pub fn with<H: EventHandler>(
        mut self,
        name: &str,
        init: impl Fn(&Term, Option<&Term>, &mut Context<'_>) -> Init<H> + Send + Sync + 'static,
    ) -> Self {
        let install = move |args: &Term, handed_over: Option<&Term>, cx: &mut Context<'_>| {
            init(args, handed_over, cx).map(erase)
        };
        self.0.insert(name.into(), Arc::new(install));
        self
    }

    /// Their names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// Runs the init of `handler`'s module.
    pub(super) fn install(
        &self,
        handler: &Term,
        args: &Term,
        handed_over: Option<&Term>,
        cx: &mut Context<'_>,
    ) -> Init<Box<dyn Handler>> {
        match handler.tag().and_then(|module| self.0.get(module)) {
            Some(install) => guard(|| install(args, handed_over, cx)).unwrap_or_else(Init::from),
            None => Init::Crash(Term::Atom("undef")),
        }
    }
}

fn erase<H: EventHandler>(handler: H) -> Box<dyn Handler> {
    Box::new(Typed { handler, paused: None })
}
