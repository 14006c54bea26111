//! What the processes of a node, or of several, tell of their lives: starts, terminations, logs.
//!
//! Starts and terminations are written into each node's own event log, so that they have their place among the exits,
//! which the runtime records there. What happened on different nodes has no order.

use arsenal_runtime::context::Context;
use arsenal_runtime::events::EventRecord;
use arsenal_runtime::node::WeakNode;
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};

/// The kinds of the events that tell of a start and of a termination.
const STARTED: &str = "oracle.started";
const TERMINATED: &str = "oracle.terminated";

/// What happened to a process.
#[derive(Clone, Debug)]
pub enum Happening {
    /// Its init ended well.
    Started,
    /// Its terminate callback ran with this.
    Terminated(Reason),
    /// It ended.
    Exited(Reason),
}

/// The life of one id: how often its init was entered, and the processes that came of it.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// How often init was entered.
    pub attempts: usize,
    /// The incarnations, the first first.
    pub pids: Vec<Pid>,
}

#[derive(Default)]
struct Pages {
    lives: BTreeMap<String, Life>,
    keys: HashMap<Pid, String>,
    logs: BTreeMap<String, Vec<Term>>,
    next_supervisor: Option<String>,
}

/// What is known of the processes.
#[derive(Default)]
pub struct Chronicle {
    pages: Mutex<Pages>,
    /// Those that processes were started on, by number.
    nodes: Mutex<BTreeMap<u32, WeakNode>>,
}

impl Chronicle {
    /// The init of `id` is entered; tells for the how manieth time, from 0.
    pub(super) fn attempt(&self, id: &str, cx: &Context<'_>) -> usize {
        self.nodes.lock().entry(cx.node().id()).or_insert_with(|| cx.node().downgrade());
        let mut pages = self.pages.lock();
        let life = pages.lives.entry(id.to_owned()).or_default();
        life.attempts += 1;
        life.attempts - 1
    }

    /// The init of `id` has ended well.
    pub(super) fn started(&self, id: &str, cx: &Context<'_>) {
        let mut pages = self.pages.lock();
        let life = pages.lives.entry(id.to_owned()).or_default();
        life.pids.push(cx.me());
        let key = format!("{id}#{}", life.pids.len());
        pages.keys.insert(cx.me(), key);
        cx.node().record(STARTED, cx.me(), Pid::NONE, Term::Null, 0);
    }

    /// The terminate callback of this process runs.
    pub(super) fn terminated(&self, reason: Reason, cx: &Context<'_>) {
        cx.node().record(TERMINATED, cx.me(), Pid::NONE, reason, 0);
    }

    /// This process has seen a message.
    pub(super) fn log(&self, message: Term, cx: &Context<'_>) {
        let mut pages = self.pages.lock();
        let key = pages.keys.get(&cx.me()).cloned().unwrap_or_default();
        pages.logs.entry(key).or_default().push(message);
    }

    /// Something with a log of its own has seen a message.
    pub(super) fn log_under(&self, key: &str, message: Term) {
        self.pages.lock().logs.entry(key.to_owned()).or_default().push(message);
    }

    /// The next supervisor that does not learn its id from its args or its own supervisor has this one.
    pub fn expect_supervisor(&self, id: &str) {
        self.pages.lock().next_supervisor = Some(id.to_owned());
    }

    /// `id` was refused before its init could be entered.
    pub fn refused(&self, id: &str) {
        let mut pages = self.pages.lock();
        pages.next_supervisor = None;
        pages.lives.entry(id.to_owned()).or_default();
    }

    pub(super) fn take_supervisor(&self) -> Option<String> {
        self.pages.lock().next_supervisor.take()
    }

    /// The latest incarnation of `id`, or the one named (`w#1`).
    pub fn pid(&self, reference: &str) -> Option<Pid> {
        let pages = self.pages.lock();
        match reference.split_once('#') {
            None => pages.lives.get(reference)?.pids.last().copied(),
            Some((id, number)) => {
                let number: usize = number.parse().ok()?;
                pages.lives.get(id)?.pids.get(number.checked_sub(1)?).copied()
            }
        }
    }

    /// `w#1`: the id and incarnation of a process.
    pub fn key(&self, pid: Pid) -> Option<String> {
        self.pages.lock().keys.get(&pid).cloned()
    }

    /// All ids whose init was ever entered.
    pub fn lives(&self) -> BTreeMap<String, Life> {
        self.pages.lock().lives.clone()
    }

    /// All logs, by key.
    pub fn logs(&self) -> BTreeMap<String, Vec<Term>> {
        self.pages.lock().logs.clone()
    }

    /// What happened to the processes that were started, in order.
    pub fn happenings(&self) -> Vec<(Pid, Happening)> {
        let nodes: Vec<_> = self.nodes.lock().values().filter_map(WeakNode::upgrade).collect();
        let pages = self.pages.lock();
        let events = nodes.iter().flat_map(|node| node.events().after(0, usize::MAX).events);
        let happening = |event: EventRecord| match event.kind {
            STARTED => Some((event.pid, Happening::Started)),
            TERMINATED => Some((event.pid, Happening::Terminated(event.detail))),
            "process.exited" if pages.keys.contains_key(&event.pid) => {
                Some((event.pid, Happening::Exited(event.detail)))
            }
            _ => None,
        };
        events.filter_map(happening).collect()
    }
}
