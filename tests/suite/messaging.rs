//! Messages: sending, calling, timing, queues, mailboxes, event handlers, dead letters.

mod calls;
mod dead_letters;
mod handlers;
mod mailboxes;
mod queues;
mod sends;
mod timers;

use arsenal_tests::Api;
use serde_json::{Value, json};

/// A number, which JSON has as a text where it may have 64 bits, and not at all where it is 0.
fn number(value: &Value) -> u64 {
    match value {
        Value::Null => 0,
        Value::String(text) => text.parse().unwrap(),
        value => value.as_u64().unwrap(),
    }
}

/// What a recorder has received.
async fn read(api: &Api, recorder: &str) -> Vec<Value> {
    let answer = api.ok("CallProcess", json!({"process": recorder, "message": ["recorder", "read"]})).await;
    answer["reply"]["messages"].as_array().unwrap().clone()
}

/// Waits until a recorder has received this much, and gives it.
async fn received(api: &Api, recorder: &str, count: usize) -> Vec<Value> {
    api.eventually(|| async { Some(read(api, recorder).await).filter(|messages| messages.len() >= count) })
        .await
}

async fn send(api: &Api, process: &str, message: Value) {
    api.ok("SendMessage", json!({"process": process, "message": message})).await;
}

/// Keeps a process of any behaviour from handling what it is sent.
async fn pause(api: &Api, process: &str) {
    api.ok("PauseProcessScheduling", json!({"process": process})).await;
}

async fn resume(api: &Api, process: &str) {
    api.ok("ResumeProcessScheduling", json!({"process": process})).await;
}

async fn length(api: &Api, process: &str) -> u64 {
    number(&api.ok("GetMessageQueueLength", json!({"process": process})).await["length"])
}

async fn until_length(api: &Api, process: &str, expected: u64) {
    api.eventually(|| async { (length(api, process).await == expected).then_some(()) }).await;
}

/// A process that is dead, and was told so.
async fn dead(api: &Api) -> String {
    let pid = api.start("plain", json!(null)).await;
    api.ok("KillProcess", json!({"process": &pid})).await;
    api.eventually(|| async { api.call("GetMessageQueueLength", json!({"process": &pid})).await.err() })
        .await;
    pid
}

/// The payloads of envelopes.
fn payloads(answer: &Value) -> Vec<Value> {
    let messages = answer["messages"].as_array().cloned().unwrap_or_default();
    messages.iter().map(|message| message["message"].clone()).collect()
}
