//! Links, monitors, flags, leaders, labels.

use super::{info, session, start, take};
use arsenal_tests::both;
use serde_json::{Value, json};

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
fn a_flush_finds_the_down_in_the_mailbox_of_the_watcher_whoever_asks() {
    both(|api| async move {
        let (watcher, pid) = (start(&api, "plain", json!({})).await, start(&api, "counter", json!({})).await);
        let monitored = api.ok("MonitorProcess", json!({"process": pid, "watcher": watcher})).await;
        api.ok("KillProcess", json!({"process": pid})).await;
        let downs = || async {
            let read = json!({"process": watcher, "filter": "kind == 'DOWN'"});
            api.ok("SearchMailbox", read).await["messages"].as_array().map_or(0, Vec::len)
        };
        api.eventually(|| async { (downs().await == 1).then_some(()) }).await;
        let demonitor = json!({"monitor": monitored["monitor"], "flush": true, "info": true});
        let (stranger, _, _) = session(&api).await;
        let told = stranger.ok("Demonitor", demonitor.clone()).await;
        assert_ne!(told.get("found"), Some(&json!(true)), "a message had to be flushed");
        assert_eq!(downs().await, 0);
        api.ok("Demonitor", demonitor).await;
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
