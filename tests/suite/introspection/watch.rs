//! Following processes live.

use super::{kill, wide};
use arsenal_tests::both;
use serde_json::{Value, json};

// covers: watch_processes
#[test]
fn a_watch_shows_what_matches_then_each_change_and_goes_on_after_an_item() {
    both(|api| async move {
        let first = api.start("plain", json!({})).await;
        api.start("counter", json!({})).await;
        let mut watch = api.stream("WatchProcesses", json!({"filter": "module == 'plain'"})).await;
        let mut next =
            async || -> Value { watch.next().await.expect("the watch goes on").expect("no failure") };
        let shown = next().await;
        assert_eq!((&shown["kind"], &shown["process"]["pid"]), (&json!("SNAPSHOT"), &json!(first)));
        assert_eq!(next().await["kind"], "SNAPSHOT_END");
        api.start("counter", json!({})).await;
        let second = api.start("plain", json!({})).await;
        let started = next().await;
        assert_eq!((&started["kind"], &started["process"]["pid"]), (&json!("STARTED"), &json!(second)));
        api.ok("RegisterProcess", json!({"process": second, "name": "watched"})).await;
        let named = next().await;
        assert_eq!((&named["kind"], &named["name"]), (&json!("NAMED"), &json!("watched")));
        for caused in [&started, &named] {
            let operation = caused["operationId"].as_str().unwrap_or_default();
            assert!(operation.starts_with("n1.1-o"), "{caused}");
        }
        assert_ne!(started["operationId"], named["operationId"]);
        kill(&api, &second).await;
        let exited = loop {
            let item = next().await;
            if item["kind"] == "EXITED" {
                break item;
            }
        };
        assert_eq!((&exited["process"]["pid"], &exited["reason"]), (&json!(second), &json!("killed")));
        assert!(wide(&exited["sequence"]) > wide(&named["sequence"]));
        let request = json!({"filter": "module == 'plain'", "after": named["sequence"]});
        let mut again = api.stream("WatchProcesses", request).await;
        loop {
            let item = again.next().await.expect("the watch goes on").expect("no failure");
            assert_ne!(item["kind"], "SNAPSHOT");
            if item["kind"] == "EXITED" {
                assert_eq!(item["sequence"], exited["sequence"]);
                break;
            }
        }
    });
}

// covers: watch_processes
#[test]
fn a_process_that_comes_to_match_has_changed_and_one_that_ceases_to_is_unmatched() {
    both(|api| async move {
        let pid = api.start("plain", json!({})).await;
        let mut watch = api.stream("WatchProcesses", json!({"filter": "trap_exit"})).await;
        let mut next =
            async || -> Value { watch.next().await.expect("the watch goes on").expect("no failure") };
        assert_eq!(next().await["kind"], "SNAPSHOT_END");
        for (flag, kind) in [(true, "CHANGED"), (false, "UNMATCHED")] {
            api.ok("SetTrapExit", json!({"process": pid, "trapExit": flag})).await;
            let item = next().await;
            assert_eq!((&item["kind"], &item["process"]["pid"]), (&json!(kind), &json!(pid)));
        }
        let refused = api.answers("WatchProcesses", &json!({"filter": "trap_exit =="})).await;
        assert_eq!(refused.err().map(|failure| failure.reason).as_deref(), Some("BAD_FILTER"));
        let never = api.err("ListAllProcesses", json!({"filter": "module == 3"})).await;
        assert_eq!((&*never.code, &*never.reason), ("INVALID_ARGUMENT", "BAD_FILTER"));
        assert!(
            never.message.contains("a string") && never.message.contains("a number"),
            "{}",
            never.message
        );
    });
}
