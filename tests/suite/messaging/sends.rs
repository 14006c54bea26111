//! What is sent and not waited for.

use super::{dead, number, read, received, send};
use arsenal_tests::both;
use serde_json::{Value, json};

// covers: send_message/2
#[test]
fn messages_arrive_in_the_order_in_which_they_were_sent() {
    both(|api| async move {
        let recorder = api.start("recorder", json!(null)).await;
        for n in 0..50 {
            let sent = api.ok("SendMessage", json!({"process": recorder, "message": ["n", n]})).await;
            assert_eq!((&sent["delivered"], sent["pid"].as_str()), (&json!(true), Some(&*recorder)));
        }
        let expected: Vec<Value> = (0..50).map(|n| json!(["n", n])).collect();
        assert_eq!(received(&api, &recorder, 50).await, expected);
    });
}

// covers: send_message/2
#[test]
fn a_message_to_a_dead_pid_is_dropped_and_one_to_an_unknown_name_is_refused() {
    both(|api| async move {
        let dead = dead(&api).await;
        let sent = api.ok("SendMessage", json!({"process": dead, "message": 1})).await;
        assert_eq!(sent["delivered"], json!(false));
        let failure = api.err("SendMessage", json!({"process": "nobody", "message": 1})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("NOT_FOUND", "NOPROC"));
        let failure =
            api.err("SendMessage", json!({"process": dead, "message": 1, "from": "n1.1.999999"})).await;
        assert_eq!(&*failure.reason, "CALLER_NOPROC");
    });
}

// covers: send_message/2
#[test]
fn a_message_larger_than_one_may_be_is_refused_and_a_large_one_is_not() {
    both(|api| async move {
        let process = api.start("plain", json!(null)).await;
        send(&api, &process, json!("x".repeat(1 << 20))).await;
        let failure =
            api.err("SendMessage", json!({"process": process, "message": "x".repeat(5 << 19)})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE"));
    });
}

// covers: send_message/2
#[test]
fn a_full_queue_refuses_what_an_open_one_takes() {
    both(|api| async move {
        let limited = json!({"module": "plain", "limits": {"mailboxMessagesMax": 2}});
        let process = api.ok("StartProcess", limited).await["pid"].as_str().unwrap().to_owned();
        send(&api, &process, json!(1)).await;
        send(&api, &process, json!(2)).await;
        for rpc in ["SendMessage", "CastMessage", "CallProcess"] {
            let failure = api.err(rpc, json!({"process": process, "message": 3})).await;
            assert_eq!((&*failure.code, &*failure.reason), ("RESOURCE_EXHAUSTED", "QUEUE_FULL"), "{rpc}");
        }
    });
}

// covers: cast_message/2
#[test]
fn a_cast_is_handled_by_a_server_and_seen_as_a_cast_by_another_process() {
    both(|api| async move {
        let counter = api.start("counter", json!({"initial": 1})).await;
        api.ok("CastMessage", json!({"process": counter, "message": ["add", 5]})).await;
        let reply = api.ok("CallProcess", json!({"process": counter, "message": "get"})).await;
        assert_eq!(reply["reply"], json!(6));
        let recorder = api.start("recorder", json!(null)).await;
        api.ok("CastMessage", json!({"process": recorder, "message": "ping"})).await;
        assert_eq!(received(&api, &recorder, 1).await, [json!(["cast", "ping"])]);
    });
}

// covers: cast_message/2
#[test]
fn a_cast_to_nobody_is_no_error_but_one_to_no_reference_is() {
    both(|api| async move {
        let dead = dead(&api).await;
        assert_eq!(api.ok("CastMessage", json!({"process": dead, "message": 1})).await["pid"], json!(dead));
        let unknown = api.ok("CastMessage", json!({"process": "nobody", "message": 1})).await;
        assert!(unknown["pid"].as_str().unwrap_or_default().is_empty());
        // the handling does not hold the answer up
        let busy = api.start("counter", json!(null)).await;
        api.ok("CastMessage", json!({"process": busy, "message": ["sleep", 30_000]})).await;
        assert_eq!(
            &*api.err("CastMessage", json!({"process": "@global", "message": 1})).await.code,
            "INVALID_ARGUMENT"
        );
    });
}

// covers: send_exit_signal/3
#[test]
fn an_exit_signal_names_its_sender_and_ends_who_does_not_trap() {
    both(|api| async move {
        let from = api.start("plain", json!(null)).await;
        let (recorder, plain) =
            (api.start("recorder", json!(null)).await, api.start("plain", json!(null)).await);
        let signal =
            |process: &str, reason: Value| json!({"process": process, "reason": reason, "from": from});
        api.ok("SendExitSignal", signal(&recorder, json!(["shutdown", "x"]))).await;
        assert_eq!(received(&api, &recorder, 1).await, [json!(["EXIT", from, ["shutdown", "x"]])]);
        api.ok("SendExitSignal", signal(&plain, json!("normal"))).await;
        assert_eq!(super::length(&api, &plain).await, 0);
        api.ok("SendExitSignal", signal(&plain, json!("boom"))).await;
        let failure = api
            .eventually(|| async { api.call("GetMessageQueueLength", json!({"process": plain})).await.err() })
            .await;
        assert_eq!((&*failure.code, failure.exit), ("NOT_FOUND", Some(json!("boom"))));
        api.ok("SendExitSignal", signal(&recorder, json!("kill"))).await;
        let failure = api
            .eventually(|| async {
                api.call("GetMessageQueueLength", json!({"process": recorder})).await.err()
            })
            .await;
        assert_eq!(failure.exit, Some(json!("killed")));
    });
}

// covers: send_exit_signal/3
#[test]
fn an_exit_signal_from_nobody_is_refused() {
    both(|api| async move {
        let process = api.start("plain", json!(null)).await;
        let failure = api.err("SendExitSignal", json!({"process": process, "reason": "boom"})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("INVALID_ARGUMENT", "NO_FROM"));
        assert_eq!(super::length(&api, &process).await, 0);
    });
}

// covers: broadcast_message/2
#[test]
fn a_broadcast_reaches_each_membership_and_no_other_process() {
    both(|api| async move {
        api.ok("CreateProcessGroup", json!({"group": "workers"})).await;
        let mut recorders = Vec::new();
        for _ in 0..3 {
            recorders.push(api.start("recorder", json!(null)).await);
        }
        let joining = json!([recorders[0], recorders[1], recorders[1]]);
        api.ok("JoinProcessGroup", json!({"group": "workers", "processes": joining})).await;
        let sent = api.ok("BroadcastMessage", json!({"group": "workers", "message": "hi"})).await;
        assert_eq!(number(&sent["count"]), 3);
        assert_eq!(number(&sent["nodes"][0]["count"]), 3);
        assert_eq!(received(&api, &recorders[0], 1).await, ["hi"]);
        assert_eq!(received(&api, &recorders[1], 2).await, ["hi", "hi"]);
        assert_eq!(read(&api, &recorders[2]).await, [""; 0]);
        let failure = api.err("BroadcastMessage", json!({"group": "nobody", "message": "hi"})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("NOT_FOUND", "NO_GROUP"));
    });
}

// covers: selective_send/3
#[test]
fn a_selective_send_reaches_exactly_those_that_the_filter_matches() {
    both(|api| async move {
        let mut recorders = Vec::new();
        for n in 0..4 {
            let start =
                json!({"module": "recorder", "labels": {"half": if n % 2 == 0 { "even" } else { "odd" }}});
            recorders.push(api.ok("StartProcess", start).await["pid"].as_str().unwrap().to_owned());
        }
        let filter = "module == 'recorder' && labels.half == 'odd'";
        let request = |more: Value| {
            let mut request = json!({"filter": filter, "message": "odd"});
            request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            request
        };
        let preview = api.ok("SelectiveSend", request(json!({"dryRun": true}))).await;
        assert_eq!(preview["pids"], json!([recorders[1], recorders[3]]));
        let failure = api.err("SelectiveSend", request(json!({"expectedCount": 3}))).await;
        assert_eq!((&*failure.code, &*failure.reason), ("ABORTED", "COUNT_MISMATCH"));
        assert_eq!(read(&api, &recorders[1]).await, [""; 0]);
        let sent = api.ok("SelectiveSend", request(json!({"expectedCount": 2}))).await;
        assert_eq!(number(&sent["count"]), 2);
        assert_eq!(received(&api, &recorders[1], 1).await, ["odd"]);
        assert_eq!(received(&api, &recorders[3], 1).await, ["odd"]);
        assert_eq!(read(&api, &recorders[0]).await, [""; 0]);
    });
}

// covers: selective_send/3
#[test]
fn a_wrong_filter_is_refused_with_its_position() {
    both(|api| async move {
        for (filter, position) in
            [("module == ", None), ("", Some(0)), ("pid == 'x' && colour == 'red'", Some(14))]
        {
            let failure = api.err("SelectiveSend", json!({"filter": filter, "message": 1})).await;
            assert_eq!((&*failure.code, &*failure.reason), ("INVALID_ARGUMENT", "BAD_FILTER"), "{filter}");
            if let Some(position) = position {
                assert!(failure.message.ends_with(&format!("position {position}")), "{}", failure.message);
            }
        }
    });
}
