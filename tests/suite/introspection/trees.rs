//! Trees, and the lines up and down from a process.

use super::{kill, kill_for_good, listed, session, start_linked, text, texts};
use crate::routing::among;
use arsenal_tests::{Api, both};
use serde_json::{Value, json};

/// A supervisor with a worker and a nested supervisor that has one too: pids of root, worker, nested, inner.
async fn plant(api: &Api) -> [String; 4] {
    let nested = json!({"children": [{"id": "inner", "module": "counter"}], "intensity": 100});
    let children = json!([{"id": "worker", "module": "counter"}, {"id": "nested", "supervisor": nested}]);
    let started =
        api.ok("StartSupervisor", json!({"children": children, "intensity": 100, "name": "root"})).await;
    let root = text(&started["pid"]);
    let worker = child(api, &root, "worker").await;
    let nested = child(api, &root, "nested").await;
    let inner = child(api, &nested, "inner").await;
    [root, worker, nested, inner]
}

async fn children(api: &Api, supervisor: &str) -> Vec<Value> {
    let children = api.ok("WhichChildren", json!({"supervisor": supervisor})).await["children"].clone();
    children.as_array().cloned().unwrap_or_default()
}

async fn child(api: &Api, supervisor: &str, id: &str) -> String {
    let children = children(api, supervisor).await;
    let child = children.iter().find(|child| child["id"] == id).unwrap_or_else(|| panic!("no child {id}"));
    text(&child["pid"])
}

/// Kills a child and waits for its next life.
async fn restart(api: &Api, supervisor: &str, id: &str, pid: &str) -> String {
    kill(api, pid).await;
    api.eventually(|| async {
        let children = children(api, supervisor).await;
        let child = children.into_iter().find(|child| child["id"] == id)?;
        child["pid"].as_str().filter(|now| !now.is_empty() && *now != pid).map(str::to_owned)
    })
    .await
}

fn below<'a>(tree: &'a Value, found: &mut Vec<&'a str>) {
    found.extend(tree["pid"].as_str().filter(|pid| !pid.is_empty()));
    for child in tree["children"].as_array().into_iter().flatten() {
        below(child, found);
    }
}

fn find<'a>(tree: &'a Value, pid: &str) -> Option<&'a Value> {
    if tree["pid"] == pid {
        return Some(tree);
    }
    tree["children"].as_array()?.iter().find_map(|child| find(child, pid))
}

// covers: build_process_tree/0
#[test]
fn every_live_process_is_in_the_tree_exactly_once_below_its_starter() {
    both(|api| async move {
        let [root, worker, nested, inner] = plant(&api).await;
        let bare = api.start("counter", json!({})).await;
        let tree = api.ok("BuildProcessTree", json!({"includeSpecs": true})).await;
        let roots = tree["roots"].as_array().unwrap();
        let mut found = Vec::new();
        roots.iter().for_each(|root| below(root, &mut found));
        found.sort_unstable();
        let mut all = listed(&api, "ListAllProcesses", json!({})).await;
        all.sort_unstable();
        assert_eq!(found, all);
        assert!(roots.iter().any(|node| node["pid"] == json!(bare)));
        let planted = roots.iter().find(|node| node["pid"] == json!(root)).unwrap();
        assert_eq!(planted["name"], "root");
        let order: Vec<&Value> =
            planted["children"].as_array().unwrap().iter().map(|child| &child["pid"]).collect();
        assert_eq!(order, [&json!(worker), &json!(nested)]);
        let leaf = find(planted, &inner).unwrap();
        assert_eq!((&leaf["id"], &leaf["spec"]["module"]), (&json!("inner"), &json!("counter")));
        let cut = api.ok("BuildProcessTree", json!({"depthMax": 1})).await;
        let cut =
            cut["roots"].as_array().unwrap().iter().find(|node| node["pid"] == json!(root)).cloned().unwrap();
        assert_eq!(
            (cut["childrenCut"].as_u64(), cut["children"].as_array().map_or(0, Vec::len)),
            (Some(2), 0)
        );
        kill_for_good(&api, &bare).await;
        let after = api.ok("BuildProcessTree", json!({})).await;
        assert!(after["roots"].as_array().unwrap().iter().all(|node| node["pid"] != json!(bare)));
    });
}

// covers: build_supervision_tree/1
#[test]
fn a_supervision_tree_equals_the_children_at_every_level_and_shows_a_restart() {
    both(|api| async move {
        let [root, worker, nested, inner] = plant(&api).await;
        let build = || async { api.ok("BuildSupervisionTree", json!({"supervisor": root})).await };
        let tree = build().await;
        assert_eq!(tree["count"], 4);
        for supervisor in [&root, &nested] {
            let node = find(&tree["tree"], supervisor).unwrap();
            // OTP lists the latest first, the tree is in start order
            let mut expected: Vec<Value> = children(&api, supervisor).await;
            expected.reverse();
            let seen = node["children"].as_array().unwrap();
            let of = |nodes: &[Value]| {
                nodes.iter().map(|c| (c["id"].clone(), c["pid"].clone())).collect::<Vec<_>>()
            };
            assert_eq!(of(seen), of(&expected));
        }
        assert_eq!(find(&tree["tree"], &inner).unwrap()["spec"]["restart"], "PERMANENT");
        let again = restart(&api, &root, "worker", &worker).await;
        let after = build().await;
        assert!(find(&after["tree"], &again).is_some() && find(&after["tree"], &worker).is_none());
        let shallow = api.ok("BuildSupervisionTree", json!({"supervisor": root, "depthMax": 2})).await;
        assert!(find(&shallow["tree"], &nested).is_some() && find(&shallow["tree"], &inner).is_none());
        let worker = api.err("BuildSupervisionTree", json!({"supervisor": again})).await;
        assert_eq!((&*worker.code, &*worker.reason), ("FAILED_PRECONDITION", "NOT_A_SUPERVISOR"));
    });
}

// covers: build_supervision_tree/1
#[test]
fn a_supervision_tree_is_the_same_from_every_node_and_has_a_child_that_moved_to_another() {
    among(2, |cluster, transport| async move {
        let (first, second) = (cluster.api(1, transport).await, cluster.api(2, transport).await);
        let [root, worker, nested, _] = plant(&first).await;
        let moved = first.ok("MigrateProcessToNode", json!({"process": worker, "node": "n2"})).await;
        let there = text(&moved["pid"]);
        assert!(there.starts_with("n2."), "{moved}");
        for reference in [&*root, "root@n1"] {
            let request = json!({"supervisor": reference});
            let tree = second.ok("BuildSupervisionTree", request.clone()).await;
            assert_eq!(tree, first.ok("BuildSupervisionTree", request).await);
            for supervisor in [&root, &nested] {
                let seen = find(&tree["tree"], supervisor).unwrap()["children"].as_array().unwrap().clone();
                let mut expected = children(&second, supervisor).await;
                expected.reverse();
                let ids = |rows: &[Value]| {
                    rows.iter().map(|c| (c["id"].clone(), c["pid"].clone())).collect::<Vec<_>>()
                };
                assert_eq!(ids(&seen), ids(&expected));
            }
            assert_eq!(find(&tree["tree"], &worker).unwrap()["spec"]["module"], "counter");
        }
        // its end on the other node is its end in the tree
        kill(&second, &there).await;
        let again = first.eventually(|| async {
            let tree = first.ok("BuildSupervisionTree", json!({"supervisor": root})).await;
            let child = tree["tree"]["children"].as_array()?.iter().find(|child| child["id"] == "worker")?;
            child["pid"].as_str().filter(|pid| !pid.is_empty() && *pid != worker).map(str::to_owned)
        });
        let again = again.await;
        let seen = second.ok("BuildSupervisionTree", json!({"supervisor": "root@n1"})).await;
        assert!(find(&seen["tree"], &again).is_some() && find(&seen["tree"], &worker).is_none());
    });
}

// covers: find_process_ancestors/1
#[test]
fn ancestors_come_nearest_first_and_a_dead_one_is_marked() {
    both(|api| async move {
        let ancestors = |pid: String| {
            let api = api.clone();
            async move {
                let found =
                    api.ok("FindProcessAncestors", json!({"process": pid})).await["ancestors"].clone();
                found.as_array().cloned().unwrap_or_default()
            }
        };
        let [root, _, nested, inner] = plant(&api).await;
        let line = ancestors(inner).await;
        let seen: Vec<_> =
            line.iter().map(|a| (&a["pid"], &a["relation"], &a["alive"], &a["depth"])).collect();
        let (one, two) = (json!(1), json!(2));
        let (supervisor, yes) = (json!("SUPERVISOR"), json!(true));
        assert_eq!(
            seen,
            [(&json!(nested), &supervisor, &yes, &one), (&json!(root), &supervisor, &yes, &two)]
        );
        let (mine, me) = session(&api).await;
        let bare =
            mine.ok("SpawnLinkProcess", json!({"module": "busy", "function": "spin"})).await["pid"].clone();
        let bare = bare.as_str().unwrap().to_owned();
        api.ok("SetTrapExit", json!({"process": bare, "trapExit": true})).await;
        let line = ancestors(bare.clone()).await;
        assert_eq!((line.len(), &line[0]["pid"], &line[0]["relation"]), (1, &json!(me), &json!("STARTER")));
        kill_for_good(&api, &me).await;
        let line = ancestors(bare).await;
        assert_eq!((&line[0]["pid"], line[0]["alive"].as_bool().unwrap_or(false)), (&json!(me), false));
        assert!(ancestors(api.start("counter", json!({})).await).await.is_empty());
    });
}

// covers: find_process_descendants/1
#[test]
fn descendants_come_once_each_with_their_depth_and_a_new_life_takes_the_place_of_the_old() {
    both(|api| async move {
        let [root, worker, nested, inner] = plant(&api).await;
        let descendants = |depth_max: u32| {
            let (api, root) = (api.clone(), root.clone());
            async move {
                let request = json!({"process": root, "depthMax": depth_max});
                let found = api.ok("FindProcessDescendants", request).await["descendants"].clone();
                let row = |row: &Value| {
                    (
                        row["pid"].as_str().unwrap().to_owned(),
                        row["depth"].as_u64().unwrap(),
                        row["relation"].clone(),
                    )
                };
                found.as_array().into_iter().flatten().map(row).collect::<Vec<_>>()
            }
        };
        let row = |pid: &str, depth| (pid.to_owned(), depth, json!("SUPERVISED"));
        assert_eq!(descendants(0).await, [row(&worker, 1), row(&nested, 1), row(&inner, 2)]);
        assert_eq!(descendants(1).await, [row(&worker, 1), row(&nested, 1)]);
        let again = restart(&api, &nested, "inner", &inner).await;
        assert_eq!(descendants(0).await, [row(&worker, 1), row(&nested, 1), row(&again, 2)]);
        let (mine, me) = session(&api).await;
        let started = start_linked(&mine).await;
        let found = api.ok("FindProcessDescendants", json!({"process": me})).await["descendants"].clone();
        assert_eq!((&found[0]["pid"], &found[0]["relation"]), (&json!(started), &json!("STARTED")));
        assert!(
            texts(&api.ok("FindProcessDescendants", json!({"process": started})).await["descendants"])
                .is_empty()
        );
    });
}
