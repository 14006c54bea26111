//! `echo`: a server that answers each call with its request.
//!
//! Function `echo`, args `{"to": pid, "message": term}`: sends the message there and ends.

use super::args;
use crate::functions::run;
use crate::gen_server::{GenServer, GenServerModule, Init, Outcome};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::ReplyTo;
use arsenal_runtime::module::Module;
use arsenal_runtime::term::Term;

struct Echo;

impl GenServer for Echo {
    fn handle_call(&mut self, request: &Term, _from: ReplyTo, _cx: &mut Context<'_>) -> Outcome<Self> {
        Outcome::reply(request.clone())
    }

    fn inspect(&self) -> Option<Term> {
        Some(Term::Null)
    }

    fn snapshot(&self) -> Option<Term> {
        Some(Term::Null)
    }

    fn heap_bytes(&self) -> Option<usize> {
        Some(0)
    }
}

pub(super) fn module() -> impl Module {
    GenServerModule::new("echo", |_, _| Init::ok(Echo)).inspectable().restorable(|_| Some(Echo)).function(
        "echo",
        |args| {
            let args = args.clone();
            run(move |cx| {
                if let Some(to) = args::receiver(&args) {
                    cx.send(to, args.get("message").cloned().unwrap_or_default());
                }
            })
        },
    )
}
