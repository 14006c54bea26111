//! `counter`: a server that counts, and does on request whatever a server can do.
//!
//! | request | call | cast |
//! |---|---|---|
//! | `get` | replies n | - |
//! | `incr`, `["add", k]` | changes n, replies it | changes n |
//! | `["echo", term]` | replies the term | - |
//! | `["sleep", ms]` | blocks the server, replies `ok` | blocks the server |
//! | `noreply` | never replies | - |
//! | `["reply_then_sleep", ms, term]` | replies at once, then blocks the server | - |
//! | `["call", pid, request, ms]` | calls it inside the callback; replies the answer or `["EXIT", reason]` | - |
//! | `["stop", reason]`, `["stop_reply", reason, term]` | stops, without and with a reply | stops |
//! | `crash`, `["crash", reason]`, `["exit", reason]`, `["throw", term]` | fails in the callback | the same |
//! | `["continue", request]` | replies `ok`, then does the request as a cast before any message | the same |
//! | `["timeout", ms]` | replies `ok`, then `timeout` as a message unless another comes first | the same |
//! | `hibernate` | replies `ok` and hibernates | hibernates |
//!
//! Another call is answered `["error", "unknown_request"]`, another cast dropped.
//! Args, all optional: `initial` (0); `init`: `"ignore"`, `{"stop": reason}`, `{"crash": reason}`, `{"exit": reason}`;
//! `init_sleep` ms before that; `trap_exit`; `terminate_notify`: a pid that is sent `["terminate", pid, reason]`; then
//! `terminate_sleep` ms, and `terminate_crash` or `terminate_exit` with a reason.

use super::args::{integer, milliseconds, request};
use crate::gen_server::{GenServer, GenServerModule, Init, Next, Outcome, Termination};
use crate::pause::Pause;
use crate::raise;
use arsenal_runtime::context::Context;
use arsenal_runtime::message::ReplyTo;
use arsenal_runtime::module::Module;
use arsenal_runtime::term::{Reason, Term};

struct Counter {
    count: i64,
    /// The args, if they say how to terminate.
    terminate: Option<Box<Term>>,
}

pub(super) fn module() -> impl Module {
    GenServerModule::new("counter", Counter::init).inspectable().replaceable().restorable(Counter::restore)
}

impl Counter {
    fn init(args: &Term, cx: &mut Context<'_>) -> Init<Self> {
        if args.get("trap_exit").and_then(Term::as_bool) == Some(true) {
            cx.trap_exit(true);
        }
        match args.get("init_sleep").and_then(milliseconds) {
            Some(pause) => {
                let args = args.clone();
                Pause::sleep(pause, move |_, _| Self::begin(&args)).into()
            }
            None => Self::begin(args),
        }
    }

    fn begin(args: &Term) -> Init<Self> {
        if let Some(outcome) = args.get("init") {
            let reason = |key| outcome.get(key).cloned();
            if outcome.is("ignore") {
                return Init::Ignore;
            } else if let Some(reason) = reason("stop") {
                return Init::Stop(reason);
            } else if let Some(reason) = reason("crash") {
                return Init::Crash(reason);
            } else if let Some(reason) = reason("exit") {
                return Init::Exit(reason);
            }
        }
        let speaks = |args: &Term| {
            args.as_map().is_some_and(|members| members.iter().any(|(key, _)| key.starts_with("terminate_")))
        };
        Init::ok(Self {
            count: args.get("initial").and_then(Term::as_int).unwrap_or(0),
            terminate: speaks(args).then(|| Box::new(args.clone())),
        })
    }

    fn restore(snapshot: &Term) -> Option<Self> {
        let [count, terminate] = snapshot.as_list()? else { return None };
        let terminate = (!terminate.is_null()).then(|| Box::new(terminate.clone()));
        Some(Self { count: count.as_int()?, terminate })
    }

    fn add(&mut self, amount: i64) -> Term {
        self.count = self.count.saturating_add(amount);
        self.count.into()
    }

    /// What a call and a cast have in common; the reply is the call's.
    fn obey(&mut self, message: &Term) -> Option<Outcome<Self>> {
        Some(match request(message) {
            ("incr", []) => Outcome::reply(self.add(1)),
            ("add", [amount]) => Outcome::reply(self.add(integer(amount)?)),
            ("sleep", [pause]) => {
                Pause::sleep(milliseconds(pause)?, |_: &mut Self, _| Outcome::reply(Term::OK)).into()
            }
            ("stop", [reason]) => Outcome::Stop(reason.clone()),
            ("crash", []) => Outcome::Crash(Term::Atom("crash")),
            ("crash", [reason]) => Outcome::Crash(reason.clone()),
            ("exit", [reason]) => Outcome::Exit(reason.clone()),
            ("throw", [value]) => raise::throw(value.clone()),
            ("continue", [request]) => Outcome::reply(Term::OK).then(Next::Continue(request.clone())),
            ("timeout", [timeout]) => Outcome::reply(Term::OK).then(Next::Timeout(milliseconds(timeout)?)),
            ("hibernate", []) => Outcome::reply(Term::OK).then(Next::Hibernate),
            _ => return None,
        })
    }
}

impl GenServer for Counter {
    fn handle_call(&mut self, message: &Term, from: ReplyTo, cx: &mut Context<'_>) -> Outcome<Self> {
        match request(message) {
            ("get", []) => Outcome::reply(self.count),
            ("echo", [term]) => Outcome::reply(term.clone()),
            ("noreply", []) => Outcome::no_reply(),
            ("reply_then_sleep", [pause, reply]) => {
                let Some(pause) = milliseconds(pause) else { return Outcome::Crash(Term::Atom("badarg")) };
                cx.reply(from, reply.clone());
                Pause::sleep(pause, |_: &mut Self, _| Outcome::no_reply()).into()
            }
            ("stop_reply", [reason, reply]) => Outcome::StopReply(reason.clone(), reply.clone()),
            ("call", [to, request, timeout]) => {
                let Some(to) = to.as_pid() else { return Outcome::Crash(Term::Atom("badarg")) };
                let call =
                    Pause::call(cx, to, request.clone(), milliseconds(timeout), |_: &mut Self, answer, _| {
                        Outcome::reply(answer.unwrap_or_else(|reason| Term::tagged("EXIT", reason)))
                    });
                call.into()
            }
            _ => self
                .obey(message)
                .unwrap_or_else(|| Outcome::reply(Term::tagged("error", Term::Atom("unknown_request")))),
        }
    }

    fn handle_cast(&mut self, message: &Term, _cx: &mut Context<'_>) -> Outcome<Self> {
        match self.obey(message) {
            Some(outcome) => silent(outcome),
            None => Outcome::no_reply(),
        }
    }

    fn handle_continue(&mut self, continuation: &Term, cx: &mut Context<'_>) -> Outcome<Self> {
        self.handle_cast(continuation, cx)
    }

    fn terminate(&mut self, reason: &Reason, cx: &mut Context<'_>) -> Termination<Self> {
        let Some(args) = self.terminate.take() else { return Termination::Done };
        if let Some(to) = args.get("terminate_notify").and_then(Term::as_pid) {
            cx.send(to, [Term::Atom("terminate"), cx.me().into(), reason.clone()].into());
        }
        let pause = args.get("terminate_sleep").and_then(milliseconds);
        let end = move || match (args.get("terminate_crash"), args.get("terminate_exit")) {
            (Some(reason), _) => Termination::Crash(reason.clone()),
            (None, Some(reason)) => Termination::Exit(reason.clone()),
            (None, None) => Termination::Done,
        };
        match pause {
            Some(pause) => Pause::sleep(pause, move |_: &mut Self, _| end()).into(),
            None => end(),
        }
    }

    fn inspect(&self) -> Option<Term> {
        Some(self.count.into())
    }

    fn replace(&mut self, state: &Term) -> bool {
        let Some(count) = state.as_int() else { return false };
        self.count = count;
        true
    }

    fn snapshot(&self) -> Option<Term> {
        let terminate = self.terminate.as_deref().cloned().unwrap_or_default();
        Some([self.count.into(), terminate].into())
    }

    fn heap_bytes(&self) -> Option<usize> {
        Some(self.terminate.as_deref().map_or(0, Term::size_bytes))
    }
}

/// The same outcome for a cast, which nobody awaits an answer to.
fn silent(outcome: Outcome<Counter>) -> Outcome<Counter> {
    match outcome {
        Outcome::Reply(_, next) => Outcome::NoReply(next),
        Outcome::Await(pause) => Outcome::Await(pause.map(silent)),
        other => other,
    }
}
