//! RegistryService: names, local and global, their metadata, and groups.

use arsenal_tests::{Api, both};
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn kill(api: &Api, pid: &str) {
    api.ok("KillProcess", json!({"process": pid})).await;
}

/// What a recorder has received.
async fn received(api: &Api, recorder: &str) -> Vec<Value> {
    let call = json!({"process": recorder, "message": ["recorder", "read"]});
    let reply = api.ok("CallProcess", call).await["reply"].clone();
    reply["messages"].as_array().cloned().unwrap_or_default()
}

async fn local_names(api: &Api) -> Vec<Value> {
    api.ok("RegisteredNames", json!({})).await["names"].as_array().cloned().unwrap_or_default()
}

async fn register(api: &Api, name: &str, pid: &str) -> Value {
    api.ok("RegisterProcess", json!({"process": pid, "name": name})).await["registration"].clone()
}

async fn register_globally(api: &Api, name: &str, pid: &str) -> Value {
    api.ok("RegisterProcessGlobally", json!({"process": pid, "name": name})).await
}

/// Integers beyond 32 bits are texts in JSON.
fn number(value: &Value) -> u64 {
    value
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("{value} is no number in a text"))
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
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

// covers: register_process_with_metadata/3
#[test]
fn metadata_come_back_with_the_name_and_go_with_it() {
    both(|api| async move {
        for (scope, names) in [("LOCAL", "WhereisProcess"), ("GLOBAL", "GlobalWhereisName")] {
            let pid = api.start("counter", json!({})).await;
            let named = json!({"process": pid, "name": "shop", "scope": scope, "metadata": {"tier": "gold"}});
            let registered =
                api.ok("RegisterProcessWithMetadata", named.clone()).await["registration"].clone();
            assert_eq!(registered["metadata"], json!({"tier": "gold"}));
            let get = json!({"name": "shop", "scope": scope});
            assert_eq!(api.ok("GetNameMetadata", get.clone()).await["registration"], registered);
            assert_eq!(api.err("RegisterProcessWithMetadata", named.clone()).await.reason, "NAME_TAKEN");
            kill(&api, &pid).await;
            api.eventually(|| async { api.call(names, json!({"name": "shop"})).await.err() }).await;
            assert_eq!(api.err("GetNameMetadata", get.clone()).await.reason, "NO_NAME");
            let next = api.start("counter", json!({})).await;
            let bare = json!({"process": next, "name": "shop", "scope": scope});
            let again = api.ok("RegisterProcessWithMetadata", bare).await["registration"].clone();
            assert_eq!(again["metadata"], Value::Null, "what the former holder had is not there");
            assert_ne!(again["etag"], registered["etag"]);
            kill(&api, &next).await;
            api.eventually(|| async { api.call(names, json!({"name": "shop"})).await.err() }).await;
        }
        let pid = api.start("counter", json!({})).await;
        let large = json!({"process": pid, "name": "shop", "metadata": {"text": "x".repeat(70_000)}});
        let refused = api.err("RegisterProcessWithMetadata", large).await;
        assert_eq!((&*refused.code, &*refused.reason), ("RESOURCE_EXHAUSTED", "METADATA_TOO_LARGE"));
    });
}

// covers: update_process_metadata/2
#[test]
fn a_patch_merges_where_its_etag_is_the_current_one() {
    both(|api| async move {
        for scope in ["LOCAL", "GLOBAL"] {
            let pid = api.start("counter", json!({})).await;
            let name = format!("shop-{scope}");
            let metadata = json!({"tier": "gold", "zone": {"city": "Ulm", "floor": 2}});
            let named = json!({"process": pid, "name": name, "scope": scope, "metadata": metadata});
            let first = api.ok("RegisterProcessWithMetadata", named).await["registration"].clone();
            let update = |patch: Value, etag: &Value| json!({"name": name, "scope": scope, "metadata": patch, "etag": etag});
            let patch = json!({"tier": null, "size": 3, "zone": {"floor": 4}});
            let changed =
                api.ok("UpdateProcessMetadata", update(patch, &first["etag"])).await["registration"].clone();
            assert_eq!(changed["metadata"], json!({"size": 3, "zone": {"city": "Ulm", "floor": 4}}));
            let stale = api.err("UpdateProcessMetadata", update(json!({"size": 9}), &first["etag"])).await;
            assert_eq!((&*stale.code, &*stale.reason), ("ABORTED", "ETAG_MISMATCH"));
            let get = json!({"name": name, "scope": scope});
            assert_eq!(api.ok("GetNameMetadata", get).await["registration"], changed, "nothing was changed");
            let found = api.ok("SearchRegistryByMetadata", json!({"filter": "metadata.size == 3"})).await;
            assert!(found["registrations"].as_array().unwrap().contains(&changed));
        }
        let absent = api.err("UpdateProcessMetadata", json!({"name": "nobody", "metadata": {"a": 1}})).await;
        assert_eq!((&*absent.code, &*absent.reason), ("NOT_FOUND", "NO_NAME"));
    });
}

#[test]
fn a_mask_says_which_keys_a_patch_changes() {
    both(|api| async move {
        let pid = api.start("counter", json!({})).await;
        let metadata = json!({"a": 1, "b": {"x": 1}, "c": 3});
        api.ok("RegisterProcessWithMetadata", json!({"process": pid, "name": "shop", "metadata": metadata}))
            .await;
        let update =
            |patch: Value, mask: &str| json!({"name": "shop", "metadata": patch, "updateMask": mask});
        let answer = api.ok("UpdateProcessMetadata", update(json!({"b": {"y": 2}, "c": 9}), "a,b")).await;
        assert_eq!(answer["registration"]["metadata"], json!({"b": {"y": 2}, "c": 3}));
        let answer = api.ok("UpdateProcessMetadata", update(json!({"d": 4}), "*")).await;
        assert_eq!(answer["registration"]["metadata"], json!({"d": 4}));
        let refused = api.err("UpdateProcessMetadata", update(json!({"d": 5}), "d.e")).await;
        assert_eq!((&*refused.code, &*refused.reason), ("INVALID_ARGUMENT", "BADARG"));
    });
}

// covers: search_registry_by_metadata/1
#[test]
fn a_search_finds_exactly_the_names_that_match() {
    both(|api| async move {
        for (name, scope, tier) in
            [("a", "LOCAL", "gold"), ("b", "LOCAL", "tin"), ("c", "GLOBAL", "gold"), ("d", "GLOBAL", "tin")]
        {
            let pid = api.start("counter", json!({})).await;
            let named = json!({"process": pid, "name": name, "scope": scope, "metadata": {"tier": tier}});
            api.ok("RegisterProcessWithMetadata", named).await;
        }
        let bare = api.start("counter", json!({})).await;
        register(&api, "e", &bare).await;
        let search = |filter: &str| {
            let (api, filter) = (api.clone(), filter.to_owned());
            async move {
                let found = api.ok("SearchRegistryByMetadata", json!({"filter": filter})).await;
                let names = found["registrations"].as_array().unwrap().iter();
                names.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<String>()
            }
        };
        assert_eq!(search("metadata.tier == 'gold'").await, "ac");
        assert_eq!(search("metadata.tier == 'gold' && scope == 'GLOBAL'").await, "c");
        assert_eq!(search(&format!("pid == '{bare}'")).await, "e");
        assert_eq!(search("metadata.tier == 'lead'").await, "");
        for filter in ["", "tier ==", "colour == 'red'"] {
            let bad = api.err("SearchRegistryByMetadata", json!({"filter": filter})).await;
            assert_eq!((&*bad.code, &*bad.reason), ("INVALID_ARGUMENT", "BAD_FILTER"), "{filter}");
        }
        let answer = api.ok("SearchRegistryByMetadata", json!({"filter": "name == 'a'"})).await;
        assert_eq!(answer["unreached"], json!([]));
    });
}

// covers: list_registry_contents/0
#[test]
fn the_dump_has_the_names_and_groups_of_one_log_index() {
    both(|api| async move {
        let (local, global) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        register(&api, "here", &local).await;
        let token = register_globally(&api, "everywhere", &global).await["token"].clone();
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [local, local, global]})).await;
        let dump = api.ok("ListRegistryContents", json!({"logIndex": token})).await;
        assert!(number(&dump["logIndex"]) >= number(&token));
        assert_eq!(dump["globalNames"][0]["name"], json!("everywhere"));
        let names = api.ok("RegisteredNames", json!({})).await["registrations"].clone();
        assert_eq!(dump["localNames"][0]["names"], names);
        let mut members = vec![local.clone(), local.clone(), global.clone()];
        members.sort_by_key(|pid| pid.rsplit('.').next().and_then(|serial| serial.parse::<u64>().ok()));
        assert_eq!(dump["groups"][0]["members"], json!(members));
        assert_eq!(dump["groups"][0]["group"]["memberCount"], json!(3));
        api.ok("UnregisterProcessGlobally", json!({"name": "everywhere"})).await;
        let after = api.ok("ListRegistryContents", json!({})).await;
        assert_eq!(after["globalNames"], json!([]));
        assert!(number(&after["logIndex"]) > number(&dump["logIndex"]));
    });
}

async fn groups(api: &Api) -> Vec<String> {
    let groups = api.ok("ListProcessGroups", json!({})).await["groups"].clone();
    groups.as_array().unwrap().iter().map(|group| group["group"].as_str().unwrap().to_owned()).collect()
}

// covers: create_process_group/2
#[test]
fn a_created_group_stays_when_it_is_empty_and_a_plain_one_does_not() {
    both(|api| async move {
        let pid = api.start("counter", json!({})).await;
        let create = json!({"group": "team", "metadata": {"colour": "red"}, "maxMembers": 1});
        let made = api.ok("CreateProcessGroup", create.clone()).await["group"].clone();
        assert_eq!((&made["created"], &made["metadata"]), (&json!(true), &json!({"colour": "red"})));
        let twice = api.err("CreateProcessGroup", create).await;
        assert_eq!((&*twice.code, &*twice.reason), ("ALREADY_EXISTS", "GROUP_EXISTS"));
        for group in ["team", "plain"] {
            api.ok("JoinProcessGroup", json!({"group": group, "processes": [pid]})).await;
        }
        let full = api.err("JoinProcessGroup", json!({"group": "team", "processes": [pid]})).await;
        assert_eq!((&*full.code, &*full.reason), ("RESOURCE_EXHAUSTED", "MAX_MEMBERS"));
        assert_eq!(groups(&api).await, ["plain", "team"]);
        for group in ["team", "plain"] {
            api.ok("LeaveProcessGroup", json!({"group": group, "processes": [pid]})).await;
        }
        assert_eq!(groups(&api).await, ["team"]);
        assert_eq!(
            api.ok("GetProcessGroup", json!({"group": "team"})).await["group"]["memberCount"],
            json!(0)
        );
        assert_eq!(api.err("GetProcessGroup", json!({"group": "plain"})).await.reason, "NO_GROUP");
        // the same name in another scope is another group
        api.ok("CreateProcessGroup", json!({"group": "team", "scope": "other"})).await;
    });
}

#[test]
fn a_group_is_not_created_with_a_bound_below_what_it_holds() {
    both(|api| async move {
        let pid = api.start("counter", json!({})).await;
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [pid, pid]})).await;
        let low = api.err("CreateProcessGroup", json!({"group": "team", "maxMembers": 1})).await;
        assert_eq!((&*low.code, &*low.reason), ("INVALID_ARGUMENT", "BADARG"));
        let made = api.ok("CreateProcessGroup", json!({"group": "team", "maxMembers": 2})).await;
        assert_eq!(made["group"]["memberCount"], json!(2), "the members of the plain one stay");
    });
}

// covers: join_process_group/2
#[test]
fn who_joins_twice_is_a_member_twice_until_it_dies() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        let joined = api.ok("JoinProcessGroup", json!({"group": "team", "processes": [a, b, a]})).await;
        assert_eq!(joined["pids"], json!([a, b, a]));
        assert_eq!(joined["group"]["memberCount"], json!(3));
        let members = api.ok("ListGroupMembers", json!({"group": "team", "filter": "count == 2"})).await;
        assert_eq!(members["pids"], json!([a, a]));
        let nobody = api.err("JoinProcessGroup", json!({"group": "team"})).await;
        assert_eq!((&*nobody.code, &*nobody.reason), ("INVALID_ARGUMENT", "NO_PROCESSES"));
        kill(&api, &a).await;
        let left = api
            .eventually(|| async {
                let members = api.ok("ListGroupMembers", json!({"group": "team"})).await;
                (members["pids"] == json!([b])).then_some(members)
            })
            .await;
        assert_eq!(left["members"][0]["count"], json!(1));
        let dead = api.err("JoinProcessGroup", json!({"group": "team", "processes": [b, a]})).await;
        assert_eq!((&*dead.code, &*dead.reason), ("NOT_FOUND", "NOPROC"));
        assert_eq!(
            api.ok("ListGroupMembers", json!({"group": "team"})).await["pids"],
            json!([b]),
            "none joined"
        );
    });
}

// covers: leave_process_group/2
#[test]
fn who_leaves_once_has_one_membership_less() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [a, a]})).await;
        let left = api.ok("LeaveProcessGroup", json!({"group": "team", "processes": [b, a]})).await;
        assert_eq!(left, json!({"pids": [a], "memberCount": 1}));
        let stranger = api.err("LeaveProcessGroup", json!({"group": "team", "processes": [b]})).await;
        assert_eq!((&*stranger.code, &*stranger.reason), ("NOT_FOUND", "NOT_JOINED"));
        assert_eq!(stranger.exit, Some(json!("not_joined")));
        api.ok("LeaveProcessGroup", json!({"group": "team", "processes": [a]})).await;
        let gone = api.err("LeaveProcessGroup", json!({"group": "team", "processes": [a]})).await;
        assert_eq!(gone.reason, "NOT_JOINED");
    });
}

// covers: list_process_groups/0
#[test]
fn groups_are_listed_with_their_members_per_node() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        assert_eq!(groups(&api).await, [] as [&str; 0]);
        api.ok("JoinProcessGroup", json!({"group": "small", "processes": [a]})).await;
        api.ok("JoinProcessGroup", json!({"group": "large", "processes": [a, b, b], "scope": "other"})).await;
        let listed = api.ok("ListProcessGroups", json!({"orderBy": "member_count desc"})).await;
        assert_eq!(listed["groups"][0]["group"], json!("large"));
        assert_eq!(listed["groups"][0]["nodeCounts"], json!([{"node": "n1", "count": 3}]));
        let scoped = api.ok("ListProcessGroups", json!({"scope": "pg"})).await;
        assert_eq!(scoped["groups"].as_array().unwrap().len(), 1);
        let large = api.ok("ListProcessGroups", json!({"filter": "member_count > 1"})).await;
        assert_eq!(large["groups"][0]["scope"], json!("other"));
        kill(&api, &b).await;
        api.eventually(|| async {
            let listed = api.ok("ListProcessGroups", json!({"scope": "other"})).await;
            (listed["groups"][0]["memberCount"] == json!(1)).then_some(())
        })
        .await;
    });
}

/// Who gets a broadcast by `policy`.
async fn chosen(api: &Api, policy: &str, key: &str) -> Vec<String> {
    let send = json!({"group": "team", "message": policy, "policy": policy, "key": key});
    let deliveries = api.ok("BroadcastToGroup", send).await["deliveries"].clone();
    let deliveries = deliveries.as_array().unwrap().clone();
    assert!(deliveries.iter().all(|delivery| delivery["delivered"] == json!(true)), "{deliveries:?}");
    deliveries.iter().map(|delivery| delivery["pid"].as_str().unwrap().to_owned()).collect()
}

// covers: broadcast_to_group/2
#[test]
fn each_policy_shows_in_who_receives() {
    both(|api| async move {
        let mut team = Vec::new();
        for _ in 0..3 {
            team.push(api.start("recorder", json!({})).await);
        }
        let joins: Vec<&String> = team.iter().chain(&team).collect();
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": joins})).await;
        let members: BTreeSet<String> = team.iter().cloned().collect();
        // once per process, however often it joined
        assert_eq!(chosen(&api, "ALL", "").await.into_iter().collect::<BTreeSet<_>>(), members);
        for pid in &team {
            assert_eq!(received(&api, pid).await, [json!("ALL")]);
        }
        let (mut turns, mut drawn, mut by_key) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for round in 0..60 {
            if round < 6 {
                turns.extend(chosen(&api, "ROUND_ROBIN", "").await);
            }
            drawn.extend(chosen(&api, "RANDOM", "").await);
            by_key.extend(chosen(&api, "HASH", &format!("key{round}")).await);
            assert!(members.contains(&chosen(&api, "NEAREST", "").await[0]));
        }
        assert_eq!(turns[..3].iter().cloned().collect::<BTreeSet<_>>(), members, "each in its turn");
        assert_eq!(turns[..3], turns[3..]);
        assert_eq!((&drawn, &by_key), (&members, &members));
        assert_eq!(chosen(&api, "HASH", "key").await, chosen(&api, "HASH", "key").await);
        let got = received(&api, &turns[0]).await;
        assert_eq!(got.iter().filter(|message| **message == json!("ROUND_ROBIN")).count(), 2);
    });
}

#[test]
fn the_least_queued_member_is_chosen_and_a_full_one_is_listed_undelivered() {
    both(|api| async move {
        let limited = json!({"module": "recorder", "limits": {"mailboxMessagesMax": "1"}});
        let full = api.ok("StartProcess", limited).await["pid"].as_str().unwrap().to_owned();
        let free = api.start("recorder", json!({})).await;
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [full, free]})).await;
        api.ok("PauseProcessScheduling", json!({"process": full, "holder": "test"})).await;
        api.ok("SendMessage", json!({"process": full, "message": "first"})).await;
        assert_eq!(chosen(&api, "LEAST_QUEUED", "").await, std::slice::from_ref(&free));
        let send = json!({"group": "team", "message": "second"});
        let deliveries = api.ok("BroadcastToGroup", send).await["deliveries"].clone();
        let of = |pid: &str| {
            let mut found =
                deliveries.as_array().unwrap().iter().filter(|delivery| delivery["pid"] == json!(pid));
            found.next().cloned().unwrap()
        };
        assert_eq!((&of(&full)["delivered"], &of(&full)["reason"]), (&json!(false), &json!("QUEUE_FULL")));
        assert_eq!((&of(&free)["delivered"], &of(&free)["reason"]), (&json!(true), &json!("")));
    });
}

#[test]
fn a_broadcast_to_nobody_by_no_key_or_of_too_much_fails() {
    both(|api| async move {
        let absent = api.err("BroadcastToGroup", json!({"group": "team", "message": 1})).await;
        assert_eq!((&*absent.code, &*absent.reason), ("NOT_FOUND", "NO_GROUP"));
        api.ok("CreateProcessGroup", json!({"group": "team"})).await;
        let empty = api.err("BroadcastToGroup", json!({"group": "team", "message": 1})).await;
        assert_eq!((&*empty.code, &*empty.reason), ("FAILED_PRECONDITION", "NO_MEMBERS"));
        let keyless =
            api.err("BroadcastToGroup", json!({"group": "team", "message": 1, "policy": "HASH"})).await;
        assert_eq!((&*keyless.code, &*keyless.reason), ("INVALID_ARGUMENT", "BADARG"));
        let member = api.start("recorder", json!({})).await;
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [member]})).await;
        let large =
            api.err("BroadcastToGroup", json!({"group": "team", "message": "x".repeat(3 << 20)})).await;
        assert_eq!((&*large.code, &*large.reason), ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE"));
        assert_eq!(received(&api, &member).await, [] as [Value; 0]);
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

#[test]
fn a_group_is_deleted_as_it_was_read_and_its_members_live_on() {
    both(|api| async move {
        let pid = api.start("counter", json!({})).await;
        let etag = api.ok("CreateProcessGroup", json!({"group": "team"})).await["group"]["etag"].clone();
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [pid, pid]})).await;
        let stale = api.err("DeleteProcessGroup", json!({"group": "team", "etag": "0"})).await;
        assert_eq!((&*stale.code, &*stale.reason), ("ABORTED", "ETAG_MISMATCH"));
        let other = api.err("DeleteProcessGroup", json!({"group": "team", "expectedCount": 1})).await;
        assert_eq!((&*other.code, &*other.reason), ("ABORTED", "COUNT_MISMATCH"));
        let dry = api.ok("DeleteProcessGroup", json!({"group": "team", "dryRun": true})).await;
        assert_eq!(dry, json!({"members": [pid, pid], "logIndex": "0"}));
        let delete = json!({"group": "team", "etag": etag, "expectedCount": 2});
        assert_eq!(api.ok("DeleteProcessGroup", delete.clone()).await["members"], json!([pid, pid]));
        assert_eq!(api.err("DeleteProcessGroup", delete).await.reason, "NO_GROUP");
        api.ok("CallProcess", json!({"process": pid, "message": "get"})).await;
    });
}

#[test]
fn a_group_s_watcher_hears_of_joins_and_leaves_from_then_on() {
    both(|api| async move {
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        let watcher = api.start("recorder", json!({})).await;
        api.ok("JoinProcessGroup", json!({"group": "team", "scope": "blue", "processes": [a]})).await;
        let watch = json!({"group": "team", "scope": "blue", "watcher": watcher});
        let begun = api.ok("MonitorGroup", watch).await;
        assert_eq!(begun["members"], json!([a]));
        api.ok("JoinProcessGroup", json!({"group": "team", "scope": "blue", "processes": [b]})).await;
        // a group of the same name in another scope is none of its business
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [b]})).await;
        kill(&api, &a).await;
        let heard = api
            .eventually(|| async {
                let heard = received(&api, &watcher).await;
                (heard.len() == 2).then_some(heard)
            })
            .await;
        assert_eq!(heard[0], json!([begun["monitor"], "join", "team", {"list": [b]}]));
        assert_eq!(heard[1], json!([begun["monitor"], "leave", "team", {"list": [a]}]));
        let nobody = api.err("MonitorGroup", json!({"group": "team"})).await;
        assert_eq!((&*nobody.code, &*nobody.reason), ("INVALID_ARGUMENT", "NO_WATCHER"));
        let dead = api.err("MonitorGroup", json!({"group": "team", "watcher": a})).await;
        assert_eq!((&*dead.code, &*dead.reason), ("NOT_FOUND", "NOPROC"));
        assert_eq!(texts(&begun["members"]).len(), 1);
    });
}
