//! What an event manager's core asks its owner to do, and what it hears of the callbacks.

use super::Callback;
use crate::gen_event::Swap;
use arsenal_runtime::message::ReplyTo;
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};

/// Names one installation of a handler.
pub type Key = u64;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Run a callback; its result goes to [`Core::handled`](super::Core::handled).
    Handle {
        /// Of which handler.
        key: Key,
        /// Which one.
        callback: Callback,
        /// With what.
        content: Term,
    },
    /// Run terminate and forget the handler; the result goes to [`Core::terminated`](super::Core::terminated).
    Terminate {
        /// Of which handler.
        key: Key,
        /// With what.
        argument: Term,
    },
    /// Run init; the result goes to [`Core::installed`](super::Core::installed).
    Install {
        /// The new handler.
        key: Key,
        /// Its module, or `[module, id]`.
        handler: Term,
        /// With what.
        args: Term,
        /// What the one whose place it takes left.
        handed_over: Option<Term>,
    },
    /// Answer a call.
    Reply(ReplyTo, Term),
    /// Send an ordinary message.
    Tell(Pid, Term),
    /// Link to an owner.
    Link(Pid),
    /// Unlink from an owner.
    Unlink(Pid),
    /// End the manager.
    Exit(Reason),
}

/// What a handler's callback came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It goes on.
    Ok,
    /// It goes on and the manager hibernates.
    Hibernate,
    /// It answers.
    Reply(Term),
    /// It is to be removed.
    Remove,
    /// The same with an answer.
    RemoveReply(Term),
    /// Another takes its place.
    Swap(Swap),
    /// The same with an answer.
    SwapReply(Swap, Term),
    /// It failed: a value that it may not return, or `["EXIT", reason]`.
    Failed(Term),
}

impl Verdict {
    /// As the value that the callback returned in vain.
    pub(super) fn into_value(self) -> Term {
        let swap = |swap: Swap| [swap.argument, swap.handler, swap.args];
        match self {
            Self::Ok => Term::OK,
            Self::Hibernate => Term::Atom("hibernate"),
            Self::Reply(reply) => Term::tagged("ok", reply),
            Self::Remove => Term::Atom("remove_handler"),
            Self::RemoveReply(reply) => Term::tagged("remove_handler", reply),
            Self::Swap(parts) => Term::tagged("swap_handler", swap(parts).into()),
            Self::SwapReply(parts, reply) => [Term::Atom("swap_handler"), reply, swap(parts).into()].into(),
            Self::Failed(value) => value,
        }
    }
}

/// `{gen_event_EXIT, Handler, Reason}` to the handler's owner.
pub(super) fn tell(owner: Pid, handler: &Term, reason: Reason) -> Act {
    Act::Tell(owner, [Term::Atom("gen_event_EXIT"), handler.clone(), reason].into())
}

/// `{swapped, NewHandler, NewOwner}`.
pub(super) fn swapped(handler: &Term, owner: Option<Pid>) -> Reason {
    [Term::Atom("swapped"), handler.clone(), owner.map_or(Term::Bool(false), Term::Pid)].into()
}
