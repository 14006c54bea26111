//! One process as the runtime holds it: a header of atomics, the inbound queue, the signal state and the body.
//!
//! Invariants: locks are taken in the order signal state ([`Core`]), inbound queue, and none is held while a signal is
//! sent to another process. A scheduler takes the body out of the signal state for a slice, so that the state can be
//! looked at and changed by anybody meanwhile. The header is read without a lock and wakes nobody.

use crate::core::Core;
use crate::inbound::Inbound;
use crate::lineage::Lineage;
use crate::lock::Lock;
use crate::module::{Description, Module};
use crate::pid::Pid;
use crate::priority::Priority;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed,
    Ordering::Release,
};

/// The code that a process runs, shared by all processes of the module.
pub(crate) struct Code {
    pub(crate) description: Arc<Description>,
    pub(crate) module: Option<Arc<dyn Module>>,
}

pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) parent: Pid,
    /// Who started the parent, and so on.
    pub(crate) above: Option<Arc<Lineage>>,
    pub(crate) code: Arc<Code>,
    /// One of [`schedule`]'s constants; written with `inbound` locked.
    pub(crate) schedule: AtomicU8,
    pub(crate) priority: AtomicU8,
    pub(crate) flags: AtomicU16,
    /// The scheduler that ran it last.
    pub(crate) home: AtomicU16,
    /// The only scheduler that may run it, or [`UNPINNED`].
    pub(crate) pinned: AtomicU16,
    /// The body handles an event just now.
    pub(crate) in_turn: AtomicBool,
    /// Has to go to the run queue of `home` next.
    pub(crate) moving: AtomicBool,
    /// How often a process of low priority was passed over.
    pub(crate) passed_over: AtomicU8,
    /// One of [`stage`]'s constants; written with the signal state locked.
    pub(crate) stage: AtomicU8,
    /// Messages in the inner queue, as of the last turn.
    pub(crate) queue_len: AtomicU32,
    pub(crate) turns: AtomicU32,
    pub(crate) started_ms: u32,
    pub(crate) reductions: AtomicU64,
    pub(crate) inbound: Lock<Inbound>,
    pub(crate) core: Lock<Core>,
}

pub(crate) const UNPINNED: u16 = u16::MAX;

/// Whether a process waits, is in a run queue, or runs.
pub(crate) mod schedule {
    pub(crate) const IDLE: u8 = 0;
    pub(crate) const QUEUED: u8 = 1;
    pub(crate) const RUNNING: u8 = 2;
    /// Running, and something arrived meanwhile.
    pub(crate) const NOTIFIED: u8 = 3;
    pub(crate) const DEAD: u8 = 4;
}

/// Where a process is on its way from one node to another. Wherever it is not here it is off the run queue too, so that
/// nothing looks at this but what looks at a pause.
pub(crate) mod stage {
    pub(crate) const HERE: u8 = 0;
    /// Held, and about to leave.
    pub(crate) const LEAVING: u8 = 1;
    /// Made, and held until all that it left behind has come.
    pub(crate) const COMING: u8 = 2;
    /// Gone: what comes for it is sent on.
    pub(crate) const RELAY: u8 = 3;
}

/// Bits of [`Process::flags`].
pub(crate) mod flag {
    /// Somebody waits to see it between two turns.
    pub(crate) const LOOKED_AT: u16 = 512;
    pub(crate) const TRAP_EXIT: u16 = 1;
    pub(crate) const HIBERNATED: u16 = 2;
    /// `sys:suspend`: only system messages are handled.
    pub(crate) const SUSPENDED: u16 = 4;
    /// `erlang:suspend_process`: off the run queue.
    pub(crate) const PAUSED: u16 = 8;
    pub(crate) const BLOCKING: u16 = 16;
    pub(crate) const NAMED: u16 = 32;
    /// The receive timeout may be due.
    pub(crate) const TIMER_FIRED: u16 = 64;
    pub(crate) const GLOBAL: u16 = 128;
    pub(crate) const GROUPED: u16 = 256;
    pub(crate) const SESSION: u16 = 1024;
    /// Watches a group, holds another process, or has a link, monitor or call across to another node.
    pub(crate) const WATCHER: u16 = 2048;
    /// How long its messages wait is measured.
    pub(crate) const MEASURED: u16 = 4096;
    /// Held so that it restarts nothing.
    pub(crate) const SUPERVISION_PAUSED: u16 = 16384;
    /// Sent more to another node than can leave; it goes on when there is room.
    pub(crate) const HELD_BACK: u16 = 32768;
    /// What its messages weigh is bounded.
    pub(crate) const BYTES_BOUND: u16 = 8192;
}

impl Process {
    pub(crate) fn has(&self, flag: u16) -> bool {
        self.flags.load(Relaxed) & flag != 0
    }

    /// Sets or clears a flag and gives its old value.
    pub(crate) fn set(&self, flag: u16, value: bool) -> bool {
        let old =
            if value { self.flags.fetch_or(flag, Relaxed) } else { self.flags.fetch_and(!flag, Relaxed) };
        old & flag != 0
    }

    pub(crate) fn set_trap_exit(&self, value: bool) -> bool {
        self.set(flag::TRAP_EXIT, value)
    }

    /// Whether it has gone to another node and sends on what comes.
    pub(crate) fn is_relay(&self) -> bool {
        self.stage.load(Acquire) == stage::RELAY
    }

    /// Whether a scheduler has it.
    pub(crate) fn is_in_slice(&self) -> bool {
        matches!(self.schedule.load(Acquire), schedule::RUNNING | schedule::NOTIFIED)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.schedule.load(Acquire) == schedule::DEAD
    }

    /// Counts a slice. Only the scheduler that runs it calls this, so no locked instruction is needed.
    pub(crate) fn count(&self, turns: u32, reductions: u32) {
        self.turns.store(self.turns.load(Relaxed).wrapping_add(turns), Relaxed);
        self.reductions.store(self.reductions.load(Relaxed) + u64::from(reductions), Relaxed);
    }

    /// It is in no run queue yet and runs once it is nudged.
    pub(crate) fn await_nudge(&self) {
        let _inbound = self.inbound.lock();
        self.schedule.store(schedule::IDLE, Release);
    }

    /// Notes that it is dead: it is in no run queue and nobody wakes it any more.
    pub(crate) fn die(&self) {
        let _inbound = self.inbound.lock();
        self.schedule.store(schedule::DEAD, Release);
    }

    /// Has the body lie in the signal state, which the caller has locked, unless a slice has it; whether it is so. A
    /// hibernated process has no body, and no slice either.
    pub(crate) fn settle_body(&self, core: &mut Core) -> bool {
        let mut inbound = self.inbound.lock();
        if let Some(body) = inbound.take_body() {
            core.body = Some(body);
        }
        core.body.is_some() || !self.is_in_slice()
    }

    /// Whether something waits for the end of the turn.
    pub(crate) fn wants_attention(&self) -> bool {
        self.schedule.load(Relaxed) == schedule::NOTIFIED || self.has(flag::PAUSED | flag::LOOKED_AT)
    }

    pub(crate) fn priority(&self) -> Priority {
        Priority::from_u8(self.priority.load(Relaxed))
    }

    /// Messages that wait, those included that no turn has seen yet.
    pub(crate) fn message_count(&self) -> usize {
        self.inbound.lock().messages() + self.queue_len.load(Relaxed) as usize
    }
}

/// A handle to a process, quicker to reach than its pid. It does not keep the process alive.
#[derive(Clone)]
pub struct ProcessRef(pub(crate) Arc<Process>);

impl ProcessRef {
    /// Its pid.
    pub fn pid(&self) -> Pid {
        self.0.pid
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&self) -> bool {
        !self.0.is_dead()
    }
}

impl fmt::Debug for ProcessRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.pid, f)
    }
}
