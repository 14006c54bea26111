//! What a behaviour's process has in hand: the callback that it is in, and the message that it handles. A backtrace tells
//! it while the callback waits, and the report of a crash once it has failed.

use crate::system;
use arsenal_runtime::context::Context;
use arsenal_runtime::message::{Kind, Message};
use arsenal_runtime::term::{Reason, Term};

/// A callback and its message.
pub(crate) struct InHand {
    callback: &'static str,
    message: Term,
}

impl InHand {
    /// The callback of a `gen_server` that gets `message`, which it says as OTP's own reports do: a call and a cast by
    /// their request.
    pub(crate) fn of_server(message: &Message, cx: &Context<'_>) -> Self {
        let callback = match message.kind {
            Kind::Call if message.reference.is_some() => "handle_call",
            Kind::Cast => "handle_cast",
            Kind::Exit if system::is_parent(message.from, cx) => "terminate",
            Kind::System if message.payload.tag() == Some("terminate") => "terminate",
            _ => "handle_info",
        };
        let shown = match message.kind {
            Kind::Call | Kind::Cast => message.payload.clone(),
            _ => message.to_term(cx.me()),
        };
        Self { callback, message: shown }
    }

    /// The callback's name.
    pub(crate) const fn callback(&self) -> &'static str {
        self.callback
    }

    /// The message.
    pub(crate) const fn message(&self) -> &Term {
        &self.message
    }

    /// Reports that the callback ended the process with `reason`, unless that is an end in order.
    pub(crate) fn report(&self, reason: &Reason, cx: &mut Context<'_>) {
        cx.report_crash(self.callback, Some(&self.message), reason);
    }
}
