//! A process on its way to another node, and what stays of it on the one it leaves.
//!
//! Whoever leaves is held between two of its turns ([`Departure`]), is made again elsewhere and held there too until all that
//! it has left has come (`arrival`), and leaves a *relay*: its old pid, without a body, which sends on in order what comes
//! for it. Whoever linked to, monitors or has called the old pid has to do with the relay, which ends as the process ends;
//! so nobody needs to hear that it has moved. What the process itself has of others from before it moved, its links and
//! monitors, it has by way of the relay ([`Bonds`]): both ends hear `noconnection` when that is out of reach.
//!
//! Who moves what where, and that one process is never two, is decided by whoever calls this: here nothing is agreed upon.
//!
//! Invariants: a process that is not at home has its passage noted, and is off the run queue for that alone; a relay sends
//! on in its slices alone, all of it by one lane, so that order is kept whoever sent; a relay is never without the monitor
//! that ends it.

mod arrival;
mod bonds;
mod departure;
mod luggage;
mod relay;

pub use departure::Departure;
pub use luggage::{Cargo, Luggage, read_messages, write_messages};

pub(crate) use bonds::Bonds;
pub(crate) use relay::Relay;

use crate::core::Core;
use crate::message::{Message, Signal};
use crate::node::Node;
use crate::pid::{Pid, Ref};
use crate::process::{Process, ProcessRef, flag, stage};
use std::sync::atomic::Ordering::Release;
use std::time::Duration;

/// How a process is not at home.
pub(crate) enum Passage {
    /// Held, and about to leave; it may stay after all.
    Leaving,
    /// Made here, and held until all that it left behind has come: the messages that have.
    Coming { former: Pid, tail: Vec<Message> },
    /// It has left.
    Relay(Relay),
}

/// What a process that has moved and its former pids tell each other.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    /// To the process: this came to a former pid, from somebody with whom it has to do by way of that one.
    Came(Signal),
    /// To a former pid: end this link.
    Unlink { of: Pid },
    /// To a former pid: end this monitor.
    Demonitor { of: Pid, reference: Ref },
    /// To the process, through its former pids and behind all that they have to send on: answer, and with `watch` have
    /// the one who asks hear of the end, under the same reference.
    Fence { reference: Ref, watch: bool },
    /// To the process: these links and monitors are by way of this former pid from now on.
    Via { links: Vec<Pid>, monitors: Vec<Ref> },
    /// To a former pid: the process is no longer where it was.
    Moved,
}

/// Why a process does not move.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PassageError {
    /// It is not alive.
    #[error("process {0} is not alive")]
    NoProcess(Pid),
    /// It gives no snapshot.
    #[error("process {0} has no `snapshot` hook")]
    NoHook(Pid),
    /// It belongs where it is.
    #[error("process {process} cannot move: {why}")]
    Fixed {
        /// The process.
        process: Pid,
        /// Why.
        why: &'static str,
    },
    /// Somebody moves it already.
    #[error("process {0} is about to move already")]
    Underway(Pid),
    /// It came to no end of its turn.
    #[error("process {process} came to no end of its turn within {timeout:?}")]
    Timeout {
        /// The process.
        process: Pid,
        /// How long was waited.
        timeout: Duration,
    },
    /// It is another's by now.
    #[error("process {process} is in epoch {epoch}, not {given}")]
    StaleEpoch {
        /// The process.
        process: Pid,
        /// The epoch that it is in.
        epoch: u64,
        /// The one that was given.
        given: u64,
    },
    /// Nothing is to come for it.
    #[error("process {0} waits for nothing from another node")]
    NotComing(Pid),
}

impl Core {
    /// How the process is not at home.
    pub(crate) fn passage(&self) -> Option<&Passage> {
        self.extras().and_then(|extras| extras.passage.as_deref())
    }

    fn passage_mut(&mut self) -> Option<&mut Passage> {
        // without a look first, every process would get extras
        self.passage()?;
        self.extras_mut().passage.as_deref_mut()
    }

    /// Notes that the process is not at home, or that it is again; it is held as long as it is not.
    fn set_passage(&mut self, process: &Process, passage: Option<Passage>) {
        let at = match &passage {
            None => stage::HERE,
            Some(Passage::Leaving) => stage::LEAVING,
            Some(Passage::Coming { .. }) => stage::COMING,
            Some(Passage::Relay(_)) => stage::RELAY,
        };
        let held = self.extras().is_some_and(|extras| extras.is_paused());
        process.set(flag::PAUSED, passage.is_some() || held);
        process.stage.store(at, Release);
        self.extras_mut().passage = passage.map(Box::new);
    }
}

impl Node {
    /// Where the process with this pid of this node is now, if it has gone and what comes for it is sent on.
    pub fn moved_to(&self, pid: Pid) -> Option<Pid> {
        if !self.has_relays() {
            return None;
        }
        let process = self.process(pid).filter(|process| process.0.is_relay())?;
        let core = process.0.core.lock();
        match core.passage() {
            Some(Passage::Relay(relay)) => relay.target(),
            _ => None,
        }
    }

    /// Whether the process has gone to another node, and its pid here stands for it.
    pub fn is_relay(&self, process: &ProcessRef) -> bool {
        process.0.is_relay()
    }

    /// The epoch in which the process is here: 0 for one that never moved.
    pub fn epoch_of(&self, process: &ProcessRef) -> u64 {
        process.0.core.lock().bonds().map_or(0, |bonds| bonds.epoch)
    }

    /// Waits until what was sent so far to a process that has moved is where it has gone; at once for one that has not.
    pub async fn until_passed_on(&self, process: &ProcessRef) {
        if !process.0.is_relay() {
            return;
        }
        let Some(mut waiting) = self.aliases().open(self, process.pid()) else { return };
        let note = Box::new(Note::Fence { reference: waiting.reference, watch: false });
        self.send_to_process(&process.0, Signal::Passing { from: waiting.alias, note });
        waiting.answer().await;
    }
}
