//! `oracle_counter`: a `gen_server` with a number, which does on request whatever a server can do. What it does not
//! know it logs.

use super::start::{self, Ending, milliseconds};
use super::{Chronicle, command, request};
use arsenal_behaviours::gen_server::{GenServer, GenServerModule, Init, Next, Outcome, Termination};
use arsenal_behaviours::pause::Pause;
use arsenal_behaviours::raise;
use arsenal_runtime::context::Context;
use arsenal_runtime::message::{Kind, Message, ReplyTo};
use arsenal_runtime::module::Module;
use arsenal_runtime::term::{Reason, Term};
use std::collections::VecDeque;
use std::sync::Arc;

/// The tag of the timer's message for a reply that is due.
const DUE: &str = "$due";

struct Counter {
    chronicle: Arc<Chronicle>,
    count: i64,
    /// Replies that were put off, by number.
    due: VecDeque<(i64, ReplyTo, Term)>,
    ending: Ending,
}

pub(super) fn module(chronicle: &Arc<Chronicle>) -> impl Module {
    let chronicle = Arc::clone(chronicle);
    GenServerModule::new("oracle_counter", move |args, cx| Counter::init(args, &chronicle, cx))
        .inspectable()
        .replaceable()
}

impl Counter {
    fn init(args: &Term, chronicle: &Arc<Chronicle>, cx: &mut Context<'_>) -> Init<Self> {
        let next = match (args.get("continue"), args.get("timeout")) {
            (Some(continuation), _) => Next::Continue(continuation.clone()),
            (None, Some(timeout)) => Next::Timeout(milliseconds(timeout)),
            (None, None) => Next::Receive,
        };
        let counter = Self {
            chronicle: Arc::clone(chronicle),
            count: args.get("initial").and_then(Term::as_int).unwrap_or(0),
            due: VecDeque::new(),
            ending: Ending::of(args),
        };
        start::init(args, chronicle, cx, move || Init::ok_then(counter, next))
    }

    fn add(&mut self, amount: &Term) -> Term {
        self.count += amount.as_int().unwrap_or(0);
        self.count.into()
    }

    /// What a call and a cast have in common.
    fn obey(&mut self, message: &Term, cx: &mut Context<'_>) -> Outcome<Self> {
        match request(message) {
            ("incr", []) => Outcome::reply(self.add(&Term::Int(1))),
            ("add", [amount]) => Outcome::reply(self.add(amount)),
            ("sleep", [pause]) => Pause::sleep(milliseconds(pause), |_, _| Outcome::reply(Term::OK)).into(),
            ("stop", [reason]) => Outcome::Stop(reason.clone()),
            ("crash", []) => Outcome::Crash("crash".into()),
            ("crash", [reason]) => Outcome::Crash(reason.clone()),
            ("exit", [reason]) => raise::exit(reason.clone()),
            ("throw", [value]) => raise::throw(value.clone()),
            ("bad_return", []) => Outcome::BadReturn("foo".into()),
            ("continue", [continuation]) => {
                Outcome::reply(Term::OK).then(Next::Continue(continuation.clone()))
            }
            ("timeout", [timeout]) => Outcome::reply(Term::OK).then(Next::Timeout(milliseconds(timeout))),
            ("hibernate", []) => Outcome::reply(Term::OK).then(Next::Hibernate),
            _ => {
                self.chronicle.log(Term::tagged("unknown", message.clone()), cx);
                Outcome::reply(Term::OK)
            }
        }
    }

    fn reply_when_due(&mut self, number: i64, cx: &mut Context<'_>) -> Outcome<Self> {
        if let Some(at) = self.due.iter().position(|(known, ..)| *known == number)
            && let Some((_, to, reply)) = self.due.remove(at)
        {
            cx.reply(to, reply);
        }
        Outcome::no_reply()
    }
}

impl GenServer for Counter {
    fn handle_call(&mut self, message: &Term, from: ReplyTo, cx: &mut Context<'_>) -> Outcome<Self> {
        match request(message) {
            ("get", []) => Outcome::reply(self.count),
            ("echo", [term]) => Outcome::reply(term.clone()),
            ("noreply", []) => Outcome::no_reply(),
            ("reply_later", [pause, reply]) => {
                let number = self.due.back().map_or(0, |(number, ..)| number + 1);
                self.due.push_back((number, from, reply.clone()));
                cx.start_timer(Term::tagged(DUE, Term::Int(number)), milliseconds(pause));
                Outcome::no_reply()
            }
            ("reply_then_sleep", [pause, reply]) => {
                cx.reply(from, reply.clone());
                Pause::sleep(milliseconds(pause), |_, _| Outcome::no_reply()).into()
            }
            ("stop_reply", [reason, reply]) => Outcome::StopReply(reason.clone(), reply.clone()),
            ("call", [to, message, timeout]) => {
                let Some(to) = to.as_pid() else { return Outcome::Crash("badarg".into()) };
                let timeout = Some(milliseconds(timeout));
                let call = Pause::call(cx, to, message.clone(), timeout, |_: &mut Self, answer, _| {
                    let failed = |reason| Term::tagged("EXIT", Term::map([("call_exit", reason)]));
                    Outcome::reply(answer.unwrap_or_else(failed))
                });
                call.into()
            }
            _ => self.obey(message, cx),
        }
    }

    fn handle_cast(&mut self, message: &Term, cx: &mut Context<'_>) -> Outcome<Self> {
        if let Some(command) = command(message) {
            return match command {
                [verb, class, reason] if verb.is("raise") => {
                    let class = class.as_str().and_then(raise::Class::from_name);
                    class.map_or_else(Outcome::no_reply, |class| raise::raise(class, reason.clone()))
                }
                _ => Outcome::no_reply(),
            };
        }
        match request(message) {
            ("stop_reply", [reason, _]) => Outcome::Stop(reason.clone()),
            ("sleep", [pause]) => Pause::sleep(milliseconds(pause), |_, _| Outcome::no_reply()).into(),
            _ => silent(self.obey(message, cx)),
        }
    }

    fn handle_info(&mut self, message: &Message, cx: &mut Context<'_>) -> Outcome<Self> {
        if message.kind == Kind::Timeout
            && let (DUE, [number]) = request(&message.payload)
        {
            return self.reply_when_due(number.as_int().unwrap_or(0), cx);
        }
        self.chronicle.log(message.to_term(cx.me()), cx);
        Outcome::no_reply()
    }

    fn handle_continue(&mut self, continuation: &Term, cx: &mut Context<'_>) -> Outcome<Self> {
        self.chronicle.log(Term::tagged("continue", continuation.clone()), cx);
        match request(continuation) {
            ("crash", [reason]) => Outcome::Crash(reason.clone()),
            ("stop", [reason]) => Outcome::Stop(reason.clone()),
            ("add", [amount]) => {
                self.add(amount);
                Outcome::no_reply()
            }
            _ => Outcome::no_reply(),
        }
    }

    fn terminate(&mut self, reason: &Reason, cx: &mut Context<'_>) -> Termination<Self> {
        self.chronicle.terminated(reason.clone(), cx);
        self.ending.termination()
    }

    fn inspect(&self) -> Option<Term> {
        Some(self.count.into())
    }

    fn replace(&mut self, state: &Term) -> bool {
        let Some(count) = state.as_int() else { return false };
        self.count = count;
        true
    }
}

/// The same outcome for a message that nobody waits for.
fn silent(outcome: Outcome<Counter>) -> Outcome<Counter> {
    match outcome {
        Outcome::Reply(_, next) => Outcome::NoReply(next),
        other => other,
    }
}
