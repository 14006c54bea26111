//! The system messages that a body sees itself. The others (state, suspension, statistics) are the runtime's.
//! And whose exit signal it is that ends a behaviour in order.

use crate::raise::{Class, Exception};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::Message;
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};

/// A system message to a behaviour's process.
pub(crate) enum Request {
    /// `["terminate", reason]`, `sys:terminate/2`: stop in order.
    Terminate(Reason),
    /// `["raise", class, reason]`: fail as if the callback in hand had, for drills.
    Raise(Exception),
}

/// What a message of [`Kind::System`](arsenal_runtime::message::Kind::System) asks for, if it is for bodies at all.
/// Who asked to terminate is answered before that begins, as `sys` does: whoever is told of the end without this answer
/// knows that the process had decided on it before.
pub(crate) fn request(message: &Message, cx: &mut Context<'_>) -> Option<Request> {
    match message.payload.as_list()? {
        [tag, reason] if tag.is("terminate") => {
            if let Some(to) = message.reply_to() {
                cx.reply(to, Term::OK);
            }
            Some(Request::Terminate(reason.clone()))
        }
        [tag, class, reason] if tag.is("raise") => {
            let class = Class::from_name(class.as_str()?)?;
            Some(Request::Raise(Exception { class, reason: reason.clone() }))
        }
        _ => None,
    }
}

/// Whether `from` is the parent, whose trapped exit signal ends a behaviour in order. A process that was started without
/// a parent is its own, as in OTP.
pub(crate) fn is_parent(from: Pid, cx: &Context<'_>) -> bool {
    from == cx.parent().unwrap_or(cx.me())
}
