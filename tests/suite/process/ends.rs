//! Kills, exit signals and stops, and what is known of an end.

use super::{alive, exit_reason, grows, session, start, take, text, waiting};
use arsenal_tests::{Api, both};
use serde_json::{Value, json};

// covers: kill_process/2
#[test]
fn a_kill_ends_an_endless_loop_that_traps_exits_and_its_links_see_killed() {
    both(|api| async move {
        let (client, id, _) = session(&api).await;
        let request = json!({"module": "busy", "name": "loop", "trapExit": true});
        let pid = text(&client.ok("StartLinkProcess", request).await["pid"]);
        api.ok("JoinProcessGroup", json!({"group": "loops", "processes": [pid]})).await;
        grows(&api, &pid, 1).await;
        api.ok("ExitProcess", json!({"process": pid, "reason": "please"})).await;
        assert!(alive(&api, &pid).await, "an exit signal is trapped");
        let killed = api.ok("KillProcess", json!({"process": pid})).await;
        assert_eq!((&killed["pid"], &killed["ended"]), (&json!(pid), &json!(true)));
        assert_eq!(take(&client, &id, "kind == 'EXIT'").await["reason"], "killed");
        assert!(!alive(&api, "loop").await, "its name is free");
        api.eventually(|| async { api.call("GetProcessGroup", json!({"group": "loops"})).await.err() }).await;
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

#[test]
fn the_record_of_a_crash_tells_the_module_the_callback_the_message_and_the_reason() {
    both(|api| async move {
        let error = |pid: String| {
            let api = api.clone();
            async move {
                api.ok("AwaitExit", json!({"process": pid, "timeout": "60s"})).await;
                text(&api.ok("GetExit", json!({"process": pid})).await["error"])
            }
        };
        let cast = |pid: String, message: Value| {
            let api = api.clone();
            async move { api.ok("CastMessage", json!({"process": pid, "message": message})).await }
        };
        let called = start(&api, "counter", json!({})).await;
        api.err("CallProcess", json!({"process": called, "message": ["crash", "boo"]})).await;
        assert_eq!(
            error(called).await,
            "counter crashed in handle_call\nmessage: [\"crash\",\"boo\"]\nreason: {\"crash\":\"boo\"}"
        );
        let went_on = start(&api, "counter", json!({})).await;
        cast(went_on.clone(), json!(["continue", ["exit", "boo"]])).await;
        assert_eq!(error(went_on).await, "counter crashed in handle_continue\nreason: \"boo\"");
        let slow = start(&api, "counter", json!({"terminate_sleep": 1})).await;
        cast(slow.clone(), json!(["crash", "x".repeat(5_000)])).await;
        let told = error(slow).await;
        assert!(told.starts_with("counter crashed in handle_cast") && told.len() < 1_200, "{told}");
        let task = json!({"module": "task", "function": "crash", "args": {"reason": "boo"}});
        let task = text(&api.ok("SpawnProcess", task).await["pid"]);
        assert_eq!(error(task).await, "task crashed\nreason: {\"crash\":\"boo\"}");
        let stopped = start(&api, "counter", json!({})).await;
        cast(stopped.clone(), json!(["stop", "normal"])).await;
        assert_eq!(error(stopped).await, "", "an end in order is no crash");
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

        let left = async || {
            let busy = start(&api, "counter", json!({})).await;
            api.ok("CastMessage", json!({"process": busy, "message": ["sleep", 300]})).await;
            let request =
                json!({"process": busy, "reason": "shutdown", "timeout": "0.02s", "onTimeout": "LEAVE"});
            (api.ok("ShutdownProcess", request).await, busy)
        };
        let (mut pending, mut busy) = left().await;
        while pending["outcome"] == "GRACEFUL" {
            // the machine stood still for as long as its turn lasted
            (pending, busy) = left().await;
        }
        assert_eq!(pending["outcome"], "PENDING");
        assert!(pending.get("reason").is_none_or(Value::is_null));
        assert_eq!(exit_reason(&api, &busy).await, "shutdown", "it obeys when its turn ends");

        // one that had decided to end before it read the stop
        let ending = async || {
            let ending = start(&api, "counter", json!({})).await;
            for message in [json!(["sleep", 100]), json!(["exit", "own"])] {
                api.ok("CastMessage", json!({"process": ending, "message": message})).await;
            }
            api.err("ShutdownProcess", json!({"process": ending})).await
        };
        let mut failed = ending().await;
        while failed.reason == "NOPROC" {
            // it had ended before the stop was asked for
            failed = ending().await;
        }
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
