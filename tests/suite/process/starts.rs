//! Starts and spawns: what is told of them, what a failure leaves behind, what is repeated.

use super::{alive, call, exit_reason, info, number, session, start, take, text, waiting};
use arsenal_tests::both;
use serde_json::{Value, json};

// covers: start_process/3
#[test]
fn a_started_process_has_run_its_init_and_bears_what_it_was_given() {
    both(|api| async move {
        let request = json!({
            "module": "counter", "args": {"initial": 5}, "name": "five", "priority": "HIGH", "trapExit": true,
            "labels": {"tier": "front"}, "key": "the-five", "limits": {"mailboxMessagesMax": "7"},
        });
        let started = api.ok("StartProcess", request).await;
        assert!(!started.get("ignored").and_then(Value::as_bool).unwrap_or_default());
        let pid = text(&started["pid"]);
        assert_eq!(call(&api, "five", json!("get")).await, 5);
        let info = info(&api, &pid).await;
        assert_eq!((&info["registeredName"], &info["priority"]), (&json!("five"), &json!("HIGH")));
        assert_eq!((&info["trapExit"], &info["labels"]), (&json!(true), &json!({"tier": "front"})));
        assert_eq!(info["key"], "the-five");
        let ignored = api.ok("StartProcess", json!({"module": "counter", "args": {"init": "ignore"}})).await;
        assert_eq!(ignored["ignored"], true);
        assert_eq!(ignored.get("pid").and_then(Value::as_str).unwrap_or_default(), "");
    });
}

// covers: start_process/3
#[test]
fn a_start_that_fails_says_why_and_leaves_nothing_running() {
    both(|api| async move {
        for rpc in ["StartProcess", "StartLinkProcess", "StartMonitorProcess"] {
            let missing = api.err(rpc, json!({})).await;
            assert_eq!((&*missing.code, &*missing.reason), ("INVALID_ARGUMENT", "BADARG"));
            assert!(missing.message.contains("`module`"), "{}", missing.message);
        }
        let failed = api.err("StartProcess", json!({"module": "no_such_module"})).await;
        assert_eq!((failed.code.as_str(), failed.reason.as_str()), ("NOT_FOUND", "UNKNOWN_MODULE"));

        let stop = json!({"module": "counter", "args": {"init": {"stop": ["bad", 1]}}, "name": "stopper"});
        let failed = api.err("StartProcess", stop).await;
        assert_eq!((failed.code.as_str(), failed.reason.as_str()), ("FAILED_PRECONDITION", "INIT_FAILED"));
        assert_eq!(failed.exit, Some(json!(["bad", 1])));
        assert!(!alive(&api, "stopper").await);

        let slow =
            json!({"module": "counter", "args": {"init_sleep": 60000}, "name": "slow", "timeout": "0.05s"});
        let failed = api.err("StartProcess", slow).await;
        assert_eq!((failed.code.as_str(), failed.reason.as_str()), ("DEADLINE_EXCEEDED", "TIMEOUT"));
        assert!(!alive(&api, "slow").await, "the half-started process was killed");

        let first = text(&api.ok("StartProcess", json!({"module": "counter", "name": "one"})).await["pid"]);
        let before = api.ok("ListExits", json!({})).await["exits"].as_array().map_or(0, Vec::len);
        let taken = api.err("StartProcess", json!({"module": "counter", "name": "one"})).await;
        assert_eq!((taken.code.as_str(), taken.reason.as_str()), ("ALREADY_EXISTS", "ALREADY_STARTED"));
        assert_eq!(taken.exit, Some(json!(["already_started", first])));
        let after = api.ok("ListExits", json!({})).await["exits"].as_array().map_or(0, Vec::len);
        assert_eq!(before, after, "nothing was started for a taken name");

        let wrong = api.err("StartProcess", json!({"module": "counter", "name": "a/b"})).await;
        assert_eq!((wrong.code.as_str(), wrong.reason.as_str()), ("INVALID_ARGUMENT", "BADARG"));
        let elsewhere = api.err("StartProcess", json!({"module": "counter", "node": "n99"})).await;
        assert_eq!((elsewhere.code.as_str(), elsewhere.reason.as_str()), ("NOT_FOUND", "UNKNOWN_NODE"));
    });
}

// covers: start_process/3
#[test]
fn a_process_that_outgrows_its_memory_is_killed_and_a_full_mailbox_refuses() {
    both(|api| async move {
        let request =
            json!({"module": "kv", "limits": {"memoryBytesMax": "20000", "mailboxMessagesMax": "3"}});
        let pid = text(&api.ok("StartProcess", request).await["pid"]);
        call(&api, &pid, json!(["put", "small", "value"])).await;
        assert!(alive(&api, &pid).await);
        let large = json!(["put", "large", "v".repeat(30_000)]);
        api.ok("CastMessage", json!({"process": pid, "message": large})).await;
        assert_eq!(exit_reason(&api, &pid).await, "killed");

        let request = json!({"module": "plain", "limits": {"mailboxMessagesMax": "3"}});
        let pid = text(&api.ok("StartProcess", request).await["pid"]);
        for number in 0..3 {
            api.ok("SendMessage", json!({"process": pid, "message": number})).await;
        }
        let full = api.err("SendMessage", json!({"process": pid, "message": 3})).await;
        assert_eq!(full.code, "RESOURCE_EXHAUSTED");
        assert_eq!(number(&info(&api, &pid).await["messageQueueLen"]), 3);
    });
}

// covers: start_link_process/3
#[test]
fn the_crash_of_a_linked_child_ends_its_parent_or_reaches_it_as_a_message() {
    both(|api| async move {
        let (client, id, me) = session(&api).await;
        let linked = client.ok("StartLinkProcess", json!({"module": "counter"})).await;
        assert_eq!(linked["parent"], me);
        let child = text(&linked["pid"]);
        api.ok("CastMessage", json!({"process": child, "message": ["exit", "boom"]})).await;
        let exit = take(&client, &id, "kind == 'EXIT'").await;
        assert_eq!(exit["message"], json!(["EXIT", child, "boom"]));
        assert_eq!((&exit["from"], &exit["reason"]), (&json!(child), &json!("boom")));

        let parent = start(&api, "counter", json!({})).await;
        let child = api.ok("StartLinkProcess", json!({"module": "counter", "parent": parent})).await;
        api.ok("CastMessage", json!({"process": child["pid"], "message": ["exit", "boom"]})).await;
        assert_eq!(exit_reason(&api, &parent).await, "boom");

        let bystander = start(&api, "counter", json!({})).await;
        let unlinked = start(&api, "counter", json!({})).await;
        api.ok("CastMessage", json!({"process": unlinked, "message": ["exit", "boom"]})).await;
        exit_reason(&api, &unlinked).await;
        assert!(alive(&api, &bystander).await);
    });
}

// covers: start_link_process/3
#[test]
fn a_linked_start_needs_a_living_parent_and_a_failing_one_tells_it() {
    both(|api| async move {
        let nobody = api.err("StartLinkProcess", json!({"module": "counter"})).await;
        assert_eq!((nobody.code.as_str(), nobody.reason.as_str()), ("INVALID_ARGUMENT", "NO_PARENT"));
        let dead = json!({"module": "counter", "parent": "n1.1.999999"});
        let dead = api.err("StartLinkProcess", dead).await;
        assert_eq!((dead.code.as_str(), dead.reason.as_str()), ("NOT_FOUND", "NOPROC"));

        let failing = json!({"module": "counter", "args": {"init": {"stop": "sour"}}});
        let (client, id, _) = session(&api).await;
        let failed = client.err("StartLinkProcess", failing.clone()).await;
        assert_eq!((failed.reason.as_str(), failed.exit), ("INIT_FAILED", Some(json!("sour"))));
        assert_eq!(take(&client, &id, "kind == 'EXIT'").await["reason"], "sour");

        let parent = start(&api, "counter", json!({})).await;
        let mut with_parent = failing;
        with_parent["parent"] = json!(parent);
        let failed = api.err("StartLinkProcess", with_parent).await;
        assert_eq!((failed.code.as_str(), failed.reason.as_str()), ("ABORTED", "CALLER_DIED"));
        assert_eq!(exit_reason(&api, &parent).await, "sour");
    });
}

// covers: start_monitor_process/3
#[test]
fn a_monitored_start_brings_exactly_one_down_and_a_failed_one_none() {
    both(|api| async move {
        let (client, id, me) = session(&api).await;
        let started = client.ok("StartMonitorProcess", json!({"module": "counter"})).await;
        assert_eq!(started["watcher"], me);
        let pid = text(&started["pid"]);
        assert!(waiting(&client, &id, "true").await.is_empty());
        api.ok("KillProcess", json!({"process": pid})).await;
        let down = take(&client, &id, "kind == 'DOWN'").await;
        assert_eq!(down["message"], json!(["DOWN", started["monitor"], "process", pid, "killed"]));
        assert!(waiting(&client, &id, "true").await.is_empty());

        let failing = json!({"module": "counter", "args": {"init": {"stop": "sour"}}});
        assert_eq!(client.err("StartMonitorProcess", failing).await.reason, "INIT_FAILED");
        let ignored =
            client.ok("StartMonitorProcess", json!({"module": "counter", "args": {"init": "ignore"}})).await;
        assert_eq!(ignored.get("monitor").and_then(Value::as_str).unwrap_or_default(), "");
        assert!(waiting(&client, &id, "true").await.is_empty(), "no DOWN of what never started");
        let nobody = api.err("StartMonitorProcess", json!({"module": "counter"})).await;
        assert_eq!(nobody.reason, "NO_WATCHER");
    });
}

// covers: spawn_process/2
#[test]
fn a_spawned_function_runs_to_its_end_and_how_it_ends_is_recorded() {
    both(|api| async move {
        let spawn = |function: &str, args: Value| {
            let request = json!({"module": "task", "function": function, "args": args});
            let api = api.clone();
            async move { text(&api.ok("SpawnProcess", request).await["pid"]) }
        };
        let returned = spawn("return", json!({})).await;
        assert_eq!(exit_reason(&api, &returned).await, "normal");
        let raised = spawn("crash", json!({"reason": "oops"})).await;
        let record = api.ok("AwaitExit", json!({"process": raised, "timeout": "60s"})).await;
        assert_eq!(record["reason"], json!({"crash": "oops"}));
        let unknown = spawn("no_such_function", json!({})).await;
        assert_eq!(exit_reason(&api, &unknown).await, json!({"crash": "undef"}));
        let request = json!({"module": "no_such_module", "function": "f"});
        let unknown = text(&api.ok("SpawnProcess", request).await["pid"]);
        assert_eq!(exit_reason(&api, &unknown).await, json!({"crash": "undef"}));
    });
}

// covers: spawn_link_process/2
#[test]
fn a_linked_spawn_that_dies_at_once_still_delivers_its_exit() {
    both(|api| async move {
        let (client, id, me) = session(&api).await;
        let request = json!({"module": "task", "function": "exit", "args": {"reason": "quick"}});
        let spawned = client.ok("SpawnLinkProcess", request.clone()).await;
        assert_eq!(spawned["parent"], me);
        let exit = take(&client, &id, "kind == 'EXIT'").await;
        assert_eq!(exit["message"], json!(["EXIT", spawned["pid"], "quick"]));
        let parent = start(&api, "plain", json!({})).await;
        let mut of_parent = request.clone();
        of_parent["parent"] = json!(parent);
        api.ok("SpawnLinkProcess", of_parent).await;
        assert_eq!(exit_reason(&api, &parent).await, "quick");
        // without the link nobody hears of it
        let alone = client.ok("SpawnProcess", request.clone()).await;
        exit_reason(&api, &text(&alone["pid"])).await;
        assert!(waiting(&client, &id, "true").await.is_empty());
        assert_eq!(api.err("SpawnLinkProcess", request).await.reason, "NO_PARENT");
    });
}

// covers: spawn_monitor_process/2
#[test]
fn a_monitored_spawn_that_ended_before_the_reply_still_brings_its_down() {
    both(|api| async move {
        let (client, id, _) = session(&api).await;
        for _ in 0..20 {
            let request = json!({"module": "task", "function": "exit", "args": {"reason": "quick"}});
            let spawned = client.ok("SpawnMonitorProcess", request).await;
            let down = take(&client, &id, "kind == 'DOWN'").await;
            assert_eq!(
                down["message"],
                json!(["DOWN", spawned["monitor"], "process", spawned["pid"], "quick"])
            );
        }
        let request = json!({"module": "task", "function": "sleep", "args": {"ms": 60000}});
        let living = client.ok("SpawnMonitorProcess", request.clone()).await;
        assert!(waiting(&client, &id, "true").await.is_empty());
        assert!(alive(&api, &text(&living["pid"])).await);
        assert_eq!(api.err("SpawnMonitorProcess", request).await.reason, "NO_WATCHER");
    });
}

#[test]
fn a_repeat_under_an_idempotency_key_starts_nothing_and_another_input_is_refused() {
    both(|api| async move {
        let keyed = api.with_header("idempotency-key", "start-once");
        let request = json!({"module": "counter", "name": "once"});
        let first = keyed.ok("StartProcess", request.clone()).await;
        assert_eq!(keyed.ok("StartProcess", request.clone()).await, first, "the name is not taken twice");
        let other = keyed.err("StartProcess", json!({"module": "counter", "name": "other"})).await;
        assert_eq!((other.code.as_str(), other.reason.as_str()), ("INVALID_ARGUMENT", "KEY_REUSED"));
        assert!(!alive(&api, "other").await);

        let failing = json!({"module": "counter", "args": {"init": {"stop": "sour"}}});
        let keyed = api.with_header("idempotency-key", "fail-once");
        let first = keyed.err("StartProcess", failing.clone()).await;
        assert_eq!(keyed.err("StartProcess", failing).await, first, "a failure is repeated too");
        assert_eq!(api.err("StartProcess", request).await.reason, "ALREADY_STARTED", "without a key it runs");
    });
}
