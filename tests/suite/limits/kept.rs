//! What a node keeps: processes, messages, requests that wait, what a client that is slow or gone has not read.

use super::{limited, still_serves};
use arsenal_tests::{Api, Transport, both_with};
use serde_json::{Value, json};

#[test]
fn a_client_that_vanishes_in_mid_call_leaves_nothing_behind() {
    both_with(|sandbox, api| async move {
        let pid = api.start("counter", json!({})).await;
        api.ok("SuspendProcess", json!({"process": pid, "holder": "test"})).await;
        let call = json!({"process": pid, "message": ["add", 5], "timeout": "20s"});
        // a connection of its own, which goes with the client
        let vanishing = sandbox.api(api.transport()).await;
        let waiting = tokio::spawn(async move { vanishing.call("CallProcess", call).await });
        api.eventually(|| async { (sandbox.node().waiting_requests() == 1).then_some(()) }).await;
        waiting.abort();
        api.eventually(|| async { (sandbox.node().waiting_requests() == 0).then_some(()) }).await;
        api.ok("ResumeProcess", json!({"process": pid, "holder": "test"})).await;
        // the call was sent, and is handled; its answer goes nowhere
        let count = || async {
            let reply = api.ok("CallProcess", json!({"process": pid, "message": "get"})).await;
            (reply["reply"] == json!(5)).then_some(())
        };
        api.eventually(count).await;
        assert_eq!(sandbox.node().waiting_requests(), 0);
    });
}

#[test]
fn requests_that_wait_are_bounded() {
    limited(
        |config| config.limits.waiting_requests_max = 1,
        |sandbox| async move {
            let api = sandbox.api(Transport::Grpc).await;
            let node = sandbox.node();
            let pid = api.start("recorder", json!({})).await;
            api.ok("PauseProcessScheduling", json!({"process": pid, "holder": "test"})).await;
            let waiting = api.clone();
            let call = json!({"process": pid, "message": "first", "timeout": "20s"});
            let first = tokio::spawn(async move { waiting.call("CallProcess", call).await });
            api.eventually(|| async { (node.waiting_requests() == 1).then_some(()) }).await;
            let failure = api.err("CallProcess", json!({"process": pid, "message": "second"})).await;
            assert_eq!(
                (&*failure.code, &*failure.reason),
                ("RESOURCE_EXHAUSTED", "SYSTEM_LIMIT"),
                "{failure:?}"
            );
            first.abort();
        },
    );
}

#[test]
fn processes_are_bounded_and_a_place_comes_back() {
    limited(
        |config| config.limits.processes_max = 3,
        |sandbox| async move {
            for transport in [Transport::Grpc, Transport::Rest] {
                let api = sandbox.api(transport).await;
                let mut pids = Vec::new();
                for _ in 0..3 {
                    pids.push(api.start("counter", json!({})).await);
                }
                let failure = api.err("StartProcess", json!({"module": "counter"})).await;
                assert_eq!((&*failure.code, &*failure.reason), ("RESOURCE_EXHAUSTED", "SYSTEM_LIMIT"));
                for pid in pids {
                    api.ok("KillProcess", json!({"process": pid})).await;
                }
                api.eventually(|| async { (sandbox.node().process_count() == 0).then_some(()) }).await;
                still_serves(&api).await;
                api.eventually(|| async {
                    for process in api.ok("ListAllProcesses", json!({})).await["processes"]
                        .as_array()
                        .into_iter()
                        .flatten()
                    {
                        // it may be gone already
                        let _ = api.call("KillProcess", json!({"process": process["pid"]})).await;
                    }
                    (sandbox.node().process_count() == 0).then_some(())
                })
                .await;
            }
        },
    );
}

#[test]
fn a_message_beyond_the_limit_is_refused_and_the_mailbox_is_unharmed() {
    limited(
        |config| config.limits.message_bytes_max = 1_000,
        |sandbox| async move {
            for transport in [Transport::Grpc, Transport::Rest] {
                let api = sandbox.api(transport).await;
                let pid = api.start("recorder", json!({})).await;
                let message = json!({"process": pid, "message": "x".repeat(2_000)});
                for rpc in ["SendMessage", "CallProcess"] {
                    let failure = api.err(rpc, message.clone()).await;
                    assert_eq!(
                        (&*failure.code, &*failure.reason),
                        ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE"),
                        "{rpc}"
                    );
                }
                let state = api.ok("GetProcessState", json!({"process": pid})).await;
                assert_eq!(state["state"]["messages"], json!([]), "{state}");
            }
        },
    );
}

/// More changes than the event log keeps and the buffers on the way hold.
const CHANGES: usize = 60_000;

#[test]
fn a_slow_reader_of_a_watch_is_told_what_it_lost() {
    for transport in [Transport::Grpc, Transport::Rest] {
        limited(
            |config| config.limits.events_per_scheduler_max = 1_000,
            |sandbox| async move {
                let api = sandbox.api(transport).await;
                let pid = api.start("counter", json!({})).await;
                let node = sandbox.node();
                let me = pid.parse().unwrap();
                let mut watch = api.stream("WatchProcesses", json!({})).await;
                until(&mut watch, "SNAPSHOT_END").await;
                // nothing is read meanwhile
                for change in 0..CHANGES {
                    node.record("process.label", me, me, arsenal_runtime::Term::Null, 0);
                    if change % 1_000 == 0 {
                        still_answers(&api).await;
                    }
                }
                let lost = until(&mut watch, "DROPPED").await;
                let dropped = lost["dropped"].as_str().unwrap_or_default().parse::<u64>().unwrap();
                assert!(dropped > 0 && dropped <= CHANGES as u64, "{lost}");
                // and begins anew
                let picture = until(&mut watch, "SNAPSHOT").await;
                assert_eq!(picture["process"]["pid"], json!(pid));
            },
        );
    }
}

async fn until(watch: &mut arsenal_tests::Answers, kind: &str) -> Value {
    loop {
        let item = watch.next().await.expect("the watch goes on").unwrap();
        if item["kind"] == json!(kind) {
            return item;
        }
    }
}

async fn still_answers(api: &Api) {
    api.ok("GetSystemInfo", json!({})).await;
}
