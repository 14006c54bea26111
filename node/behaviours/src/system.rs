//! The system messages that a body sees itself. The others (state, suspension, statistics) are the runtime's.

use crate::raise::{Class, Exception};
use arsenal_runtime::message::Message;
use arsenal_runtime::term::Reason;

/// A system message to a behaviour's process.
pub(crate) enum Request {
    /// `["terminate", reason]`, `sys:terminate/2`: stop in order.
    Terminate(Reason),
    /// `["raise", class, reason]`: fail as if the callback in hand had, for drills.
    Raise(Exception),
}

/// What a message of [`Kind::System`](arsenal_runtime::message::Kind::System) asks for, if it is for bodies at all.
pub(crate) fn request(message: &Message) -> Option<Request> {
    match message.payload.as_list()? {
        [tag, reason] if tag.is("terminate") => Some(Request::Terminate(reason.clone())),
        [tag, class, reason] if tag.is("raise") => {
            let class = Class::from_name(class.as_str()?)?;
            Some(Request::Raise(Exception { class, reason: reason.clone() }))
        }
        _ => None,
    }
}
