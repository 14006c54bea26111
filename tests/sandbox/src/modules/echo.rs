//! `oracle_echo`: a `gen_server` that answers each call with its argument, and logs everything else.

use super::Chronicle;
use super::start::{self, Ending};
use arsenal_behaviours::gen_server::{GenServer, GenServerModule, Init, Outcome, Termination};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::{Message, ReplyTo};
use arsenal_runtime::module::Module;
use arsenal_runtime::term::{Reason, Term};
use std::sync::Arc;

struct Echo {
    chronicle: Arc<Chronicle>,
    ending: Ending,
}

pub(super) fn module(chronicle: &Arc<Chronicle>) -> impl Module {
    let chronicle = Arc::clone(chronicle);
    GenServerModule::new("oracle_echo", move |args: &Term, cx: &mut Context<'_>| {
        let echo = Echo { chronicle: Arc::clone(&chronicle), ending: Ending::of(args) };
        start::init(args, &chronicle, cx, move || Init::ok(echo))
    })
}

impl GenServer for Echo {
    fn handle_call(&mut self, message: &Term, _from: ReplyTo, _cx: &mut Context<'_>) -> Outcome<Self> {
        Outcome::reply(message.clone())
    }

    fn handle_info(&mut self, message: &Message, cx: &mut Context<'_>) -> Outcome<Self> {
        self.chronicle.log(message.to_term(cx.me()), cx);
        Outcome::no_reply()
    }

    fn terminate(&mut self, reason: &Reason, cx: &mut Context<'_>) -> Termination<Self> {
        self.chronicle.terminated(reason.clone(), cx);
        self.ending.termination()
    }
}
