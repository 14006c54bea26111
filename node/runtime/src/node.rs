//! A node: the process table, the schedulers and all that processes share, assembled. How signals enter it is `delivery`,
//! what drives it `threads`.
//!
//! The runtime never knows who asks: a gRPC handler, a test and an embedding program call the same methods.

mod delivery;
mod threads;

use crate::alias::Aliases;
use crate::blocking::BlockingPool;
use crate::clock::Clock;
use crate::dead_letters::DeadLetters;
use crate::dispatch::Dispatch;
use crate::events::EventLog;
use crate::keys::Keys;
use crate::limits::NodeLimits;
use crate::log;
use crate::mailbox_bytes::ByteBounds;
use crate::module::Module;
use crate::names::Names;
use crate::pid::{OwnedId, Pid, Ref};
use crate::process::{Code, ProcessRef};
use crate::registry::{LocalRegistry, Registry};
use crate::remote::Remote;
use crate::scheduler::{self, Scheduler};
use crate::schedulers::Schedulers;
use crate::table::Table;
use crate::timer::Timers;
use crate::traffic::TrafficTable;
use crate::turn_observer::TurnObserver;
use crate::watch::Watchers;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;

/// How a node is set up.
pub struct NodeConfig {
    /// Its number in the cluster, from 1; its name is `n` and this number.
    pub id: u32,
    /// Which life of the node this is, from 1.
    pub incarnation: u32,
    /// Schedulers; 0 is one a core.
    pub schedulers: usize,
    /// Where time comes from.
    pub clock: Clock,
    /// Bounds.
    pub limits: NodeLimits,
    /// The modules that processes can be started from.
    pub modules: Vec<Arc<dyn Module>>,
    /// Where global names and groups are kept.
    pub registry: Arc<dyn Registry>,
    /// Called on the thread of a scheduler that has had nothing to do for a second, and every ten from then on: an allocator
    /// that keeps what a thread has freed can give it back then.
    pub on_idle: Option<fn()>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            id: 1,
            incarnation: 1,
            schedulers: 0,
            clock: Clock::system(),
            limits: NodeLimits::default(),
            modules: Vec::new(),
            registry: Arc::new(LocalRegistry::default()),
            on_idle: None,
        }
    }
}

/// A node. Cloning gives another handle to the same one.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

/// A handle that does not keep the node alive.
#[derive(Clone)]
pub struct WeakNode(Weak<Inner>);

/// What clients of a process whose mailbox they read share.
#[derive(Default)]
pub(crate) struct Session {
    /// There are messages, or it has ended.
    pub(crate) news: Arc<tokio::sync::Notify>,
    /// Who opened it; empty for nobody in particular.
    pub(crate) owner: Arc<str>,
}

struct Inner {
    id: u32,
    incarnation: u32,
    name: Arc<str>,
    clock: Clock,
    limits: NodeLimits,
    table: Table,
    schedulers: Schedulers,
    /// The scheduler of a deterministic node, which has no threads.
    stepped: Mutex<Option<Scheduler>>,
    timers: Timers,
    aliases: Aliases,
    names: Names,
    keys: Keys,
    registry: Arc<dyn Registry>,
    watchers: Watchers,
    remote: Remote,
    byte_bounds: ByteBounds,
    events: EventLog,
    dead_letters: DeadLetters,
    log_budget: log::Budget,
    traffic: Vec<TrafficTable>,
    blocking: BlockingPool,
    modules: RwLock<BTreeMap<Arc<str>, Arc<Code>>>,
    sessions: Mutex<HashMap<Pid, Session>>,
    dispatch: OnceLock<Arc<dyn Dispatch>>,
    turn_observer: OnceLock<Arc<dyn TurnObserver>>,
    refs: AtomicU64,
    coarse_ms: AtomicU32,
    late_replies: AtomicU64,
    on_idle: Option<fn()>,
    /// Some process has gone to another node.
    has_relays: AtomicBool,
    stopping: AtomicBool,
    closed: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Node {
    fn build(config: NodeConfig, count: usize) -> (Self, Vec<Scheduler>, crossbeam_utils::sync::Parker) {
        let (schedulers, threads) = scheduler::build(count);
        let (timers, parker) = Timers::new(config.limits.timers_max);
        let limits = config.limits;
        // a part of the event log for each scheduler and one for all other threads; but events of one virtual moment are
        // told apart by their place in one part alone
        let recorders = if matches!(config.clock, Clock::Virtual(_)) { 1 } else { count + 1 };
        let node = Self(Arc::new(Inner {
            id: config.id,
            incarnation: config.incarnation,
            name: format!("n{}", config.id).into(),
            clock: config.clock,
            table: Table::new(limits.processes_max, count + 1),
            traffic: (0..=count).map(|_| TrafficTable::new(limits.traffic_pairs_max)).collect(),
            schedulers,
            stepped: Mutex::new(None),
            timers,
            aliases: Aliases::new(limits.waiting_requests_max),
            names: Names::default(),
            keys: Keys::default(),
            registry: config.registry,
            watchers: Watchers::default(),
            remote: Remote::default(),
            byte_bounds: ByteBounds::default(),
            events: EventLog::new(
                recorders,
                limits.events_per_scheduler_max * recorders,
                limits.exit_records_max,
            ),
            dead_letters: DeadLetters::new(limits.dead_letters_max, limits.dead_letter_bytes_max),
            log_budget: log::Budget::default(),
            blocking: BlockingPool::new(limits.blocking_threads_max),
            limits,
            modules: RwLock::default(),
            sessions: Mutex::default(),
            dispatch: OnceLock::new(),
            turn_observer: OnceLock::new(),
            refs: AtomicU64::new(1),
            coarse_ms: AtomicU32::new(0),
            late_replies: AtomicU64::new(0),
            on_idle: config.on_idle,
            has_relays: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            threads: Mutex::default(),
        }));
        for module in config.modules {
            node.add_module(module);
        }
        let weak = node.downgrade();
        node.0.registry.observe(Arc::new(move |committed| {
            if let Some(node) = weak.upgrade() {
                node.registry_changed(committed);
            }
        }));
        (node, threads, parker)
    }

    /// Adds a module, or replaces one of the same name for processes yet to start.
    pub fn add_module(&self, module: Arc<dyn Module>) {
        let description = Arc::new(module.describe());
        let name = Arc::clone(&description.name);
        self.0.modules.write().insert(name, Arc::new(Code { description, module: Some(module) }));
    }

    /// Descriptions of all modules, by name.
    pub fn modules(&self) -> Vec<Arc<crate::module::Description>> {
        self.0.modules.read().values().map(|code| Arc::clone(&code.description)).collect()
    }

    pub(crate) fn code(&self, module: &str) -> Option<Arc<Code>> {
        self.0.modules.read().get(module).cloned()
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.0.id
    }

    /// Which life of it this is.
    pub fn incarnation(&self) -> u32 {
        self.0.incarnation
    }

    /// Its name: `n` and its number.
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Its bounds.
    pub fn limits(&self) -> &NodeLimits {
        &self.0.limits
    }

    /// Its clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Nanoseconds since it began.
    pub fn now_ns(&self) -> u64 {
        self.0.clock.now_ns()
    }

    /// Milliseconds since it began; wraps after 49 days.
    pub fn now_ms(&self) -> u32 {
        (self.now_ns() / 1_000_000) as u32
    }

    /// The calendar time, in milliseconds of Unix time.
    pub fn calendar_ms(&self) -> u64 {
        let since =
            self.0.clock.calendar(self.now_ns()).duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// As [`Node::now_ms`], to the ticker's last tick: a millisecond while anything runs. For what is stamped too often
    /// to read the clock each time.
    pub(crate) fn coarse_ms(&self) -> u32 {
        match self.0.clock {
            Clock::System(..) => self.0.coarse_ms.load(Relaxed),
            Clock::Virtual(_) => self.now_ms(),
        }
    }

    /// Whether this time is still to come, as far as the last tick tells; for what is too frequent to read the clock.
    pub(crate) fn is_far_off(&self, ns: u64) -> bool {
        // more than the last tick is ever behind, unless the ticker starves
        const FAR_MS: i32 = 50;
        let ms = (ns / 1_000_000) as u32;
        // both wrap
        ms.wrapping_sub(self.coarse_ms()).cast_signed() > FAR_MS
    }

    pub(crate) fn tick_clock(&self, now_ns: u64) {
        self.0.coarse_ms.store((now_ns / 1_000_000) as u32, Relaxed);
    }

    /// Its event log.
    pub fn events(&self) -> &EventLog {
        &self.0.events
    }

    /// Appends an event about `pid`, now.
    pub fn record(
        &self,
        kind: &'static str,
        pid: Pid,
        other: Pid,
        detail: crate::term::Term,
        operation: u64,
    ) {
        self.0.events.record(self.now_ns(), kind, pid, other, detail, operation);
    }

    pub(crate) fn log_budget(&self) -> &log::Budget {
        &self.0.log_budget
    }

    /// Its dead letters.
    pub fn dead_letters(&self) -> &DeadLetters {
        &self.0.dead_letters
    }

    /// Where global names and groups are kept.
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.0.registry
    }

    /// Any operation, called from inside; set once by whoever serves them.
    pub fn dispatch(&self) -> &OnceLock<Arc<dyn Dispatch>> {
        &self.0.dispatch
    }

    /// Who watches turns that an operation caused; set once.
    pub fn turn_observer(&self) -> &OnceLock<Arc<dyn TurnObserver>> {
        &self.0.turn_observer
    }

    /// How many processes live.
    pub fn process_count(&self) -> usize {
        self.0.table.len()
    }

    /// Requests from outside that wait for an answer.
    pub fn waiting_requests(&self) -> usize {
        self.0.aliases.len()
    }

    /// Answers that came after their caller had given up.
    pub fn late_replies(&self) -> u64 {
        self.0.late_replies.load(Relaxed)
    }

    pub(crate) fn count_late_reply(&self) {
        self.0.late_replies.fetch_add(1, Relaxed);
    }

    /// One of its schedulers has had nothing to do for a while.
    pub(crate) fn idle(&self) {
        if let Some(on_idle) = self.0.on_idle {
            on_idle();
        }
    }

    pub(crate) fn names(&self) -> &Names {
        &self.0.names
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub(crate) fn byte_bounds(&self) -> &ByteBounds {
        &self.0.byte_bounds
    }

    pub(crate) fn watchers(&self) -> &Watchers {
        &self.0.watchers
    }

    pub(crate) fn remote(&self) -> &Remote {
        &self.0.remote
    }

    pub(crate) fn aliases(&self) -> &Aliases {
        &self.0.aliases
    }

    pub(crate) fn timers(&self) -> &Timers {
        &self.0.timers
    }

    pub(crate) fn table(&self) -> &Table {
        &self.0.table
    }

    pub(crate) fn schedulers(&self) -> &Schedulers {
        &self.0.schedulers
    }

    pub(crate) fn blocking(&self) -> &BlockingPool {
        &self.0.blocking
    }

    pub(crate) fn sessions(&self) -> &Mutex<HashMap<Pid, Session>> {
        &self.0.sessions
    }

    pub(crate) fn traffic_tables(&self) -> &[TrafficTable] {
        &self.0.traffic
    }

    /// A reference that this life of the node has not given yet.
    pub fn new_ref(&self) -> Ref {
        let number = self.0.refs.fetch_add(1, Relaxed);
        // numbering begins at 1 and 2^64 are never used up
        Ref::from_number(number.max(1)).unwrap_or_else(|| self.new_ref())
    }

    /// References from here on this life of the node has not given yet.
    pub(crate) fn refs_given(&self) -> u64 {
        self.0.refs.load(Relaxed)
    }

    /// Gives no reference below this any more: a process that has come may have such.
    pub(crate) fn skip_refs(&self, below: u64) {
        self.0.refs.fetch_max(below, Relaxed);
    }

    /// Whether some process of this node has gone to another, so that its pid may stand for one there.
    pub fn has_relays(&self) -> bool {
        self.0.has_relays.load(Relaxed)
    }

    pub(crate) fn note_relay(&self) {
        self.0.has_relays.store(true, SeqCst);
    }

    /// A new id of this node of the given kind.
    pub fn new_id(&self, kind: u8) -> OwnedId {
        self.owned(kind, self.new_ref().number())
    }

    /// The id of this node with that kind and number.
    pub fn owned(&self, kind: u8, number: u64) -> OwnedId {
        OwnedId::new(self.0.id, self.0.incarnation, kind, number)
    }

    /// Whether this pid belongs to this life of this node.
    pub fn is_local(&self, pid: Pid) -> bool {
        pid.node == self.0.id && pid.incarnation == self.0.incarnation
    }

    /// The live process with this pid.
    pub fn process(&self, pid: Pid) -> Option<ProcessRef> {
        if !self.is_local(pid) || pid.is_alias() {
            return None;
        }
        self.0.table.get(pid).map(ProcessRef)
    }

    /// Whether the process lives.
    pub fn is_alive(&self, pid: Pid) -> bool {
        self.process(pid).is_some()
    }

    /// A handle that does not keep the node alive.
    pub fn downgrade(&self) -> WeakNode {
        WeakNode(Arc::downgrade(&self.0))
    }

    /// Whether it still starts processes.
    pub fn is_stopping(&self) -> bool {
        self.0.stopping.load(SeqCst)
    }

    /// From now on no process is started.
    pub fn stop_accepting(&self) {
        self.0.stopping.store(true, SeqCst);
    }
}

impl WeakNode {
    /// The node, while it lives.
    pub fn upgrade(&self) -> Option<Node> {
        self.0.upgrade().map(Node)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({}.{})", self.0.name, self.0.incarnation)
    }
}
