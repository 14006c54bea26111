//! Names of the whole cluster, and their fencing tokens.

use super::{kill, number, register, register_globally};
use arsenal_tests::both;
use serde_json::json;

// covers: register_process_globally/2
#[test]
fn a_global_name_has_one_holder_and_each_registration_a_greater_token() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        let first = register_globally(&api, "leader", &a).await;
        assert_eq!((&first["registration"]["pid"], &first["replacedPid"]), (&json!(a), &json!("")));
        let clash = api.err("RegisterProcessGlobally", json!({"process": b, "name": "leader"})).await;
        assert_eq!((&*clash.code, &*clash.reason), ("ALREADY_EXISTS", "NAME_TAKEN"));
        let second = api.err("RegisterProcessGlobally", json!({"process": a, "name": "other"})).await;
        assert_eq!((&*second.code, &*second.reason), ("FAILED_PRECONDITION", "ALREADY_REGISTERED"));
        let multiple = json!({"process": a, "name": "other", "allowMultiple": true});
        api.ok("RegisterProcessGlobally", multiple).await;
        let taken = json!({"process": b, "name": "leader", "replace": true});
        let taken = api.ok("RegisterProcessGlobally", taken).await;
        assert_eq!(taken["replacedPid"], json!(a));
        assert!(number(&taken["token"]) > number(&first["token"]));
        assert_eq!(api.ok("GlobalWhereisName", json!({"name": "leader"})).await["pid"], json!(b));
        // global:re_register_name does not mind that there is another name
        let second = json!({"process": b, "name": "second", "replace": true});
        api.ok("RegisterProcessGlobally", second).await;
        kill(&api, &b).await;
        api.eventually(|| async { api.call("GlobalWhereisName", json!({"name": "leader"})).await.err() })
            .await;
        let dead = api.err("RegisterProcessGlobally", json!({"process": b, "name": "leader"})).await;
        assert_eq!((&*dead.code, &*dead.reason), ("FAILED_PRECONDITION", "NOPROC"));
    });
}

#[test]
fn of_many_who_race_for_a_global_name_one_wins() {
    both(|api| async move {
        let mut racers = Vec::new();
        for _ in 0..8 {
            racers.push(api.start("counter", json!({})).await);
        }
        let attempts = racers.iter().map(|pid| {
            let (api, pid) = (api.clone(), pid.clone());
            tokio::spawn(async move {
                api.call("RegisterProcessGlobally", json!({"process": pid, "name": "leader"})).await.is_ok()
            })
        });
        let mut winners = Vec::new();
        for (attempt, pid) in attempts.collect::<Vec<_>>().into_iter().zip(&racers) {
            if attempt.await.unwrap() {
                winners.push(pid.clone());
            }
        }
        assert_eq!(winners.len(), 1);
        assert_eq!(api.ok("GlobalWhereisName", json!({"name": "leader"})).await["pid"], json!(winners[0]));
    });
}

// covers: unregister_process_globally/1
#[test]
fn a_global_name_goes_with_its_own_token_alone() {
    both(|api| async move {
        let pid = api.start("counter", json!({})).await;
        let token = number(&register_globally(&api, "leader", &pid).await["token"]);
        let absent = api.err("UnregisterProcessGlobally", json!({"name": "nobody"})).await;
        assert_eq!((&*absent.code, &*absent.reason), ("NOT_FOUND", "NO_NAME"));
        let stale = json!({"name": "leader", "token": (token + 1).to_string()});
        let stale = api.err("UnregisterProcessGlobally", stale).await;
        assert_eq!((&*stale.code, &*stale.reason), ("ABORTED", "STALE_TOKEN"));
        api.ok("GlobalWhereisName", json!({"name": "leader"})).await;
        let freed = json!({"name": "leader", "token": token.to_string()});
        let freed = api.ok("UnregisterProcessGlobally", freed).await;
        assert_eq!(freed["pid"], json!(pid));
        assert!(number(&freed["logIndex"]) > token);
        assert_eq!(api.err("GlobalWhereisName", json!({"name": "leader"})).await.code, "NOT_FOUND");
        // the process lives on and may have another global name now
        register_globally(&api, "other", &pid).await;
    });
}

// covers: global_whereis_name/1
#[test]
fn a_linearizable_look_sees_each_write_completed_before_it() {
    both(|api| async move {
        let pids = [api.start("counter", json!({})).await, api.start("counter", json!({})).await];
        let look = json!({"name": "leader", "consistency": "LINEARIZABLE"});
        assert_eq!(api.err("GlobalWhereisName", look.clone()).await.reason, "NO_NAME");
        let mut last = 0;
        for pid in pids.iter().chain(&pids) {
            let write = json!({"process": pid, "name": "leader", "replace": true});
            let token = number(&api.ok("RegisterProcessGlobally", write).await["token"]);
            let seen = api.ok("GlobalWhereisName", look.clone()).await;
            assert_eq!((&seen["pid"], number(&seen["token"])), (&json!(pid), token));
            assert!(number(&seen["logIndex"]) >= token && token > last);
            last = token;
        }
        let local = api.ok("GlobalWhereisName", json!({"name": "leader"})).await;
        assert!(number(&local["logIndex"]) >= last, "a local look tells what it holds for");
    });
}

#[test]
fn the_global_names_are_listed_apart_from_the_local_ones() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        register(&api, "here", &a).await;
        register_globally(&api, "everywhere", &b).await;
        let listed = api.ok("ListGlobalNames", json!({})).await;
        assert_eq!(listed["names"], json!(["everywhere"]));
        assert!(number(&listed["registrations"][0]["token"]) > 0);
        let none = api.ok("ListGlobalNames", json!({"filter": "name == 'here'"})).await;
        assert_eq!(none["names"], json!([]));
    });
}
