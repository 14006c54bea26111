//! What a process runs: the one trait behind which native code, a guest's fiber and an external stream stand.
//!
//! A body never blocks its scheduler: it handles one event and says what it waits for next. It may leave its mailbox
//! unread, wait for one reply in the middle of a callback, give way at a preemption point, or hand a blocking piece of
//! work to the blocking pool.

use crate::context::Context;
use crate::message::Message;
use crate::pid::Ref;
use crate::term::{Reason, Term};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The code and state of one process.
pub trait Body: Send + 'static {
    /// Handles `event` and says what comes next. One call is one turn.
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step;

    /// The state as `sys:get_state` would give it, seen between two turns; nothing if the body keeps it to itself.
    fn inspect(&self) -> Option<Term> {
        None
    }

    /// The name of the current state, for a state machine.
    fn state_name(&self) -> Option<Term> {
        None
    }

    /// The installed handlers, for an event manager.
    fn handlers(&self) -> Option<Vec<Term>> {
        None
    }

    /// Replaces the state, as `sys:replace_state` does; `false` if the body cannot.
    fn replace(&mut self, _state: &Term) -> bool {
        false
    }

    /// The state in a form that [`Module::restore`](crate::module::Module::restore) makes a body of again.
    fn snapshot(&self) -> Option<Term> {
        None
    }

    /// Bytes of heap that the state holds, if the body can tell.
    fn heap_bytes(&self) -> Option<usize> {
        None
    }

    /// Gives back spare capacity.
    fn shrink(&mut self) {}

    /// The message that it is in the middle of handling, where it waits there; nothing between two messages.
    fn in_hand(&self) -> Option<Term> {
        None
    }

    /// What it is doing, for a backtrace: function names, innermost first.
    fn backtrace(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a turn is about.
#[derive(Debug)]
pub enum Event {
    /// The process starts.
    Start,
    /// The next message that the body's [`Receive`] let through.
    Message(Message),
    /// No such message came in the time it was willing to wait.
    Timeout,
    /// The process goes on after [`Step::Yield`].
    Resume,
    /// The result of a [`Step::Block`].
    Unblocked(Term),
}

/// What a process does after a turn.
pub enum Step {
    /// Waits for a message.
    Wait(Receive),
    /// Gives way and goes on with [`Event::Resume`]: a preemption point.
    Yield,
    /// Runs this on the blocking pool and goes on with its result as [`Event::Unblocked`].
    Block(Box<dyn FnOnce() -> Term + Send>),
    /// Waits for a message and frees what it can until one comes.
    Hibernate(Receive),
    /// Ends.
    Exit(Reason),
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wait(receive) => write!(f, "Wait({receive:?})"),
            Self::Yield => f.write_str("Yield"),
            Self::Block(_) => f.write_str("Block"),
            Self::Hibernate(receive) => write!(f, "Hibernate({receive:?})"),
            Self::Exit(reason) => write!(f, "Exit({reason})"),
        }
    }
}

/// Which messages a process waits for, and how long.
#[derive(Clone, Debug, Default)]
pub struct Receive {
    /// Which messages; the others stay in the mailbox in their order.
    pub filter: Filter,
    /// How long; `None` waits for ever.
    pub timeout: Option<Duration>,
}

impl Receive {
    /// Any message, for as long as it takes.
    pub const fn any() -> Self {
        Self { filter: Filter::Any, timeout: None }
    }

    /// No message: the mailbox stays unread.
    pub const fn none() -> Self {
        Self { filter: Filter::Nothing, timeout: None }
    }

    /// The reply to this call, or the news that it will never come.
    pub const fn reply(reference: Ref) -> Self {
        Self { filter: Filter::Reference(reference), timeout: None }
    }

    /// The messages that this predicate lets through.
    pub fn matching(predicate: impl Fn(&Message) -> bool + Send + Sync + 'static) -> Self {
        Self { filter: Filter::Matching(Arc::new(predicate)), timeout: None }
    }

    /// The same, for this long at most.
    #[must_use]
    pub const fn within(mut self, timeout: Option<Duration>) -> Self {
        self.timeout = timeout;
        self
    }
}

/// Which messages a [`Receive`] lets through.
#[derive(Clone, Default)]
pub enum Filter {
    /// Every one.
    #[default]
    Any,
    /// None at all.
    Nothing,
    /// Those with this reference: the reply, the DOWN or the timeout.
    Reference(Ref),
    /// Those for which this is true.
    Matching(Arc<dyn Fn(&Message) -> bool + Send + Sync>),
}

impl Filter {
    /// Whether `message` passes.
    pub fn admits(&self, message: &Message) -> bool {
        match self {
            Self::Any => true,
            Self::Nothing => false,
            Self::Reference(reference) => message.reference == Some(*reference),
            Self::Matching(predicate) => predicate(message),
        }
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Nothing => f.write_str("Nothing"),
            Self::Reference(reference) => write!(f, "Reference({reference:?})"),
            Self::Matching(_) => f.write_str("Matching"),
        }
    }
}
