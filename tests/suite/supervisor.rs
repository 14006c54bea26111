//! SupervisorService: trees, their children, their flags, and what may be asked of them beyond OTP.

mod analysis;
mod children;
mod flags;
mod lifecycle;
mod pauses;
mod restarts;

use arsenal_tests::Api;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A child specification of a counter.
pub(crate) fn worker(id: &str) -> Value {
    json!({"id": id, "module": "counter"})
}

/// A supervisor with counters of these ids, which bears many failures.
pub(crate) async fn tree(api: &Api, strategy: &str, ids: &[&str]) -> String {
    let children: Vec<Value> = ids.iter().map(|id| worker(id)).collect();
    start(api, json!({"strategy": strategy, "intensity": 100, "children": children})).await
}

pub(crate) async fn start(api: &Api, request: Value) -> String {
    api.ok("StartSupervisor", request).await["pid"].as_str().unwrap().to_owned()
}

/// A dynamic supervisor of counters with `count` instances, and their pids.
pub(crate) async fn dynamic(api: &Api, count: usize) -> (String, Vec<String>) {
    let request =
        json!({"strategy": "SIMPLE_ONE_FOR_ONE", "intensity": 100, "children": [worker("template")]});
    let supervisor = start(api, request).await;
    let mut pids = Vec::new();
    for _ in 0..count {
        pids.push(add(api, &supervisor, json!({})).await);
    }
    (supervisor, pids)
}

async fn add(api: &Api, supervisor: &str, args: Value) -> String {
    let added = api.ok("AddDynamicChild", json!({"supervisor": supervisor, "args": args})).await;
    added["pid"].as_str().unwrap().to_owned()
}

/// The children, latest started first.
pub(crate) async fn children(api: &Api, supervisor: &str) -> Vec<Value> {
    api.ok("WhichChildren", json!({"supervisor": supervisor})).await["children"].as_array().unwrap().clone()
}

pub(crate) async fn child(api: &Api, supervisor: &str, id: &str) -> Value {
    let children = children(api, supervisor).await;
    let found = children.iter().find(|child| child["id"] == id);
    found.unwrap_or_else(|| panic!("no child {id} in {children:?}")).clone()
}

/// The pids by id; empty for a child that does not run.
pub(crate) async fn pids(api: &Api, supervisor: &str) -> BTreeMap<String, String> {
    let text = |child: &Value, field: &str| child[field].as_str().unwrap().to_owned();
    children(api, supervisor).await.iter().map(|child| (text(child, "id"), text(child, "pid"))).collect()
}

pub(crate) async fn kill(api: &Api, pid: &str) {
    api.ok("KillProcess", json!({"process": pid})).await;
}

/// Waits until the child with this id runs under another pid.
pub(crate) async fn restarted(api: &Api, supervisor: &str, id: &str, old: &str) -> String {
    api.eventually(|| async {
        let new = pids(api, supervisor).await.remove(id)?;
        (!new.is_empty() && new != old).then_some(new)
    })
    .await
}

/// Kills the child with this id and waits for its next life.
pub(crate) async fn fail(api: &Api, supervisor: &str, id: &str) -> String {
    let old = pids(api, supervisor).await[id].clone();
    kill(api, &old).await;
    restarted(api, supervisor, id, &old).await
}

/// Why a process ended, once it has.
pub(crate) async fn exit_of(api: &Api, pid: &str) -> Value {
    api.eventually(|| async { api.call("GetProcessInfo", json!({"process": pid})).await.err()?.exit }).await
}

pub(crate) async fn flags_of(api: &Api, supervisor: &str) -> Value {
    api.ok("GetSupervisorFlags", json!({"supervisor": supervisor})).await
}

async fn owed(api: &Api, supervisor: &str) -> Value {
    api.ok("GetSupervisor", json!({"supervisor": supervisor})).await["owed"].clone()
}
