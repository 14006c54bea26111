//! The one who drives a scenario: a client with a session, which traps exits, ignores all messages and never dies.

use super::outcome;
use super::scenario::Scenario;
use arsenal_runtime::info::SchedulerInfo;
use arsenal_runtime::pid::Pid;
use arsenal_tests::modules::{self, Chronicle};
use arsenal_tests::{Api, Sandbox, SandboxConfig};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long the effects of a step are waited for, unless the scenario says otherwise.
const SETTLE_MS: u64 = 15;
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

pub(super) struct Driver {
    pub(super) sandbox: Sandbox,
    /// A client that is no process; steps name who acts.
    pub(super) api: Api,
    /// The driver's own process, a session.
    pub(super) pid: String,
    /// A process that has ended, in place of one that a scenario names and never started.
    nobody: String,
    /// The node's name; the scenario calls it `a`.
    pub(super) node: String,
    pub(super) chronicle: Arc<Chronicle>,
    /// Ids of monitors and timers, under the names that the scenario gave them.
    references: Mutex<BTreeMap<String, String>>,
    running: Mutex<BTreeMap<String, JoinHandle<Value>>>,
}

impl Driver {
    pub(super) async fn start() -> Arc<Self> {
        let chronicle = Arc::<Chronicle>::default();
        let mut own = modules::modules_with(&chronicle);
        own.push(modules::supervisor_with(&chronicle));
        let mut config = SandboxConfig { modules: own, ..SandboxConfig::default() };
        config.config.node.schedulers = 1;
        config.config.listen.embedded_gateway = false;
        let sandbox = Sandbox::start_with(config);
        let sandbox = sandbox.await;
        let api = sandbox.api(arsenal_tests::Transport::Grpc).await;
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
            chronicle,
            references: Mutex::default(),
            running: Mutex::default(),
            sandbox,
        })
    }

    /// Runs a scenario and tells what came of it.
    pub(super) async fn run(self: Arc<Self>, scenario: &Scenario) -> Value {
        let mut steps = Vec::new();
        for (at, step) in scenario.steps.iter().enumerate() {
            let begin = Instant::now();
            let result = Arc::clone(&self).step(step).await;
            steps.push(json!({"i": at, "op": step["op"], "r": result}));
            let settle = step["settle"].as_u64().or(scenario.settle_ms).unwrap_or(SETTLE_MS);
            self.settle(Duration::from_millis(settle), overhead(step, begin.elapsed())).await;
        }
        let end = outcome::of(&self).await;
        for (_, task) in std::mem::take(&mut *self.running.lock()) {
            task.abort();
        }
        // what lives is of no interest any more, and is not stopped in order
        self.sandbox.node().close();
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
            let schedulers = self.sandbox.node().scheduler_info();
            let is_idle = |info: &SchedulerInfo| info.current.is_none() && info.queues == [0; 3];
            idle = if schedulers.iter().all(is_idle) { idle + 1 } else { 0 };
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
        if let Some(name) = step["async"].as_str() {
            let (driver, step) = (Arc::clone(&self), step.clone());
            let task = tokio::spawn(async move { driver.timed(&step).await });
            self.running.lock().insert(name.to_owned(), task);
            return json!({"ok": "ok"});
        }
        self.timed(step).await
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
                let name = name.strip_suffix("@a").unwrap_or(name);
                if name.contains('@') { name.to_owned() } else { format!("{name}@{}", self.node) }
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
        if pid.to_string() == self.pid {
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
