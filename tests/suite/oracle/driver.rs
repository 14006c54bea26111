//! The one who drives a scenario: a client with a session, which traps exits, ignores all messages and never dies.

use super::outcome;
use super::scenario::Scenario;
use arsenal_runtime::Node;
use arsenal_runtime::info::SchedulerInfo;
use arsenal_runtime::pid::Pid;
use arsenal_tests::modules::{self, Chronicle};
use arsenal_tests::pair::MEMBER;
use arsenal_tests::{Api, Pair, Sandbox, SandboxConfig, Transport};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long the effects of a step are waited for, unless the scenario says otherwise: on one node, and on two.
const SETTLE_MS: [u64; 2] = [15, 80];
/// The least of that, where the step itself took long.
const SETTLE_MIN: Duration = Duration::from_millis(4);
/// How much longer the processes may be busy.
const SETTLE_MAX: Duration = Duration::from_millis(500);
/// How long a step may take before it counts as unanswered.
const STEP_MAX: Duration = Duration::from_secs(12);
/// The lease of what a scenario holds: longer than any lasts.
pub(super) const LEASE: &str = "3600s";

/// What a step came to.
pub(super) type Outcome = Result<Value, Trouble>;

/// Why a step has no value.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It raised in its caller.
    Raised(&'static str, Value),
    /// The process that was to perform it is dead, or died of it.
    PerformerDied(Value),
    /// The service does not offer it.
    Unsupported,
}

/// `error(badarg)`.
pub(super) fn badarg() -> Trouble {
    Trouble::Raised("error", "badarg".into())
}

/// What runs a scenario.
pub(super) enum World {
    Alone(Box<Sandbox>),
    /// Nodes n1 and n2; the scenario calls them `a` and `b`.
    Pair(Box<Pair>),
}

/// One node's driver; of two nodes each has its own.
pub(super) struct Driver {
    world: Arc<World>,
    /// The number of its node.
    number: u32,
    /// The driver of `b`, if this is the one of `a`.
    other: OnceLock<Arc<Driver>>,
    /// A client of its node that is no process; steps name who acts.
    pub(super) api: Api,
    /// The driver's own process, a session.
    pub(super) pid: String,
    /// A process that has ended, in place of one that a scenario names and never started.
    nobody: String,
    /// The node's name.
    pub(super) node: String,
    /// Shared by all nodes, as are the references.
    pub(super) chronicle: Arc<Chronicle>,
    /// Nodes that were killed.
    killed: Arc<Mutex<BTreeSet<u32>>>,
    /// Ids of monitors and timers, under the names that the scenario gave them.
    references: Arc<Mutex<BTreeMap<String, String>>>,
    running: Mutex<BTreeMap<String, JoinHandle<Value>>>,
}

impl World {
    fn node(&self, number: u32) -> &Node {
        match self {
            Self::Alone(sandbox) => sandbox.node(),
            Self::Pair(pair) => pair.node(number),
        }
    }

    async fn api(&self, number: u32) -> Api {
        match self {
            Self::Alone(sandbox) => sandbox.api(Transport::Grpc).await,
            Self::Pair(pair) => pair.api(number).await,
        }
    }
}

/// A node for a scenario, whose processes tell this chronicle.
fn configuration(chronicle: &Arc<Chronicle>) -> SandboxConfig {
    let mut own = modules::modules_with(chronicle);
    own.push(modules::supervisor_with(chronicle));
    let mut config = SandboxConfig { modules: own, ..SandboxConfig::default() };
    config.config.node.schedulers = 1;
    config.config.listen.embedded_gateway = false;
    config
}

impl Driver {
    /// The driver of node `a`, beside which there is a node `b` with a driver of its own if there are two.
    pub(super) async fn start(nodes: u64) -> Arc<Self> {
        let chronicle = Arc::<Chronicle>::default();
        let world = match nodes {
            1 => World::Alone(Box::new(Sandbox::start_with(configuration(&chronicle)).await)),
            _ => World::Pair(Box::new(Pair::start_with(|| configuration(&chronicle)).await)),
        };
        let (world, references, killed) = (Arc::new(world), Arc::default(), Arc::default());
        let driver = Self::on(Arc::clone(&world), 1, &chronicle, &references, &killed).await;
        if nodes > 1 {
            let other = Self::on(world, 2, &chronicle, &references, &killed).await;
            driver.other.get_or_init(|| other);
        }
        driver
    }

    async fn on(
        world: Arc<World>,
        number: u32,
        chronicle: &Arc<Chronicle>,
        references: &Arc<Mutex<BTreeMap<String, String>>>,
        killed: &Arc<Mutex<BTreeSet<u32>>>,
    ) -> Arc<Self> {
        let api = world.api(number).await;
        let session = api.ok("CreateSession", json!({"trapExit": true, "lease": LEASE})).await;
        let text = |field: &str| session[field].as_str().unwrap().to_owned();
        let nobody = api.ok("StartProcess", json!({"module": "dictionary"})).await["pid"].clone();
        api.ok("KillProcess", json!({"process": nobody})).await;
        api.ok("AwaitExit", json!({"process": nobody})).await;
        Arc::new(Self {
            nobody: nobody.as_str().unwrap().to_owned(),
            pid: text("pid"),
            node: text("node"),
            api,
            chronicle: Arc::clone(chronicle),
            references: Arc::clone(references),
            killed: Arc::clone(killed),
            running: Mutex::default(),
            world,
            number,
            other: OnceLock::new(),
        })
    }

    /// The driver of `b`, seen from that of `a`.
    pub(super) fn other(&self) -> Option<&Self> {
        self.other.get().map(|other| &**other)
    }

    /// Its node, for the little that no client can see.
    pub(super) fn runtime(&self) -> &Node {
        self.world.node(self.number)
    }

    /// The nodes, if there are two.
    pub(super) fn pair(&self) -> Option<&Pair> {
        match &*self.world {
            World::Pair(pair) => Some(pair),
            World::Alone(_) => None,
        }
    }

    /// The number of the node that a scenario calls `a` or `b`.
    pub(super) fn number_of(name: &Value) -> u32 {
        if name == "b" { 2 } else { 1 }
    }

    /// Ends `b`.
    pub(super) async fn kill_member(&self) {
        if let Some(pair) = self.pair() {
            self.killed.lock().insert(MEMBER);
            pair.kill_member().await;
        }
    }

    /// Whether the node of this process was killed.
    pub(super) fn is_gone(&self, pid: Pid) -> bool {
        self.killed.lock().contains(&pid.node)
    }

    /// The nodes that live.
    fn living(&self) -> Vec<&Node> {
        let numbers = if self.other.get().is_some() { 1..=2 } else { 1..=1 };
        numbers
            .filter(|number| !self.killed.lock().contains(number))
            .map(|number| self.world.node(number))
            .collect()
    }

    /// The driver of the node on which a step is to be carried out.
    fn of_step(self: &Arc<Self>, step: &Value) -> Arc<Self> {
        let other = self.other.get().filter(|_| step["node"] == "b" && step["op"] != "node_kill");
        Arc::clone(other.unwrap_or(self))
    }

    /// Runs a scenario and tells what came of it.
    pub(super) async fn run(self: Arc<Self>, scenario: &Scenario) -> Value {
        let mut steps = Vec::new();
        for (at, step) in scenario.steps.iter().enumerate() {
            let begin = Instant::now();
            let result = Arc::clone(&self).step(step).await;
            steps.push(json!({"i": at, "op": step["op"], "r": result}));
            let usual = SETTLE_MS[usize::from(scenario.nodes > 1)];
            let settle = step["settle"].as_u64().or(scenario.settle_ms).unwrap_or(usual);
            self.settle(Duration::from_millis(settle), overhead(step, begin.elapsed())).await;
        }
        let end = outcome::of(&self).await;
        for (_, task) in std::mem::take(&mut *self.running.lock()) {
            task.abort();
        }
        // what lives is of no interest any more, and is not stopped in order
        self.living().into_iter().for_each(Node::close);
        json!({"name": scenario.name, "topic": scenario.topic, "steps": steps, "final": end})
    }

    /// Waits for the effects of a step: for so long, less what the step took that none takes inside Erlang; and until
    /// no process has anything to do, on a machine that is slow.
    async fn settle(&self, pause: Duration, overhead: Duration) {
        if pause.is_zero() {
            return;
        }
        tokio::time::sleep(pause.saturating_sub(overhead).max(SETTLE_MIN)).await;
        let patience = Instant::now() + SETTLE_MAX;
        let mut idle = 0;
        while idle < 2 && Instant::now() < patience {
            let is_idle = |info: &SchedulerInfo| info.current.is_none() && info.queues == [0; 3];
            let mut schedulers = self.living().into_iter().flat_map(Node::scheduler_info);
            idle = if schedulers.all(|info| is_idle(&info)) { idle + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Performs one step: the value of `r`.
    async fn step(self: Arc<Self>, step: &Value) -> Value {
        if step["op"] == "await" {
            let task = self.running.lock().remove(step["async"].as_str().unwrap_or_default());
            return match task {
                Some(task) => task.await.unwrap(),
                None => json!("no_response"),
            };
        }
        let actor = self.of_step(step);
        if let Some(name) = step["async"].as_str() {
            let (driver, step) = (actor, step.clone());
            let task = tokio::spawn(async move { driver.timed(&step).await });
            self.running.lock().insert(name.to_owned(), task);
            return json!({"ok": "ok"});
        }
        actor.timed(step).await
    }

    async fn timed(&self, step: &Value) -> Value {
        let begin = Instant::now();
        let Ok(outcome) = tokio::time::timeout(STEP_MAX, self.perform(step)).await else {
            return json!("no_response");
        };
        let elapsed = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut result = match outcome {
            Ok(value) => json!({"ok": in_range(value, &step["range"])}),
            Err(Trouble::Raised(class, reason)) => json!({"exception": {"class": class, "reason": reason}}),
            Err(Trouble::PerformerDied(reason)) => json!({"actor_died": reason}),
            Err(Trouble::Unsupported) => json!({"unsupported": true}),
        };
        if let (Some(low), Some(high)) = (step["expect_ms"][0].as_u64(), step["expect_ms"][1].as_u64()) {
            result["elapsed_in_range"] = (low..=high).contains(&elapsed).into();
        }
        result
    }

    /// Performs one step in the name of whoever acts, who must live.
    async fn perform(&self, step: &Value) -> Outcome {
        let performer = self.performer(step);
        // a process that is told to fail may be dead already; nobody waits for it
        if let Some(performer) = &performer
            && step["op"] != "raise"
            && !self.is_alive(performer).await
        {
            return Err(Trouble::PerformerDied("noproc".into()));
        }
        match self.operation(step, performer.as_deref()).await {
            Err(Trouble::Raised(class, reason)) if step["uncaught"] == true && performer.is_some() => {
                self.raise(performer.as_deref().unwrap_or_default(), class, &reason).await;
                Err(Trouble::PerformerDied(match class {
                    "error" => json!({"crash": reason}),
                    "throw" => json!({"crash": ["nocatch", reason]}),
                    _ => reason,
                }))
            }
            outcome => outcome,
        }
    }

    /// The pid of the process that performs the step; nothing where the driver does.
    fn performer(&self, step: &Value) -> Option<String> {
        let itself = matches!(
            step["op"].as_str().unwrap_or_default(),
            "raise" | "trap_exit" | "priority" | "hibernate" | "receive"
        );
        let id = ["from", "as", "parent"].iter().find_map(|field| step[field].as_str());
        id.or_else(|| step["id"].as_str().filter(|_| itself)).map(|id| self.pid(id))
    }

    /// Who acts where nobody else does.
    pub(super) fn acting<'a>(&'a self, performer: Option<&'a str>) -> &'a str {
        performer.unwrap_or(&self.pid)
    }

    /// The pid of a scenario's process; one that is no more for an id that was never started.
    pub(super) fn pid(&self, id: &str) -> String {
        let pid = self.chronicle.pid(id).map(|pid| pid.to_string());
        pid.unwrap_or_else(|| self.nobody.clone())
    }

    /// A target as the service names it.
    pub(super) fn target(&self, step: &Value, field: &str) -> String {
        let target = step[field].as_str().unwrap_or_default();
        match target.split_once(':') {
            Some(("name", name)) => {
                let (name, node) = name.split_once('@').unwrap_or((name, ""));
                let node = if node.is_empty() {
                    self.node.clone()
                } else {
                    format!("n{}", Self::number_of(&node.into()))
                };
                format!("{name}@{node}")
            }
            Some(("global", name)) => format!("{name}@global"),
            _ => self.pid(target),
        }
    }

    pub(super) async fn is_alive(&self, pid: &str) -> bool {
        self.api.call("GetProcessInfo", json!({"process": pid})).await.is_ok()
    }

    /// `w#1`, `driver`, or `?` for a process that never completed its start.
    pub(super) fn key(&self, pid: Pid) -> String {
        let is_driver = |driver: &Self| pid.to_string() == driver.pid;
        if is_driver(self) || self.other.get().is_some_and(|other| is_driver(other)) {
            return "driver".to_owned();
        }
        self.chronicle.key(pid).unwrap_or_else(|| "?".to_owned())
    }

    /// Remembers a monitor or timer under the scenario's name for it.
    pub(super) fn name_reference(&self, step: &Value, id: &Value) -> Value {
        if let (Some(name), Some(id)) = (step["ref"].as_str(), id.as_str()) {
            self.references.lock().insert(name.to_owned(), id.to_owned());
        }
        self.incoming(id)
    }

    /// The id of the monitor or timer with the scenario's name in `field`.
    pub(super) fn reference(&self, step: &Value, field: &str) -> String {
        let name = step[field].as_str().unwrap_or_default();
        let known = self.references.lock().get(name).cloned();
        known.unwrap_or_else(|| format!("{}.1-m999999999", self.node))
    }

    /// The scenario's name of a monitor or timer.
    pub(super) fn reference_name(&self, id: &str) -> String {
        let references = self.references.lock();
        let known = references.iter().find(|(_, known)| *known == id).map(|(name, _)| name.clone());
        known.unwrap_or_else(|| "?".to_owned())
    }
}

/// What a step took beyond what it waited for: a call that waits itself is taken to have none worth counting.
fn overhead(step: &Value, elapsed: Duration) -> Duration {
    const QUICK: Duration = Duration::from_millis(25);
    let wanted = Duration::from_millis(step["ms"].as_u64().filter(|_| step["op"] == "sleep_ms").unwrap_or(0));
    let beyond = elapsed.saturating_sub(wanted);
    if beyond < QUICK { beyond } else { Duration::ZERO }
}

/// An integer with a range becomes whether it is in it.
fn in_range(value: Value, range: &Value) -> Value {
    match (value.as_i64(), range[0].as_i64(), range[1].as_i64()) {
        (Some(number), Some(low), Some(high)) => json!({"in_range": (low..=high).contains(&number)}),
        _ => value,
    }
}
