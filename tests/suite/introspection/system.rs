//! The node as a whole.

use super::{listed, session, wide};
use arsenal_tests::both;
use serde_json::{Value, json};

// covers: get_system_info/0
#[test]
fn a_node_tells_who_it_is_and_its_counts_match_the_lists() {
    both(|api| async move {
        let before = api.ok("GetSystemInfo", json!({})).await;
        assert_eq!((&before["node"], &before["build"]["profile"].is_string()), (&json!("n1"), &true));
        let limits = ["limits.processes_max", "limits.message_bytes_max", "grpc.message_bytes_max"];
        for limit in limits.into_iter().chain(["gateway.body_bytes_max", "shutdown.timeout_ms"]) {
            assert!(wide(&before["limits"][limit]) > 0, "{limit}");
        }
        assert!(
            wide(&before["schedulers"]) > 0 && before["version"].is_string() && before["uptime"].is_string()
        );
        let supervisor =
            api.ok("StartSupervisor", json!({"children": [{"id": "a", "module": "counter"}]})).await;
        let pid = api.start("recorder", json!({})).await;
        api.ok("RegisterProcess", json!({"process": pid, "name": "counted"})).await;
        api.ok("MonitorProcess", json!({"process": supervisor["pid"], "watcher": pid})).await;
        session(&api).await;
        let after = api.ok("GetSystemInfo", json!({})).await;
        let grew = |name: &str| wide(&after["counts"][name]) - wide(&before["counts"][name]);
        for (name, by) in [
            ("registeredNames", 1),
            ("supervisors", 1),
            ("sessions", 1),
            ("monitors", 1),
            ("processes", 4),
            ("timers", 0),
        ] {
            assert_eq!(grew(name), by, "{name}");
        }
        let processes = listed(&api, "ListAllProcesses", json!({})).await.len() as u64;
        assert_eq!(wide(&after["counts"]["processes"]), processes);
        let elsewhere = api.err("GetSystemInfo", json!({"node": "n2"})).await;
        assert_eq!((&*elsewhere.code, &*elsewhere.reason), ("NOT_FOUND", "UNKNOWN_NODE"));
    });
}

// covers: get_scheduler_info/0
#[test]
fn a_spinner_keeps_busy_the_scheduler_that_it_is_pinned_to_and_no_other() {
    both(|api| async move {
        let read = || async {
            api.ok("GetSchedulerInfo", json!({})).await["schedulers"].as_array().unwrap().clone()
        };
        let idle = read().await;
        let last = idle.len();
        assert!(idle.iter().zip(1_u64..).all(|(scheduler, id)| wide(&scheduler["id"]) == id));
        assert!(idle.iter().all(|scheduler| scheduler["runQueues"].as_array().unwrap().len() == 4));
        let spinner = api.start("busy", json!({})).await;
        api.ok("PinProcessToScheduler", json!({"process": spinner, "scheduler": last})).await;
        let utilization = |scheduler: &Value| scheduler["utilization"].as_f64().unwrap_or_default();
        let busy = api.eventually(|| async {
            let seen = read().await;
            // another one is busy for a moment with what is asked here, or as long as the machine keeps it waiting
            let is_so = utilization(&seen[last - 1]) > 0.7
                && seen[..last - 1].iter().all(|other| utilization(other) < 0.5);
            is_so.then_some(seen)
        });
        let busy = busy.await;
        assert_eq!(wide(&busy[last - 1]["pinnedProcesses"]), 1);
        assert!(wide(&busy[last - 1]["turns"]) > wide(&idle[last - 1]["turns"]));
        for other in &busy[..last - 1] {
            assert!(other["currentProcess"] != json!(spinner));
        }
    });
}

// covers: get_memory_info/0
#[test]
fn memory_agrees_with_the_operating_system_and_follows_what_is_kept() {
    both(|api| async move {
        // other tests of this program take and give back memory meanwhile
        let agreeing = || async {
            let (earlier, info) = (resident(), api.ok("GetMemoryInfo", json!({})).await);
            let (told, later) = (wide(&info["resident"]), resident());
            let (least, most) = (earlier.min(later), earlier.max(later));
            (least - least / 10..=most + most / 10).contains(&told).then_some(info)
        };
        let before = api.eventually(agreeing).await;
        let pid = api.start("plain", json!({})).await;
        for _ in 0..16 {
            api.ok("SendMessage", json!({"process": pid, "message": "x".repeat(64 * 1024)})).await;
        }
        let after = api.ok("GetMemoryInfo", json!({})).await;
        let grown = |kind: &str| wide(&after[kind]).saturating_sub(wide(&before[kind]));
        assert!(grown("mailboxes") >= 1 << 20);
        assert!(grown("registry") < 1024 && grown("timers") < 1024);
        let kinds = ["processes", "mailboxes", "states", "registry", "timers", "modules", "history", "other"];
        assert_eq!(kinds.iter().map(|kind| wide(&after[*kind])).sum::<u64>(), wide(&after["total"]));
    });
}

/// The resident set of this process, which the node is part of.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the system has /proc");
    let line =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it tells the resident set");
    let kilobytes = line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    kilobytes.expect("in kilobytes") * 1024
}

// covers: list_operations
#[test]
fn operations_tell_their_routes_effects_and_schemas() {
    both(|api| async move {
        let all = api.ok("ListOperations", json!({"pageSize": 1000})).await["operations"]
            .as_array()
            .unwrap()
            .clone();
        let of =
            |name: &str| all.iter().find(|operation| operation["name"] == name).cloned().unwrap_or_default();
        let send = of("send_message/2");
        assert_eq!(
            (&send["rpc"], &send["effect"], &send["field"]),
            (&json!("SendMessage"), &json!("WRITE"), &json!("process"))
        );
        assert_eq!(
            (&send["bindings"][0]["method"], &send["bindings"][0]["body"]),
            (&json!("POST"), &json!("*"))
        );
        assert!(send["requestSchema"].is_null(), "schemas are told on request");
        let whole =
            api.ok("ListOperations", json!({"filter": "name == 'send_message/2'", "readMask": "*"})).await;
        let schema = &whole["operations"][0]["requestSchema"];
        assert_eq!(schema["properties"]["process"]["type"], "string");
        let harmful =
            api.ok("ListOperations", json!({"filter": "effect == 'DESTRUCTIVE'", "pageSize": 1000})).await;
        let harmful = harmful["operations"].as_array().unwrap().clone();
        assert!(!harmful.is_empty() && harmful.len() < all.len());
        assert!(harmful.iter().all(|operation| operation["effect"] == "DESTRUCTIVE"));
        assert_eq!(of("watch_processes")["serverStreaming"], true);
        let refused = api.err("ListOperations", json!({"readMask": "colour"})).await;
        assert_eq!(&*refused.reason, "BADARG");
    });
}
