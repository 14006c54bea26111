//! What RegistryService promises of several nodes.

use super::{among, counter_on_2};
use arsenal_tests::Api;
use serde_json::{Value, json};

async fn local(api: &Api, node: &str, name: &str) -> String {
    let started = api.ok("StartProcess", json!({"node": node, "module": "counter", "args": {}})).await;
    let pid = started["pid"].as_str().unwrap().to_owned();
    let register = json!({"process": pid, "name": name, "metadata": {"tier": "gold"}});
    api.ok("RegisterProcessWithMetadata", register).await;
    pid
}

fn names(answer: &Value) -> Vec<String> {
    let rows = answer["registrations"].as_array().unwrap().iter();
    rows.map(|row| {
        format!(
            "{} {} {}",
            row["name"].as_str().unwrap(),
            row["scope"].as_str().unwrap(),
            row["node"].as_str().unwrap()
        )
    })
    .collect()
}

// covers: whereis_process/1, registered_names/0
#[test]
fn the_same_local_name_on_two_nodes_is_two_processes() {
    among(2, |cluster, transport| async move {
        let api = cluster.api(1, transport).await;
        let (here, there) = (local(&api, "n1", "worker").await, local(&api, "n2", "worker").await);
        for (node, pid) in [("n1", &here), ("n2", &there), ("", &here)] {
            let found = api.ok("WhereisProcess", json!({"node": node, "name": "worker"})).await;
            assert_eq!(&found["pid"], pid);
        }
        local(&api, "n2", "other").await;
        let listed = api.ok("RegisteredNames", json!({})).await;
        assert_eq!(listed["names"], json!(["worker"]), "another node's names are not among them");
        let all = api.ok("RegisteredNames", json!({"node": "-", "orderBy": "name, node"})).await;
        assert_eq!(all["names"], json!(["other", "worker", "worker"]));
        api.ok("UnregisterProcess", json!({"node": "n2", "name": "worker"})).await;
        let gone = api.err("WhereisProcess", json!({"node": "n2", "name": "worker"})).await;
        assert_eq!(gone.code, "NOT_FOUND");
        api.ok("WhereisProcess", json!({"node": "n1", "name": "worker"})).await;
    });
}

// covers: register_process_globally/2
#[test]
fn of_two_nodes_that_race_for_a_global_name_one_wins_on_every_node() {
    among(3, |cluster, transport| async move {
        let mut outcomes = Vec::new();
        let mut racing = Vec::new();
        for id in 1..=3 {
            let api = cluster.api(id, transport).await;
            let pid = api.start("counter", json!({})).await;
            racing.push(async move {
                let request = json!({"process": pid, "name": "leader"});
                api.call("RegisterProcessGlobally", request)
                    .await
                    .map(|_| pid)
                    .map_err(|failure| failure.reason)
            });
        }
        outcomes.extend(futures_util::future::join_all(racing).await);
        let winners: Vec<&String> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        assert!(
            outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(|reason| reason == "NAME_TAKEN")
        );
        for id in 1..=3 {
            let found =
                cluster.api(id, transport).await.ok("GlobalWhereisName", json!({"name": "leader"})).await;
            assert_eq!(found["pid"], json!(winners[0]));
        }
    });
}

#[test]
fn a_process_is_named_globally_and_grouped_from_another_node_and_loses_both_when_it_ends() {
    among(2, |cluster, transport| async move {
        let api = cluster.api(1, transport).await;
        let pid = counter_on_2(&api).await;
        api.ok("RegisterProcessGlobally", json!({"process": pid, "name": "leader"})).await;
        api.ok("JoinProcessGroup", json!({"group": "g", "processes": [pid, pid]})).await;
        let info = api.ok("GetProcessInfo", json!({"process": pid})).await;
        assert_eq!(info["process"]["globalNames"], json!(["leader"]), "{info}");
        let members = api.ok("ListGroupMembers", json!({"group": "g", "node": "n2"})).await;
        assert_eq!(members["pids"], json!([pid, pid]));
        let none = api.ok("ListGroupMembers", json!({"group": "g", "node": "n1"})).await;
        assert_eq!(none["pids"], json!([]));
        api.ok("KillProcess", json!({"process": pid})).await;
        api.eventually(|| async { api.call("GlobalWhereisName", json!({"name": "leader"})).await.err() })
            .await;
        api.eventually(|| async { api.call("ListGroupMembers", json!({"group": "g"})).await.err() }).await;
    });
}

// covers: search_registry_by_metadata/1
#[test]
fn a_search_finds_local_names_of_all_nodes_and_each_global_one_once_and_names_who_was_not_asked() {
    among(3, |cluster, transport| async move {
        let api = cluster.api(2, transport).await;
        for node in ["n3", "n1", "n2"] {
            local(&api, node, "worker").await;
        }
        let pid = counter_on_2(&api).await;
        let global = json!({"process": pid, "name": "boss", "scope": "GLOBAL", "metadata": {"tier": "gold"}});
        api.ok("RegisterProcessWithMetadata", global).await;
        let search = |size: u32, token: &str| json!({"filter": "metadata.tier == 'gold'", "pageSize": size, "pageToken": token});
        let all = api.ok("SearchRegistryByMetadata", search(10, "")).await;
        let expected = ["boss GLOBAL n2", "worker LOCAL n1", "worker LOCAL n2", "worker LOCAL n3"];
        assert_eq!(names(&all), expected);
        let (mut paged, mut token) = (Vec::new(), String::new());
        loop {
            let page = api.ok("SearchRegistryByMetadata", search(1, &token)).await;
            paged.extend(names(&page));
            token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(paged, expected);
        let one = json!({"filter": "metadata.tier == 'gold'", "node": "n3"});
        let one = api.ok("SearchRegistryByMetadata", one).await;
        assert_eq!(names(&one), ["boss GLOBAL n2", "worker LOCAL n3"]);
        cluster.mark_down(1);
        let partial = api.ok("SearchRegistryByMetadata", search(10, "")).await;
        assert_eq!(partial["unreached"], json!(["n1"]));
        assert_eq!(names(&partial).len(), 3);
    });
}

// covers: list_registry_contents/0
#[test]
fn the_global_part_of_the_contents_is_equal_from_three_nodes_and_the_local_part_is_each_nodes_own() {
    among(3, |cluster, transport| async move {
        let api = cluster.api(1, transport).await;
        for node in ["n1", "n2", "n3"] {
            local(&api, node, &format!("on-{node}")).await;
        }
        let pid = counter_on_2(&api).await;
        api.ok("RegisterProcessGlobally", json!({"process": pid, "name": "boss"})).await;
        api.ok("JoinProcessGroup", json!({"group": "g", "processes": [pid]})).await;
        let mut seen = Vec::new();
        for id in 1..=3 {
            let contents = cluster.api(id, transport).await.ok("ListRegistryContents", json!({})).await;
            seen.push(json!([contents["globalNames"], contents["groups"], contents["logIndex"]]));
            let locals = contents["localNames"].as_array().unwrap();
            assert_eq!(locals.len(), 3, "{contents}");
            for part in locals {
                let node = part["node"].as_str().unwrap();
                let own = api.ok("RegisteredNames", json!({"node": node})).await;
                assert_eq!(part["names"], own["registrations"]);
            }
        }
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    });
}
