//! Supervisors as wholes: start, stop, restart, lists of them.

use super::{children, dynamic, exit_of, fail, flags_of, kill, pids, start, tree, worker};
use arsenal_tests::{Api, both};
use serde_json::{Value, json};

/// A counter that tells `recorder` when it terminates.
fn noisy(id: &str, recorder: &str) -> Value {
    json!({"id": id, "module": "counter", "args": {"trap_exit": true, "terminate_notify": recorder}})
}

/// Pids and reasons of those that told a recorder that they terminate, in order.
async fn terminated(api: &Api, recorder: &str) -> Vec<(String, Value)> {
    let call = json!({"process": recorder, "message": ["recorder", "read"]});
    let state = api.ok("CallProcess", call).await["reply"].clone();
    let told = state["messages"].as_array().unwrap().iter().filter(|message| message[0] == "terminate");
    told.map(|message| (message[1].as_str().unwrap().to_owned(), message[2].clone())).collect()
}

// covers: start_supervisor/3
#[test]
fn children_start_in_order_and_one_that_fails_undoes_those_before_it() {
    both(|api| async move {
        let missing = json!({"children": [{"id": "c", "module": "nonsuch"}]});
        let failure = api.err("StartSupervisor", missing).await;
        let reason = json!(["shutdown", ["failed_to_start_child", "c", ["undef", "nonsuch"]]]);
        assert_eq!(failure.exit, Some(reason));
        let started = api.ok("StartSupervisor", json!({"children": [worker("a"), worker("b")]})).await;
        let ids = |children: &[Value]| children.iter().map(|child| child["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(started["children"].as_array().unwrap()), ["a", "b"]);
        let supervisor = started["pid"].as_str().unwrap();
        assert_eq!(ids(&children(&api, supervisor).await), ["b", "a"]);
        let flags = flags_of(&api, supervisor).await;
        assert_eq!((&flags["intensity"], &flags["period"]), (&json!(1), &json!("5s")));

        let recorder = api.start("recorder", json!({})).await;
        let broken = json!({"id": "c", "module": "counter", "args": {"init": {"stop": "nope"}}});
        let request = json!({"children": [noisy("a", &recorder), noisy("b", &recorder), broken]});
        let failure = api.err("StartSupervisor", request).await;
        assert_eq!((&*failure.code, &*failure.reason), ("FAILED_PRECONDITION", "START_FAILED"));
        assert_eq!(failure.exit, Some(json!(["shutdown", ["failed_to_start_child", "c", "nope"]])));
        let undone = terminated(&api, &recorder).await;
        assert_eq!(undone.len(), 2);
        for (pid, reason) in undone {
            assert_eq!(reason, "shutdown");
            assert_eq!(exit_of(&api, &pid).await, "shutdown");
        }
    });
}

#[test]
fn a_supervisor_that_cannot_be_is_refused_by_field_or_by_name() {
    both(|api| async move {
        let twice = api.err("StartSupervisor", json!({"children": [worker("a"), worker("a")]})).await;
        assert_eq!((&*twice.code, &*twice.reason), ("INVALID_ARGUMENT", "BAD_SPEC"));
        assert_eq!(twice.exit, Some(json!(["start_spec", ["duplicate_child_name", "a"]])));
        let none = api.err("StartSupervisor", json!({"strategy": "SIMPLE_ONE_FOR_ONE"})).await;
        assert_eq!(none.reason, "BAD_SPEC");
        start(&api, json!({"name": "top"})).await;
        let taken = api.err("StartSupervisor", json!({"name": "top"})).await;
        assert_eq!((&*taken.code, &*taken.reason), ("ALREADY_EXISTS", "ALREADY_STARTED"));
        let elsewhere = api.err("StartSupervisor", json!({"node": "n9"})).await;
        assert_eq!((&*elsewhere.code, &*elsewhere.reason), ("NOT_FOUND", "UNKNOWN_NODE"));
    });
}

#[test]
fn what_is_no_supervisor_or_is_gone_is_told_apart() {
    both(|api| async move {
        let unknown = api.err("GetSupervisor", json!({"supervisor": "unknown"})).await;
        assert_eq!((&*unknown.code, &*unknown.reason), ("NOT_FOUND", "NOPROC"));
        let details = format!("{:?}", unknown.details);
        assert!(details.contains("unknown") && !details.contains("n0.0.0"), "{details}");
        let counter = api.start("counter", json!({})).await;
        let other = api.err("WhichChildren", json!({"supervisor": counter})).await;
        assert_eq!((&*other.code, &*other.reason), ("FAILED_PRECONDITION", "NOT_A_SUPERVISOR"));
        kill(&api, &counter).await;
        exit_of(&api, &counter).await;
        let gone = api.err("WhichChildren", json!({"supervisor": counter})).await;
        assert_eq!((&*gone.code, &*gone.reason), ("NOT_FOUND", "NOPROC"));
        assert_eq!(gone.exit, Some(json!({"call_exit": "noproc"})));
    });
}

// covers: start_supervisor_link/3
#[test]
fn a_linked_tree_goes_down_with_its_parent_in_reverse_order_and_a_plain_one_survives() {
    both(|api| async move {
        let (parent, recorder) =
            (api.start("counter", json!({})).await, api.start("recorder", json!({})).await);
        let plain = tree(&api, "ONE_FOR_ONE", &["a"]).await;
        let specs = json!([noisy("a", &recorder), noisy("b", &recorder), noisy("c", &recorder)]);
        let linked = api.ok("StartSupervisorLink", json!({"parent": parent, "children": specs})).await;
        assert_eq!(linked["parent"], json!(parent));
        let supervisor = linked["pid"].as_str().unwrap().to_owned();
        let before = pids(&api, &supervisor).await;
        kill(&api, &parent).await;
        exit_of(&api, &supervisor).await;
        let order: Vec<String> = terminated(&api, &recorder).await.into_iter().map(|(pid, _)| pid).collect();
        assert_eq!(order, [before["c"].clone(), before["b"].clone(), before["a"].clone()]);
        assert_eq!(children(&api, &plain).await.len(), 1);
        let nobody = api.err("StartSupervisorLink", json!({"children": []})).await;
        assert_eq!((&*nobody.code, &*nobody.reason), ("INVALID_ARGUMENT", "NO_PARENT"));
        let dead = api.err("StartSupervisorLink", json!({"parent": parent})).await;
        assert_eq!((&*dead.code, &*dead.reason), ("NOT_FOUND", "CALLER_NOPROC"));
    });
}

// covers: stop_supervisor/2
#[test]
fn a_stop_takes_the_children_in_reverse_each_by_its_shutdown_value() {
    both(|api| async move {
        let recorder = api.start("recorder", json!({})).await;
        let mut brutal = noisy("brutal", &recorder);
        brutal["brutalKill"] = json!(true);
        let mut slow = noisy("slow", &recorder);
        slow["args"]["terminate_sleep"] = json!(60_000);
        slow["shutdown"] = json!("1s");
        let nested = json!({"id": "nested", "supervisor": {"children": [noisy("inner", &recorder)]}});
        let specs = json!([noisy("first", &recorder), brutal, slow, nested]);
        let supervisor = start(&api, json!({"children": specs})).await;
        let ids = pids(&api, &supervisor).await;
        let inner = pids(&api, &ids["nested"]).await["inner"].clone();
        let order = [&inner, &ids["nested"], &ids["slow"], &ids["brutal"], &ids["first"]];

        let dry = api.ok("StopSupervisor", json!({"supervisor": supervisor, "dryRun": true})).await;
        assert_eq!((&dry["stopped"], &dry["stoppedCount"]), (&json!(order), &json!("5")));
        let other = json!({"supervisor": supervisor, "expectedCount": 4});
        let other = api.err("StopSupervisor", other).await;
        assert_eq!((&*other.code, &*other.reason), ("ABORTED", "COUNT_MISMATCH"));
        assert_eq!(pids(&api, &supervisor).await, ids, "nothing was stopped");

        let stop = json!({"supervisor": supervisor, "reason": ["shutdown", "enough"], "expectedCount": 5});
        assert_eq!(api.ok("StopSupervisor", stop.clone()).await["stopped"], json!(order));
        assert_eq!(exit_of(&api, &supervisor).await, json!(["shutdown", "enough"]));
        let exits = api.ok("ListExits", json!({})).await["exits"].as_array().unwrap().clone();
        let mut recorded: Vec<&str> = exits.iter().filter_map(|exit| exit["process"].as_str()).collect();
        recorded.reverse();
        let in_order: Vec<&str> = order.iter().map(|pid| pid.as_str()).chain([&*supervisor]).collect();
        assert_eq!(recorded, in_order, "the event log has their ends in the order of the stop");
        let told: Vec<String> = terminated(&api, &recorder).await.into_iter().map(|(pid, _)| pid).collect();
        assert_eq!(
            told,
            [inner, ids["slow"].clone(), ids["first"].clone()],
            "one that is killed says nothing"
        );
        for (id, reason) in
            [("slow", "killed"), ("brutal", "killed"), ("first", "shutdown"), ("nested", "shutdown")]
        {
            assert_eq!(exit_of(&api, &ids[id]).await, reason, "{id}");
        }
        assert_eq!(api.err("StopSupervisor", stop).await.reason, "NOPROC");
    });
}

// covers: restart_supervisor/2
#[test]
fn a_restart_gives_every_child_a_new_life_and_its_parent_counts_no_failure() {
    both(|api| async move {
        let nested = json!({"id": "nested", "supervisor": {"intensity": 5, "period": "60s", "children": [worker("a")]}});
        let top = start(&api, json!({"intensity": 0, "children": [nested]})).await;
        let supervisor = pids(&api, &top).await["nested"].clone();
        api.ok("StartChild", json!({"supervisor": supervisor, "spec": worker("later")})).await;
        let first = fail(&api, &supervisor, "a").await;
        let before = pids(&api, &supervisor).await;
        let dry = json!({"supervisor": supervisor, "dryRun": true});
        let dry = api.ok("RestartSupervisor", dry).await;
        assert_eq!((&dry["stoppedCount"], &dry["dryRun"]), (&json!("2"), &json!(true)));
        assert_eq!(pids(&api, &supervisor).await, before);
        let keep = json!({"supervisor": supervisor, "keepHistory": true});
        api.ok("RestartSupervisor", keep).await;
        assert_eq!(flags_of(&api, &supervisor).await["restartsUsed"], json!(1));
        let restarted = api.ok("RestartSupervisor", json!({"supervisor": supervisor})).await;
        assert_eq!(restarted["children"].as_array().unwrap().len(), 2, "the one added at run time too");
        let after = pids(&api, &supervisor).await;
        assert!(after.iter().all(|(id, pid)| !pid.is_empty() && *pid != before[id]), "{before:?} {after:?}");
        assert_eq!(exit_of(&api, &first).await, "shutdown");
        assert_eq!(flags_of(&api, &supervisor).await["restartsUsed"], json!(0));
        assert_eq!(flags_of(&api, &top).await["restartsUsed"], json!(0));
        let mismatch = json!({"supervisor": supervisor, "expectedCount": 9});
        assert_eq!(api.err("RestartSupervisor", mismatch).await.reason, "COUNT_MISMATCH");
    });
}

#[test]
fn instances_are_started_again_on_request_alone() {
    both(|api| async move {
        let (supervisor, _) = dynamic(&api, 2).await;
        let again = json!({"supervisor": supervisor, "restartInstances": true});
        assert_eq!(api.ok("RestartSupervisor", again).await["children"].as_array().unwrap().len(), 2);
        api.ok("RestartSupervisor", json!({"supervisor": supervisor})).await;
        assert_eq!(children(&api, &supervisor).await.len(), 0);
    });
}

#[test]
fn supervisors_are_listed_with_what_they_supervise() {
    both(|api| async move {
        let nested =
            json!({"id": "nested", "supervisor": {"strategy": "ONE_FOR_ALL", "children": [worker("a")]}});
        let top = start(&api, json!({"name": "top", "children": [nested]})).await;
        let inner = pids(&api, &top).await["nested"].clone();
        let filter = json!({"filter": "flags.strategy == 'ONE_FOR_ALL' && counts.active == 1"});
        let found = api.ok("ListSupervisors", filter).await["supervisors"].clone();
        assert_eq!((&found[0]["pid"], &found[0]["parent"]), (&json!(inner), &json!(top)));
        let named =
            api.ok("ListSupervisors", json!({"filter": "name == 'top'"})).await["supervisors"].clone();
        assert_eq!(named[0], api.ok("GetSupervisor", json!({"supervisor": "top"})).await);
        api.ok("StopSupervisor", json!({"supervisor": "top"})).await;
        let gone = api.ok("ListSupervisors", json!({"filter": "name == 'top'"})).await;
        assert_eq!(gone["supervisors"], json!([]));
    });
}
