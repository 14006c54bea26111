//! `IntrospectionService`: processes, the trees they form, and the node. Each row of the catalogue has an effect and a
//! case without it.

mod graphs;
mod lists;
mod processes;
mod system;
mod trees;
mod watch;

use arsenal_tests::Api;
use serde_json::{Value, json};

/// The fields of a process, all of them.
async fn info(api: &Api, process: &str) -> Value {
    api.ok("GetProcessInfo", json!({"process": process})).await["process"].clone()
}

async fn kill(api: &Api, process: &str) {
    api.ok("KillProcess", json!({"process": process})).await;
}

/// Kills a process and waits until it is gone.
async fn kill_for_good(api: &Api, process: &str) {
    kill(api, process).await;
    api.eventually(|| async { api.call("GetProcessTrapExit", json!({"process": process})).await.err() })
        .await;
}

async fn call(api: &Api, process: &str, message: Value) -> Value {
    api.ok("CallProcess", json!({"process": process, "message": message})).await["reply"].clone()
}

/// The string that a JSON value has to be.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string")).to_owned()
}

/// The strings of a JSON array.
fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// A 64-bit number, which JSON has as a string.
fn wide(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).or_else(|| value.as_u64()).unwrap_or_default()
}

/// The pids of a list's rows, over all its pages.
async fn listed(api: &Api, rpc: &str, request: Value) -> Vec<String> {
    let (mut pids, mut token) = (Vec::new(), String::new());
    loop {
        let mut asked = request.clone();
        asked["pageToken"] = json!(token);
        let page = api.ok(rpc, asked).await;
        let rows = page["processes"].as_array().cloned().unwrap_or_default();
        pids.extend(rows.iter().filter_map(|row| row["pid"].as_str().map(str::to_owned)));
        token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            return pids;
        }
    }
}

/// A client that is a process, and that process.
async fn session(api: &Api) -> (Api, String) {
    let session = api.ok("CreateSession", json!({})).await;
    let text = |field: &str| {
        session[field].as_str().unwrap_or_else(|| panic!("{session} has no {field}")).to_owned()
    };
    (api.with_session(&text("session")), text("pid"))
}

/// Starts a server linked to the client's process.
async fn start_linked(client: &Api) -> String {
    text(&client.ok("StartLinkProcess", json!({"module": "counter"})).await["pid"])
}
