//! `dictionary`: a raw process that does to its process dictionary what it is told: the calls `["put", key, value]`,
//! `["get", key]` and `["erase", key]` are answered with the value that was there before, null for none.

use super::request;
use arsenal_behaviours::functions::{PlainModule, body};
use arsenal_runtime::body::{Event, Receive, Step};
use arsenal_runtime::context::Context;
use arsenal_runtime::term::Term;
use std::sync::Arc;

pub(super) fn module() -> PlainModule {
    PlainModule::new("dictionary", |_| {
        body(|event, cx| {
            match event {
                Event::Start => cx.started(),
                Event::Message(message) => {
                    let before = obey(&message.payload, cx);
                    if let Some(caller) = message.reply_to() {
                        cx.reply(caller, before.unwrap_or_default());
                    }
                }
                Event::Timeout | Event::Resume | Event::Unblocked(_) => {}
            }
            Step::Wait(Receive::any())
        })
    })
}

fn obey(message: &Term, cx: &mut Context<'_>) -> Option<Term> {
    let key = |key: &Term| Arc::from(key.as_str().unwrap_or_default());
    match request(message) {
        ("put", [name, value]) => cx.put(key(name), value.clone()),
        ("get", [name]) => cx.get(&key(name)),
        ("erase", [name]) => cx.erase(&key(name)),
        _ => None,
    }
}
