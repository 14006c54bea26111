//! `twofold`: a raw process with two numbers that are equal between two of its turns and differ within each. The word
//! `"go"` has it do one turn after another for good; the call `"looks"` is answered with how often its body was looked at.

use arsenal_behaviours::functions::PlainModule;
use arsenal_runtime::body::{Body, Event, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::term::Term;
use std::hint::black_box;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

/// Steps of arithmetic between the change of the one number and that of the other.
const STEPS_BETWEEN: u64 = 20_000;

#[derive(Default)]
struct Twofold {
    left: i64,
    right: i64,
    going: bool,
    looks: AtomicI64,
}

pub(super) fn module() -> PlainModule {
    PlainModule::new("twofold", |_| Box::<Twofold>::default()).inspectable()
}

impl Body for Twofold {
    fn step(&mut self, event: Event, cx: &mut Context<'_>) -> Step {
        match event {
            Event::Start => cx.started(),
            Event::Message(message) => match (message.reply_to(), message.payload.as_str()) {
                (Some(caller), _) => cx.reply(caller, Term::Int(self.looks.load(Relaxed))),
                (None, Some("go")) => self.going = true,
                (None, _) => {}
            },
            Event::Timeout | Event::Resume | Event::Unblocked(_) => {}
        }
        if self.going {
            self.left += 1;
            black_box((0..STEPS_BETWEEN).fold(0_u64, |sum, step| black_box(sum ^ step)));
            self.right += 1;
            // so that what is sent to it is read too, and yet nobody has to keep it going
            cx.send(cx.me(), Term::Null);
        }
        Step::Wait(Receive::any())
    }

    fn inspect(&self) -> Option<Term> {
        Some(Term::map([("left", Term::Int(self.left)), ("right", Term::Int(self.right))]))
    }

    fn backtrace(&self) -> Vec<String> {
        self.looks.fetch_add(1, Relaxed);
        vec!["twofold::step".to_owned()]
    }
}
