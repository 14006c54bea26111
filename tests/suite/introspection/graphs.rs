//! What ties processes, and what hangs on whom.

use super::{call, kill, texts};
use arsenal_tests::{Api, both};
use serde_json::{Value, json};

fn edges<'a>(graph: &'a Value, kind: &str) -> Vec<&'a Value> {
    graph["edges"].as_array().into_iter().flatten().filter(|edge| edge["kind"] == kind).collect()
}

async fn link(api: &Api, from: &str, to: &str) {
    api.ok("LinkProcesses", json!({"process": to, "from": from})).await;
    api.eventually(|| async {
        let links = api.ok("GetProcessLinks", json!({"process": to})).await;
        texts(&links["links"]).contains(&from.to_owned()).then_some(())
    })
    .await;
}

// covers: get_process_dependencies/1
#[test]
fn two_that_only_exchange_calls_are_connected_with_the_count() {
    both(|api| async move {
        let (client, server) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        let stranger = api.start("counter", json!({})).await;
        for _ in 0..3 {
            call(&api, &client, json!(["call", server, "incr", 5000])).await;
        }
        let graph = |pid: String| {
            let api = api.clone();
            async move { api.ok("GetProcessDependencies", json!({"process": pid})).await["graph"].clone() }
        };
        let seen = graph(client.clone()).await;
        let asked = edges(&seen, "TRAFFIC").into_iter().find(|edge| edge["from"] == json!(client)).unwrap();
        assert_eq!(
            (&asked["to"], &asked["count"], &asked["calls"]),
            (&json!(server), &json!("3"), &json!("3"))
        );
        assert!(asked["lastSeen"].is_string());
        let answered =
            edges(&seen, "TRAFFIC").into_iter().find(|edge| edge["from"] == json!(server)).unwrap();
        assert_eq!((super::wide(&answered["count"]), super::wide(&answered["calls"])), (3, 0));
        let alone = graph(stranger.clone()).await;
        assert_eq!((alone["nodes"].as_array().unwrap().len(), edges(&alone, "TRAFFIC").len()), (1, 0));
        api.ok("MonitorProcess", json!({"process": client, "watcher": stranger})).await;
        link(&api, &stranger, &server).await;
        let tied = graph(stranger.clone()).await;
        let monitor = edges(&tied, "MONITOR")[0];
        assert_eq!((&monitor["from"], &monitor["to"]), (&json!(stranger), &json!(client)));
        assert_eq!((edges(&tied, "LINK").len(), tied["nodes"].as_array().unwrap().len()), (1, 3));
    });
}

// covers: analyze_process_relationships/0
#[test]
fn a_hub_is_named_with_exactly_those_that_die_with_it() {
    both(|api| async move {
        let hub = api.start("counter", json!({})).await;
        let bystander = api.start("counter", json!({})).await;
        let trapping = api.start("recorder", json!({})).await;
        let mut spokes = Vec::new();
        for _ in 0..4 {
            let spoke = api.start("plain", json!({})).await;
            link(&api, &hub, &spoke).await;
            spokes.push(spoke);
        }
        link(&api, &hub, &trapping).await;
        spokes.sort();
        let analyse = |filter: &'static str| {
            let api = api.clone();
            async move {
                api.ok("AnalyzeProcessRelationships", json!({"filter": filter, "includeGraph": true})).await
            }
        };
        let found = analyse("").await;
        let worst =
            found["hubs"].as_array().unwrap().iter().find(|found| found["pid"] == json!(hub)).unwrap();
        assert_eq!(
            (&worst["articulationPoint"], &worst["degree"], &worst["blastRadius"]),
            (&json!(true), &json!(5), &json!(4))
        );
        let mut taken = texts(&worst["blastPids"]);
        taken.sort();
        assert_eq!(taken, spokes);
        assert_eq!((&found["state"], &found["componentCount"]), (&json!("SUFFICIENT"), &json!(1)));
        assert_eq!(edges(&found["graph"], "LINK").len(), 5);
        assert!(found["hubs"].as_array().unwrap().iter().all(|hub| hub["pid"] != json!(bystander)));
        let nothing = analyse("module == 'nobody'").await;
        assert_eq!(
            (&nothing["state"], nothing["hubs"].as_array().map_or(0, Vec::len)),
            (&json!("INSUFFICIENT_DATA"), 0)
        );
        kill(&api, &hub).await;
        for spoke in &spokes {
            api.eventually(|| async {
                api.call("GetProcessTrapExit", json!({"process": spoke})).await.err()
            })
            .await;
        }
        for survivor in [&trapping, &bystander] {
            api.ok("GetProcessTrapExit", json!({"process": survivor})).await;
        }
    });
}

// covers: find_process_cycles/0
#[test]
fn two_servers_that_call_each_other_are_a_deadlock_while_it_lasts() {
    both(|api| async move {
        let cycles = || async {
            let found = api.ok("FindProcessCycles", json!({})).await["cycles"].clone();
            found.as_array().cloned().unwrap_or_default()
        };
        let (a, b) = (api.start("counter", json!({})).await, api.start("counter", json!({})).await);
        let mut ring = [a.clone(), b.clone()];
        ring.sort();
        assert!(cycles().await.is_empty());
        let crossing = json!(["call", b, ["call", a, "get", 60_000], 60_000]);
        let request = json!({"process": a, "message": crossing, "timeout": "60s"});
        let caller = api.clone();
        let waiting = tokio::spawn(async move { caller.call("CallProcess", request).await });
        let locked = api
            .eventually(|| async { cycles().await.into_iter().find(|cycle| cycle["deadlock"] == true) })
            .await;
        assert_eq!((texts(&locked["pids"]), &locked["kind"]), (ring.to_vec(), &json!("CALLS")));
        assert!(locked["since"].is_string());
        let [c, d, e] = [(); 3].map(|()| api.start("plain", json!({})));
        let mut linked = [c.await, d.await, e.await];
        link(&api, &linked[0], &linked[1]).await;
        link(&api, &linked[1], &linked[2]).await;
        assert!(cycles().await.iter().all(|cycle| cycle["kind"] != "LINKS"), "a line is no ring");
        link(&api, &linked[2], &linked[0]).await;
        let links = cycles().await.into_iter().find(|cycle| cycle["kind"] == "LINKS").unwrap();
        linked.sort();
        assert_eq!(texts(&links["pids"]), linked);
        assert_ne!(links["deadlock"], true);
        kill(&api, &a).await;
        api.eventually(|| async {
            cycles().await.iter().all(|cycle| cycle["deadlock"] != true).then_some(())
        })
        .await;
        let ended = waiting.await.expect("the call ends").expect_err("its process died");
        assert_eq!(ended.code, "ABORTED");
    });
}
