//! What is kept with a name, and searches and dumps of the registry.

use super::{kill, number, register, register_globally};
use arsenal_tests::both;
use serde_json::{Value, json};

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
