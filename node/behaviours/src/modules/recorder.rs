//! `recorder`: a raw process that traps exits and keeps what it receives.
//!
//! A message is kept as OTP shows it, a call as `["call_received", request]` and answered `ok`, a cast as
//! `["cast", request]`. Its state is `{"messages": [..], "dropped": n}`; the call `["recorder", "read"]` answers it too,
//! `["recorder", "clear"]` answers and empties it. Args: `messages_max` (10,000); beyond it the oldest are dropped and
//! counted.

use crate::functions::PlainModule;
use arsenal_runtime::body::{Body, Event, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::{Kind, Message};
use arsenal_runtime::term::Term;
use std::collections::VecDeque;

const MESSAGES_MAX: usize = 10_000;

struct Recorder {
    messages: VecDeque<Term>,
    messages_max: usize,
    dropped: i64,
}

pub(super) fn module() -> PlainModule {
    PlainModule::new("recorder", |args| {
        let messages_max = args.get("messages_max").and_then(Term::as_int);
        let messages_max = messages_max.and_then(|n| usize::try_from(n).ok()).unwrap_or(MESSAGES_MAX);
        Box::new(Recorder { messages: VecDeque::new(), messages_max, dropped: 0 })
    })
    .inspectable()
    .restorable(|snapshot| Some(Box::new(Recorder::of(snapshot)?)))
}

impl Recorder {
    fn of(snapshot: &Term) -> Option<Self> {
        Some(Self {
            messages: snapshot.get("messages")?.as_list()?.iter().cloned().collect(),
            messages_max: usize::try_from(snapshot.get("messages_max")?.as_int()?).ok()?,
            dropped: snapshot.get("dropped")?.as_int()?,
        })
    }

    fn keep(&mut self, message: Term) {
        self.messages.push_back(message);
        if self.messages.len() > self.messages_max {
            self.messages.pop_front();
            self.dropped += 1;
        }
    }

    fn receive(&mut self, message: Message, cx: &mut Context<'_>) {
        match message.kind {
            Kind::Call => {
                let reply = match message.payload.as_list() {
                    Some([tag, word]) if tag.is("recorder") && word.is("read") => self.state(),
                    Some([tag, word]) if tag.is("recorder") && word.is("clear") => {
                        let state = self.state();
                        self.messages = VecDeque::new();
                        self.dropped = 0;
                        state
                    }
                    _ => {
                        self.keep(Term::tagged("call_received", message.payload.clone()));
                        Term::OK
                    }
                };
                if let Some(from) = message.reply_to() {
                    cx.reply(from, reply);
                }
            }
            Kind::Cast => self.keep(Term::tagged("cast", message.payload)),
            _ => self.keep(message.to_term(cx.me())),
        }
    }

    fn state(&self) -> Term {
        Term::map([("messages", Term::list(self.messages.iter().cloned())), ("dropped", self.dropped.into())])
    }
}

impl Body for Recorder {
    fn step(&mut self, event: Event, cx: &mut Context<'_>) -> Step {
        match event {
            Event::Start => {
                cx.trap_exit(true);
                cx.started();
            }
            Event::Message(message) => self.receive(message, cx),
            Event::Timeout | Event::Resume | Event::Unblocked(_) => {}
        }
        Step::Wait(Receive::any())
    }

    fn inspect(&self) -> Option<Term> {
        Some(self.state())
    }

    fn snapshot(&self) -> Option<Term> {
        Some(Term::map([
            ("messages", Term::list(self.messages.iter().cloned())),
            ("messages_max", Term::Int(i64::try_from(self.messages_max).unwrap_or(i64::MAX))),
            ("dropped", self.dropped.into()),
        ]))
    }

    fn heap_bytes(&self) -> Option<usize> {
        Some(self.messages.iter().map(Term::size_bytes).sum())
    }

    fn shrink(&mut self) {
        self.messages.shrink_to_fit();
    }
}
