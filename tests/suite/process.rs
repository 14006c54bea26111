//! `ProcessService`: each operation with its effect and without it.

mod ends;
mod holds;
mod memory;
mod relations;
mod scheduling;
mod starts;

use arsenal_tests::Api;
use serde_json::{Value, json};

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// A number, be it written as one or, beyond 32 bits, as text.
fn number(value: &Value) -> u64 {
    let written = value.as_str().and_then(|text| text.parse().ok());
    written.or_else(|| value.as_u64()).unwrap_or_default()
}

async fn start(api: &Api, module: &str, args: Value) -> String {
    text(&api.ok("StartProcess", json!({"module": module, "args": args})).await["pid"])
}

/// A session: its client, its id and its pid.
async fn session(api: &Api) -> (Api, String, String) {
    let session = api.ok("CreateSession", json!({})).await;
    let id = text(&session["session"]);
    (api.with_session(&id), id, text(&session["pid"]))
}

/// The next message of a session that matches.
async fn take(api: &Api, session: &str, wanted: &str) -> Value {
    let request = json!({"session": session, "match": wanted, "timeout": "60s"});
    let answer = api.ok("ReceiveMessages", request).await;
    answer["messages"].get(0).unwrap_or_else(|| panic!("no message matched `{wanted}`")).clone()
}

/// What waits in a session's mailbox and matches, without waiting for more.
async fn waiting(api: &Api, session: &str, wanted: &str) -> Vec<Value> {
    let answer = api.ok("ReceiveMessages", json!({"session": session, "match": wanted, "max": 100})).await;
    answer["messages"].as_array().cloned().unwrap_or_default()
}

async fn call(api: &Api, pid: &str, message: Value) -> Value {
    api.ok("CallProcess", json!({"process": pid, "message": message})).await["reply"].clone()
}

async fn info(api: &Api, pid: &str) -> Value {
    api.ok("GetProcessInfo", json!({"process": pid})).await["process"].clone()
}

async fn reductions(api: &Api, pid: &str) -> u64 {
    number(&info(api, pid).await["reductions"])
}

async fn alive(api: &Api, pid: &str) -> bool {
    api.call("GetProcessInfo", json!({"process": pid})).await.is_ok()
}

async fn exit_reason(api: &Api, pid: &str) -> Value {
    api.ok("AwaitExit", json!({"process": pid, "timeout": "60s"})).await["reason"].clone()
}

/// Waits until the reductions of a process have grown by `by`.
async fn grows(api: &Api, pid: &str, by: u64) {
    let before = reductions(api, pid).await;
    api.eventually(|| async { (reductions(api, pid).await >= before + by).then_some(()) }).await;
}
