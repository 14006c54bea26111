//! Requests that are answered by another node than the one asked.

mod failures;
mod lists;
mod names;
mod processes;
mod streams;
mod unread;
mod voters;

use arsenal_tests::{Cluster, DEADLINE, Transport};
use serde_json::{Value, json};
use std::sync::Arc;

/// Runs a test on a cluster of so many nodes, over both transports.
pub(crate) fn among<F: Future<Output = ()>>(count: u32, test: impl Fn(Arc<Cluster>, Transport) -> F) {
    for transport in [Transport::Grpc, Transport::Rest] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let cluster = Arc::new(Cluster::of(count).await);
            let outcome = tokio::time::timeout(DEADLINE * 2, test(Arc::clone(&cluster), transport)).await;
            assert!(outcome.is_ok(), "the test over {transport:?} did not end within {:?}", DEADLINE * 2);
            if let Some(cluster) = Arc::into_inner(cluster) {
                cluster.stop().await;
            }
        });
    }
}

/// Starts a counter on n2, by a request to n1.
async fn counter_on_2(api: &arsenal_tests::Api) -> String {
    let started = api.ok("StartProcess", json!({"node": "n2", "module": "counter", "args": {}})).await;
    let pid = started["pid"].as_str().unwrap().to_owned();
    assert!(pid.starts_with("n2."), "{started}");
    pid
}

pub(crate) async fn add(api: &arsenal_tests::Api, process: &str, amount: u32) -> Value {
    api.ok("CallProcess", json!({"process": process, "message": ["add", amount]})).await["reply"].clone()
}
