//! Three nodes of one cluster in this process, over both transports: what they share, and what they do without one of
//! them.

mod registry;

use arsenal_server::config::Config;
use arsenal_tests::{Api, Sandbox, Transport};
use serde_json::{Value, json};

/// Runs a test on a fresh cluster of three over each transport.
fn on_three<F: Future<Output = ()>>(test: impl Fn(Vec<Sandbox>, Vec<Api>) -> F) {
    on_three_as(|_| {}, test);
}

/// As [`on_three`], with settings of its own.
fn on_three_as<F: Future<Output = ()>>(
    set: impl Fn(&mut Config),
    test: impl Fn(Vec<Sandbox>, Vec<Api>) -> F,
) {
    for transport in [Transport::Grpc, Transport::Rest] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
        runtime.unwrap().block_on(async {
            let (folder, mut config) = (tempfile::tempdir().unwrap(), config());
            set(&mut config);
            let nodes = Sandbox::cluster(3, &config, folder.path()).await;
            let mut apis = Vec::new();
            for node in &nodes {
                apis.push(node.api(transport).await);
            }
            test(nodes, apis).await;
        });
    }
}

fn config() -> Config {
    let mut config = Config::default();
    config.node.schedulers = 1;
    // longer than a busy test machine keeps a thread waiting
    (config.cluster.heartbeat_ms, config.cluster.election_ms) = (250, 1_500);
    config
}

fn names(list: &Value) -> Vec<&str> {
    list["nodes"].as_array().unwrap().iter().map(|node| node["node"].as_str().unwrap()).collect()
}

async fn register(api: &Api, name: &str) -> String {
    let pid = api.start("counter", Value::Null).await;
    let registered = || async {
        let request = json!({"name": name, "process": pid});
        match api.call("RegisterProcessGlobally", request).await {
            Ok(_) => Some(()),
            // nothing was proposed: another node begins to lead
            Err(failure) if failure.code == "UNAVAILABLE" => None,
            // it may be registered, and not to be told again is no failure
            Err(failure) if ["OUTCOME_UNKNOWN", "ALREADY_REGISTERED"].contains(&&*failure.reason) => {
                (holder(api, name).await.as_ref() == Some(&pid)).then_some(())
            }
            Err(failure) => panic!("{failure:?}"),
        }
    };
    api.eventually(registered).await;
    pid
}

/// Who holds a global name, by what every write before says.
async fn holder(api: &Api, name: &str) -> Option<String> {
    let request = json!({"name": name, "consistency": "LINEARIZABLE"});
    let found = api.call("GlobalWhereisName", request).await.ok()?;
    found["pid"].as_str().map(str::to_owned)
}

#[test]
fn a_global_name_is_one_name_on_all_nodes_and_a_second_holder_is_refused_everywhere() {
    on_three(|nodes, apis| async move {
        // they stop when they are dropped
        let _nodes = nodes;
        let pid = register(&apis[0], "cart").await;
        assert!(pid.starts_with("n1.1."), "the first node by name is n1: {pid}");
        for api in &apis {
            assert_eq!(holder(api, "cart").await.as_ref(), Some(&pid));
        }
        let other = apis[2].start("counter", Value::Null).await;
        assert!(other.starts_with("n3.1."), "{other}");
        let request = json!({"name": "cart", "process": other});
        let refused = apis[2].err("RegisterProcessGlobally", request).await;
        assert_eq!(refused.code, "ALREADY_EXISTS");
        apis[1].ok("UnregisterProcessGlobally", json!({"name": "cart"})).await;
        assert_eq!(holder(&apis[0], "cart").await, None);
    });
}

#[test]
fn the_name_of_a_process_that_ends_is_free_on_all_nodes() {
    on_three(|nodes, apis| async move {
        // they stop when they are dropped
        let _nodes = nodes;
        let pid = register(&apis[1], "cart").await;
        assert_eq!(holder(&apis[2], "cart").await.as_ref(), Some(&pid));
        apis[1].ok("KillProcess", json!({"process": pid})).await;
        apis[2].eventually(|| async { holder(&apis[2], "cart").await.is_none().then_some(()) }).await;
    });
}

#[test]
fn a_node_that_stops_takes_its_names_along_and_the_others_go_on_until_one_is_left() {
    on_three(|mut nodes, mut apis| async move {
        let kept = register(&apis[1], "kept").await;
        register(&apis[0], "cart").await;
        // it led, as often as not
        apis.remove(0);
        nodes.remove(0).stop().await;
        // another one may have to be elected
        apis[1].eventually(|| async { (holder(&apis[1], "kept").await? == kept).then_some(()) }).await;
        assert_eq!(holder(&apis[1], "cart").await, None);
        register(&apis[1], "cart").await;
        apis.remove(0);
        nodes.remove(0).stop().await;
        let pid = apis[0].start("counter", Value::Null).await;
        // until it knows that it is a minority, it may have to say that it does not know what becomes of a change
        let refused = || async {
            let request = json!({"name": "alone", "process": pid});
            let refused = apis[0].err("RegisterProcessGlobally", request).await;
            (refused.code == "UNAVAILABLE").then_some(())
        };
        apis[0].eventually(refused).await;
    });
}

// covers: connect_node/1, disconnect_node/1
#[test]
fn a_node_is_let_in_by_its_address_serves_what_all_share_and_is_taken_out_with_what_it_has() {
    on_three(|nodes, apis| async move {
        let folder = tempfile::tempdir().unwrap();
        let (address, waiting) = Sandbox::waiting("node-4", &config(), folder.path()).await;
        let ask = json!({"address": address.to_string()});
        let (connected, fourth) = tokio::join!(apis[1].ok("ConnectNode", ask.clone()), waiting);
        assert_eq!(
            (&connected["node"]["node"], &connected["node"]["state"], &connected["already"]),
            (&json!("n4"), &json!("UP"), &json!(false))
        );
        let joined = fourth.api(apis[0].transport()).await;
        for api in apis.iter().chain([&joined]) {
            assert_eq!(names(&api.ok("ListConnectedNodes", json!({})).await), ["n1", "n2", "n3", "n4"]);
        }
        let pid = joined.start("counter", Value::Null).await;
        joined.ok("RegisterProcessGlobally", json!({"name": "cart", "process": pid})).await;
        assert_eq!(holder(&apis[2], "cart").await.as_ref(), Some(&pid));
        assert_eq!(apis[0].ok("ConnectNode", ask).await["already"], json!(true));

        // it traps exits
        let watcher = apis[0].start("recorder", json!({})).await;
        apis[0].ok("LinkProcesses", json!({"process": pid, "from": watcher})).await;
        apis[0].ok("MonitorProcess", json!({"process": pid, "watcher": watcher})).await;
        let dry = apis[0].ok("DisconnectNode", json!({"node": "n4", "dryRun": true})).await;
        assert_eq!((&dry["names"], &dry["dryRun"]), (&json!(["cart"]), &json!(true)));
        assert!(dry["processes"].as_array().unwrap().contains(&json!(pid)), "{dry}");
        assert_eq!(holder(&apis[2], "cart").await.as_ref(), Some(&pid), "nothing was changed");
        let forced = apis[0].err("DisconnectNode", json!({"node": "n4", "force": true})).await;
        assert_eq!((&*forced.code, &*forced.reason), ("FAILED_PRECONDITION", "ALIVE"));
        // asked of the node itself
        let left = joined.ok("DisconnectNode", json!({"node": "n4"}));
        let (left, ()) = tokio::join!(left, fourth.obey());
        assert_eq!((&left["node"]["node"], &left["names"]), (&json!("n4"), &json!(["cart"])));
        for api in &apis {
            assert_eq!(names(&api.ok("ListConnectedNodes", json!({})).await), ["n1", "n2", "n3"]);
            assert_eq!(holder(api, "cart").await, None);
        }
        let told = || async {
            let state = apis[0].ok("GetProcessState", json!({"process": watcher})).await["state"].clone();
            state["messages"].as_array().filter(|messages| messages.len() > 1).cloned()
        };
        let told = apis[0].eventually(told).await;
        assert!(told.contains(&json!(["EXIT", pid, "noconnection"])), "{told:?}");
        let down = told.iter().find(|message| message[0] == "DOWN").unwrap();
        assert_eq!((&down[3], &down[4]), (&json!(pid), &json!("noconnection")));
        assert_eq!(told.len(), 2, "{told:?}");
        let unknown = apis[0].err("DisconnectNode", json!({"node": "n4"})).await;
        assert_eq!((&*unknown.code, &*unknown.reason), ("NOT_FOUND", "UNKNOWN_NODE"));
        drop(nodes);
    });
}

// covers: connect_node/1
#[test]
fn a_node_asked_in_as_a_voter_votes_when_the_answer_comes_and_a_member_can_be_made_one() {
    on_three(|nodes, apis| async move {
        let folder = tempfile::tempdir().unwrap();
        let (address, waiting) = Sandbox::waiting("node-4", &config(), folder.path()).await;
        let ask = |voter: bool| json!({"address": address.to_string(), "voter": voter});
        let (member, _fourth) = tokio::join!(apis[1].ok("ConnectNode", ask(false)), waiting);
        assert_eq!(member["node"]["role"], json!("MEMBER"), "three are enough: {member}");
        let voter = apis[1].ok("ConnectNode", ask(true)).await;
        assert_eq!((&voter["node"]["node"], &voter["node"]["role"]), (&json!("n4"), &json!("VOTER")));
        for api in &apis {
            let voters = || async { api.ok("GetCluster", json!({})).await["voters"].clone() };
            let all = json!(["n1", "n2", "n3", "n4"]);
            api.eventually(|| async { (voters().await == all).then_some(()) }).await;
        }
        drop(nodes);
    });
}

// covers: connect_node/1, disconnect_node/1
#[test]
fn an_address_where_no_node_answers_joins_nothing_and_the_voters_keep_their_majority() {
    on_three(|mut nodes, mut apis| async move {
        let (_nobody, nobody) = arsenal_tests::nobody();
        let refused = apis[0].err("ConnectNode", json!({"address": nobody.to_string()})).await;
        assert_eq!((&*refused.code, &*refused.reason), ("UNAVAILABLE", "NOCONNECTION"));
        assert_eq!(apis[0].err("ConnectNode", json!({"address": "nowhere"})).await.reason, "BADARG");
        let list = apis[1].ok("ListConnectedNodes", json!({})).await;
        assert_eq!(names(&list), ["n1", "n2", "n3"]);
        nodes.remove(2).stop().await;
        apis.remove(2);
        let refused = apis[0].err("DisconnectNode", json!({"node": "n2"})).await;
        assert_eq!((&*refused.code, &*refused.reason), ("FAILED_PRECONDITION", "QUORUM"));
        let gone = apis[1].ok("DisconnectNode", json!({"node": "n3", "force": true})).await;
        assert_eq!(gone["node"]["state"], json!("DOWN"));
        for api in &apis {
            assert_eq!(names(&api.ok("ListConnectedNodes", json!({})).await), ["n1", "n2"]);
            let cluster = api.ok("GetCluster", json!({})).await;
            assert_eq!((&cluster["voters"], &cluster["lease"]), (&json!(["n1", "n2"]), &json!("5s")));
        }
        drop(nodes);
    });
}

// covers: list_connected_nodes/0
#[test]
fn every_node_tells_the_same_of_the_cluster_as_of_one_log_index() {
    on_three(|nodes, apis| async move {
        register(&apis[0], "cart").await;
        let told = || async {
            let mut all = Vec::new();
            for api in &apis {
                let cluster = api.ok("GetCluster", json!({})).await;
                let part = |field: &str| cluster[field].clone();
                all.push(["leader", "term", "voters", "members", "down", "quorum"].map(part));
            }
            // an election may be going on
            let settled = all[0][0] != json!("") && all.iter().all(|one| *one == all[0]);
            settled.then_some(all.remove(0))
        };
        let [leader, term, voters, ..] = apis[0].eventually(told).await;
        assert!(voters.as_array().unwrap().contains(&leader), "{leader} of {voters}");
        assert_ne!(term, json!("0"));
        let mut lists = Vec::new();
        for api in &apis {
            let mut list = api.ok("ListConnectedNodes", json!({})).await;
            list["nodes"].as_array_mut().unwrap().iter_mut().for_each(|node| node["load"] = Value::Null);
            lists.push(list);
        }
        let of = |list: &Value| (list["index"].clone(), list["nodes"].clone());
        for list in &lists[1..] {
            let ((index, nodes), (other_index, others)) = (of(&lists[0]), of(list));
            assert!(index != other_index || nodes == others, "two lists as of {index}: {nodes} and {others}");
        }
        drop(nodes);
    });
}
