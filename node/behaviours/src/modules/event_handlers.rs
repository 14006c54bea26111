//! The handler modules of `event_manager`: `counter`, `log` and `relay`.
//!
//! `counter` counts events (args `{"initial": n}`; the call `count` answers the number; a successor that is a counter
//! goes on with it). `log` keeps the newest events (args `{"events_max": n}`, 1,000; the calls `events` and `clear`
//! answer them). `relay` sends each event to the process that its args name in `to`. Each answers another call with
//! `["error", "unknown_request"]`.

use super::args::receiver;
use crate::gen_event::{EventHandler, Handled, HandlerModules, Init, Removed};
use arsenal_runtime::context::Context;
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::Term;
use std::collections::VecDeque;

/// The handler modules that ship with a node.
pub fn handler_modules() -> HandlerModules {
    HandlerModules::new()
        .with("counter", |args, handed_over, _| {
            let handed_over = handed_over.and_then(Term::as_int);
            let initial = args.get("initial").and_then(Term::as_int);
            Init::Ok(EventCounter { count: handed_over.or(initial).unwrap_or(0) })
        })
        .with("log", |args, _, _| {
            let events_max = args.get("events_max").and_then(Term::as_int);
            let events_max = events_max.and_then(|n| usize::try_from(n).ok()).unwrap_or(EventLog::EVENTS_MAX);
            Init::Ok(EventLog { events: VecDeque::new(), events_max })
        })
        .with("relay", |args, _, _| match receiver(args) {
            Some(to) => Init::Ok(EventRelay { to }),
            None => Init::Stop(Term::tagged("badarg", "to".into())),
        })
}

fn unknown_request<H>() -> Handled<H> {
    Handled::Reply(Term::tagged("error", Term::Atom("unknown_request")))
}

struct EventCounter {
    count: i64,
}

impl EventHandler for EventCounter {
    fn handle_event(&mut self, _event: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        self.count += 1;
        Handled::Ok
    }

    fn handle_call(&mut self, request: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        if request.is("count") { Handled::Reply(self.count.into()) } else { unknown_request() }
    }

    fn terminate(&mut self, _argument: &Term, _cx: &mut Context<'_>) -> Removed<Self> {
        Removed::Value(self.count.into())
    }

    fn inspect(&self) -> Option<Term> {
        Some(self.count.into())
    }
}

struct EventLog {
    events: VecDeque<Term>,
    events_max: usize,
}

impl EventLog {
    const EVENTS_MAX: usize = 1_000;

    fn events(&self) -> Term {
        Term::list(self.events.iter().cloned())
    }
}

impl EventHandler for EventLog {
    fn handle_event(&mut self, event: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        self.events.push_back(event.clone());
        if self.events.len() > self.events_max {
            self.events.pop_front();
        }
        Handled::Ok
    }

    fn handle_call(&mut self, request: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        match request.as_str() {
            Some("events") => Handled::Reply(self.events()),
            Some("clear") => {
                let events = self.events();
                self.events = VecDeque::new();
                Handled::Reply(events)
            }
            _ => unknown_request(),
        }
    }

    fn terminate(&mut self, _argument: &Term, _cx: &mut Context<'_>) -> Removed<Self> {
        Removed::Value(self.events())
    }

    fn inspect(&self) -> Option<Term> {
        Some(self.events())
    }
}

struct EventRelay {
    to: Pid,
}

impl EventHandler for EventRelay {
    fn handle_event(&mut self, event: &Term, cx: &mut Context<'_>) -> Handled<Self> {
        cx.send(self.to, event.clone());
        Handled::Ok
    }

    fn handle_call(&mut self, _request: &Term, _cx: &mut Context<'_>) -> Handled<Self> {
        unknown_request()
    }

    fn inspect(&self) -> Option<Term> {
        Some(self.to.into())
    }
}
