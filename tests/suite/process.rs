//! `ProcessService`: each operation with its effect and without it.

use arsenal_tests::{Api, both};
use serde_json::{Value, json};

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// A number, be it written as one or, beyond 32 bits, as text.
fn number(value: &Value) -> u64 {
    let written = value.as_str().and_then(|text| text.parse().ok());
    written.or_else(|| value.as_u64()).unwrap_or_default()
}

async fn start(api: &Api, module: &str, args: Value) -> String {
    text(&api.ok("StartProcess", json!({"module": module, "args": args})).await["pid"])
}

/// A session: its client, its id and its pid.
async fn session(api: &Api) -> (Api, String, String) {
    let session = api.ok("CreateSession", json!({})).await;
    let id = text(&session["session"]);
    (api.with_session(&id), id, text(&session["pid"]))
}

/// The next message of a session that matches.
async fn take(api: &Api, session: &str, wanted: &str) -> Value {
    let request = json!({"session": session, "match": wanted, "timeout": "5s"});
    let answer = api.ok("ReceiveMessages", request).await;
    answer["messages"].get(0).unwrap_or_else(|| panic!("no message matched `{wanted}`")).clone()
}

/// What waits in a session's mailbox and matches, without waiting for more.
async fn waiting(api: &Api, session: &str, wanted: &str) -> Vec<Value> {
    let answer = api.ok("ReceiveMessages", json!({"session": session, "match": wanted, "max": 100})).await;
    answer["messages"].as_array().cloned().unwrap_or_default()
}

async fn call(api: &Api, pid: &str, message: Value) -> Value {
    api.ok("CallProcess", json!({"process": pid, "message": message})).await["reply"].clone()
}

async fn info(api: &Api, pid: &str) -> Value {
    api.ok("GetProcessInfo", json!({"process": pid})).await["process"].clone()
}

async fn reductions(api: &Api, pid: &str) -> u64 {
    number(&info(api, pid).await["reductions"])
}

async fn alive(api: &Api, pid: &str) -> bool {
    api.call("GetProcessInfo", json!({"process": pid})).await.is_ok()
}

async fn exit_reason(api: &Api, pid: &str) -> Value {
    api.ok("AwaitExit", json!({"process": pid, "timeout": "5s"})).await["reason"].clone()
}

/// Waits until the reductions of a process have grown by `by`.
async fn grows(api: &Api, pid: &str, by: u64) {
    let before = reductions(api, pid).await;
    api.eventually(|| async { (reductions(api, pid).await >= before + by).then_some(()) }).await;
}

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
        let record = api.ok("AwaitExit", json!({"process": raised, "timeout": "5s"})).await;
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

// covers: kill_process/2
#[test]
fn a_kill_ends_an_endless_loop_that_traps_exits_and_its_links_see_killed() {
    both(|api| async move {
        let (client, id, _) = session(&api).await;
        let request = json!({"module": "busy", "name": "loop", "trapExit": true});
        let pid = text(&client.ok("StartLinkProcess", request).await["pid"]);
        grows(&api, &pid, 1).await;
        api.ok("ExitProcess", json!({"process": pid, "reason": "please"})).await;
        assert!(alive(&api, &pid).await, "an exit signal is trapped");
        let killed = api.ok("KillProcess", json!({"process": pid})).await;
        assert_eq!((&killed["pid"], &killed["ended"]), (&json!(pid), &json!(true)));
        assert_eq!(take(&client, &id, "kind == 'EXIT'").await["reason"], "killed");
        assert!(!alive(&api, "loop").await, "its name is free");
        start(&api, "counter", json!({})).await;
        api.ok("StartProcess", json!({"module": "counter", "name": "loop"})).await;
        assert_eq!(api.err("KillProcess", json!({"process": pid})).await.reason, "NOPROC");
    });
}

// covers: kill_process/2
#[test]
fn a_kill_with_a_reason_shows_that_reason_and_the_operation_behind_it() {
    both(|api| async move {
        let (client, id, _) = session(&api).await;
        let pid = text(&client.ok("StartMonitorProcess", json!({"module": "counter"})).await["pid"]);
        api.ok("KillProcess", json!({"process": pid, "reason": ["maintenance", 7]})).await;
        assert_eq!(take(&client, &id, "kind == 'DOWN'").await["reason"], json!(["maintenance", 7]));
        let record = api.ok("GetExit", json!({"process": pid})).await;
        assert_eq!(record["reason"], json!(["maintenance", 7]));
        assert!(text(&record["operationId"]).contains("-o"), "{record}");
        assert_eq!(record["module"], "counter");
    });
}

// covers: exit_process/2
#[test]
fn an_exit_signal_keeps_to_the_rules_of_otp() {
    both(|api| async move {
        let exit = |pid: String, reason: Value| {
            let api = api.clone();
            async move { api.ok("ExitProcess", json!({"process": pid, "reason": reason})).await }
        };
        let plain = start(&api, "plain", json!({})).await;
        exit(plain.clone(), json!("normal")).await;
        assert!(alive(&api, &plain).await, "`normal` is ignored by one that does not trap");
        exit(plain.clone(), json!("boom")).await;
        assert_eq!(exit_reason(&api, &plain).await, "boom");
        exit(plain.clone(), json!("boom")).await;

        let (client, id, me) = session(&api).await;
        let (_, _, from) = session(&api).await;
        api.ok("ExitProcess", json!({"process": me, "from": from, "reason": "normal"})).await;
        let trapped = take(&client, &id, "kind == 'EXIT'").await;
        assert_eq!(trapped["message"], json!(["EXIT", from, "normal"]));
        exit(me.clone(), json!("kill")).await;
        assert_eq!(exit_reason(&api, &me).await, "killed");

        let own = start(&api, "plain", json!({})).await;
        let ended = api.err("ExitProcess", json!({"process": own, "from": own, "reason": "normal"})).await;
        assert_eq!((ended.code.as_str(), ended.reason.as_str()), ("ABORTED", "CALLER_DIED"));
        assert_eq!(ended.exit, Some(json!("normal")));
        assert_eq!(api.err("ExitProcess", json!({"process": "nobody"})).await.reason, "NOPROC");
        let dead = json!({"process": start(&api, "plain", json!({})).await, "from": own});
        assert_eq!(api.err("ExitProcess", dead).await.reason, "CALLER_NOPROC");
    });
}

// covers: shutdown_process/3
#[test]
fn an_orderly_stop_runs_terminate_and_says_that_it_was_graceful() {
    both(|api| async move {
        let (client, id, me) = session(&api).await;
        let pid = start(&api, "counter", json!({"terminate_notify": me})).await;
        let stopped = api.ok("ShutdownProcess", json!({"process": pid, "reason": ["shutdown", "x"]})).await;
        assert_eq!(
            (&stopped["outcome"], &stopped["reason"]),
            (&json!("GRACEFUL"), &json!(["shutdown", "x"]))
        );
        assert!(stopped["elapsed"].is_string());
        let mark = take(&client, &id, "kind == 'INFO'").await;
        assert_eq!(mark["message"], json!(["terminate", pid, ["shutdown", "x"]]));

        let killed = start(&api, "counter", json!({"terminate_notify": me})).await;
        api.ok("KillProcess", json!({"process": killed})).await;
        assert!(waiting(&client, &id, "true").await.is_empty(), "a kill runs no terminate");

        let other = start(&api, "counter", json!({"terminate_exit": "own_way"})).await;
        let failed = api.err("ShutdownProcess", json!({"process": other})).await;
        assert_eq!((failed.code.as_str(), failed.reason.as_str()), ("ABORTED", "EXITED"));
        assert_eq!(failed.exit, Some(json!("own_way")));
        assert_eq!(api.err("ShutdownProcess", json!({"process": other})).await.reason, "NOPROC");
    });
}

// covers: shutdown_process/3
#[test]
fn a_stop_that_is_not_obeyed_kills_at_the_timeout_or_is_left_pending() {
    both(|api| async move {
        let stubborn = start(&api, "counter", json!({"terminate_sleep": 60000})).await;
        let killed = api.ok("ShutdownProcess", json!({"process": stubborn, "timeout": "0.05s"})).await;
        assert_eq!((&killed["outcome"], &killed["reason"]), (&json!("KILLED"), &json!("killed")));
        assert_eq!(exit_reason(&api, &stubborn).await, "killed");

        let busy = start(&api, "counter", json!({})).await;
        api.ok("CastMessage", json!({"process": busy, "message": ["sleep", 300]})).await;
        let request =
            json!({"process": busy, "reason": "shutdown", "timeout": "0.02s", "onTimeout": "LEAVE"});
        let left = api.ok("ShutdownProcess", request).await;
        assert_eq!(left["outcome"], "PENDING");
        assert!(left.get("reason").is_none_or(Value::is_null));
        assert_eq!(exit_reason(&api, &busy).await, "shutdown", "it obeys when its turn ends");

        // one that had decided to end before it read the stop
        let ending = start(&api, "counter", json!({})).await;
        for message in [json!(["sleep", 100]), json!(["exit", "own"])] {
            api.ok("CastMessage", json!({"process": ending, "message": message})).await;
        }
        let failed = api.err("ShutdownProcess", json!({"process": ending})).await;
        assert_eq!(failed.exit, Some(json!({"call_exit": "own"})));
    });
}

/// A supervisor with two permanent children, and the pids of the three.
async fn supervised(api: &Api) -> (String, String, String) {
    let children = json!([{"id": "a", "module": "counter"}, {"id": "b", "module": "counter"}]);
    let supervisor = api.ok("StartSupervisor", json!({"children": children})).await;
    let child = |index: usize| text(&supervisor["children"][index]["pid"]);
    (text(&supervisor["pid"]), child(0), child(1))
}

// covers: terminate_process_tree/2
#[test]
fn a_tree_ends_leaves_first_and_its_supervisor_and_siblings_live() {
    both(|api| async move {
        let (supervisor, root, sibling) = supervised(&api).await;
        let child = api.ok("StartLinkProcess", json!({"module": "counter", "parent": root})).await;
        let child = text(&child["pid"]);
        let grandchild = api.ok("StartLinkProcess", json!({"module": "plain", "parent": child})).await;
        let grandchild = text(&grandchild["pid"]);
        let linked = start(&api, "counter", json!({})).await;
        api.ok("LinkProcesses", json!({"process": linked, "from": root})).await;

        let request = json!({"process": root, "dryRun": true});
        let listed = api.ok("TerminateProcessTree", request).await;
        let pids = |answer: &Value| -> Vec<String> {
            answer["processes"].as_array().unwrap().iter().map(|entry| text(&entry["pid"])).collect()
        };
        assert_eq!(pids(&listed), [grandchild.clone(), child.clone(), linked.clone(), root.clone()]);
        assert!(alive(&api, &root).await, "a dry run ends nothing");
        let mismatch = api.err("TerminateProcessTree", json!({"process": root, "expectedCount": 3})).await;
        assert_eq!((mismatch.code.as_str(), mismatch.reason.as_str()), ("ABORTED", "COUNT_MISMATCH"));
        assert!(alive(&api, &grandchild).await);

        let ended = api.ok("TerminateProcessTree", json!({"process": root, "expectedCount": 4})).await;
        assert_eq!(pids(&ended), pids(&listed));
        for entry in ended["processes"].as_array().unwrap() {
            assert_eq!(entry["reason"], "shutdown", "{entry}");
            assert!(!alive(&api, entry["pid"].as_str().unwrap()).await);
        }
        assert!(alive(&api, &supervisor).await && alive(&api, &sibling).await);
        let children = api.ok("WhichChildren", json!({"supervisor": supervisor})).await;
        let a = children["children"].as_array().unwrap().iter().find(|child| child["id"] == "a").unwrap();
        assert_eq!(a["state"], "UNDEFINED", "it is not restarted: {children}");
    });
}

// covers: terminate_process_tree/2
#[test]
fn a_tree_under_a_plain_starter_ends_without_it() {
    both(|api| async move {
        let starter = start(&api, "plain", json!({})).await;
        let root =
            text(&api.ok("StartLinkProcess", json!({"module": "counter", "parent": starter})).await["pid"]);
        let ended = api.ok("TerminateProcessTree", json!({"process": root, "reason": "tidy"})).await;
        assert_eq!(ended["processes"].as_array().unwrap().len(), 1);
        assert_eq!(exit_reason(&api, &root).await, "tidy");
        assert!(alive(&api, &starter).await);
        assert_eq!(api.err("TerminateProcessTree", json!({"process": root})).await.reason, "NOPROC");
    });
}

// covers: hibernate_process/1, wake_process/1
#[test]
fn a_hibernated_process_weighs_less_and_wakes_with_its_state() {
    both(|api| async move {
        let entries: serde_json::Map<String, Value> =
            (0..200).map(|index| (format!("key-{index:04}"), json!("the same value again"))).collect();
        let pid = start(&api, "kv", json!({"entries": entries})).await;
        let slept = api.ok("HibernateProcess", json!({"process": pid})).await;
        assert!(number(&slept["bytesAfter"]) < number(&slept["bytesBefore"]), "{slept}");
        assert_eq!(info(&api, &pid).await["hibernating"], true);
        let again = api.ok("HibernateProcess", json!({"process": pid})).await;
        assert_eq!(again["alreadyHibernating"], true);

        let woken = api.ok("WakeProcess", json!({"process": pid})).await;
        assert_eq!(woken["woken"], true);
        assert!(number(&woken["bytesAfter"]) > number(&woken["bytesBefore"]), "{woken}");
        assert!(woken["latency"].is_string());
        assert_ne!(info(&api, &pid).await["hibernating"], json!(true));
        let awake = api.ok("WakeProcess", json!({"process": pid})).await;
        assert_ne!(awake.get("woken"), Some(&json!(true)), "one that is awake is not woken");

        api.ok("HibernateProcess", json!({"process": pid})).await;
        assert_eq!(call(&api, &pid, json!("size")).await, 200, "the next message finds the state");
        assert_ne!(info(&api, &pid).await["hibernating"], json!(true));

        let plain = start(&api, "plain", json!({})).await;
        let refused = api.err("HibernateProcess", json!({"process": plain})).await;
        assert_eq!((refused.code.as_str(), refused.reason.as_str()), ("FAILED_PRECONDITION", "NO_HOOK"));
        assert_ne!(info(&api, &plain).await["hibernating"], json!(true));
    });
}

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
        api.ok("CastMessage", json!({"process": pid, "message": ["sleep", 1000]})).await;
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
        for (holder, running) in [("ann", false), ("ann", false), ("bob", true)] {
            assert_eq!(reductions(&api, &pid).await, still);
            let resumed = api.ok("ResumeProcessScheduling", by(holder)).await;
            assert_eq!(resumed.get("running").and_then(Value::as_bool).unwrap_or_default(), running);
        }
        grows(&api, &pid, 1).await;
        let none = api.err("ResumeProcessScheduling", by("ann")).await;
        assert_eq!((none.code.as_str(), none.reason.as_str()), ("FAILED_PRECONDITION", "BADARG"));
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

// covers: set_process_priority/2
#[test]
fn a_low_loop_gets_an_eighth_of_a_normal_one_on_the_same_scheduler() {
    both(|api| async move {
        let (low, normal) = (start(&api, "busy", json!({})).await, start(&api, "busy", json!({})).await);
        for pid in [&low, &normal] {
            api.ok("PinProcessToScheduler", json!({"process": pid, "scheduler": 1})).await;
        }
        let set = api.ok("SetProcessPriority", json!({"process": low, "priority": "LOW"})).await;
        assert_eq!((&set["oldPriority"], &set["priority"]), (&json!("NORMAL"), &json!("LOW")));
        assert_eq!(info(&api, &low).await["priority"], "LOW");
        grows(&api, &low, 10_000).await;
        let (low_before, normal_before) = (reductions(&api, &low).await, reductions(&api, &normal).await);
        grows(&api, &low, 100_000).await;
        let (low_after, normal_after) = (reductions(&api, &low).await, reductions(&api, &normal).await);
        #[expect(clippy::cast_precision_loss, reason = "a ratio of small counts")]
        let ratio = (normal_after - normal_before) as f64 / (low_after - low_before) as f64;
        assert!((6.8..=9.2).contains(&ratio), "a normal loop got {ratio} times the reductions of a low one");

        // one that is high runs before both
        api.ok("SetProcessPriority", json!({"process": low, "priority": "HIGH"})).await;
        grows(&api, &low, 10_000).await;
        let before = reductions(&api, &normal).await;
        grows(&api, &low, 100_000).await;
        let rest = reductions(&api, &normal).await - before;
        assert!(rest <= 20_000, "a normal loop got {rest} reductions beside a high one");
        assert_eq!(api.err("SetProcessPriority", json!({"process": low})).await.reason, "BADARG");
    });
}

// covers: migrate_process/2
#[test]
fn a_migrated_process_has_its_next_turns_on_the_chosen_scheduler() {
    both(|api| async move {
        let pid = start(&api, "counter", json!({})).await;
        for scheduler in [2, 1, 2] {
            let moved = api.ok("MigrateProcess", json!({"process": pid, "scheduler": scheduler})).await;
            assert_eq!(moved["scheduler"], scheduler);
            call(&api, &pid, json!("get")).await;
            api.eventually(|| async { (info(&api, &pid).await["scheduler"] == scheduler).then_some(()) })
                .await;
        }
        let unknown = api.err("MigrateProcess", json!({"process": pid, "scheduler": 99})).await;
        assert_eq!((unknown.code.as_str(), unknown.reason.as_str()), ("OUT_OF_RANGE", "UNKNOWN_SCHEDULER"));
        api.ok("PinProcessToScheduler", json!({"process": pid, "scheduler": 1})).await;
        let pinned = api.err("MigrateProcess", json!({"process": pid, "scheduler": 2})).await;
        assert_eq!((pinned.code.as_str(), pinned.reason.as_str()), ("FAILED_PRECONDITION", "PINNED"));
        api.ok("MigrateProcess", json!({"process": pid, "scheduler": 1})).await;
    });
}

// covers: pin_process_to_scheduler/2, unpin_process_from_scheduler/1
#[test]
fn a_pinned_process_never_runs_elsewhere_and_an_unpinned_one_is_stolen_again() {
    both(|api| async move {
        let mut loops = Vec::new();
        for _ in 0..4 {
            let pid = start(&api, "busy", json!({})).await;
            let pinned = api.ok("PinProcessToScheduler", json!({"process": pid, "scheduler": 1})).await;
            assert_eq!(pinned["scheduler"], 1);
            assert!(pinned.get("oldScheduler").is_none_or(Value::is_null));
            loops.push(pid);
        }
        for pid in &loops {
            grows(&api, pid, 10_000).await;
            assert_eq!(info(&api, pid).await["pinnedScheduler"], 1);
        }
        for _ in 0..20 {
            for pid in &loops {
                assert_eq!(info(&api, pid).await["scheduler"], 1);
            }
        }
        for pid in &loops {
            let unpinned = api.ok("UnpinProcessFromScheduler", json!({"process": pid})).await;
            assert_eq!((&unpinned["unpinned"], &unpinned["oldScheduler"]), (&json!(true), &json!(1)));
        }
        let stolen = || async {
            for pid in &loops {
                if info(&api, pid).await["scheduler"] == 2 {
                    return Some(());
                }
            }
            None
        };
        api.eventually(stolen).await;
        let free = api.ok("UnpinProcessFromScheduler", json!({"process": loops[0]})).await;
        assert_ne!(free.get("unpinned"), Some(&json!(true)));
        let unknown = json!({"process": loops[0], "scheduler": 0});
        assert_eq!(api.err("PinProcessToScheduler", unknown).await.code, "OUT_OF_RANGE");
    });
}

// covers: garbage_collect_process/1
#[test]
fn a_grown_and_emptied_mailbox_gives_memory_back() {
    both(|api| async move {
        let pid = start(&api, "plain", json!({})).await;
        for round in 0..200 {
            api.ok("SendMessage", json!({"process": pid, "message": ["a message of some size", round]}))
                .await;
        }
        let full = api.ok("GarbageCollectProcess", json!({"process": pid})).await;
        assert_eq!(full["guestGc"], "ABSENT");
        assert!(number(&full["bytesAfter"]) > 200 * 64, "messages that wait are not garbage: {full}");
        api.ok("FlushMessageQueue", json!({"process": pid})).await;
        // the room that the messages had may have gone back by itself before this
        let emptied = api.ok("GarbageCollectProcess", json!({"process": pid})).await;
        assert!(number(&emptied["bytesAfter"]) <= number(&emptied["bytesBefore"]), "{emptied}");
        assert!(number(&emptied["bytesAfter"]) < 1_000, "nothing waits, nothing is kept: {emptied}");
        api.ok("PauseProcessScheduling", json!({"process": pid, "holder": "ann"})).await;
        let held = api.err("GarbageCollectProcess", json!({"process": pid})).await;
        assert_eq!((held.code.as_str(), held.reason.as_str()), ("FAILED_PRECONDITION", "HELD"));
    });
}

// covers: compact_process_heap/1
#[test]
fn a_compacted_process_keeps_its_pid_its_links_and_its_state() {
    both(|api| async move {
        let (client, _, me) = session(&api).await;
        let pid = text(&client.ok("StartLinkProcess", json!({"module": "kv"})).await["pid"]);
        for index in 0..50 {
            call(&api, &pid, json!(["put", format!("k{index}"), "v"])).await;
        }
        let compacted = api.ok("CompactProcessHeap", json!({"process": pid})).await;
        assert_eq!(compacted["pid"], pid);
        assert!(number(&compacted["bytesAfter"]) <= number(&compacted["bytesBefore"]), "{compacted}");
        assert!(compacted["pause"].is_string());
        assert_eq!(call(&api, &pid, json!("size")).await, 50);
        assert_eq!(info(&api, &pid).await["links"], json!([me]));
        let plain = start(&api, "plain", json!({})).await;
        let refused = api.err("CompactProcessHeap", json!({"process": plain})).await;
        assert_eq!((refused.code.as_str(), refused.reason.as_str()), ("FAILED_PRECONDITION", "NO_HOOK"));
    });
}

#[test]
fn links_and_monitors_of_sessions_come_and_go() {
    both(|api| async move {
        let (client, id, me) = session(&api).await;
        let pid = start(&api, "counter", json!({})).await;
        client.ok("LinkProcesses", json!({"process": pid})).await;
        client.ok("LinkProcesses", json!({"process": pid})).await;
        assert_eq!(info(&api, &pid).await["links"], json!([me]));
        client.ok("UnlinkProcesses", json!({"process": pid})).await;
        assert!(info(&api, &pid).await["links"].as_array().is_none_or(Vec::is_empty));

        let first = client.ok("MonitorProcess", json!({"process": pid})).await;
        let second = client.ok("MonitorProcess", json!({"process": pid})).await;
        assert_ne!(first["monitor"], second["monitor"]);
        assert_eq!(
            client.ok("Demonitor", json!({"monitor": first["monitor"], "info": true})).await["found"],
            true
        );
        api.ok("KillProcess", json!({"process": pid})).await;
        assert_eq!(take(&client, &id, "kind == 'DOWN'").await["monitor"], second["monitor"]);
        let fired = client.ok("Demonitor", json!({"monitor": second["monitor"], "info": true})).await;
        assert_ne!(fired.get("found"), Some(&json!(true)));

        let absent = client.ok("MonitorProcess", json!({"process": "nobody"})).await;
        let down = take(&client, &id, "kind == 'DOWN'").await;
        assert_eq!((&down["monitor"], &down["reason"]), (&absent["monitor"], &json!("noproc")));
        client.ok("LinkProcesses", json!({"process": pid})).await;
        assert_eq!(take(&client, &id, "kind == 'EXIT'").await["reason"], "noproc");
        api.ok("SetTrapExit", json!({"process": me, "trapExit": false})).await;
        assert_eq!(client.err("LinkProcesses", json!({"process": pid})).await.reason, "NOPROC");
        assert_eq!(api.err("LinkProcesses", json!({"process": me})).await.reason, "NO_FROM");
        assert_eq!(api.err("Demonitor", json!({"monitor": "n1.1-t1"})).await.reason, "BADARG");
    });
}

#[test]
fn flags_leaders_and_labels_are_set_and_read_back() {
    both(|api| async move {
        let pid = start(&api, "counter", json!({})).await;
        let set = api.ok("SetTrapExit", json!({"process": pid, "trapExit": true})).await;
        assert_eq!(set["trapExit"], true);
        assert_ne!(set.get("oldTrapExit"), Some(&json!(true)));
        assert_eq!(info(&api, &pid).await["trapExit"], true);

        let leader = start(&api, "recorder", json!({})).await;
        api.ok("SetGroupLeader", json!({"process": pid, "groupLeader": leader})).await;
        assert_eq!(info(&api, &pid).await["groupLeader"], leader);
        let dead = api.err("SetGroupLeader", json!({"process": pid, "groupLeader": "n1.1.999999"})).await;
        assert_eq!((dead.code.as_str(), dead.reason.as_str()), ("NOT_FOUND", "UNKNOWN_GROUP_LEADER"));

        let update = |labels: Value, mask: &str| {
            let mut request = json!({"process": pid, "processLabels": {"labels": labels}});
            if !mask.is_empty() {
                request["updateMask"] = json!(mask);
            }
            request
        };
        let all = api.ok("UpdateProcessLabels", update(json!({"a": "1", "b": "2"}), "")).await;
        assert_eq!(all["labels"], json!({"a": "1", "b": "2"}));
        let one = api.ok("UpdateProcessLabels", update(json!({"a": "9", "b": "9"}), "labels.a")).await;
        assert_eq!(one["labels"], json!({"a": "9", "b": "2"}));
        assert_eq!(info(&api, &pid).await["labels"], json!({"a": "9", "b": "2"}));
        assert_eq!(api.err("UpdateProcessLabels", update(json!({}), "name")).await.reason, "BADARG");
    });
}

#[test]
fn the_record_of_an_end_is_awaited_listed_and_read() {
    both(|api| async move {
        let living = start(&api, "counter", json!({})).await;
        let early = api.err("AwaitExit", json!({"process": living, "timeout": "0.02s"})).await;
        assert_eq!((early.code.as_str(), early.reason.as_str()), ("DEADLINE_EXCEEDED", "TIMEOUT"));
        assert_eq!(api.err("GetExit", json!({"process": living})).await.reason, "ALIVE");

        let request = json!({"module": "counter", "name": "gone", "labels": {"tier": "front"}});
        let gone = text(&api.ok("StartProcess", request).await["pid"]);
        api.ok("KillProcess", json!({"process": gone, "reason": "audit"})).await;
        let record = api.ok("GetExit", json!({"process": gone})).await;
        assert_eq!((&record["name"], &record["reason"]), (&json!("gone"), &json!("audit")));
        assert_eq!(record["labels"], json!({"tier": "front"}));
        let filter = "reason == 'audit' && module == 'counter' && labels.tier == 'front'";
        let listed = api.ok("ListExits", json!({"filter": filter})).await;
        assert_eq!(listed["exits"].as_array().unwrap().len(), 1);
        assert_eq!(listed["exits"][0]["process"], gone);
        let none = api.ok("ListExits", json!({"filter": "reason == 'other'"})).await;
        assert!(none["exits"].as_array().is_none_or(Vec::is_empty));
        assert_eq!(api.err("GetExit", json!({"process": "n1.1.999999"})).await.reason, "NO_RECORD");
        assert_eq!(api.err("GetExit", json!({"process": "gone"})).await.reason, "BADARG");
        assert_eq!(api.err("AwaitExit", json!({"process": "n1.1.999999"})).await.reason, "NOPROC");
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
