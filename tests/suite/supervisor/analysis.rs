//! What a supervisor would do, what would have served it best, and what it does.

use super::{fail, flags_of, kill, pids, start, tree, worker};
use arsenal_tests::{Api, both};
use serde_json::{Value, json};

/// Kind and child of each step.
fn steps(steps: &[Value]) -> Vec<String> {
    let step =
        |step: &Value| format!("{} {}", step["kind"].as_str().unwrap(), step["child"].as_str().unwrap());
    steps.iter().map(step).collect()
}

/// What the live tree does when the child with this id is killed, up to so many events.
async fn live(api: &Api, supervisor: &str, id: &str, events: usize) -> Vec<Value> {
    let mut watch = api.stream("WatchSupervisor", json!({"supervisor": supervisor})).await;
    kill(api, &pids(api, supervisor).await[id]).await;
    let mut seen = Vec::new();
    while seen.len() < events {
        seen.push(watch.next().await.unwrap().unwrap());
    }
    seen
}

// covers: test_restart_strategy/2
#[test]
fn a_dry_run_tells_what_the_live_tree_does_and_touches_nobody() {
    both(|api| async move {
        let supervisor = tree(&api, "REST_FOR_ONE", &["a", "b", "c"]).await;
        let before = pids(&api, &supervisor).await;
        let trial = |flags: Value| {
            let failures = json!([{"at": "1s", "child": "b", "reason": "killed"}]);
            json!({"supervisor": supervisor, "failures": failures, "flags": flags})
        };
        let own = api.ok("TestRestartStrategy", trial(Value::Null)).await;
        assert_eq!(own["outcome"], "RUNNING");
        let timeline = own["timeline"].as_array().unwrap();
        assert_eq!(pids(&api, &supervisor).await, before);
        let other = api.ok("TestRestartStrategy", trial(json!({"strategy": "ONE_FOR_ONE"}))).await;
        assert_eq!(steps(other["timeline"].as_array().unwrap()), ["EXITED b", "RESTARTED b"]);
        assert_eq!(other["flags"]["strategy"], "ONE_FOR_ONE");
        let strict = api.ok("TestRestartStrategy", trial(json!({"intensity": 0}))).await;
        assert_eq!(strict["outcome"], "ESCALATED");
        assert_eq!(steps(&live(&api, &supervisor, "b", timeline.len()).await), steps(timeline));
    });
}

#[test]
fn a_trial_of_nothing_of_nobody_or_backwards_in_time_is_refused() {
    both(|api| async move {
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a"]).await;
        for failures in [
            json!([]),
            json!([{"at": "1s", "child": "x"}]),
            json!([{"at": "2s", "child": "a"}, {"at": "1s", "child": "a"}]),
        ] {
            let refused = json!({"supervisor": supervisor, "failures": failures});
            let refused = api.err("TestRestartStrategy", refused).await;
            assert_eq!((&*refused.code, &*refused.reason), ("INVALID_ARGUMENT", "BADARG"), "{failures}");
        }
        let failed = json!([{"at": "1s", "child": "a", "failedStarts": 2}]);
        let failed =
            api.ok("TestRestartStrategy", json!({"supervisor": supervisor, "failures": failed})).await;
        let expected = ["EXITED a", "RESTART_FAILED a", "RESTART_FAILED a", "RESTARTED a"];
        assert_eq!(steps(failed["timeline"].as_array().unwrap()), expected);
    });
}

// covers: optimize_restart_strategy/1
#[test]
fn siblings_that_always_die_after_one_lead_to_rest_for_one_with_that_one_first() {
    both(|api| async move {
        let mut supervisor = tree(&api, "ONE_FOR_ONE", &["b", "c", "a"]).await;
        let ask = |supervisor: &str| json!({"supervisor": supervisor});
        let fresh = api.ok("OptimizeRestartStrategy", ask(&supervisor)).await;
        assert_eq!((&fresh["state"], &fresh["suggestion"]), (&json!("INSUFFICIENT_DATA"), &Value::Null));
        let hasty =
            api.err("OptimizeRestartStrategy", json!({"supervisor": supervisor, "apply": true})).await;
        assert_eq!((&*hasty.code, &*hasty.reason), ("FAILED_PRECONDITION", "INSUFFICIENT_DATA"));
        let mut advice = Value::Null;
        // what fails more than a second after another does not follow it: a busy machine may have it so, but not each time
        for _ in 0..5 {
            for id in ["a", "b", "c"].repeat(4) {
                fail(&api, &supervisor, id).await;
            }
            advice = api.ok("OptimizeRestartStrategy", ask(&supervisor)).await;
            if advice["suggestion"]["strategy"] == "REST_FOR_ONE" {
                break;
            }
            supervisor = tree(&api, "ONE_FOR_ONE", &["b", "c", "a"]).await;
        }
        assert_eq!((&advice["state"], &advice["applied"]), (&json!("SUFFICIENT"), &json!(false)));
        assert_eq!(advice["evidence"]["sampleCount"], "12");
        assert_eq!(advice["evidence"]["events"].as_array().unwrap().len(), 12);
        let suggestion = &advice["suggestion"];
        assert_eq!(
            (&suggestion["strategy"], &suggestion["order"][0]),
            (&json!("REST_FOR_ONE"), &json!("a")),
            "{advice}"
        );
        assert_eq!(flags_of(&api, &supervisor).await["strategy"], "ONE_FOR_ONE", "only suggested");
        let applied =
            api.ok("OptimizeRestartStrategy", json!({"supervisor": supervisor, "apply": true})).await;
        assert_eq!(applied["applied"], true);
        assert_eq!(flags_of(&api, &supervisor).await["strategy"], "REST_FOR_ONE");
    });
}

#[test]
fn a_watch_tells_what_a_supervisor_does_and_ends_with_it() {
    both(|api| async move {
        let supervisor =
            start(&api, json!({"intensity": 1, "period": "60s", "children": [worker("a")]})).await;
        let mut watch = api.stream("WatchSupervisor", json!({"supervisor": supervisor})).await;
        fail(&api, &supervisor, "a").await;
        let first = watch.next().await.unwrap().unwrap();
        assert_eq!((&first["kind"], &first["reason"]), (&json!("EXITED"), &json!("killed")));
        let second = watch.next().await.unwrap().unwrap();
        assert_eq!(
            (&second["kind"], &second["restartsUsed"], &second["incarnation"]),
            (&json!("RESTARTED"), &json!(1), &json!("2"))
        );
        // what was seen may be followed again
        let again = json!({"supervisor": supervisor, "after": first["sequence"]});
        let mut again = api.stream("WatchSupervisor", again).await;
        assert_eq!(again.next().await.unwrap().unwrap(), second);
        kill(&api, &pids(&api, &supervisor).await["a"]).await;
        let mut rest = Vec::new();
        while let Some(event) = watch.next().await {
            rest.push(event.unwrap());
        }
        assert_eq!(steps(&rest), ["EXITED a", "ESCALATED a"]);
        let ahead = tree(&api, "ONE_FOR_ONE", &["a"]).await;
        let ahead = json!({"supervisor": ahead, "after": "999999999"});
        let refused = match api.answers("WatchSupervisor", &ahead).await {
            Err(failure) => failure,
            Ok(mut answers) => answers.next().await.unwrap().unwrap_err(),
        };
        assert_eq!((&*refused.code, &*refused.reason), ("OUT_OF_RANGE", "BAD_SEQUENCE"));
    });
}
