//! Calls.

use super::{dead, until_length};
use arsenal_tests::both;
use futures_util::future::join;
use serde_json::json;

// covers: call_process/3
#[test]
fn a_call_answers_the_reply_of_who_was_called() {
    both(|api| async move {
        let echo = api.start("echo", json!(null)).await;
        let payload = json!({"a": [1, "x", null, true, 1.5], "b": {}});
        let answer = api.ok("CallProcess", json!({"process": echo, "message": payload})).await;
        assert_eq!((&answer["reply"], &answer["pid"]), (&payload, &json!(echo)));
        let answer = api.ok("CallProcess", json!({"process": echo, "messageBytes": "AQID"})).await;
        assert_eq!(answer["replyBytes"], json!("AQID"));
    });
}

#[test]
fn a_counter_adds_integers_of_any_size_and_answers_that_it_does_not_know_what_is_none() {
    both(|api| async move {
        let counter = api.start("counter", json!(null)).await;
        let added = json!({"process": counter, "message": ["add", "9007199254740993"]});
        assert_eq!(api.ok("CallProcess", added).await["reply"], json!("9007199254740993"));
        for amount in [json!("x"), json!(1.5), json!(null)] {
            let answer = api.ok("CallProcess", json!({"process": counter, "message": ["add", amount]})).await;
            assert_eq!(answer["reply"], json!(["error", "unknown_request"]), "{amount}");
        }
        let answer = api.ok("CallProcess", json!({"process": counter, "message": "get"})).await;
        assert_eq!(answer["reply"], json!("9007199254740993"));
    });
}

// covers: call_process/3
#[test]
fn a_call_without_a_reply_ends_at_its_timeout_and_a_late_reply_is_dropped() {
    both(|api| async move {
        let counter = api.start("counter", json!(null)).await;
        super::pause(&api, &counter).await;
        let late = json!({"process": counter, "message": ["echo", "late"], "timeout": "0.02s"});
        let failure = api.err("CallProcess", late).await;
        assert_eq!((&*failure.code, &*failure.reason), ("DEADLINE_EXCEEDED", "TIMEOUT"));
        super::resume(&api, &counter).await;
        // the server is alive, and its late reply is no answer to this call
        let answer = api.ok("CallProcess", json!({"process": counter, "message": ["echo", "mine"]})).await;
        assert_eq!(answer["reply"], json!("mine"));
    });
}

// covers: call_process/3
#[test]
fn a_call_to_who_is_dead_or_dies_says_so_with_the_reason() {
    both(|api| async move {
        let failure = api.err("CallProcess", json!({"process": dead(&api).await, "message": "get"})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("NOT_FOUND", "NOPROC"));
        let failure = api.err("CallProcess", json!({"process": "nobody", "message": "get"})).await;
        assert_eq!(&*failure.code, "NOT_FOUND");
        let counter = api.start("counter", json!(null)).await;
        let failure =
            api.err("CallProcess", json!({"process": counter, "message": ["stop", ["shutdown", 7]]})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("ABORTED", "EXITED"));
        assert_eq!(failure.exit, Some(json!(["shutdown", 7])));
        let failure = api.err("CallProcess", json!({"process": "n7.1.1", "message": "get"})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("UNAVAILABLE", "NOCONNECTION"));
    });
}

// covers: call_process/3
#[test]
fn a_process_cannot_call_itself_but_another_one() {
    both(|api| async move {
        let (counter, other) =
            (api.start("counter", json!(null)).await, api.start("plain", json!(null)).await);
        let failure =
            api.err("CallProcess", json!({"process": counter, "message": "get", "from": counter})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("FAILED_PRECONDITION", "CALLING_SELF"));
        api.ok("CallProcess", json!({"process": counter, "message": "get", "from": other})).await;
    });
}

// covers: call_process_sync/2
#[test]
fn a_synchronous_call_waits_longer_than_the_default_timeout() {
    both(|api| async move {
        let (waited, given_up) =
            (api.start("counter", json!(null)).await, api.start("counter", json!(null)).await);
        let (waited, given_up) = join(
            api.call("CallProcessSync", json!({"process": waited, "message": ["sleep", 5_300]})),
            api.call("CallProcess", json!({"process": given_up, "message": ["sleep", 60_000]})),
        )
        .await;
        assert_eq!(waited.unwrap()["reply"], json!("ok"));
        assert_eq!(&*given_up.unwrap_err().code, "DEADLINE_EXCEEDED");
    });
}

// covers: call_process_sync/2
#[test]
fn the_request_s_own_deadline_ends_a_synchronous_call() {
    both(|api| async move {
        let counter = api.start("counter", json!(null)).await;
        let hurried = api.with_header("grpc-timeout", "1000m");
        let failure = hurried.err("CallProcessSync", json!({"process": counter, "message": "noreply"})).await;
        // the client's own clock may be first
        assert!(["CANCELLED", "DEADLINE_EXCEEDED"].contains(&&*failure.code), "{failure:?}");
        let patient = api.with_header("grpc-timeout", "60S");
        let answer = patient.ok("CallProcessSync", json!({"process": counter, "message": "get"})).await;
        assert_eq!(answer["reply"], json!(0));
    });
}

// covers: multi_call_processes/3
#[test]
fn one_dead_and_one_slow_target_cost_the_others_nothing() {
    both(|api| async move {
        let (one, two) = (api.start("echo", json!(null)).await, api.start("echo", json!(null)).await);
        let (gone, slow) = (dead(&api).await, api.start("counter", json!(null)).await);
        super::pause(&api, &slow).await;
        let request =
            json!({"processes": [one, gone, slow, two, "nobody"], "message": "hi", "timeout": "3s"});
        let answer = api.ok("MultiCallProcesses", request).await;
        let replies = answer["replies"].as_array().unwrap();
        assert_eq!(replies.iter().map(|reply| &reply["pid"]).collect::<Vec<_>>(), [&json!(one), &json!(two)]);
        assert!(replies.iter().all(|reply| reply["reply"] == json!("hi")));
        let bad = answer["bad"].as_array().unwrap();
        let reasons: Vec<_> =
            bad.iter().map(|bad| (bad["process"].as_str().unwrap(), &bad["reason"])).collect();
        let noproc = json!("noproc");
        assert_eq!(reasons, [(&*gone, &noproc), (&*slow, &json!("timeout")), ("nobody", &noproc)]);
    });
}

// covers: multi_call_processes/3
#[test]
fn a_group_and_a_name_say_whom_to_call_too_but_only_one_of_them() {
    both(|api| async move {
        let started = api.ok("StartProcess", json!({"module": "echo", "name": "echo"})).await;
        api.ok("CreateProcessGroup", json!({"group": "echoes"})).await;
        api.ok("JoinProcessGroup", json!({"group": "echoes", "processes": ["echo", "echo"]})).await;
        for whom in [json!({"group": "echoes", "message": 1}), json!({"name": "echo", "message": 1})] {
            let answer = api.ok("MultiCallProcesses", whom).await;
            assert_eq!(answer["replies"].as_array().unwrap().len(), 1);
            assert_eq!(answer["replies"][0]["pid"], started["pid"]);
        }
        let elsewhere = json!({"name": "echo", "nodes": ["n1", "n9"], "message": 1});
        let answer = api.ok("MultiCallProcesses", elsewhere).await;
        assert_eq!(answer["bad"][0]["node"], json!("n9"));
        let failure = api.err("MultiCallProcesses", json!({"name": "echo", "group": "echoes"})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("INVALID_ARGUMENT", "BADARG"));
        let failure = api.err("MultiCallProcesses", json!({"group": "nobody"})).await;
        assert_eq!(&*failure.reason, "NO_GROUP");
    });
}

// covers: flush_message_queue/1, drain_message_queue/1, filter_message_queue/2
#[test]
fn a_caller_whose_call_is_taken_out_of_the_queue_is_told_at_once() {
    both(|api| async move {
        for (rpc, more) in [
            ("FlushMessageQueue", json!({})),
            ("DrainMessageQueue", json!({})),
            ("FilterMessageQueue", json!({"filter": "kind == 'CALL'"})),
        ] {
            let counter = api.start("counter", json!(null)).await;
            super::pause(&api, &counter).await;
            let mut request = json!({"process": counter});
            request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let taking = async {
                until_length(&api, &counter, 1).await;
                api.ok(rpc, request).await
            };
            let calling =
                api.call("CallProcess", json!({"process": counter, "message": "get", "timeout": "60s"}));
            let (failure, _) = join(calling, taking).await;
            let failure = failure.unwrap_err();
            assert_eq!((&*failure.code, &*failure.reason), ("ABORTED", "FLUSHED"), "{rpc}");
        }
    });
}
