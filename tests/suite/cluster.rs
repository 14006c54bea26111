//! `ClusterService` on a node that is alone, and what of it takes real connections; the rest of what takes several nodes is
//! tested beside the service itself.

mod moving;

use crate::routing::among;
use arsenal_tests::{Api, Pair, SandboxConfig, both, both_with};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn nodes(answer: &Value) -> Vec<&str> {
    answer["nodes"].as_array().unwrap().iter().map(|node| node["node"].as_str().unwrap()).collect()
}

async fn start(api: &Api, request: Value) -> String {
    api.ok("StartProcess", request).await["pid"].as_str().unwrap().to_owned()
}

// covers: list_connected_nodes/0
#[test]
fn a_node_that_is_alone_lists_itself_as_the_only_voter_with_its_load() {
    both(|api| async move {
        let before = api.ok("ListConnectedNodes", json!({})).await;
        assert_eq!(nodes(&before), ["n1"]);
        let node = &before["nodes"][0];
        assert_eq!(
            (&node["role"], &node["state"], &node["incarnation"]),
            (&json!("VOTER"), &json!("UP"), &json!("1"))
        );
        assert_eq!(node["version"], api.ok("GetSystemInfo", json!({})).await["version"]);
        assert_eq!((&before["unreached"], &before["index"]), (&json!([]), &json!("0")));
        api.start("counter", json!({})).await;
        let after = api.ok("ListConnectedNodes", json!({})).await;
        let processes = |list: &Value| list["nodes"][0]["load"]["processes"].as_u64().unwrap();
        assert_eq!(processes(&after), processes(&before) + 1);
    });
}

// covers: list_connected_nodes/0
#[test]
fn a_filter_of_nodes_keeps_what_it_says_and_a_wrong_one_is_refused() {
    both(|api| async move {
        let list = |filter: &'static str| {
            let api = api.clone();
            async move { api.call("ListConnectedNodes", json!({"filter": filter})).await }
        };
        assert_eq!(nodes(&list("state == 'UP' && node == 'n1'").await.unwrap()), ["n1"]);
        assert!(nodes(&list("state == 'DOWN'").await.unwrap()).is_empty());
        assert_eq!(list("load > 1").await.unwrap_err().reason, "BAD_FILTER");
        let order = api.err("ListConnectedNodes", json!({"orderBy": "load"})).await;
        assert_eq!((&*order.code, &*order.reason), ("INVALID_ARGUMENT", "BADARG"));
    });
}

#[test]
fn a_node_is_got_by_its_name_and_no_other() {
    both(|api| async move {
        let node = api.ok("GetNode", json!({"node": "n1"})).await;
        assert_eq!(node["address"], api.ok("ListConnectedNodes", json!({})).await["nodes"][0]["address"]);
        for name in ["n2", "n0", "orders"] {
            let unknown = api.err("GetNode", json!({"node": name})).await;
            assert_eq!((&*unknown.code, &*unknown.reason), ("NOT_FOUND", "UNKNOWN_NODE"), "{name}");
        }
        let cluster = api.ok("GetCluster", json!({})).await;
        assert_eq!((&cluster["voters"], &cluster["quorum"]), (&json!(["n1"]), &json!(1)));
        assert_eq!((&cluster["members"], &cluster["inSession"]), (&json!([]), &json!(true)));
    });
}

#[test]
fn a_header_that_names_a_node_that_is_not_there_is_refused_by_a_node_that_is_alone() {
    both_with(|sandbox, api| async move {
        let before = sandbox.node().process_count();
        let requests = [
            ("StartProcess", json!({"module": "counter"})),
            ("ListAllProcesses", json!({})),
            ("GetCluster", json!({})),
        ];
        for name in ["n9", "n01", "here", ""] {
            for (rpc, request) in &requests {
                let refused = api.with_header("arsenal-node", name).err(rpc, request.clone()).await;
                assert_eq!(
                    (&*refused.code, &*refused.reason),
                    ("NOT_FOUND", "UNKNOWN_NODE"),
                    "{rpc} on `{name}`"
                );
                assert!(refused.message.contains(&format!("`{name}`")), "{}", refused.message);
            }
        }
        assert_eq!(sandbox.node().process_count(), before);
        let own = api.with_header("arsenal-node", "n1");
        for (rpc, request) in requests {
            own.ok(rpc, request).await;
        }
    });
}

// covers: ping_node/1
#[test]
fn a_node_that_is_there_answers_pong_and_an_unknown_one_pang() {
    both(|api| async move {
        let pong = api.ok("PingNode", json!({"node": "n1"})).await;
        assert_eq!(
            (&pong["result"], &pong["reason"], &pong["from"]),
            (&json!("PONG"), &json!(""), &json!("n1"))
        );
        assert!(pong["roundTrip"].is_string(), "{pong}");
        let pang = api.ok("PingNode", json!({"node": "n9"})).await;
        assert_eq!((&pang["result"], &pang["reason"]), (&json!("PANG"), &json!("UNKNOWN_NODE")));
        assert!(pang.get("roundTrip").is_none_or(Value::is_null), "{pang}");
        assert_eq!(api.err("PingNode", json!({"node": "orders"})).await.reason, "BADARG");
    });
}

/// Where a connection to `to` takes this much longer each way back.
async fn delayed(to: SocketAddr, delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let Ok(mut far) = TcpStream::connect(to).await else { return };
            tokio::spawn(async move {
                let ((mut reads, mut writes), (mut answers, mut asks)) = (near.split(), far.split());
                let there = tokio::io::copy(&mut reads, &mut asks);
                let back = async {
                    let mut bytes = vec![0; 64 << 10];
                    while let Ok(count @ 1..) = answers.read(&mut bytes).await {
                        tokio::time::sleep(delay).await;
                        writes.write_all(&bytes[..count]).await?;
                    }
                    std::io::Result::Ok(())
                };
                // a test that has ended wants neither
                let _ = tokio::join!(there, back);
            });
        }
    });
    address
}

// covers: ping_node/1
#[test]
fn a_delay_on_the_way_raises_the_time_that_a_ping_tells() {
    const DELAY: Duration = Duration::from_millis(300);
    among(2, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        cluster.move_to(2, delayed(cluster.node(2).grpc(), DELAY).await);
        let pong = first.ok("PingNode", json!({"node": "n2", "timeout": "60s"})).await;
        assert_eq!(pong["result"], json!("PONG"));
        let seconds: f64 = pong["roundTrip"].as_str().unwrap().trim_end_matches('s').parse().unwrap();
        assert!(seconds >= DELAY.as_secs_f64(), "{pong}");
    });
}

// covers: monitor_node/1, demonitor_node/1
#[test]
fn a_node_that_is_killed_is_told_of_once_for_each_monitor_that_was_not_undone() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pair = Pair::start_with(SandboxConfig::default).await;
        let first = pair.api(1).await;
        let mut watchers = Vec::new();
        for (monitors, undone) in [(2, 0), (2, 1), (2, 2)] {
            let watcher = first.start("recorder", json!({})).await;
            let ask = json!({"watcher": watcher, "node": "n2"});
            for _ in 0..monitors {
                first.ok("MonitorNode", ask.clone()).await;
            }
            for _ in 0..undone {
                first.ok("DemonitorNode", ask.clone()).await;
            }
            watchers.push((watcher, monitors - undone));
        }
        pair.kill_member().await;
        for (watcher, count) in watchers {
            let told = || async {
                let state = first.ok("GetProcessState", json!({"process": watcher})).await["state"].clone();
                let messages = state["messages"].as_array().unwrap().clone();
                (messages.len() >= count).then_some(messages)
            };
            assert_eq!(first.eventually(told).await, vec![json!(["nodedown", "n2"]); count]);
        }
    });
}

// covers: monitor_node/1, demonitor_node/1
#[test]
fn monitors_on_a_node_are_counted_and_undone_one_by_one() {
    both(|api| async move {
        let watcher = api.start("recorder", json!({})).await;
        let ask = json!({"watcher": watcher, "node": "n1"});
        let first = api.ok("MonitorNode", ask.clone()).await;
        assert_eq!(
            (&first["count"], &first["state"], &first["watcher"]),
            (&json!(1), &json!("UP"), &json!(watcher))
        );
        assert_eq!(api.ok("MonitorNode", ask.clone()).await["count"], json!(2));
        assert_eq!(api.ok("DemonitorNode", ask.clone()).await["count"], json!(1));
        assert_eq!(api.ok("DemonitorNode", ask.clone()).await["count"], json!(0));
        let none = api.err("DemonitorNode", ask).await;
        assert_eq!((&*none.code, &*none.reason), ("NOT_FOUND", "NO_MONITOR"));
        let unknown = api.err("MonitorNode", json!({"watcher": watcher, "node": "n9"})).await;
        assert_eq!(unknown.reason, "UNKNOWN_NODE");
        let nobody = api.err("MonitorNode", json!({"node": "n1"})).await;
        assert_eq!((&*nobody.code, &*nobody.reason), ("INVALID_ARGUMENT", "NO_WATCHER"));
    });
}

// covers: spawn_process_on_node/3
#[test]
fn a_process_starts_on_the_node_that_is_named_and_on_no_unknown_one() {
    both_with(|sandbox, api| async move {
        let started = api.ok(
            "SpawnProcessOnNode",
            json!({"node": "n1", "module": "counter", "args": {"initial": 4}, "name": "c"}),
        );
        let started = started.await;
        assert_eq!((&started["node"], &started["monitor"]), (&json!("n1"), &json!("")));
        let info = api.ok("GetProcessInfo", json!({"process": "c"})).await;
        assert_eq!((&info["process"]["pid"], &info["process"]["node"]), (&started["pid"], &json!("n1")));
        assert_eq!(api.ok("CallProcess", json!({"process": "c", "message": "get"})).await["reply"], json!(4));
        let taken =
            api.err("SpawnProcessOnNode", json!({"node": "n1", "module": "counter", "name": "c"})).await;
        assert_eq!((&*taken.code, &*taken.reason), ("ALREADY_EXISTS", "ALREADY_STARTED"));
        let before = sandbox.node().process_count();
        let unknown = api.err("SpawnProcessOnNode", json!({"node": "n9", "module": "counter"})).await;
        assert_eq!((&*unknown.code, &*unknown.reason), ("NOT_FOUND", "UNKNOWN_NODE"));
        assert_eq!(sandbox.node().process_count(), before);
    });
}

// covers: spawn_process_on_node/3
#[test]
fn a_link_and_a_monitor_that_were_asked_for_tell_of_its_end() {
    both(|api| async move {
        let (parent, watcher) =
            (api.start("recorder", json!({})).await, api.start("recorder", json!({})).await);
        let request = json!({"node": "n1", "module": "counter", "link": true, "parent": parent, "monitor": true,
            "watcher": watcher});
        let started = api.ok("SpawnProcessOnNode", request).await;
        let plain = api.ok("SpawnProcessOnNode", json!({"node": "n1", "module": "counter"})).await;
        assert!(started["monitor"].as_str().unwrap().starts_with("n1.1-m"), "{started}");
        for process in [&plain, &started] {
            api.ok("KillProcess", json!({"process": process["pid"]})).await;
        }
        let first_of = |process: String| {
            let api = api.clone();
            async move {
                let state = api.ok("GetProcessState", json!({"process": process})).await["state"].clone();
                state["messages"].as_array().unwrap().first().cloned()
            }
        };
        let exit = api.eventually(|| first_of(parent.clone())).await;
        assert_eq!(exit, json!(["EXIT", started["pid"], "killed"]));
        let down = api.eventually(|| first_of(watcher.clone())).await;
        assert_eq!((&down[0], &down[3], &down[4]), (&json!("DOWN"), &started["pid"], &json!("killed")));
        let nobody =
            api.err("SpawnProcessOnNode", json!({"node": "n1", "module": "counter", "link": true})).await;
        assert_eq!((&*nobody.code, &*nobody.reason), ("INVALID_ARGUMENT", "NO_PARENT"));
    });
}

// covers: spawn_process_on_node/3
#[test]
fn a_function_is_spawned_where_one_is_given_and_takes_no_name() {
    both(|api| async move {
        let spawn = |function: &'static str, name: &'static str| {
            let request = json!({"node": "n1", "module": "task", "function": function, "name": name});
            let api = api.clone();
            async move { api.call("SpawnProcessOnNode", request).await }
        };
        let spawned = spawn("no_such", "").await.unwrap();
        let exit = api.ok("AwaitExit", json!({"process": spawned["pid"]})).await;
        assert_eq!(exit["reason"], json!({"crash": "undef"}));
        assert_eq!(spawn("run", "x").await.unwrap_err().reason, "BADARG");
    });
}

// covers: find_process_on_nodes/2
#[test]
fn exactly_the_planted_processes_are_found() {
    both(|api| async move {
        let named =
            start(&api, json!({"module": "counter", "name": "cart \"1\"", "labels": {"team": "shop"}})).await;
        let labelled = start(&api, json!({"module": "kv", "labels": {"team": "shop", "size": "a=b"}})).await;
        start(&api, json!({"module": "kv", "labels": {"team": "ops"}})).await;
        let find = |request: Value| {
            let api = api.clone();
            async move {
                let found = api.ok("FindProcessOnNodes", request).await;
                assert_eq!((&found["unreached"], &found["truncated"]), (&json!([]), &json!([])));
                let pids = found["processes"].as_array().unwrap().iter();
                pids.map(|process| process["pid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
            }
        };
        assert_eq!(find(json!({"name": "cart \"1\""})).await, [&*named]);
        assert_eq!(find(json!({"label": "team=shop"})).await, [&*named, &*labelled]);
        assert_eq!(find(json!({"label": "size=a=b", "nodes": ["n1"]})).await, [&*labelled]);
        assert_eq!(find(json!({"label": "team=shop", "filter": "module == 'kv'"})).await, [&*labelled]);
        assert!(find(json!({"name": "nobody"})).await.is_empty());
        assert_eq!(api.err("FindProcessOnNodes", json!({})).await.reason, "BADARG");
        assert_eq!(api.err("FindProcessOnNodes", json!({"filter": "module =="})).await.reason, "BAD_FILTER");
        let unknown = api.err("FindProcessOnNodes", json!({"name": "a", "nodes": ["n9"]})).await;
        assert_eq!(unknown.reason, "UNKNOWN_NODE");
        let page = api.ok("FindProcessOnNodes", json!({"label": "team=shop", "pageSize": 1})).await;
        assert_eq!(page["truncated"], json!(["n1"]));
    });
}

// covers: broadcast_to_all_nodes/1
#[test]
fn a_broadcast_reaches_the_holder_of_the_name_once_and_tells_where_there_is_none() {
    both(|api| async move {
        let listener = start(&api, json!({"module": "recorder", "name": "listener"})).await;
        let sent = api.ok("BroadcastToAllNodes", json!({"name": "listener", "message": {"n": 1}})).await;
        let delivery = json!({"node": "n1", "outcome": "DELIVERED", "pid": listener, "error": ""});
        assert_eq!(sent["deliveries"], json!([delivery]));
        let state = api.ok("GetProcessState", json!({"process": "listener"})).await;
        assert_eq!(state["state"]["messages"], json!([{"n": 1}]));
        let nobody = api.ok("BroadcastToAllNodes", json!({"name": "nobody", "message": 1})).await;
        assert_eq!(nobody["deliveries"][0]["outcome"], json!("NO_SUCH_NAME"));
        assert_eq!(api.err("BroadcastToAllNodes", json!({"name": "a@b"})).await.reason, "BADARG");
    });
}

// covers: gather_from_all_nodes/1
#[test]
fn a_gather_gets_what_asking_the_node_gets_and_runs_nothing_that_changes() {
    both_with(|sandbox, api| async move {
        let pid = start(&api, json!({"module": "counter", "name": "c"})).await;
        let gather = |operation: &'static str, request: Value| {
            let api = api.clone();
            async move {
                api.call("GatherFromAllNodes", json!({"call": {"operation": operation, "request": request}}))
                    .await
            }
        };
        let gathered = gather("whereis_process/1", json!({"name": "c"})).await.unwrap();
        assert_eq!(gathered["entries"].as_array().unwrap().len(), 1);
        let entry = &gathered["entries"][0];
        assert_eq!(entry["node"], json!("n1"));
        assert_eq!(entry["response"], api.ok("WhereisProcess", json!({"name": "c"})).await);
        let failed = gather("WhereisProcess", json!({"name": "nobody"})).await.unwrap();
        assert_eq!(failed["entries"][0]["error"]["code"], json!(5), "{failed}");
        let refused = gather("kill_process/2", json!({"process": pid})).await.unwrap_err();
        assert_eq!((&*refused.code, &*refused.reason), ("INVALID_ARGUMENT", "NOT_A_READ"));
        assert!(sandbox.node().is_alive(pid.parse().unwrap()));
        for (operation, request) in
            [("no_such", json!({})), ("watch_processes", json!({})), ("whereis_process", json!({"nam": "c"}))]
        {
            assert_eq!(gather(operation, request).await.unwrap_err().reason, "BADARG", "{operation}");
        }
    });
}

// covers: replicate_process_to_nodes/2
#[test]
fn a_copy_has_the_same_state_and_serves_on_when_the_first_is_gone() {
    both(|api| async move {
        let request = json!({"module": "counter", "args": {"initial": 4}, "labels": {"team": "shop"}});
        let first = start(&api, request).await;
        let call = |process: String, message: Value| {
            let api = api.clone();
            async move {
                api.ok("CallProcess", json!({"process": process, "message": message})).await["reply"].clone()
            }
        };
        let replicated = api
            .ok("ReplicateProcessToNodes", json!({"process": first, "nodes": ["n1"], "group": "counters"}))
            .await;
        let copy = replicated["copies"][0]["pid"].as_str().unwrap().to_owned();
        assert_eq!(
            (&replicated["copies"][0]["node"], &replicated["group"]),
            (&json!("n1"), &json!("counters"))
        );
        assert_eq!(call(copy.clone(), json!("get")).await, json!(4));
        assert_eq!(call(first.clone(), json!(["add", 3])).await, json!(7));
        assert_eq!(call(copy.clone(), json!("get")).await, json!(4));
        let members = api.ok("ListGroupMembers", json!({"group": "counters"})).await;
        assert_eq!(members["members"].as_array().unwrap().len(), 2, "{members}");
        let info = api.ok("GetProcessInfo", json!({"process": copy})).await;
        assert_eq!(info["process"]["labels"], json!({"team": "shop"}));
        api.ok("KillProcess", json!({"process": first})).await;
        assert_eq!(call(copy, json!("get")).await, json!(4));
    });
}

// covers: replicate_process_to_nodes/2
#[test]
fn a_process_that_gives_no_snapshot_is_not_copied() {
    both_with(|sandbox, api| async move {
        let plain = start(&api, json!({"module": "plain"})).await;
        let before = sandbox.node().process_count();
        let refused = api.err("ReplicateProcessToNodes", json!({"process": plain, "nodes": ["n1"]})).await;
        assert_eq!((&*refused.code, &*refused.reason), ("FAILED_PRECONDITION", "NO_HOOK"));
        let nowhere = api.err("ReplicateProcessToNodes", json!({"process": plain, "nodes": ["n9"]})).await;
        assert_eq!(nowhere.reason, "UNKNOWN_NODE");
        assert_eq!(api.err("ReplicateProcessToNodes", json!({"process": plain})).await.reason, "BADARG");
        assert_eq!(sandbox.node().process_count(), before);
    });
}

#[test]
fn a_watch_begins_with_a_picture_of_the_nodes() {
    both(|api| async move {
        let mut watch = api.stream("WatchNodes", json!({})).await;
        let first = watch.next().await.unwrap().unwrap();
        assert_eq!((&first["kind"], &first["node"]["node"]), (&json!("SNAPSHOT"), &json!("n1")));
        let second = watch.next().await.unwrap().unwrap();
        assert_eq!((&second["kind"], &second["sequence"]), (&json!("SNAPSHOT_END"), &json!("2")));
    });
}

#[test]
fn the_only_voter_is_spared_at_once() {
    both(|api| async move {
        let spared = api.ok("DrainNode", json!({"node": "n1", "timeout": "30s"})).await;
        assert_eq!(
            (&spared["node"], &spared["otherVoters"], &spared["quorum"]),
            (&json!("n1"), &json!([]), &json!(1))
        );
        assert_eq!(api.err("DrainNode", json!({"node": "n9"})).await.reason, "UNKNOWN_NODE");
    });
}

#[test]
fn a_node_that_is_alone_lets_nobody_in_and_cannot_leave() {
    both(|api| async move {
        let pid = start(&api, json!({"module": "counter", "name": "c"})).await;
        let own = api.ok("GetNode", json!({"node": "n1"})).await["address"].clone();
        assert_eq!(api.ok("ConnectNode", json!({"address": own})).await["already"], json!(true));
        for (rpc, request) in [
            ("ConnectNode", json!({"address": "127.0.0.1:9"})),
            ("DisconnectNode", json!({"node": "n1", "dryRun": true})),
            ("DisconnectNode", json!({"node": "n1"})),
        ] {
            let refused = api.err(rpc, request).await;
            assert_eq!((&*refused.code, &*refused.reason), ("FAILED_PRECONDITION", "NOT_CLUSTERED"), "{rpc}");
        }
        assert_eq!(api.ok("WhereisProcess", json!({"name": "c"})).await["pid"], json!(pid));
    });
}
