//! The native modules that every node knows: to build on, to try things out with, and to see how one is written.

mod args;
mod busy;
mod counter;
mod echo;
mod event_handlers;
mod kv;
mod recorder;
mod relay;
mod switch;
mod task;

pub use event_handlers::handler_modules;

use crate::functions::PlainModule;
use crate::gen_event::EventManagerModule;
use crate::supervisor::SupervisorModule;
use arsenal_runtime::body::{Event, Receive, Step};
use arsenal_runtime::module::Module;
use std::sync::Arc;

/// All of them, in the order of their names.
pub fn native_modules() -> Vec<Arc<dyn Module>> {
    vec![
        Arc::new(busy::module()),
        Arc::new(counter::module()),
        Arc::new(echo::module()),
        Arc::new(EventManagerModule::new("event_manager", handler_modules())),
        Arc::new(kv::module()),
        Arc::new(plain()),
        Arc::new(recorder::module()),
        Arc::new(relay::module()),
        Arc::new(SupervisorModule::default()),
        Arc::new(switch::module()),
        Arc::new(task::module()),
    ]
}

/// `plain`: a raw process that reads nothing; what it is sent stays in its mailbox.
fn plain() -> PlainModule {
    PlainModule::new("plain", |_| {
        crate::functions::body(|event, cx| {
            if let Event::Start = event {
                cx.started();
            }
            Step::Wait(Receive::none())
        })
    })
}
