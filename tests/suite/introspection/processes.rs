//! What there is to see of one process.

use super::{call, info, kill_for_good, texts, wide};
use arsenal_tests::{Api, both};
use serde_json::{Value, json};

/// Waits until the process has the status.
async fn has_status(api: &Api, process: &str, status: &str) -> Value {
    api.eventually(|| async {
        let seen = info(api, process).await;
        (seen["status"] == status).then_some(seen)
    })
    .await
}

// covers: get_process_info/1
#[test]
fn a_process_is_told_whole_and_each_field_follows_its_own_change() {
    both(|api| async move {
        let pid = api.start("plain", json!({})).await;
        let before = has_status(&api, &pid, "WAITING").await;
        for (field, value) in [
            ("pid", json!(pid)),
            ("kind", json!("NATIVE")),
            ("module", json!("plain")),
            ("behaviour", json!("PLAIN")),
            ("messageQueueLen", json!(0)),
            ("trapExit", json!(false)),
            ("priority", json!("NORMAL")),
            ("groupLeader", json!(pid)),
        ] {
            assert_eq!(before[field], value, "{field}");
        }
        assert!(before["messages"].is_null(), "messages are told on request only");
        api.ok("SendMessage", json!({"process": pid, "message": "hello"})).await;
        api.ok("SetTrapExit", json!({"process": pid, "trapExit": true})).await;
        api.ok("RegisterProcess", json!({"process": pid, "name": "silent"})).await;
        api.ok("SetProcessPriority", json!({"process": pid, "priority": "HIGH"})).await;
        let after = has_status(&api, "silent", "WAITING").await;
        for (field, value) in [
            ("pid", json!(pid)),
            ("messageQueueLen", json!(1)),
            ("trapExit", json!(true)),
            ("registeredName", json!("silent")),
            ("priority", json!("HIGH")),
        ] {
            assert_eq!(after[field], value, "{field}");
        }
        assert!(wide(&after["memory"]) > wide(&before["memory"]));
    });
}

// covers: get_process_info/1
#[test]
fn a_busy_and_a_paused_process_are_told_too_and_a_dead_one_with_its_exit_reason() {
    both(|api| async move {
        let busy = api.start("busy", json!({})).await;
        let seen = info(&api, &busy).await;
        assert!(["RUNNING", "RUNNABLE"].contains(&seen["status"].as_str().unwrap()), "{seen}");
        let paused = api.start("counter", json!({})).await;
        api.ok("PauseProcessScheduling", json!({"process": paused, "holder": "tester"})).await;
        let held = has_status(&api, &paused, "SUSPENDED").await;
        assert_eq!(held["holds"].as_array().unwrap().len(), 1);
        kill_for_good(&api, &busy).await;
        let dead = api.err("GetProcessInfo", json!({"process": busy})).await;
        assert_eq!((&*dead.code, &*dead.reason, dead.exit), ("NOT_FOUND", "NOPROC", Some(json!("killed"))));
        let never = api.err("GetProcessInfo", json!({"process": "n1.1.99999"})).await;
        assert_eq!((&*never.code, never.exit), ("NOT_FOUND", Some(json!("noproc"))));
    });
}

// covers: get_process_info/2
#[test]
fn items_come_in_the_order_asked_with_repeats_and_equal_the_whole() {
    both(|api| async move {
        let pid = api.start("plain", json!({})).await;
        api.ok("SendMessage", json!({"process": pid, "message": ["a", 1]})).await;
        let keys = ["status", "messages", "message_queue_len", "status", "reductions", "links", "module"];
        let waits = || async { (info(&api, &pid).await["status"] == "WAITING").then_some(()) };
        api.eventually(waits).await;
        let items = api.ok("GetProcessInfo", json!({"process": pid, "keys": keys})).await;
        assert!(items["process"].is_null());
        let items = items["items"].as_array().unwrap().clone();
        assert_eq!(items.iter().map(|item| item["key"].as_str().unwrap()).collect::<Vec<_>>(), keys);
        let whole = info(&api, &pid).await;
        let names = ["status", "", "messageQueueLen", "status", "reductions", "", "module"];
        for (item, name) in items.iter().zip(names).filter(|(_, name)| !name.is_empty()) {
            assert_eq!(item["value"], whole[name], "{name}");
        }
        assert_eq!((&items[1]["value"], &items[5]["value"]), (&json!([["a", 1]]), &json!([])));
        let unknown = api.err("GetProcessInfo", json!({"process": pid, "keys": ["status", "colour"]})).await;
        assert_eq!((&*unknown.code, &*unknown.reason), ("INVALID_ARGUMENT", "BAD_KEY"));
    });
}

// covers: get_process_info/2
#[test]
fn only_a_key_that_the_body_has_to_tell_has_the_body_looked_at() {
    both(|api| async move {
        let pid = api.start("twofold", json!({})).await;
        let looks = || async { call(&api, &pid, json!("looks")).await.as_u64().unwrap() };
        let ask = |keys: Vec<&'static str>| {
            let (api, pid) = (api.clone(), pid.clone());
            async move { api.ok("GetProcessInfo", json!({"process": pid, "keys": keys})).await }
        };
        let whole = info(&api, &pid).await;
        let fields = whole.as_object().unwrap().keys().map(|name| snake_case(name));
        let dear = ["memory", "current_function", "state_name", "event_handlers"];
        let cheap: Vec<String> = fields.filter(|name| !dear.contains(&&**name)).collect();
        assert!(cheap.len() > 20, "{cheap:?}");
        let before = looks().await;
        let items = api.ok("GetProcessInfo", json!({"process": pid, "keys": cheap})).await;
        assert_eq!(items["items"].as_array().unwrap().len(), cheap.len());
        ask(vec!["messages", "links", "dictionary"]).await;
        assert_eq!(looks().await, before, "no cheap key has the body looked at");
        let told = ask(vec!["status", "current_function"]).await;
        assert_eq!(told["items"][1]["value"], "twofold:step");
        assert!(looks().await > before);
    });
}

fn snake_case(name: &str) -> String {
    let letter = |letter: char| match letter.is_ascii_uppercase() {
        true => format!("_{}", letter.to_ascii_lowercase()),
        false => letter.to_string(),
    };
    name.chars().map(letter).collect()
}

// covers: get_process_state/1
#[test]
fn a_state_is_never_seen_in_the_middle_of_a_turn_however_busy_the_process_is() {
    both(|api| async move {
        let pid = api.start("twofold", json!({})).await;
        api.ok("SendMessage", json!({"process": pid, "message": "go"})).await;
        let mut seen = std::collections::BTreeSet::new();
        // so many different ones, each between two turns of their own
        while seen.len() < 100 {
            let state = api.ok("GetProcessState", json!({"process": pid})).await["state"].clone();
            assert_eq!(state["left"], state["right"], "torn");
            seen.insert(state["left"].as_u64().unwrap());
        }
    });
}

// covers: get_process_state/1
#[test]
fn a_state_is_what_the_process_computes_with_next() {
    both(|api| async move {
        let counter = api.start("counter", json!({"initial": 5})).await;
        let state = |pid: String| {
            let api = api.clone();
            async move { api.ok("GetProcessState", json!({"process": pid})).await }
        };
        assert_eq!(state(counter.clone()).await["state"], 5);
        call(&api, &counter, json!(["add", 3])).await;
        let after = state(counter).await;
        assert_eq!((&after["state"], &after["behaviour"]), (&json!(8), &json!("GEN_SERVER")));
        let switch = api.start("switch", json!({})).await;
        call(&api, &switch, json!("toggle")).await;
        let machine = state(switch).await;
        assert_eq!((&machine["stateName"], &machine["state"]), (&json!("on"), &json!(1)));
        let manager = api.start("event_manager", json!({})).await;
        api.ok("AddEventHandler", json!({"process": manager, "module": "counter", "args": {"initial": 2}}))
            .await;
        let handlers = state(manager).await;
        assert_eq!(
            (&handlers["handlers"][0]["handler"], &handlers["handlers"][0]["state"]),
            (&json!("counter"), &json!(2))
        );
    });
}

// covers: get_process_state/1
#[test]
fn a_state_is_refused_where_there_is_no_hook_or_no_turn() {
    both(|api| async move {
        let plain = api.start("plain", json!({})).await;
        let refused = api.err("GetProcessState", json!({"process": plain})).await;
        assert_eq!((&*refused.code, &*refused.reason), ("FAILED_PRECONDITION", "NO_HOOK"));
        let counter = api.start("counter", json!({})).await;
        api.ok("CastMessage", json!({"process": counter, "message": ["sleep", 60_000]})).await;
        api.eventually(|| async { (info(&api, &counter).await["messageQueueLen"] == 0).then_some(()) }).await;
        let late = api.err("GetProcessState", json!({"process": counter, "timeout": "0.05s"})).await;
        assert_eq!((&*late.code, &*late.reason), ("DEADLINE_EXCEEDED", "TIMEOUT"));
        let paused = api.start("counter", json!({})).await;
        api.ok("PauseProcessScheduling", json!({"process": paused, "holder": "tester"})).await;
        let held = api.err("GetProcessState", json!({"process": paused})).await;
        assert_eq!((&*held.code, &*held.reason), ("FAILED_PRECONDITION", "HELD"));
    });
}

// covers: get_process_backtrace/1
#[test]
fn a_backtrace_names_the_function_of_a_loop_and_the_wait_point_of_an_idle_process() {
    both(|api| async move {
        let trace = |pid: String| {
            let api = api.clone();
            async move { api.ok("GetProcessBacktrace", json!({"process": pid})).await }
        };
        let busy = api.start("busy", json!({})).await;
        let spinning = api.eventually(|| async {
            let seen = trace(busy.clone()).await;
            (seen["frames"][0]["function"] == "spin").then_some(seen)
        });
        let spinning = spinning.await;
        assert_eq!(spinning["frames"][0]["module"], "busy");
        let counter = api.start("counter", json!({})).await;
        // a process answers its starter a moment before it waits
        let waiting = |pid: String| {
            let (api, trace) = (api.clone(), &trace);
            async move {
                let seen =
                    || async { Some(trace(pid.clone()).await).filter(|seen| seen["status"] == "WAITING") };
                api.eventually(seen).await
            }
        };
        let idle = waiting(counter.clone()).await;
        assert_eq!(idle["waitPoint"], "any message");
        assert_eq!(idle["frames"][0]["module"], "gen_server");
        let plain = api.start("plain", json!({})).await;
        assert_eq!(waiting(plain).await["waitPoint"], "no message");
        let paused = api.ok("PauseProcessScheduling", json!({"process": counter, "holder": "tester"})).await;
        let held = trace(counter).await["waitPoint"].as_str().unwrap().to_owned();
        assert!(held.starts_with("hold n1."), "{held} {paused}");
    });
}

// covers: get_process_backtrace/1
#[test]
fn a_backtrace_of_a_callback_that_waits_names_it_and_the_message_that_it_handles() {
    both(|api| async move {
        let counter = api.start("counter", json!({})).await;
        api.ok("CastMessage", json!({"process": counter, "message": ["sleep", 3_600_000]})).await;
        let seen = api.eventually(|| async {
            let seen = api.ok("GetProcessBacktrace", json!({"process": counter})).await;
            let waits = seen["frames"][0]["function"] == "handle_cast" && seen["waitPoint"] == "timeout";
            waits.then_some(seen)
        });
        let seen = seen.await;
        assert_eq!(seen["frames"][1]["module"], "gen_server");
        assert_eq!(seen["message"], json!(["sleep", 3_600_000]));
        let idle = api.start("counter", json!({})).await;
        let idle = api.ok("GetProcessBacktrace", json!({"process": idle})).await;
        assert!(idle["message"].is_null(), "{idle}");
    });
}

// covers: get_process_dictionary/1
#[test]
fn what_a_process_put_into_its_dictionary_is_read_and_what_it_erased_is_gone() {
    both(|api| async move {
        let pid = api.start("dictionary", json!({})).await;
        let read =
            || async { api.ok("GetProcessDictionary", json!({"process": pid})).await["dictionary"].clone() };
        assert_eq!(read().await.as_object().map_or(0, serde_json::Map::len), 0);
        call(&api, &pid, json!(["put", "colour", {"red": 1}])).await;
        call(&api, &pid, json!(["put", "size", 3])).await;
        assert_eq!(read().await, json!({"colour": {"red": 1}, "size": 3}));
        call(&api, &pid, json!(["erase", "colour"])).await;
        assert_eq!(read().await, json!({"size": 3}));
    });
}

// covers: get_process_memory_info/1
#[test]
fn a_megabyte_of_messages_is_in_the_mailbox_and_nowhere_else() {
    both(|api| async move {
        let pid = api.start("plain", json!({})).await;
        let read = || async { api.ok("GetProcessMemoryInfo", json!({"process": pid})).await };
        let before = read().await;
        for _ in 0..16 {
            api.ok("SendMessage", json!({"process": pid, "message": "x".repeat(64 * 1024)})).await;
        }
        let after = read().await;
        let grown = wide(&after["mailbox"]) - wide(&before["mailbox"]);
        assert!((1 << 20..(1 << 20) + 64 * 1024).contains(&grown), "{grown}");
        for memory in [&before, &after] {
            let kinds = ["mailbox", "state", "stack", "dictionary", "process"];
            assert_eq!(kinds.iter().map(|kind| wide(&memory[*kind])).sum::<u64>(), wide(&memory["total"]));
            assert!(memory["stack"].is_null(), "a kind that cannot be told is absent");
        }
        assert_eq!((&before["process"], &before["dictionary"]), (&after["process"], &after["dictionary"]));
    });
}

// covers: get_process_links/1
#[test]
fn a_link_is_seen_from_both_ends_until_it_is_undone() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        let links = |pid: String| {
            let api = api.clone();
            async move { texts(&api.ok("GetProcessLinks", json!({"process": pid})).await["links"]) }
        };
        assert!(links(a.clone()).await.is_empty());
        api.ok("LinkProcesses", json!({"process": b, "from": a})).await;
        api.eventually(|| async { (links(b.clone()).await == [a.clone()]).then_some(()) }).await;
        assert_eq!(links(a.clone()).await, std::slice::from_ref(&b));
        api.ok("UnlinkProcesses", json!({"process": b, "from": a})).await;
        api.eventually(|| async { links(b.clone()).await.is_empty().then_some(()) }).await;
        assert!(links(a).await.is_empty());
    });
}

// covers: get_process_monitors/1
#[test]
fn a_monitor_is_seen_at_both_ends_with_its_reference_until_it_is_undone() {
    both(|api| async move {
        let (watcher, watched) =
            (api.start("recorder", json!({})).await, api.start("counter", json!({})).await);
        let read = |pid: String| {
            let api = api.clone();
            async move { api.ok("GetProcessMonitors", json!({"process": pid})).await }
        };
        let made = api.ok("MonitorProcess", json!({"process": watched, "watcher": watcher})).await;
        let monitor = made["monitor"].as_str().unwrap().to_owned();
        let seen = api
            .eventually(|| async { read(watched.clone()).await["monitoredBy"].as_array()?.first().cloned() });
        let seen = seen.await;
        assert_eq!((&seen["monitor"], &seen["pid"]), (&json!(monitor), &json!(watcher)));
        let held = read(watcher.clone()).await["monitors"][0].clone();
        assert_eq!((&held["monitor"], &held["pid"]), (&json!(monitor), &json!(watched)));
        assert!(read(watcher.clone()).await["monitoredBy"].as_array().is_none_or(Vec::is_empty));
        api.ok("Demonitor", json!({"monitor": monitor, "from": watcher})).await;
        api.eventually(|| async {
            read(watched.clone()).await["monitoredBy"].as_array().is_none_or(Vec::is_empty).then_some(())
        })
        .await;
        assert!(read(watcher).await["monitors"].as_array().is_none_or(Vec::is_empty));
    });
}

// covers: get_process_trap_exit/1
#[test]
fn the_flag_follows_the_process_and_whoever_sets_it() {
    both(|api| async move {
        let flag = |pid: String| {
            let api = api.clone();
            async move { api.ok("GetProcessTrapExit", json!({"process": pid})).await["trapExit"].clone() }
        };
        let counter = api.start("counter", json!({})).await;
        assert_eq!(flag(counter.clone()).await, false);
        api.ok("SetTrapExit", json!({"process": counter, "trapExit": true})).await;
        assert_eq!(flag(counter).await, true);
        let recorder = api.start("recorder", json!({})).await;
        assert_eq!(flag(recorder).await, true, "it traps exits of its own accord");
    });
}

// covers: get_process_registered_name/1
#[test]
fn names_follow_their_registration_and_none_is_an_empty_answer() {
    both(|api| async move {
        let pid = api.start("counter", json!({})).await;
        let names = || async {
            let names = api.ok("GetProcessRegisteredName", json!({"process": pid})).await;
            (names["name"].as_str().unwrap_or_default().to_owned(), texts(&names["globalNames"]))
        };
        assert_eq!(names().await, (String::new(), Vec::new()));
        api.ok("RegisterProcess", json!({"process": pid, "name": "here"})).await;
        api.ok("RegisterProcessGlobally", json!({"process": pid, "name": "everywhere"})).await;
        assert_eq!(names().await, ("here".to_owned(), vec!["everywhere".to_owned()]));
        api.ok("UnregisterProcess", json!({"name": "here"})).await;
        assert_eq!(names().await.0, "");
        kill_for_good(&api, &pid).await;
        let gone = api.err("GetProcessRegisteredName", json!({"process": pid})).await;
        assert_eq!((&*gone.code, &*gone.reason), ("NOT_FOUND", "NOPROC"));
    });
}

// covers: get_process_group_leader/1
#[test]
fn a_process_has_the_group_leader_that_its_starter_had_when_it_started() {
    both(|api| async move {
        let leader = |pid: String| {
            let api = api.clone();
            async move { api.ok("GetProcessGroupLeader", json!({"process": pid})).await["groupLeader"].clone() }
        };
        let (mine, me) = super::session(&api).await;
        let first = super::start_linked(&mine).await;
        assert_eq!(leader(first.clone()).await, leader(me.clone()).await);
        let other = api.start("recorder", json!({})).await;
        api.ok("SetGroupLeader", json!({"process": me, "groupLeader": other})).await;
        let second = super::start_linked(&mine).await;
        assert_eq!(leader(second).await, json!(other));
        assert_ne!(leader(first).await, json!(other));
    });
}
