//! Suspensions and pauses: counted, leased, listed, ended with their holder.

use super::{call, grows, info, number, reductions, session, start, text};
use arsenal_tests::both;
use serde_json::{Value, json};

// covers: suspend_process/1, resume_process/1
#[test]
fn a_suspended_process_handles_no_message_until_its_last_holder_resumes_it() {
    both(|api| async move {
        let pid = start(&api, "counter", json!({})).await;
        let suspend = |holder: &str| json!({"process": pid, "holder": holder});
        let first = api.ok("SuspendProcess", suspend("ann")).await;
        assert_eq!((&first["hold"]["kind"], &first["hold"]["holder"]), (&json!("SUSPEND"), &json!("ann")));
        api.ok("SuspendProcess", suspend("ann")).await;
        let both_hold = api.ok("SuspendProcess", suspend("bob")).await;
        assert_eq!(both_hold["holds"].as_array().unwrap().len(), 2);

        for add in [1, 10, 100] {
            api.ok("CastMessage", json!({"process": pid, "message": ["add", add]})).await;
        }
        let state = api.ok("GetProcessState", json!({"process": pid})).await;
        assert_eq!(state["state"], 0, "the state stays readable, and untouched");
        let refused =
            api.err("CallProcess", json!({"process": pid, "message": "get", "timeout": "0.05s"})).await;
        assert_eq!(refused.code, "DEADLINE_EXCEEDED");

        let resumed = api.ok("ResumeProcess", suspend("ann")).await;
        assert_eq!(resumed["resumed"], true);
        assert_ne!(resumed.get("running"), Some(&json!(true)), "bob still holds it");
        let nothing = api.ok("ResumeProcess", suspend("carl")).await;
        assert_ne!(nothing.get("resumed"), Some(&json!(true)));
        let last = api.ok("ResumeProcess", suspend("bob")).await;
        assert_eq!((&last["resumed"], &last["running"]), (&json!(true), &json!(true)));
        assert_eq!(call(&api, &pid, json!("get")).await, 111);
    });
}

// covers: suspend_process/1, resume_process/1
#[test]
fn calls_to_a_suspended_process_wait_and_are_answered_in_their_order() {
    both(|api| async move {
        let pid = start(&api, "counter", json!({})).await;
        api.ok("SuspendProcess", json!({"process": pid, "holder": "ann"})).await;
        let mut calls = Vec::new();
        for (waiting, amount) in (1..).zip([1, 10, 100]) {
            let request = json!({"process": pid, "message": ["add", amount], "timeout": "60s"});
            let api = api.clone();
            calls.push(tokio::spawn({
                let api = api.clone();
                async move { api.ok("CallProcess", request).await["reply"].clone() }
            }));
            let queued =
                || async { (number(&info(&api, &pid).await["messageQueueLen"]) == waiting).then_some(()) };
            api.eventually(queued).await;
        }
        assert!(calls.iter().all(|call| !call.is_finished()));
        api.ok("ResumeProcess", json!({"process": pid, "holder": "ann"})).await;
        for (call, sum) in calls.into_iter().zip([1, 11, 111]) {
            assert_eq!(call.await.unwrap(), sum);
        }
    });
}

// covers: suspend_process/1
#[test]
fn a_suspension_ends_with_its_lease_and_a_raw_process_has_none() {
    both(|api| async move {
        let pid = start(&api, "counter", json!({})).await;
        api.ok("SuspendProcess", json!({"process": pid, "holder": "ann", "lease": "0.1s"})).await;
        assert_eq!(call(&api, &pid, json!("get")).await, 0, "it goes on when the lease has ended");
        assert!(api.ok("ListHolds", json!({})).await["holds"].as_array().is_none_or(Vec::is_empty));

        let raw = start(&api, "plain", json!({})).await;
        let refused = api.err("SuspendProcess", json!({"process": raw, "holder": "ann"})).await;
        assert_eq!((refused.code.as_str(), refused.reason.as_str()), ("FAILED_PRECONDITION", "NO_HOOK"));
        let wrong =
            api.err("SuspendProcess", json!({"process": pid, "holder": "ann", "lease": "90000s"})).await;
        assert_eq!(wrong.code, "INVALID_ARGUMENT");
        let gone = api.err("SuspendProcess", json!({"process": "n1.1.999999", "holder": "ann"})).await;
        assert_eq!((gone.reason.as_str(), gone.exit), ("NOPROC", Some(json!({"call_exit": "noproc"}))));

        // a turn that does not end in time: the hold is withdrawn
        api.ok("CastMessage", json!({"process": pid, "message": ["sleep", 60_000]})).await;
        let begun = || async { (number(&info(&api, &pid).await["messageQueueLen"]) == 0).then_some(()) };
        api.eventually(begun).await;
        let late =
            api.err("SuspendProcess", json!({"process": pid, "holder": "ann", "timeout": "0.02s"})).await;
        assert_eq!((late.code.as_str(), late.reason.as_str()), ("DEADLINE_EXCEEDED", "TIMEOUT"));
        assert!(api.ok("ListHolds", json!({})).await["holds"].as_array().is_none_or(Vec::is_empty));
    });
}

// covers: pause_process_scheduling/1, resume_process_scheduling/1
#[test]
fn a_paused_loop_stands_still_and_goes_on_after_as_many_resumes_as_pauses() {
    both(|api| async move {
        let pid = start(&api, "busy", json!({})).await;
        grows(&api, &pid, 1).await;
        let by = |holder: &str| json!({"process": pid, "holder": holder});
        let paused = api.ok("PauseProcessScheduling", by("ann")).await;
        assert_eq!((&paused["paused"], &paused["hold"]["count"]), (&json!(true), &json!(1)));
        let still = reductions(&api, &pid).await;
        assert_eq!(info(&api, &pid).await["status"], "SUSPENDED");
        assert_eq!(api.ok("PauseProcessScheduling", by("ann")).await["hold"]["count"], 2);
        let counted = json!({"process": pid, "holder": "ann", "unlessSuspending": true});
        let counted = api.ok("PauseProcessScheduling", counted).await;
        assert_ne!(counted.get("paused"), Some(&json!(true)));
        api.ok("PauseProcessScheduling", by("bob")).await;

        let refused = api.err("GetProcessState", json!({"process": pid})).await;
        assert_eq!((refused.code.as_str(), refused.reason.as_str()), ("FAILED_PRECONDITION", "HELD"));
        let hold = paused["hold"]["hold"].as_str().unwrap();
        assert!(refused.message.ends_with(&format!("by hold {hold}")), "{}", refused.message);
        for (holder, running) in [("ann", false), ("ann", false), ("bob", true)] {
            assert_eq!(reductions(&api, &pid).await, still);
            let resumed = api.ok("ResumeProcessScheduling", by(holder)).await;
            assert_eq!(resumed.get("running").and_then(Value::as_bool).unwrap_or_default(), running);
        }
        grows(&api, &pid, 1).await;
        let none = api.err("ResumeProcessScheduling", by("ann")).await;
        assert_eq!((none.code.as_str(), none.reason.as_str()), ("FAILED_PRECONDITION", "BADARG"));
        assert_eq!(none.message, format!("process {pid} has no pause of its scheduling by `ann`"));
    });
}

// covers: pause_process_scheduling/1
#[test]
fn a_pause_ends_with_its_lease_or_its_holder_and_a_kill_works_under_it() {
    both(|api| async move {
        let pid = start(&api, "busy", json!({})).await;
        api.ok("PauseProcessScheduling", json!({"process": pid, "holder": "ann", "lease": "0.1s"})).await;
        grows(&api, &pid, 1).await;

        let (client, _, me) = session(&api).await;
        let own = client.err("PauseProcessScheduling", json!({"process": me})).await;
        assert_eq!((own.code.as_str(), own.reason.as_str()), ("INVALID_ARGUMENT", "BADARG"));
        let paused = client.ok("PauseProcessScheduling", json!({"process": pid})).await;
        assert_eq!(paused["hold"]["holder"], me);
        api.ok("KillProcess", json!({"process": me})).await;
        grows(&api, &pid, 1).await;

        api.ok("PauseProcessScheduling", json!({"process": pid, "holder": "ann"})).await;
        assert_eq!(api.ok("KillProcess", json!({"process": pid})).await["ended"], true);
    });
}

#[test]
fn a_hold_is_listed_renewed_and_released_by_its_id() {
    both(|api| async move {
        let pid = start(&api, "counter", json!({})).await;
        let hold = api.ok("SuspendProcess", json!({"process": pid, "holder": "ann"})).await["hold"].clone();
        let listed = api.ok("ListHolds", json!({"filter": "kind == 'SUSPEND' && holder == 'ann'"})).await;
        assert_eq!(listed["holds"][0]["hold"], hold["hold"]);
        let none = api.ok("ListHolds", json!({"filter": "holder == 'bob'"})).await;
        assert!(none["holds"].as_array().is_none_or(Vec::is_empty));
        let renewed = api.ok("RenewHold", json!({"hold": hold["hold"], "lease": "3600s"})).await;
        assert!(text(&renewed["expireTime"]) > text(&hold["expireTime"]));
        assert_eq!(api.ok("GetHold", json!({"hold": hold["hold"]})).await["process"], pid);
        api.ok("ReleaseHold", json!({"hold": hold["hold"]})).await;
        assert_eq!(call(&api, &pid, json!("get")).await, 0);
        for rpc in ["GetHold", "ReleaseHold"] {
            assert_eq!(api.err(rpc, json!({"hold": hold["hold"]})).await.reason, "NO_HOLD");
        }
        assert_eq!(api.err("ListHolds", json!({"filter": "holder =="})).await.reason, "BAD_FILTER");
    });
}
