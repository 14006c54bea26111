//! `task`: processes that do one thing and end.
//!
//! Functions: `return`; `crash`, `exit` (args `{"reason": term}`); `sleep` (`{"ms": n}`); `send`
//! (`{"to": pid, "message": term, "ms": n}`, after that long). Started as a module, `function` in the args says which.

use super::args::{milliseconds, receiver};
use crate::functions::{PlainModule, body};
use crate::raise;
use arsenal_runtime::body::{Body, Event, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::term::Term;

const FUNCTIONS: [(&str, Function); 5] = [
    ("return", |_, _| {}),
    ("crash", |args, _| raise::error(reason(args))),
    ("exit", |args, _| raise::exit(reason(args))),
    ("sleep", |_, _| {}),
    ("send", |args, cx| {
        if let Some(to) = receiver(args) {
            cx.send(to, args.get("message").cloned().unwrap_or_default());
        }
    }),
];

type Function = fn(&Term, &mut Context<'_>);

pub(super) fn module() -> PlainModule {
    let module = PlainModule::new("task", |args| {
        let name = args.get("function").and_then(Term::as_str).unwrap_or("return");
        match FUNCTIONS.iter().find(|(known, _)| *known == name) {
            Some((_, function)) => task(args, *function),
            None => unknown(),
        }
    });
    FUNCTIONS
        .into_iter()
        .fold(module, |module, (name, function)| module.function(name, move |args| task(args, function)))
}

/// Waits as long as the args' `ms` says, reading nothing, then runs the function and ends.
fn task(args: &Term, function: Function) -> Box<dyn Body> {
    let args = args.clone();
    let mut wait = args.get("ms").and_then(milliseconds);
    body(move |event, cx| {
        if let Event::Start = event {
            cx.started();
        }
        if let Some(timeout) = wait.take() {
            return Step::Wait(Receive::none().within(Some(timeout)));
        }
        function(&args, cx);
        Step::Exit(Term::NORMAL)
    })
}

fn unknown() -> Box<dyn Body> {
    body(|_, cx| {
        cx.start_failed(Term::Atom("undef"));
        Step::Exit(Term::Atom("undef"))
    })
}

fn reason(args: &Term) -> Term {
    args.get("reason").cloned().unwrap_or(Term::Atom("crash"))
}
