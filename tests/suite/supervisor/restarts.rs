//! After which exits a child comes back.

use super::{children, exit_of, fail, pids, start, tree, worker};
use arsenal_tests::{Api, both};
use serde_json::{Value, json};

/// Starts a child by `rpc` and gives what becomes of it after each of four exits: its state, or nothing.
async fn lives(api: &Api, rpc: &str) -> Vec<Option<Value>> {
    let mut after = Vec::new();
    for reason in [json!("normal"), json!("shutdown"), json!(["shutdown", "x"]), json!("oops")] {
        let supervisor = start(api, json!({"intensity": 10, "children": [worker("other")]})).await;
        let started = api.ok(rpc, json!({"supervisor": supervisor, "spec": worker("a")})).await;
        let pid = started["pid"].as_str().unwrap().to_owned();
        api.ok("CastMessage", json!({"process": pid, "message": ["stop", reason]})).await;
        exit_of(api, &pid).await;
        let settled = api
            .eventually(|| async {
                let children = children(api, &supervisor).await;
                let child = children.iter().find(|child| child["id"] == "a");
                child.is_none_or(|child| child["pid"] != json!(pid)).then_some(child.cloned())
            })
            .await;
        after.push(settled.map(|child| child["state"].clone()));
    }
    after
}

// covers: start_temporary_child/3
#[test]
fn a_temporary_child_is_gone_after_any_exit() {
    both(|api| async move {
        assert_eq!(lives(&api, "StartTemporaryChild").await, [None, None, None, None]);
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a"]).await;
        let taken = json!({"supervisor": supervisor, "spec": worker("a")});
        let taken = api.err("StartTemporaryChild", taken).await;
        assert_eq!((&*taken.code, &*taken.reason), ("ALREADY_EXISTS", "ALREADY_STARTED"));
        assert_eq!(taken.exit, Some(json!(["already_started", pids(&api, &supervisor).await["a"]])));
        let mut other = worker("b");
        other["restart"] = json!("PERMANENT");
        let other = api.err("StartTemporaryChild", json!({"supervisor": supervisor, "spec": other})).await;
        assert_eq!((&*other.code, &*other.reason), ("INVALID_ARGUMENT", "BAD_SPEC"));
    });
}

// covers: start_transient_child/3
#[test]
fn a_transient_child_comes_back_after_an_abnormal_exit_alone() {
    both(|api| async move {
        let after = lives(&api, "StartTransientChild").await;
        let listed = Some(json!("UNDEFINED"));
        assert_eq!(after, [listed.clone(), listed.clone(), listed, Some(json!("RUNNING"))]);
    });
}

// covers: start_permanent_child/3
#[test]
fn a_permanent_child_comes_back_after_every_exit() {
    both(|api| async move {
        let running = Some(json!("RUNNING"));
        assert_eq!(lives(&api, "StartPermanentChild").await, vec![running; 4]);
        let supervisor = tree(&api, "ONE_FOR_ONE", &["first"]).await;
        for id in ["middle", "last"] {
            let child = json!({"supervisor": supervisor, "spec": worker(id)});
            api.ok("StartPermanentChild", child).await;
        }
        fail(&api, &supervisor, "middle").await;
        let children = children(&api, &supervisor).await;
        let order: Vec<&Value> = children.iter().map(|child| &child["id"]).collect();
        assert_eq!(order, ["last", "middle", "first"], "it comes back in its place");
    });
}
