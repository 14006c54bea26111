//! What goes into a supervisor's core and what comes out.

use super::Place;
use crate::supervisor::request::{Outcome, SupervisorRequest};
use crate::supervisor::spec::{ChildSpec, Shutdown};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};
use std::sync::Arc;

/// What reaches a supervisor.
#[derive(Clone, Debug)]
pub enum Event {
    /// It begins: start the children.
    Begin,
    /// A process that it is linked to ended.
    Exited {
        /// Which.
        pid: Pid,
        /// Why.
        reason: Reason,
    },
    /// Somebody asks.
    Request(Box<SupervisorRequest>),
    /// Its own [`Action::TryAgain`] came round.
    TryAgain(Place),
    /// Nobody holds it any more.
    Unpaused,
    /// Its parent or its system layer tells it to end.
    Terminate(Reason),
    /// The answer to [`Action::Start`]: its pid, nothing after `ignore`, or why it failed.
    Started(Result<Option<Pid>, Reason>),
    /// One of the answers to [`Action::Stop`].
    Stopped {
        /// Which child.
        place: Place,
        /// Why it ended.
        reason: Reason,
    },
}

/// What a supervisor does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start this child; to be answered by [`Event::Started`].
    Start {
        /// What it is started from.
        spec: Arc<ChildSpec>,
        /// What its init is given.
        args: Term,
        /// Which start of it this is, if it succeeds.
        incarnation: u32,
    },
    /// Stop these children, all at the same time; each to be answered by [`Event::Stopped`].
    Stop(Vec<StopChild>),
    /// Answer the request in hand.
    Reply(Outcome),
    /// Come back with [`Event::TryAgain`] when what has arrived meanwhile is handled.
    TryAgain(Place),
    /// All children run: tell the starter.
    Acknowledge,
    /// End. Before [`Action::Acknowledge`] it is a failed start.
    Exit(Reason),
    /// Tell whoever watches.
    Publish(Occurrence),
}

/// A child to be stopped.
#[derive(Clone, Debug, PartialEq)]
pub struct StopChild {
    /// Where it is.
    pub place: Place,
    /// Its pid.
    pub pid: Pid,
    /// How it is told.
    pub shutdown: Shutdown,
}

/// What happened, for the event log.
#[derive(Clone, Debug, PartialEq)]
pub enum Occurrence {
    /// A child runs.
    Started {
        /// Its id; an instance's is `undefined`.
        id: Term,
        /// Its pid.
        pid: Pid,
        /// Which start of it this was.
        incarnation: u32,
    },
    /// A child's init failed.
    StartFailed {
        /// Its id.
        id: Term,
        /// What its init gave.
        reason: Reason,
    },
    /// A child ended of itself.
    Exited {
        /// Its id.
        id: Term,
        /// The pid it had.
        pid: Pid,
        /// Why.
        reason: Reason,
    },
    /// A child was stopped by its supervisor.
    Stopped {
        /// Its id.
        id: Term,
        /// The pid it had.
        pid: Pid,
        /// What it ended with.
        reason: Reason,
    },
    /// A child's end will be followed by a restart, alone or with others.
    Restarting {
        /// Its id.
        id: Term,
        /// Restarts within the period, this one included.
        restarts: usize,
    },
    /// One restart too many: the supervisor ends.
    Escalated {
        /// The child whose end was too much.
        id: Term,
        /// Restarts within the period.
        restarts: usize,
    },
    /// The end of a significant child ends the supervisor.
    AutoShutdown {
        /// Its id.
        id: Term,
    },
    /// A child ended while the supervisor is paused: its restart is owed.
    Owed {
        /// Its id.
        id: Term,
    },
    /// A child's spec was removed on request.
    Deleted {
        /// Its id.
        id: Term,
    },
    /// Flags or a spec were changed.
    Changed,
    /// Restarts wait from now on.
    Paused,
    /// Restarts go on; so many were owed.
    Resumed {
        /// How many.
        owed: usize,
    },
}
