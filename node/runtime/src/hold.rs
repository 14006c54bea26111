//! Holds: counted, leased stops of a process. `sys:suspend`, `erlang:suspend_process` and the pause of a supervisor are
//! kinds of the same thing; each ends with its holder, by its lease, or when it is released.
//!
//! The scheduler obeys the first two. The third is the supervisor's own to obey: it looks whether it is held, and is sent
//! a message when it is no longer.

use crate::core::Core;
use crate::message::{Kind, Message, Signal};
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pid::{OwnedId, Pid};
use crate::process::{ProcessRef, flag};
use crate::term::Term;
use crate::timer::Due;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum HoldKind {
    /// `sys:suspend`: ordinary messages wait, system ones are answered. Renewing counts once.
    Suspend,
    /// `erlang:suspend_process`: off the run queue. Counted.
    PauseScheduling,
    /// A supervisor restarts nothing, and owes what ends. Renewing counts once.
    PauseSupervision,
}

impl fmt::Display for HoldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Suspend => "suspension",
            Self::PauseScheduling => "pause of its scheduling",
            Self::PauseSupervision => "pause of its supervision",
        })
    }
}

/// Who holds.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Holder {
    /// A process; the hold ends with it.
    Process(Pid),
    /// Somebody outside, by name.
    Principal(Arc<str>),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "process {pid}"),
            Self::Principal(name) => write!(f, "`{name}`"),
        }
    }
}

/// One hold on one process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// Its id.
    pub id: OwnedId,
    /// What it does.
    pub kind: HoldKind,
    /// Whose it is.
    pub holder: Holder,
    /// How often it is held: as many releases end it.
    pub count: u32,
    /// When it was first taken, nanoseconds of the node's clock.
    pub since_ns: u64,
    /// When its lease ends.
    pub expires_ns: u64,
}

/// Why a hold could not be taken or released.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum HoldError {
    /// The process is not alive.
    #[error("process {0} is not alive")]
    NoProcess(Pid),
    /// The holder holds nothing of this kind.
    #[error("process {process} has no {kind} by {holder}")]
    NotHeld {
        /// The process.
        process: Pid,
        /// Who would release.
        holder: Holder,
        /// What.
        kind: HoldKind,
    },
    /// No hold has this id.
    #[error("no hold has the id {0}")]
    Unknown(OwnedId),
}

impl Node {
    /// Takes a hold, or renews its lease: a suspension counts once a holder, a pause as often as it is taken. Gives the
    /// hold, and whether it was taken rather than renewed.
    ///
    /// # Errors
    /// If the process, or a holder that is a process, is not alive.
    pub fn hold(
        &self,
        pid: Pid,
        kind: HoldKind,
        holder: Holder,
        lease: Duration,
        unless_held: bool,
    ) -> Result<(Hold, bool), HoldError> {
        let process = self.process(pid).ok_or(HoldError::NoProcess(pid))?;
        if let Holder::Process(holder) = holder {
            let holding = self.process(holder).ok_or(HoldError::NoProcess(holder))?;
            holding.0.set(flag::WATCHER, true);
            self.watchers().holder_holds(holder, pid);
        }
        let now = self.now_ns();
        let expires_ns = now.saturating_add(u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX));
        let outcome = self.with_core(&process.0, |core, outbox| {
            let holds = &mut core.extras_mut().holds;
            let (at, taken) = match holds.iter().position(|hold| hold.kind == kind && hold.holder == holder) {
                Some(at) => {
                    let counts = kind == HoldKind::PauseScheduling && !unless_held;
                    holds[at].count += u32::from(counts);
                    holds[at].expires_ns = expires_ns;
                    (at, counts)
                }
                None => {
                    let id = self.new_id(b'h');
                    holds.push(Hold { id, kind, holder, count: 1, since_ns: now, expires_ns });
                    (holds.len() - 1, true)
                }
            };
            let hold = holds[at].clone();
            self.apply_holds(&process, core, outbox);
            (hold, taken)
        });
        self.timers().add(expires_ns, self.new_ref().number(), Due::Lease(pid));
        self.record("process.held", pid, Pid::NONE, Term::from(kind.as_str()), 0);
        Ok(outcome)
    }

    /// Releases one hold of this holder; gives how many times it still holds.
    ///
    /// # Errors
    /// If it holds nothing of the kind, or the process is not alive.
    pub fn release(&self, pid: Pid, kind: HoldKind, holder: &Holder) -> Result<u32, HoldError> {
        let process = self.process(pid).ok_or(HoldError::NoProcess(pid))?;
        let left = self.with_core(&process.0, |core, outbox| {
            let holds = &mut core.extras_mut().holds;
            let at = holds.iter().position(|hold| hold.kind == kind && hold.holder == *holder)?;
            holds[at].count -= 1;
            let left = holds[at].count;
            if left == 0 {
                holds.remove(at);
            }
            self.apply_holds(&process, core, outbox);
            Some(left)
        });
        self.nudge(&process.0);
        let not_held = || HoldError::NotHeld { process: pid, holder: holder.clone(), kind };
        let left = left.ok_or_else(not_held)?;
        self.record("process.released", pid, Pid::NONE, Term::from(kind.as_str()), 0);
        Ok(left)
    }

    /// Ends a hold whoever has it, or sets the end of its lease; gives the process and the hold.
    ///
    /// # Errors
    /// If there is no such hold.
    pub fn change_hold(&self, id: OwnedId, lease: Option<Duration>) -> Result<(Pid, Hold), HoldError> {
        let (pid, _) =
            self.holds().into_iter().find(|(_, hold)| hold.id == id).ok_or(HoldError::Unknown(id))?;
        let process = self.process(pid).ok_or(HoldError::Unknown(id))?;
        let changed = self.with_core(&process.0, |core, outbox| {
            let holds = &mut core.extras_mut().holds;
            let at = holds.iter().position(|hold| hold.id == id)?;
            let hold = match lease {
                Some(lease) => {
                    let ns = u64::try_from(lease.as_nanos()).unwrap_or(u64::MAX);
                    holds[at].expires_ns = self.now_ns().saturating_add(ns);
                    holds[at].clone()
                }
                None => holds.remove(at),
            };
            self.apply_holds(&process, core, outbox);
            Some(hold)
        });
        self.nudge(&process.0);
        let hold = changed.ok_or(HoldError::Unknown(id))?;
        if lease.is_some() {
            self.timers().add(hold.expires_ns, self.new_ref().number(), Due::Lease(pid));
        }
        Ok((pid, hold))
    }

    /// All holds of a process.
    pub fn holds_of(&self, pid: Pid) -> Vec<Hold> {
        let process = self.process(pid);
        process
            .and_then(|process| process.0.core.lock().extras().map(|extras| extras.holds.clone()))
            .unwrap_or_default()
    }

    /// All holds on this node, with the processes held.
    pub fn holds(&self) -> Vec<(Pid, Hold)> {
        let mut holds = Vec::new();
        self.table().visit(0, |process| {
            if process.has(flag::PAUSED | flag::SUSPENDED | flag::SUPERVISION_PAUSED) {
                holds.extend(self.holds_of(process.pid).into_iter().map(|hold| (process.pid, hold)));
            }
            true
        });
        holds
    }

    /// Ends what has outlived its lease.
    pub(crate) fn expire_holds(&self, pid: Pid) {
        let now = self.now_ns();
        self.end_holds(pid, "hold.expired", |hold| hold.expires_ns <= now);
    }

    /// A process died that held others or watched groups.
    pub(crate) fn holder_died(&self, holder: Pid) {
        for pid in self.watchers().forget(holder) {
            self.end_holds(pid, "hold.holder_died", |hold| hold.holder == Holder::Process(holder));
        }
    }

    /// Whether anybody holds a process so.
    pub fn is_held(&self, pid: Pid, kind: HoldKind) -> bool {
        let flag = match kind {
            HoldKind::Suspend => flag::SUSPENDED,
            HoldKind::PauseScheduling => flag::PAUSED,
            HoldKind::PauseSupervision => flag::SUPERVISION_PAUSED,
        };
        self.process(pid).is_some_and(|process| process.0.has(flag))
    }

    /// Sets the flags that the scheduler, or the supervisor itself, looks at.
    fn apply_holds(&self, process: &ProcessRef, core: &mut Core, outbox: &mut Outbox) {
        let has =
            |kind| core.extras().is_some_and(|extras| extras.holds.iter().any(|hold| hold.kind == kind));
        process.0.set(flag::SUSPENDED, has(HoldKind::Suspend));
        process.0.set(flag::PAUSED, has(HoldKind::PauseScheduling) || core.passage().is_some());
        let paused = has(HoldKind::PauseSupervision);
        if process.0.set(flag::SUPERVISION_PAUSED, paused) && !paused {
            // as a DOWN, which no bound of a mailbox refuses, and which waits while the process is suspended
            let released = Message::of(Kind::Down, process.pid(), RELEASED);
            outbox.push(self, &process.0, Signal::Message(released));
        }
        core.inner.rescan();
    }

    fn end_holds(&self, pid: Pid, why: &'static str, ended: impl Fn(&Hold) -> bool) {
        let Some(process) = self.process(pid) else { return };
        let any = self.with_core(&process.0, |core, outbox| {
            let holds = &mut core.extras_mut().holds;
            let before = holds.len();
            holds.retain(|hold| !ended(hold));
            let any = holds.len() < before;
            self.apply_holds(&process, core, outbox);
            any
        });
        if any {
            self.record(why, pid, Pid::NONE, Term::Null, 0);
            self.nudge(&process.0);
        }
    }
}

impl HoldKind {
    /// Its name in events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::PauseScheduling => "pause_scheduling",
            Self::PauseSupervision => "pause_supervision",
        }
    }
}

/// What a supervisor is sent when nobody holds it any more.
const RELEASED: Term = Term::Atom("supervision_resumed");

/// Whether this message tells its receiver that nobody pauses its supervision any more. Another hold may have been taken
/// since it was sent: [`Node::is_held`] knows.
pub fn tells_of_release(message: &Message) -> bool {
    message.kind == Kind::Down && message.reference.is_none() && message.payload == RELEASED
}
