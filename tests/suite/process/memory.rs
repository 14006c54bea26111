//! Hibernation and compaction.

use super::{call, info, number, session, start, text};
use arsenal_tests::both;
use serde_json::{Value, json};

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
        api.ok("GetProcessState", json!({"process": pid})).await;
        assert_eq!(info(&api, &pid).await["hibernating"], true, "who only looks wakes nobody for good");
        assert_eq!(call(&api, &pid, json!("size")).await, 200, "the next message finds the state");
        assert_ne!(info(&api, &pid).await["hibernating"], json!(true));

        let plain = start(&api, "plain", json!({})).await;
        let refused = api.err("HibernateProcess", json!({"process": plain})).await;
        assert_eq!((refused.code.as_str(), refused.reason.as_str()), ("FAILED_PRECONDITION", "NO_HOOK"));
        assert_ne!(info(&api, &plain).await["hibernating"], json!(true));
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
