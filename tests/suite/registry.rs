//! RegistryService: names, local and global, their metadata, and groups.

mod dispatch;
mod global_names;
mod groups;
mod local_names;
mod metadata;

use arsenal_tests::Api;
use serde_json::{Value, json};

async fn kill(api: &Api, pid: &str) {
    api.ok("KillProcess", json!({"process": pid})).await;
}

/// What a recorder has received.
async fn received(api: &Api, recorder: &str) -> Vec<Value> {
    let call = json!({"process": recorder, "message": ["recorder", "read"]});
    let reply = api.ok("CallProcess", call).await["reply"].clone();
    reply["messages"].as_array().cloned().unwrap_or_default()
}

async fn register(api: &Api, name: &str, pid: &str) -> Value {
    api.ok("RegisterProcess", json!({"process": pid, "name": name})).await["registration"].clone()
}

async fn register_globally(api: &Api, name: &str, pid: &str) -> Value {
    api.ok("RegisterProcessGlobally", json!({"process": pid, "name": name})).await
}

/// Integers beyond 32 bits are texts in JSON.
fn number(value: &Value) -> u64 {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{value} is no number in a text"))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
