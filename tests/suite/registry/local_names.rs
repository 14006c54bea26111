//! Names of one node.

use super::{kill, register, register_globally};
use arsenal_tests::{Api, both};
use serde_json::{Value, json};

async fn local_names(api: &Api) -> Vec<Value> {
    api.ok("RegisteredNames", json!({})).await["names"].as_array().cloned().unwrap_or_default()
}

// covers: register_process/2
#[test]
fn a_name_is_taken_until_its_holder_dies_and_a_process_has_one() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        let registration = register(&api, "worker", &a).await;
        assert_eq!((&registration["pid"], &registration["scope"]), (&json!(a), &json!("LOCAL")));
        let clash = api.err("RegisterProcess", json!({"process": b, "name": "worker"})).await;
        assert_eq!((&*clash.code, &*clash.reason), ("ALREADY_EXISTS", "NAME_TAKEN"));
        assert_eq!(clash.exit, Some(json!(["already_registered", a])));
        let second = api.err("RegisterProcess", json!({"process": a, "name": "other"})).await;
        assert_eq!((&*second.code, &*second.reason), ("FAILED_PRECONDITION", "ALREADY_REGISTERED"));
        let reserved = api.err("RegisterProcess", json!({"process": b, "name": "undefined"})).await;
        assert_eq!((&*reserved.code, &*reserved.reason), ("INVALID_ARGUMENT", "BADARG"));
        kill(&api, &a).await;
        api.eventually(|| async { api.call("WhereisProcess", json!({"name": "worker"})).await.err() }).await;
        let dead = api.err("RegisterProcess", json!({"process": a, "name": "ghost"})).await;
        assert_eq!((&*dead.code, &*dead.reason), ("FAILED_PRECONDITION", "NOPROC"));
        register(&api, "worker", &b).await;
    });
}

// covers: unregister_process/1
#[test]
fn an_unregistered_name_is_free_at_once_and_its_process_lives_on() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        let etag = register(&api, "worker", &a).await["etag"].clone();
        let absent = api.err("UnregisterProcess", json!({"name": "nobody"})).await;
        assert_eq!((&*absent.code, &*absent.reason), ("NOT_FOUND", "NO_NAME"));
        let stale = api.err("UnregisterProcess", json!({"name": "worker", "etag": "0"})).await;
        assert_eq!((&*stale.code, &*stale.reason), ("ABORTED", "ETAG_MISMATCH"));
        let answer = api.ok("UnregisterProcess", json!({"name": "worker", "etag": etag})).await;
        assert_eq!(answer["pid"], json!(a));
        register(&api, "worker", &b).await;
        let count = api.ok("CallProcess", json!({"process": a, "message": "incr"})).await;
        assert_eq!(count["reply"], 1, "it lives on");
    });
}

// covers: whereis_process/1
#[test]
fn a_name_leads_to_its_process_and_never_to_a_dead_one() {
    both(|api| async move {
        let pid = api.start("counter", json!({})).await;
        register(&api, "worker", &pid).await;
        let found = api.ok("WhereisProcess", json!({"name": "worker"})).await;
        assert_eq!(found, json!({"pid": pid, "node": "n1"}));
        assert_eq!(api.ok("WhereisProcess", json!({"name": "worker", "node": "n1"})).await, found);
        let elsewhere = api.err("WhereisProcess", json!({"name": "worker", "node": "n9"})).await;
        assert_eq!((&*elsewhere.code, &*elsewhere.reason), ("NOT_FOUND", "UNKNOWN_NODE"));
        kill(&api, &pid).await;
        let gone = api
            .eventually(|| async { api.call("WhereisProcess", json!({"name": "worker"})).await.err() })
            .await;
        assert_eq!((&*gone.code, &*gone.reason), ("NOT_FOUND", "NO_NAME"));
    });
}

// covers: registered_names/0
#[test]
fn the_local_names_are_sorted_and_paged_and_follow_register_unregister_and_death() {
    both(|api| async move {
        let mut pids = Vec::new();
        for name in ["carol", "alice", "bob"] {
            let pid = api.start("counter", json!({})).await;
            register(&api, name, &pid).await;
            pids.push(pid);
        }
        let global = api.start("counter", json!({})).await;
        register_globally(&api, "everywhere", &global).await;
        let ours = |names: Vec<Value>| -> Vec<Value> {
            names
                .into_iter()
                .filter(|name| ["alice", "bob", "carol", "everywhere"].iter().any(|n| name == n))
                .collect()
        };
        assert_eq!(ours(local_names(&api).await), ["alice", "bob", "carol"]);
        let filter = "name in ['alice', 'bob', 'carol']";
        let first = api.ok("RegisteredNames", json!({"filter": filter, "pageSize": 2})).await;
        assert_eq!(first["names"], json!(["alice", "bob"]));
        let next = json!({"filter": filter, "pageSize": 2, "pageToken": first["nextPageToken"]});
        let second = api.ok("RegisteredNames", next).await;
        assert_eq!((&second["names"], &second["nextPageToken"]), (&json!(["carol"]), &json!("")));
        let foreign = json!({"pageSize": 2, "pageToken": first["nextPageToken"]});
        assert_eq!(api.err("RegisteredNames", foreign).await.reason, "BAD_PAGE_TOKEN");
        assert_eq!(api.err("RegisteredNames", json!({"filter": "name =="})).await.reason, "BAD_FILTER");
        let reversed = api.ok("RegisteredNames", json!({"filter": filter, "orderBy": "name desc"})).await;
        assert_eq!(reversed["names"], json!(["carol", "bob", "alice"]));
        api.ok("UnregisterProcess", json!({"name": "bob"})).await;
        kill(&api, &pids[0]).await;
        api.eventually(|| async { (ours(local_names(&api).await) == ["alice"]).then_some(()) }).await;
    });
}
