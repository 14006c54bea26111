//! Watching turns: how a trace of a call goes on in the processes that it reaches.
//!
//! The runtime knows no tracing. A message carries the number of the operation that caused it and the turn that handles
//! it hands the number on with what it sends; whoever knows which operations are traced is told of their turns. A turn
//! without an operation costs one branch on a field at hand, and nobody is asked before an observer is set.

use crate::message::Kind;
use crate::node::Node;
use crate::pid::Pid;
use crate::process::Process;
use crate::term::Reason;

/// Is told of turns that an operation caused. Called on schedulers: it must not block.
pub trait TurnObserver: Send + Sync + 'static {
    /// A message leaves from outside, caused by `operation` (0 for none), on the thread of whoever sends it. Gives the
    /// operation that it is to carry: the same, or a fresh number for one that has none and is to be watched.
    fn sending(&self, node: &Node, operation: u64) -> u64;

    /// A turn begins. Nothing if it is not of interest.
    fn begin(&self, turn: &CausedTurn<'_>) -> Option<Box<dyn ObservedTurn>>;
}

/// A turn that is watched.
pub trait ObservedTurn {
    /// It is over, with the reason if the process ends of it.
    fn end(self: Box<Self>, exit: Option<&Reason>);
}

/// A turn that an operation caused.
#[derive(Clone, Copy, Debug)]
pub struct CausedTurn<'a> {
    /// The operation's number, never 0.
    pub operation: u64,
    /// The process.
    pub process: Pid,
    /// Its module.
    pub module: &'a str,
    /// What kind of message it handles.
    pub kind: Kind,
}

/// A turn of `process` begins, caused by `operation`.
pub(crate) fn begin(
    node: &Node,
    process: &Process,
    operation: u64,
    kind: Kind,
) -> Option<Box<dyn ObservedTurn>> {
    if operation == 0 {
        return None;
    }
    let observer = node.turn_observer().get()?;
    observer.begin(&CausedTurn {
        operation,
        process: process.pid,
        module: &process.code.description.name,
        kind,
    })
}
