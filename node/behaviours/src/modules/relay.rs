//! `relay`: a raw process that forwards each message to the process that its args name in `to`.
//!
//! Calls, casts, notifications and ordinary messages go on unchanged, so that the answer to a call reaches its caller;
//! anything else goes on as the ordinary message that OTP would show.

use super::args;
use crate::functions::{PlainModule, body};
use arsenal_runtime::body::{Event, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::{Kind, Message};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::Term;

pub(super) fn module() -> PlainModule {
    PlainModule::new("relay", |args| {
        let to = args::receiver(args);
        body(move |event, cx| {
            let Some(to) = to else {
                let reason = Term::tagged("badarg", "to".into());
                cx.start_failed(reason.clone());
                return Step::Exit(reason);
            };
            match event {
                Event::Start => cx.started(),
                Event::Message(message) => forward(to, message, cx),
                Event::Timeout | Event::Resume | Event::Unblocked(_) => {}
            }
            Step::Wait(Receive::any())
        })
    })
}

fn forward(to: Pid, message: Message, cx: &mut Context<'_>) {
    match message.kind {
        Kind::Call | Kind::Cast | Kind::Notify | Kind::Info => cx.send_message(to, message),
        _ => cx.send(to, message.to_term(cx.me())),
    }
}
