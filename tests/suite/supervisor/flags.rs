//! Flags and strategies of a running supervisor.

use super::{child, children, dynamic, exit_of, fail, flags_of, kill, pids, restarted, start, tree, worker};
use arsenal_tests::{Api, both};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Whose pids changed with a failure of `id`.
async fn touched(api: &Api, supervisor: &str, id: &str) -> Vec<String> {
    let before = pids(api, supervisor).await;
    fail(api, supervisor, id).await;
    // a group restart is over when all run again
    let after = api
        .eventually(|| async {
            let after = pids(api, supervisor).await;
            after.values().all(|pid| !pid.is_empty()).then_some(after)
        })
        .await;
    after.into_iter().filter(|(id, pid)| before[id] != *pid).map(|(id, _)| id).collect()
}

// covers: change_supervisor_strategy/2
#[test]
fn the_next_failure_follows_the_new_strategy_and_the_switch_touches_nobody() {
    both(|api| async move {
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a", "b", "c"]).await;
        let before = pids(&api, &supervisor).await;
        let change = |strategy: &str| json!({"supervisor": supervisor, "strategy": strategy});
        for (strategy, restarts) in [
            ("REST_FOR_ONE", vec!["b", "c"]),
            ("ONE_FOR_ALL", vec!["a", "b", "c"]),
            ("ONE_FOR_ONE", vec!["b"]),
        ] {
            let before = pids(&api, &supervisor).await;
            let changed = api.ok("ChangeSupervisorStrategy", change(strategy)).await;
            assert_eq!(changed["flags"]["strategy"], strategy);
            assert_eq!(pids(&api, &supervisor).await, before);
            assert_eq!(touched(&api, &supervisor, "b").await, restarts, "{strategy}");
        }
        assert_eq!(before.len(), 3);
        let simple = api.err("ChangeSupervisorStrategy", change("SIMPLE_ONE_FOR_ONE")).await;
        assert_eq!((&*simple.code, &*simple.reason), ("FAILED_PRECONDITION", "SIMPLE_ONE_FOR_ONE"));
        let absent = api.err("ChangeSupervisorStrategy", json!({"supervisor": supervisor})).await;
        assert_eq!((&*absent.code, &*absent.reason), ("INVALID_ARGUMENT", "BADARG"));
    });
}

// covers: change_supervisor_intensity/2
#[test]
fn an_intensity_below_what_is_used_kills_at_the_next_failure_and_not_before() {
    both(|api| async move {
        let request = json!({"intensity": 5, "period": "60s", "children": [worker("a")]});
        let supervisor = start(&api, request).await;
        for _ in 0..2 {
            fail(&api, &supervisor, "a").await;
        }
        let lower = json!({"supervisor": supervisor, "intensity": 1});
        let lowered = api.ok("ChangeSupervisorIntensity", lower).await;
        assert_eq!((&lowered["oldIntensity"], &lowered["flags"]["restartsUsed"]), (&json!(5), &json!(2)));
        assert_eq!(children(&api, &supervisor).await.len(), 1, "it lives");
        kill(&api, &pids(&api, &supervisor).await["a"]).await;
        assert_eq!(exit_of(&api, &supervisor).await, "shutdown");
        let other = tree(&api, "ONE_FOR_ONE", &["a"]).await;
        let absent = api.err("ChangeSupervisorIntensity", json!({"supervisor": other})).await;
        assert_eq!((&*absent.code, &*absent.reason), ("INVALID_ARGUMENT", "BADARG"));
    });
}

// covers: change_supervisor_period/2
#[test]
fn restarts_count_within_the_new_period_alone() {
    both(|api| async move {
        let request = json!({"intensity": 1, "period": "60s", "children": [worker("a")]});
        let (short, long) = (start(&api, request.clone()).await, start(&api, request).await);
        let change = json!({"supervisor": short, "period": "0.02s"});
        assert_eq!(api.ok("ChangeSupervisorPeriod", change).await["oldPeriod"], "60s");
        for supervisor in [&short, &long] {
            fail(&api, supervisor, "a").await;
        }
        api.eventually(|| async { (flags_of(&api, &short).await["restartsUsed"] == 0).then_some(()) }).await;
        fail(&api, &short, "a").await;
        assert_eq!(flags_of(&api, &long).await["restartsUsed"], 1);
        kill(&api, &pids(&api, &long).await["a"]).await;
        assert_eq!(exit_of(&api, &long).await, "shutdown", "its period is as it was");
        for period in [Value::Null, json!("0s"), json!("-1s"), json!("0.0000001s")] {
            let bad = api.err("ChangeSupervisorPeriod", json!({"supervisor": short, "period": period})).await;
            assert_eq!((&*bad.code, &*bad.reason), ("INVALID_ARGUMENT", "BADARG"), "{period}");
        }
    });
}

// covers: get_supervisor_flags/1
#[test]
fn the_used_count_follows_real_restarts() {
    both(|api| async move {
        let request =
            json!({"strategy": "REST_FOR_ONE", "intensity": 7, "period": "60s", "autoShutdown": "NEVER"});
        let mut request = request;
        request["children"] = json!([worker("a")]);
        let supervisor = start(&api, request).await;
        let flags = flags_of(&api, &supervisor).await;
        assert_eq!((&flags["strategy"], &flags["intensity"]), (&json!("REST_FOR_ONE"), &json!(7)));
        assert_eq!((&flags["period"], &flags["restartsUsed"]), (&json!("60s"), &json!(0)));
        for used in 1..=2 {
            fail(&api, &supervisor, "a").await;
            assert_eq!(flags_of(&api, &supervisor).await["restartsUsed"], used);
        }
        api.ok("TerminateChild", json!({"supervisor": supervisor, "child": "a"})).await;
        api.ok("RestartChild", json!({"supervisor": supervisor, "child": "a"})).await;
        assert_eq!(flags_of(&api, &supervisor).await["restartsUsed"], 2, "one by hand is none");
    });
}

// covers: set_supervisor_flags/2
#[test]
fn several_flags_change_at_once_or_none() {
    both(|api| async move {
        let mut significant = worker("a");
        significant["restart"] = json!("TRANSIENT");
        significant["significant"] = json!(true);
        let request = json!({"autoShutdown": "ANY_SIGNIFICANT", "intensity": 9, "children": [significant, worker("b")]});
        let supervisor = start(&api, request).await;
        let before = flags_of(&api, &supervisor).await;
        let set =
            |flags: Value, mask: &str| json!({"supervisor": supervisor, "flags": flags, "updateMask": mask});
        let flags =
            json!({"strategy": "ONE_FOR_ALL", "intensity": 6, "period": "30s", "etag": before["etag"]});
        let after = api.ok("SetSupervisorFlags", set(flags, "strategy,intensity")).await;
        assert_eq!((&after["strategy"], &after["intensity"]), (&json!("ONE_FOR_ALL"), &json!(6)));
        assert_eq!(after["period"], before["period"], "not in the mask");
        assert_eq!(touched(&api, &supervisor, "a").await, ["a", "b"]);
        let stale = json!({"intensity": 2, "etag": before["etag"]});
        let stale = api.err("SetSupervisorFlags", set(stale, "intensity")).await;
        assert_eq!((&*stale.code, &*stale.reason), ("ABORTED", "ETAG_MISMATCH"));
        let mix = json!({"intensity": 3, "autoShutdown": "NEVER"});
        let mix = api.err("SetSupervisorFlags", set(mix, "intensity,autoShutdown")).await;
        assert_eq!((&*mix.code, &*mix.reason), ("INVALID_ARGUMENT", "BAD_SPEC"));
        assert!(
            mix.details.iter().any(|detail| detail["fieldViolations"][0]["field"].is_string()),
            "{mix:?}"
        );
        assert_eq!(flags_of(&api, &supervisor).await["intensity"], 6, "nothing was changed");
        let unknown = api.err("SetSupervisorFlags", set(json!({"intensity": 3}), "startTime")).await;
        assert_eq!((&*unknown.code, &*unknown.reason), ("INVALID_ARGUMENT", "BADARG"));
        let strict = json!({"strategy": "ONE_FOR_ONE", "intensity": 0});
        api.ok("SetSupervisorFlags", set(strict, "strategy,intensity")).await;
        kill(&api, &pids(&api, &supervisor).await["b"]).await;
        assert_eq!(exit_of(&api, &supervisor).await, "shutdown", "the next failure is one too many");
    });
}

// covers: set_supervisor_flags/2
#[test]
fn flags_that_were_read_and_changed_are_written_back_as_they_are() {
    both(|api| async move {
        let supervisor = start(&api, json!({"children": [worker("a")]})).await;
        let mut flags = flags_of(&api, &supervisor).await;
        flags["intensity"] = json!(9);
        let short = json!({"intensity": 8, "etag": flags["etag"]});
        let set = |flags: Value| json!({"supervisor": supervisor, "flags": flags});
        let whole = api.ok("SetSupervisorFlags", set(flags)).await;
        assert_eq!((&whole["intensity"], &whole["strategy"]), (&json!(9), &json!("ONE_FOR_ONE")));
        let stale = api.err("SetSupervisorFlags", set(short)).await;
        assert_eq!(
            (&*stale.code, &*stale.reason),
            ("ABORTED", "ETAG_MISMATCH"),
            "the etag guards all the same"
        );
        let fresh = json!({"intensity": 8, "etag": whole["etag"]});
        assert_eq!(api.ok("SetSupervisorFlags", set(fresh)).await["intensity"], 8);
    });
}

// covers: change_supervisor_period/2
#[test]
fn two_failures_are_within_a_new_period_as_long_as_they_are_no_further_apart() {
    both(|api| async move {
        let request = json!({"intensity": 1, "period": "60s", "children": [worker("a")]});
        let supervisor = start(&api, request).await;
        let apart = |second: &'static str| {
            let failure = |at: &str| json!({"at": at, "child": "a", "reason": "killed"});
            let trial = json!({"supervisor": supervisor, "failures": [failure("1s"), failure(second)]});
            let api = api.clone();
            async move { api.ok("TestRestartStrategy", trial).await["outcome"].clone() }
        };
        assert_eq!(apart("3.001s").await, "ESCALATED");
        api.ok("ChangeSupervisorPeriod", json!({"supervisor": supervisor, "period": "2s"})).await;
        // as in OTP, the one that is as old as the period counts
        for (second, outcome) in [("2.999s", "ESCALATED"), ("3s", "ESCALATED"), ("3.001s", "RUNNING")] {
            assert_eq!(apart(second).await, outcome, "at {second}");
        }
    });
}

/// Calls a convert and says whether it changed anything.
async fn convert(api: &Api, rpc: &str, supervisor: &str) -> bool {
    api.ok(rpc, json!({"supervisor": supervisor})).await["changed"] == true
}

// covers: convert_to_one_for_one/1
#[test]
fn a_former_instance_is_a_child_known_by_the_pid_it_had() {
    both(|api| async move {
        let (supervisor, instances) = dynamic(&api, 3).await;
        assert!(convert(&api, "ConvertToOneForOne", &supervisor).await);
        assert!(!convert(&api, "ConvertToOneForOne", &supervisor).await);
        let same: BTreeMap<String, String> = instances.iter().map(|pid| (pid.clone(), pid.clone())).collect();
        assert_eq!(pids(&api, &supervisor).await, same);
        assert_eq!(touched(&api, &supervisor, &instances[1]).await, [instances[1].clone()]);
        let id = json!({"supervisor": supervisor, "child": instances[1]});
        api.ok("TerminateChild", id).await;
        assert_eq!(child(&api, &supervisor, &instances[1]).await["state"], "UNDEFINED");
    });
}

// covers: convert_to_one_for_all/1
#[test]
fn after_a_convert_to_one_for_all_a_failure_restarts_all() {
    both(|api| async move {
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a", "b", "c"]).await;
        assert_eq!(touched(&api, &supervisor, "b").await, ["b"]);
        let before = pids(&api, &supervisor).await;
        assert!(convert(&api, "ConvertToOneForAll", &supervisor).await);
        assert!(!convert(&api, "ConvertToOneForAll", &supervisor).await);
        assert_eq!(pids(&api, &supervisor).await, before);
        let mut watch = api.stream("WatchSupervisor", json!({"supervisor": supervisor})).await;
        kill(&api, &before["b"]).await;
        let mut order = Vec::new();
        while order.len() < 6 {
            let event = watch.next().await.unwrap().unwrap();
            order.push(format!("{} {}", event["kind"].as_str().unwrap(), event["child"].as_str().unwrap()));
        }
        let reverse = ["EXITED b", "TERMINATED c", "TERMINATED a"];
        assert_eq!(order, [&reverse[..], &["RESTARTED a", "RESTARTED b", "RESTARTED c"]].concat());
    });
}

// covers: convert_to_rest_for_one/1
#[test]
fn after_a_convert_to_rest_for_one_a_failure_restarts_those_after_it() {
    both(|api| async move {
        let (supervisor, instances) = dynamic(&api, 3).await;
        assert!(convert(&api, "ConvertToRestForOne", &supervisor).await);
        assert!(!convert(&api, "ConvertToRestForOne", &supervisor).await);
        let mut later = instances[1..].to_vec();
        later.sort();
        assert_eq!(touched(&api, &supervisor, &instances[1]).await, later, "the order is that of starting");
    });
}

// covers: convert_to_simple_one_for_one/1
#[test]
fn children_of_one_spec_become_instances_and_mixed_ones_do_not() {
    both(|api| async move {
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a", "b"]).await;
        let before: Vec<String> = pids(&api, &supervisor).await.into_values().collect();
        let converted = api.ok("ConvertToSimpleOneForOne", json!({"supervisor": supervisor})).await;
        assert_eq!(
            (&converted["changed"], &converted["template"]["module"]),
            (&json!(true), &json!("counter"))
        );
        assert!(!convert(&api, "ConvertToSimpleOneForOne", &supervisor).await);
        let shown = children(&api, &supervisor).await;
        assert!(shown.iter().all(|child| child["id"] == ""), "an instance has no id");
        let mut after: Vec<String> =
            shown.iter().map(|child| child["pid"].as_str().unwrap().to_owned()).collect();
        after.sort();
        let mut before = before;
        before.sort();
        assert_eq!(after, before);
        api.ok("AddDynamicChild", json!({"supervisor": supervisor})).await;
        assert_eq!(children(&api, &supervisor).await.len(), 3);

        let mut odd = worker("odd");
        odd["restart"] = json!("TRANSIENT");
        let mixed = start(&api, json!({"children": [worker("a"), worker("b"), odd]})).await;
        let mixed = api.err("ConvertToSimpleOneForOne", json!({"supervisor": mixed})).await;
        assert_eq!((&*mixed.code, &*mixed.reason), ("FAILED_PRECONDITION", "MIXED_CHILDREN"));
        assert_eq!(mixed.exit, Some(json!(["mixed_children", ["odd"]])));
        let empty = start(&api, json!({})).await;
        let empty = api.err("ConvertToSimpleOneForOne", json!({"supervisor": empty})).await;
        assert_eq!((&*empty.code, &*empty.reason), ("FAILED_PRECONDITION", "NO_CHILDREN"));
    });
}

// covers: get_restart_strategy/1
#[test]
fn the_rules_show_a_convert_and_a_replaced_spec() {
    both(|api| async move {
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a", "b"]).await;
        let rules = || async { api.ok("GetRestartStrategy", json!({"supervisor": supervisor})).await };
        let before = rules().await;
        assert_eq!((&before["strategy"], &before["children"][0]["id"]), (&json!("ONE_FOR_ONE"), &json!("a")));
        assert_eq!(
            (&before["children"][1]["restart"], &before["children"][1]["shutdown"]),
            (&json!("PERMANENT"), &json!("5s"))
        );
        assert!(convert(&api, "ConvertToRestForOne", &supervisor).await);
        let mut spec = worker("b");
        spec["restart"] = json!("TRANSIENT");
        spec["brutalKill"] = json!(true);
        api.ok("ReplaceChildSpec", json!({"supervisor": supervisor, "child": "b", "spec": spec})).await;
        let after = rules().await;
        assert_eq!(
            (&after["strategy"], &after["children"][0]),
            (&json!("REST_FOR_ONE"), &before["children"][0])
        );
        let rule = &after["children"][1];
        assert_eq!((&rule["restart"], &rule["brutalKill"]), (&json!("TRANSIENT"), &json!(true)));
        let pid = pids(&api, &supervisor).await["a"].clone();
        kill(&api, &pid).await;
        restarted(&api, &supervisor, "a", &pid).await;
    });
}
