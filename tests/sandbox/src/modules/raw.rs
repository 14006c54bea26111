//! `oracle_plain` and `oracle_recorder`: raw processes. The one leaves its mailbox unread, the other logs all that it
//! gets; both obey commands, which they tell from messages by their tag.
//!
//! Commands: `["raise", class, reason]` (class `return`: its function ends) and `["hibernate"]` as casts,
//! `["receive", tag or "any", ms]` as a call that is answered `["got", message]` or `"timeout"`.

use super::start::{Attempt, Verdict};
use super::{Chronicle, command};
use arsenal_behaviours::functions::PlainModule;
use arsenal_behaviours::raise;
use arsenal_runtime::body::{Body, Event, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::{Kind, Message, ReplyTo};
use arsenal_runtime::term::Term;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn plain(chronicle: &Arc<Chronicle>) -> PlainModule {
    module("oracle_plain", false, chronicle)
}

pub(super) fn recorder(chronicle: &Arc<Chronicle>) -> PlainModule {
    module("oracle_recorder", true, chronicle)
}

fn module(name: &str, records: bool, chronicle: &Arc<Chronicle>) -> PlainModule {
    let chronicle = Arc::clone(chronicle);
    PlainModule::new(name, move |args| {
        let phase = Phase::New(args.clone());
        Box::new(Raw { chronicle: Arc::clone(&chronicle), records, phase })
    })
}

struct Raw {
    chronicle: Arc<Chronicle>,
    /// Whether it reads its mailbox.
    records: bool,
    phase: Phase,
}

enum Phase {
    New(Term),
    Starting(Attempt),
    Idle,
    /// In a `receive` that a command asked for.
    Receiving(ReplyTo),
}

impl Raw {
    fn start(&mut self, args: &Term, cx: &mut Context<'_>) -> Step {
        if self.records {
            cx.trap_exit(true);
        }
        let attempt = Attempt::begin(args, &self.chronicle, cx);
        if attempt.pause.is_zero() {
            return self.conclude(attempt, cx);
        }
        let pause = attempt.pause;
        self.phase = Phase::Starting(attempt);
        Step::Wait(Receive::none().within(Some(pause)))
    }

    fn conclude(&mut self, attempt: Attempt, cx: &mut Context<'_>) -> Step {
        let reason = match attempt.verdict {
            Verdict::Ok => {
                self.chronicle.started(&attempt.id, cx);
                cx.started();
                return self.rest();
            }
            Verdict::Ignore => {
                cx.ignore();
                return Step::Exit(Term::NORMAL);
            }
            Verdict::Stop(reason) | Verdict::Exit(reason) => reason,
            Verdict::Crash(reason) => Term::crash(reason),
        };
        cx.start_failed(reason.clone());
        Step::Exit(reason)
    }

    fn rest(&mut self) -> Step {
        self.phase = Phase::Idle;
        Step::Wait(self.receive())
    }

    fn receive(&self) -> Receive {
        if self.records {
            Receive::any()
        } else {
            Receive::matching(|message| command(&message.payload).is_some())
        }
    }

    fn deliver(&mut self, message: &Message, cx: &mut Context<'_>) -> Step {
        if let Some(command) = command(&message.payload) {
            return self.obey(command, message.reply_to());
        }
        let entry = match (message.kind, message.reply_to()) {
            (Kind::Call, Some(to)) => {
                cx.reply(to, Term::OK);
                Term::tagged("call_received", message.payload.clone())
            }
            (Kind::Cast, _) => Term::tagged("cast", message.payload.clone()),
            _ => message.to_term(cx.me()),
        };
        self.chronicle.log(entry, cx);
        self.rest()
    }

    fn obey(&mut self, command: &[Term], caller: Option<ReplyTo>) -> Step {
        match (command, caller) {
            ([verb, class, reason], _) if verb.is("raise") => {
                match class.as_str().and_then(raise::Class::from_name) {
                    Some(class) => {
                        Step::Exit(raise::Exception { class, reason: reason.clone() }.into_exit_reason())
                    }
                    None => Step::Exit(Term::NORMAL),
                }
            }
            ([verb], _) if verb.is("hibernate") => Step::Hibernate(self.receive()),
            ([verb, tag, timeout], Some(caller)) if verb.is("receive") => {
                self.phase = Phase::Receiving(caller);
                let timeout = Duration::from_millis(
                    timeout.as_int().and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0),
                );
                let tag = tag.clone();
                let wanted = move |message: &Message| {
                    command_free(message)
                        && (tag.is("any") || tag.as_str().is_some_and(|tag| tag_of(message) == Some(tag)))
                };
                Step::Wait(Receive::matching(wanted).within(Some(timeout)))
            }
            _ => self.rest(),
        }
    }
}

fn command_free(message: &Message) -> bool {
    command(&message.payload).is_none()
}

/// The tag of a message as a receive clause sees it.
fn tag_of(message: &Message) -> Option<&str> {
    match message.kind {
        Kind::Exit => Some("EXIT"),
        Kind::Down => Some("DOWN"),
        Kind::Timeout => Some("timeout"),
        Kind::Call => Some("$gen_call"),
        Kind::Cast => Some("$gen_cast"),
        _ => message.payload.tag(),
    }
}

impl Body for Raw {
    fn step(&mut self, event: Event, cx: &mut Context<'_>) -> Step {
        match (std::mem::replace(&mut self.phase, Phase::Idle), event) {
            (Phase::New(args), _) => self.start(&args, cx),
            (Phase::Starting(attempt), _) => self.conclude(attempt, cx),
            (Phase::Receiving(caller), Event::Message(message)) => {
                cx.reply(caller, Term::tagged("got", message.to_term(cx.me())));
                self.rest()
            }
            (Phase::Receiving(caller), _) => {
                cx.reply(caller, Term::TIMEOUT);
                self.rest()
            }
            (Phase::Idle, Event::Message(message)) => self.deliver(&message, cx),
            (Phase::Idle, _) => self.rest(),
        }
    }
}
