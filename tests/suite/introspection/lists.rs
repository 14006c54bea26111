//! Lists of processes.

use super::{call, kill_for_good, listed, session};
use arsenal_tests::{Api, both};
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn rows(api: &Api, rpc: &str, request: Value) -> Vec<Value> {
    api.ok(rpc, request).await["processes"].as_array().cloned().unwrap_or_default()
}

/// Whether the list has the process.
async fn has(api: &Api, rpc: &str, pid: &str) -> bool {
    listed(api, rpc, json!({})).await.iter().any(|listed| listed == pid)
}

// covers: list_all_processes/0
#[test]
fn what_lives_throughout_the_paging_is_listed_exactly_once_while_others_come_and_go() {
    both(|api| async move {
        let mut lasting = BTreeSet::new();
        for _ in 0..40 {
            lasting.insert(api.start("counter", json!({})).await);
        }
        let (mut seen, mut token, mut passing) = (Vec::new(), String::new(), Vec::new());
        loop {
            let page = api.ok("ListAllProcesses", json!({"pageSize": 7, "pageToken": token})).await;
            assert!(page["processes"].as_array().is_none_or(|rows| rows.len() <= 7));
            let rows = page["processes"].as_array().cloned().unwrap_or_default();
            seen.extend(rows.iter().map(|row| row["pid"].as_str().unwrap().to_owned()));
            token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                break;
            }
            passing.push(api.start("echo", json!({})).await);
            if passing.len() % 2 == 0 {
                kill_for_good(&api, &passing.remove(0)).await;
            }
            assert!(passing.len() < 100, "the paging ends");
        }
        let listed: Vec<&String> = seen.iter().filter(|pid| lasting.contains(*pid)).collect();
        assert_eq!(listed.len(), lasting.len());
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>().len(), lasting.len());
    });
}

// covers: list_all_processes/0
#[test]
fn a_filter_equals_a_client_side_one_and_orders_and_masks_are_kept_to() {
    both(|api| async move {
        for waiting in 0..5 {
            let pid = api.start(if waiting % 2 == 0 { "plain" } else { "counter" }, json!({})).await;
            for _ in 0..waiting {
                api.ok("SendMessage", json!({"process": pid, "message": "x"})).await;
            }
        }
        let all = rows(&api, "ListAllProcesses", json!({})).await;
        let kept: Vec<&Value> = all
            .iter()
            .filter(|row| row["module"] == "plain" && row["messageQueueLen"].as_u64().unwrap_or(0) > 0)
            .map(|row| &row["pid"])
            .collect();
        for filter in [
            "module == 'plain' && message_queue_len > 0",
            "module.startsWith('pla') && message_queue_len >= 1",
        ] {
            let filtered = rows(&api, "ListAllProcesses", json!({"filter": filter})).await;
            assert_eq!(filtered.iter().map(|row| &row["pid"]).collect::<Vec<_>>(), kept, "{filter}");
        }
        let order = json!({"orderBy": "message_queue_len desc", "filter": "module == 'plain'", "readMask": "messageQueueLen"});
        let ordered = rows(&api, "ListAllProcesses", order).await;
        let queues: Vec<_> =
            ordered.iter().map(|row| row["messageQueueLen"].as_u64().unwrap_or_default()).collect();
        assert_eq!(queues, [4, 2, 0]);
        assert!(
            ordered
                .iter()
                .all(|row| row["pid"].as_str().unwrap_or_default().is_empty() && row["reductions"].is_null()),
            "only what the mask has"
        );
        let none = rows(&api, "ListAllProcesses", json!({"filter": "module == 'nobody'"})).await;
        assert!(none.is_empty());
    });
}

#[test]
fn what_a_list_cannot_do_is_refused() {
    both(|api| async move {
        for (request, reason) in [
            (json!({"filter": "module =="}), "BAD_FILTER"),
            (json!({"filter": "colour == 'red'"}), "BAD_FILTER"),
            (json!({"orderBy": "colour"}), "BADARG"),
            (json!({"readMask": "colour"}), "BADARG"),
            (json!({"pageSize": -1}), "BADARG"),
            (json!({"pageToken": "nonsense"}), "BAD_PAGE_TOKEN"),
        ] {
            let refused = api.err("ListAllProcesses", request.clone()).await;
            assert_eq!((&*refused.code, &*refused.reason), ("INVALID_ARGUMENT", reason), "{request}");
        }
        let elsewhere = api.err("ListAllProcesses", json!({"node": "n9"})).await;
        assert_eq!((&*elsewhere.code, &*elsewhere.reason), ("NOT_FOUND", "UNKNOWN_NODE"));
    });
}

// covers: list_registered_processes/0
#[test]
fn a_process_is_among_the_registered_ones_while_it_has_a_name_and_lives() {
    both(|api| async move {
        let (local, global) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        assert!(!has(&api, "ListRegisteredProcesses", &local).await);
        api.ok("RegisterProcess", json!({"process": local, "name": "here"})).await;
        api.ok("RegisterProcessGlobally", json!({"process": global, "name": "everywhere"})).await;
        let named =
            rows(&api, "ListRegisteredProcesses", json!({"filter": "registered_name == 'here'"})).await;
        assert_eq!((&named[0]["pid"], &named[0]["registeredName"]), (&json!(local), &json!("here")));
        assert!(has(&api, "ListRegisteredProcesses", &global).await);
        api.ok("UnregisterProcess", json!({"name": "here"})).await;
        assert!(!has(&api, "ListRegisteredProcesses", &local).await);
        kill_for_good(&api, &global).await;
        assert!(!has(&api, "ListRegisteredProcesses", &global).await);
    });
}

// covers: list_supervisor_processes/0
#[test]
fn a_supervisor_is_listed_from_its_start_to_its_stop() {
    both(|api| async move {
        let worker = api.start("counter", json!({})).await;
        let started = api.ok("StartSupervisor", json!({"strategy": "ONE_FOR_ONE"})).await;
        let supervisor = started["pid"].as_str().unwrap().to_owned();
        let list = listed(&api, "ListSupervisorProcesses", json!({})).await;
        assert!(list.contains(&supervisor) && !list.contains(&worker));
        api.ok("StopSupervisor", json!({"supervisor": supervisor})).await;
        api.eventually(|| async { (!has(&api, "ListSupervisorProcesses", &supervisor).await).then_some(()) })
            .await;
    });
}

// covers: list_genserver_processes/0
#[test]
fn servers_are_listed_and_plain_processes_are_not() {
    both(|api| async move {
        let (server, plain) = (api.start("counter", json!({})).await, api.start("plain", json!({})).await);
        let list = listed(&api, "ListGenServerProcesses", json!({})).await;
        assert!(list.contains(&server) && !list.contains(&plain));
        kill_for_good(&api, &server).await;
        assert!(!has(&api, "ListGenServerProcesses", &server).await);
    });
}

// covers: list_gen_event_processes/0
#[test]
fn an_event_manager_is_listed_with_the_handlers_that_it_has() {
    both(|api| async move {
        let (manager, server) =
            (api.start("event_manager", json!({})).await, api.start("counter", json!({})).await);
        let handlers = || async {
            let rows = rows(&api, "ListGenEventProcesses", json!({})).await;
            assert!(rows.iter().all(|row| row["pid"] != json!(server)));
            let row =
                rows.into_iter().find(|row| row["pid"] == json!(manager)).expect("the manager is listed");
            super::texts(&row["eventHandlers"])
        };
        assert!(handlers().await.is_empty());
        api.ok("AddEventHandler", json!({"process": manager, "module": "log"})).await;
        api.ok("AddEventHandler", json!({"process": manager, "module": "counter", "handler": "mine"})).await;
        assert_eq!(handlers().await, ["mine", "log"]);
        api.ok("DeleteEventHandler", json!({"process": manager, "handler": "log"})).await;
        assert_eq!(handlers().await, ["mine"]);
    });
}

// covers: list_gen_statem_processes/0
#[test]
fn a_state_machine_is_listed_with_the_state_it_is_in() {
    both(|api| async move {
        let (switch, server) = (api.start("switch", json!({})).await, api.start("counter", json!({})).await);
        let state = || async {
            let rows = rows(&api, "ListGenStatemProcesses", json!({})).await;
            assert!(rows.iter().all(|row| row["pid"] != json!(server)));
            rows.into_iter().find(|row| row["pid"] == json!(switch)).expect("the machine is listed")["stateName"].clone()
        };
        assert_eq!(state().await, "off");
        call(&api, &switch, json!("toggle")).await;
        assert_eq!(state().await, "on");
    });
}

// covers: list_application_processes/1
#[test]
fn an_application_that_is_not_loaded_has_no_list() {
    both(|api| async move {
        let unknown = api.err("ListApplicationProcesses", json!({"application": "shop"})).await;
        assert_eq!((&*unknown.code, &*unknown.reason), ("NOT_FOUND", "NO_APPLICATION"));
        let resource = unknown.details.iter().find(|detail| detail["resourceName"] == "shop");
        assert!(resource.is_some(), "the failure names the application");
    });
}

// covers: get_isolated_processes/0
#[test]
fn a_bare_process_is_isolated_until_anything_ties_it() {
    both(|api| async move {
        let isolated = |pid: String| {
            let api = api.clone();
            async move { has(&api, "GetIsolatedProcesses", &pid).await }
        };
        let other = api.start("counter", json!({})).await;
        for tie in ["link", "monitor", "name", "global name", "group", "timer"] {
            let pid = api.start("counter", json!({})).await;
            assert!(isolated(pid.clone()).await, "before a {tie}");
            match tie {
                "link" => api.ok("LinkProcesses", json!({"process": other, "from": pid})).await,
                "monitor" => api.ok("MonitorProcess", json!({"process": other, "watcher": pid})).await,
                "name" => api.ok("RegisterProcess", json!({"process": pid, "name": "tied"})).await,
                "global name" => {
                    api.ok("RegisterProcessGlobally", json!({"process": pid, "name": "tied_too"})).await
                }
                "group" => api.ok("JoinProcessGroup", json!({"group": "ties", "processes": [pid]})).await,
                _ => {
                    api.ok("SendMessageAfter", json!({"process": pid, "message": "late", "after": "600s"}))
                        .await
                }
            };
            assert!(!isolated(pid.clone()).await, "after a {tie}");
        }
        let (_, me) = session(&api).await;
        assert!(!isolated(me).await, "a session is not");
    });
}

// covers: list_all_processes/0
#[test]
fn over_rest_a_list_shows_no_field_that_was_not_read() {
    arsenal_tests::on(arsenal_tests::Transport::Rest, |_, api| async move {
        let pid = api.start("plain", json!({})).await;
        let row = |answer: Value| answer["processes"][0].as_object().cloned().unwrap_or_default();
        let keys = |answer: Value| row(answer).keys().cloned().collect::<Vec<_>>();
        let masked = api.ok("ListAllProcesses", json!({"readMask": "pid,trapExit"})).await;
        assert_eq!(masked["nextPageToken"], "", "what is not in part is whole");
        assert_eq!(keys(masked), ["pid", "trapExit"]);
        let plain = row(api.ok("ListAllProcesses", json!({})).await);
        assert_eq!((&plain["pid"], plain.get("links"), plain.get("dictionary")), (&json!(pid), None, None));
        let whole = api.ok("GetProcessInfo", json!({"process": pid})).await;
        assert_eq!(whole["process"]["links"], json!([]));
    });
}
