//! What can be told of a process without asking it: from the header and the signal state, waking nobody.

use crate::body::Filter;
use crate::hold::Hold;
use crate::message::Kind;
use crate::module::Description;
use crate::node::Node;
use crate::pid::{OwnedId, Pid};
use crate::priority::Priority;
use crate::process::{Process, ProcessRef, UNPINNED, flag, schedule};
use crate::term::Term;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// What a process does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Waits for a message.
    Waiting,
    /// Has something to do and waits for its scheduler.
    Runnable,
    /// In a turn.
    Running,
    /// Off the run queue (`erlang:suspend_process`).
    Suspended,
    /// Its code runs on the blocking pool.
    Blocked,
    /// Has ended.
    Exited,
}

impl Status {
    /// OTP's name of it, where OTP has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Runnable => "runnable",
            Self::Running => "running",
            Self::Suspended => "suspended",
            Self::Blocked => "blocked",
            Self::Exited => "exiting",
        }
    }
}

/// What the header tells: cheap enough for lists of a million.
#[derive(Clone, Debug)]
pub struct Header {
    /// The process.
    pub pid: Pid,
    /// Who started it.
    pub parent: Option<Pid>,
    /// What it runs.
    pub code: Arc<Description>,
    /// What it does.
    pub status: Status,
    /// Messages that wait.
    pub queue_len: usize,
    /// Reductions used.
    pub reductions: u64,
    /// Turns had.
    pub turns: u32,
    /// Its priority.
    pub priority: Priority,
    /// Whether it traps exits.
    pub trap_exit: bool,
    /// Whether it is hibernated.
    pub hibernating: bool,
    /// Whether it handles system messages alone (`sys:suspend`).
    pub suspended: bool,
    /// The scheduler that ran it last, from 1; nothing before its first turn.
    pub scheduler: Option<u32>,
    /// The only one that may run it.
    pub pinned: Option<u32>,
    /// When it began, in milliseconds of the node's clock.
    pub started_ms: u32,
    /// Whether clients read its mailbox.
    pub session: bool,
}

/// All that is known without asking it.
#[derive(Clone, Debug)]
pub struct ProcessInfo {
    /// What the header tells.
    pub header: Header,
    /// Its local name.
    pub name: Option<Arc<str>>,
    /// Its global names.
    pub global_names: Vec<Arc<str>>,
    /// Its key.
    pub key: Option<Arc<str>>,
    /// Its labels.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// Its dictionary.
    pub dictionary: BTreeMap<Arc<str>, Term>,
    /// Its group leader: where nobody gave it or its starters one, the first of those starters, else itself.
    pub group_leader: Pid,
    /// Who started it and who started those, nearest first.
    pub ancestors: Vec<Pid>,
    /// Its id under its supervisor.
    pub child_id: Option<Term>,
    /// Processes it is linked to, in order.
    pub links: Vec<Pid>,
    /// What it monitors.
    pub monitors: Vec<(OwnedId, Pid)>,
    /// Who monitors it, with the watcher's reference.
    pub monitored_by: Vec<(OwnedId, Pid)>,
    /// Whom it has asked and not heard from.
    pub waits_for: Vec<Pid>,
    /// Whether it is in the middle of a callback, waiting for an answer or a time.
    pub in_callback: bool,
    /// Callers that it has not answered.
    pub callers: Vec<Pid>,
    /// Its holds.
    pub holds: Vec<Hold>,
    /// Bytes of its mailbox.
    pub mailbox_bytes: usize,
    /// Bytes of the control block, the dictionary and the names, without mailbox and state.
    pub control_bytes: usize,
    /// Its bound on state, if it has one.
    pub memory_bytes_max: Option<u64>,
}

/// What a scheduler does.
#[derive(Clone, Debug)]
pub struct SchedulerInfo {
    /// Its number, from 1.
    pub id: u32,
    /// Run queue lengths: max, high, normal and low.
    pub queues: [usize; 3],
    /// The process in a turn.
    pub current: Option<Pid>,
    /// Turns run.
    pub turns: u64,
    /// Slices run.
    pub slices: u64,
    /// Reductions used.
    pub reductions: u64,
    /// Processes taken from other schedulers.
    pub steals: u64,
    /// Time with something to run.
    pub busy_ns: u64,
    /// Time without.
    pub idle_ns: u64,
}

fn header(process: &Process) -> Header {
    let status = match process.schedule.load(Acquire) {
        schedule::DEAD => Status::Exited,
        // one that waits for room on its way to another node too, as on BEAM
        _ if process.has(flag::PAUSED | flag::HELD_BACK) => Status::Suspended,
        _ if process.has(flag::BLOCKING) => Status::Blocked,
        schedule::RUNNING | schedule::NOTIFIED if process.in_turn.load(Relaxed) => Status::Running,
        schedule::IDLE => Status::Waiting,
        _ => Status::Runnable,
    };
    let number = |scheduler: u16| (scheduler != UNPINNED).then(|| u32::from(scheduler) + 1);
    Header {
        pid: process.pid,
        parent: process.parent.some(),
        code: Arc::clone(&process.code.description),
        status,
        queue_len: process.message_count(),
        reductions: process.reductions.load(Relaxed),
        turns: process.turns.load(Relaxed),
        priority: process.priority(),
        trap_exit: process.has(flag::TRAP_EXIT),
        hibernating: process.has(flag::HIBERNATED),
        suspended: process.has(flag::SUSPENDED),
        scheduler: number(process.home.load(Relaxed)),
        pinned: number(process.pinned.load(Relaxed)),
        started_ms: process.started_ms,
        session: process.has(flag::SESSION),
    }
}

impl Node {
    /// What the header of a live process tells.
    pub fn header(&self, process: &ProcessRef) -> Header {
        header(&process.0)
    }

    /// All that is known of a live process; nothing if it has ended meanwhile.
    pub fn info(&self, pid: Pid) -> Option<ProcessInfo> {
        let process = self.process(pid)?;
        let info = self.with_core(&process.0, |core, _| {
            let extras = core.extras();
            let dictionary = extras.map(|extras| extras.dictionary.clone()).unwrap_or_default();
            let kept: usize = dictionary.iter().map(|(key, value)| 32 + key.len() + value.size_bytes()).sum();
            ProcessInfo {
                header: header(&process.0),
                name: core.name.clone(),
                global_names: extras
                    .map(|extras| extras.global_names.iter().cloned().collect())
                    .unwrap_or_default(),
                key: extras.and_then(|extras| extras.key.clone()),
                labels: extras.map(|extras| extras.labels.clone()).unwrap_or_default(),
                dictionary,
                group_leader: process.0.group_leader(extras.and_then(|extras| extras.group_leader)),
                ancestors: process.0.ancestors().collect(),
                child_id: extras.and_then(|extras| extras.child_id.clone()),
                links: core.links().collect(),
                monitors: core.monitors().map(|(r, of)| (self.owned(b'm', r.number()), of)).collect(),
                monitored_by: core
                    .watchers()
                    .map(|(by, r)| (OwnedId::new(by.node, by.incarnation, b'm', r.number()), by))
                    .collect(),
                waits_for: core.pending().map(|(_, server)| server).collect(),
                in_callback: matches!(core.receive.filter, Filter::Reference(_)),
                callers: core.open_calls().iter().map(|call| call.to).collect(),
                holds: extras.map(|extras| extras.holds.clone()).unwrap_or_default(),
                mailbox_bytes: core.inner.bytes(),
                control_bytes: size_of::<Process>() + extras.map_or(0, size_of_val) + kept,
                memory_bytes_max: extras.and_then(|extras| extras.memory_bytes_max),
            }
        });
        (info.header.status != Status::Exited).then_some(info)
    }

    /// Headers of live processes whose table index is at least `from`, until `visit` answers `false`; gives the index
    /// to go on from. A process that lives throughout is visited exactly once over all pages.
    /// One that has moved to another node is none of this one's, though its old pid stands for it.
    pub fn visit_processes(&self, from: usize, mut visit: impl FnMut(&ProcessRef) -> bool) -> Option<usize> {
        self.table().visit(from, |process| process.is_relay() || visit(&ProcessRef(Arc::clone(process))))
    }

    /// Those that have moved to another node, until `visit` answers `false`.
    pub fn visit_moved(&self, mut visit: impl FnMut(&ProcessRef) -> bool) {
        self.table().visit(0, |process| !process.is_relay() || visit(&ProcessRef(Arc::clone(process))));
    }

    /// Pids of all live processes.
    pub fn pids(&self) -> Vec<Pid> {
        let mut pids = Vec::with_capacity(self.process_count());
        self.table().visit(0, |process| {
            pids.push(process.pid);
            true
        });
        pids
    }

    /// The local name of a process.
    pub fn name_of(&self, process: &ProcessRef) -> Option<Arc<str>> {
        if !process.0.has(flag::NAMED) {
            return None;
        }
        process.0.core.lock().name.clone()
    }

    /// The key of a process: the one given at its start, else its first global name.
    pub fn key_of(&self, process: &ProcessRef) -> Option<Arc<str>> {
        let core = process.0.core.lock();
        let extras = core.extras()?;
        extras.key.clone().or_else(|| extras.global_names.iter().next().cloned())
    }

    /// The labels of a process.
    pub fn labels_of(&self, process: &ProcessRef) -> BTreeMap<Arc<str>, Arc<str>> {
        process.0.core.lock().extras().map(|extras| extras.labels.clone()).unwrap_or_default()
    }

    /// Kinds of the messages that wait, without their payloads.
    pub fn queue_kinds(&self, process: &ProcessRef) -> Vec<Kind> {
        self.mailbox(process, |_, message| Some(message.kind))
    }

    /// What each scheduler does.
    pub fn scheduler_info(&self) -> Vec<SchedulerInfo> {
        let now = self.now_ns();
        let all = self.schedulers().shared.iter().enumerate();
        all.map(|(index, shared)| {
            let counters = &shared.counters;
            let serial = counters.current.load(Relaxed);
            let in_phase = now.saturating_sub(counters.phase_ns.load(Relaxed));
            let busy = serial != 0;
            SchedulerInfo {
                id: u32::try_from(index + 1).unwrap_or(u32::MAX),
                queues: shared.queue_lengths(),
                current: busy.then(|| Pid::new(self.id(), self.incarnation(), serial)),
                turns: counters.turns.load(Relaxed),
                slices: counters.slices.load(Relaxed),
                reductions: counters.reductions.load(Relaxed),
                steals: counters.steals.load(Relaxed),
                busy_ns: counters.busy_ns.load(Relaxed) + if busy { in_phase } else { 0 },
                idle_ns: counters.idle_ns.load(Relaxed) + if busy { 0 } else { in_phase },
            }
        })
        .collect()
    }
}
