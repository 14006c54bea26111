//! Failures that are caused on purpose, on three nodes of one cluster in this process, over both transports.

use arsenal_proto::internal::v1::chaos_service_client::ChaosServiceClient;
use arsenal_proto::internal::v1::{HealRequest, HoldRequest};
use arsenal_server::config::Config;
use arsenal_tests::{Api, Sandbox, Transport};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Runs a test on a fresh cluster of three over each transport.
fn on_three<F: Future<Output = ()>>(chaos: bool, test: impl Fn(Vec<Api>) -> F) {
    on_three_at(chaos, |_, apis| test(apis));
}

/// As [`on_three`], of which the test is told where the first one serves.
fn on_three_at<F: Future<Output = ()>>(chaos: bool, test: impl Fn(SocketAddr, Vec<Api>) -> F) {
    for transport in [Transport::Grpc, Transport::Rest] {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
        runtime.unwrap().block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let mut config = Config::default();
            config.node.schedulers = 1;
            config.chaos.allowed = chaos;
            // longer than a busy test machine keeps a thread waiting
            (config.cluster.heartbeat_ms, config.cluster.election_ms) = (200, 1_000);
            (config.cluster.lease_ms, config.cluster.renew_ms) = (5_000, 400);
            let nodes = Sandbox::cluster(3, &config, folder.path()).await;
            let mut apis = Vec::new();
            for node in &nodes {
                apis.push(node.api(transport).await);
            }
            test(nodes[0].grpc(), apis).await;
            drop(nodes);
        });
    }
}

/// A process on a node, and a global name that it gets as soon as it is free and there is a quorum.
async fn register(api: &Api, name: &str) -> String {
    let pid = api.start("counter", Value::Null).await;
    let registered = || async {
        let request = json!({"name": name, "process": pid});
        match api.call("RegisterProcessGlobally", request).await {
            Ok(_) => Some(()),
            Err(failure) if ["UNAVAILABLE", "ALREADY_EXISTS"].contains(&&*failure.code) => None,
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

async fn in_session(api: &Api) -> bool {
    api.ok("GetCluster", json!({})).await["inSession"] == true
}

async fn held(api: &Api) -> Vec<Value> {
    let held = api.ok("ListChaos", json!({"node": "-", "order_by": "node"})).await;
    held["chaos"].as_array().cloned().unwrap_or_default()
}

// covers: simulate_network_partition/0
#[test]
fn a_minority_refuses_while_the_majority_goes_on_and_finds_back_when_it_is_over() {
    on_three(true, |apis| async move {
        let [majority, _, minority] = &apis[..] else { unreachable!() };
        register(minority, "cart").await;
        let cut = majority.ok("SimulateNetworkPartition", json!({"from": ["n3"], "ttl": "600s"})).await;
        assert_eq!(cut["withoutQuorum"], json!(["n3"]), "{cut}");
        assert_eq!(cut["heldBy"], json!(["n1", "n2", "n3"]), "{cut}");
        assert_eq!(cut["cuts"].as_array().map(Vec::len), Some(4), "{cut}");

        let pid = minority.start("counter", Value::Null).await;
        let refused = || async {
            let request = json!({"name": "alone", "process": pid});
            let refused = minority.err("RegisterProcessGlobally", request).await;
            // until it knows that it is a minority it may not know what becomes of a change
            (refused.code == "UNAVAILABLE" && refused.reason == "NO_QUORUM").then_some(())
        };
        minority.eventually(refused).await;
        let next = register(majority, "cart").await;
        assert!(!in_session(minority).await, "the name has another holder, and the first must know by then");
        let experiment = json!({"kind": "partitions", "experiment": cut["experiment"]});
        let seen = minority.ok("GetChaos", experiment.clone()).await;
        assert_eq!((&seen["node"], &seen["partition"]), (&json!("n3"), &cut["partition"]), "{seen}");
        assert_ne!(seen["hits"], "0", "{seen}");

        minority.ok("StopChaos", experiment).await;
        minority.eventually(|| async { in_session(minority).await.then_some(()) }).await;
        // as soon as it finds whoever leads
        minority.eventually(|| async { (holder(minority, "cart").await? == next).then_some(()) }).await;
        register(minority, "again").await;
    });
}

#[test]
fn a_node_that_alone_holds_a_cut_takes_nothing_from_the_other_one_though_that_one_dials() {
    on_three_at(true, |first, apis| async move {
        let answered = async |result: &str| {
            let pinged = || async {
                let ping = apis[2].call("PingNode", json!({"node": "n1", "timeout": "1s"})).await;
                ping.is_ok_and(|ping| ping["result"] == result).then_some(())
            };
            apis[2].eventually(pinged).await;
        };
        answered("PONG").await;
        let mut chaos = ChaosServiceClient::connect(format!("http://{first}")).await.unwrap();
        let cut = HoldRequest {
            experiment: "alone".to_owned(),
            from: vec![3],
            to: vec![1],
            both_ways: false,
            ttl_ms: 600_000,
        };
        chaos.hold(cut).await.unwrap();
        answered("PANG").await;
        let known = apis[2].ok("ListChaos", json!({"node": "n3"})).await;
        assert!(known["chaos"].as_array().is_none_or(Vec::is_empty), "{known}");
        chaos.heal(HealRequest { experiment: "alone".to_owned() }).await.unwrap();
        answered("PONG").await;
    });
}

#[test]
fn a_partition_that_nobody_ends_is_over_when_its_time_is() {
    on_three(true, |apis| async move {
        let [majority, _, minority] = &apis[..] else { unreachable!() };
        let cut = majority.ok("SimulateNetworkPartition", json!({"from": ["n3"], "ttl": "1s"})).await;
        assert_eq!(cut["withoutQuorum"], json!(["n3"]), "{cut}");
        majority.eventually(|| async { held(majority).await.is_empty().then_some(()) }).await;
        register(minority, "again").await;
        minority.eventually(|| async { in_session(minority).await.then_some(()) }).await;
    });
}

// covers: global_whereis_name/1, ping_node/1, register_process_globally/2
#[test]
fn a_name_survives_the_loss_of_the_leader_who_reads_linearizably_no_more_and_whom_no_ping_reaches() {
    on_three(true, |apis| async move {
        let told =
            || async { apis[0].ok("GetCluster", json!({})).await["leader"].as_str().map(str::to_owned) };
        let leads = || async { told().await.filter(|leader| !leader.is_empty()) };
        let leader = apis[0].eventually(leads).await;
        let at = usize::from(leader.as_bytes()[1] - b'1');
        let (cut, [first, second]) = (&apis[at], [&apis[(at + 1) % 3], &apis[(at + 2) % 3]]);
        let pid = register(first, "cart").await;
        apis[0].ok("SimulateNetworkPartition", json!({"from": [leader], "ttl": "600s"})).await;

        second.eventually(|| async { holder(second, "cart").await.filter(|held| *held == pid) }).await;
        register(second, "new").await;
        let look = json!({"name": "cart", "consistency": "LINEARIZABLE"});
        let refused = || async { cut.call("GlobalWhereisName", look.clone()).await.err() };
        assert_eq!(cut.eventually(refused).await.code, "UNAVAILABLE");
        let local = cut.ok("GlobalWhereisName", json!({"name": "cart"})).await;
        assert_eq!(local["pid"], json!(pid), "what it knew");
        assert!(local["logIndex"].as_str().is_some_and(|index| index != "0"), "{local}");
        let other = first.ok("GetCluster", json!({})).await["node"].clone();
        for (api, node) in [(cut, other), (first, json!(leader))] {
            let ping = api.ok("PingNode", json!({"node": node, "timeout": "1s"})).await;
            assert_eq!(ping["result"], json!("PANG"), "{ping}");
        }
    });
}

#[test]
fn without_arguments_it_answers_what_it_would_cut_and_cuts_nothing() {
    on_three(false, |apis| async move {
        let plan = apis[1].ok("SimulateNetworkPartition", json!({})).await;
        assert_eq!(plan["dryRun"], true, "{plan}");
        assert_eq!(plan["partition"]["from"], json!(["n2"]), "{plan}");
        assert_eq!(plan["partition"]["to"], json!(["n1", "n3"]), "{plan}");
        assert_eq!(plan["withoutQuorum"], json!(["n2"]), "{plan}");
        assert!(plan["experiment"].as_str().is_none_or(str::is_empty), "{plan}");
        let one_way = json!({"from": ["n1"], "to": ["n2"], "direction": "ONE_WAY", "dry_run": true});
        let plan = apis[1].ok("SimulateNetworkPartition", one_way).await;
        assert_eq!(plan["cuts"], json!([{"from": "n1", "to": "n2"}]), "{plan}");
        assert_eq!(held(&apis[0]).await, Vec::<Value>::new());
    });
}

#[test]
fn a_node_that_does_not_allow_it_is_named_and_nothing_is_cut() {
    on_three(false, |apis| async move {
        for request in [json!({"from": ["n3"]}), json!({"from": ["n2"], "to": ["n3"]})] {
            let refused = apis[0].err("SimulateNetworkPartition", request).await;
            assert_eq!((&*refused.code, &*refused.reason), ("FAILED_PRECONDITION", "CHAOS_FORBIDDEN"));
            assert!(refused.message.contains("`chaos.allowed`"), "{refused:?}");
        }
        assert_eq!(held(&apis[0]).await, Vec::<Value>::new());
    });
}

#[test]
fn what_no_partition_can_be_is_refused_by_field() {
    on_three(true, |apis| async move {
        for (request, code) in [
            (json!({"from": ["n9"]}), "NOT_FOUND"),
            (json!({"from": ["n1"], "to": ["n1"]}), "INVALID_ARGUMENT"),
            (json!({"from": ["n1", "n2", "n3"]}), "INVALID_ARGUMENT"),
            (json!({"from": ["n1"], "ttl": "0s"}), "INVALID_ARGUMENT"),
            (json!({"from": ["n1"], "ttl": "86400s"}), "INVALID_ARGUMENT"),
        ] {
            let refused = apis[0].err("SimulateNetworkPartition", request.clone()).await;
            assert_eq!(refused.code, code, "{request}");
        }
        assert_eq!(held(&apis[0]).await, Vec::<Value>::new());
    });
}

#[test]
fn whoever_is_cut_off_can_end_it_for_all_and_the_red_button_ends_everything() {
    on_three(true, |apis| async move {
        let cut = apis[0].ok("SimulateNetworkPartition", json!({"from": ["n1"], "ttl": "600s"})).await;
        let experiment = json!({"kind": "partitions", "experiment": cut["experiment"]});
        let stopped = apis[0].ok("StopChaos", experiment.clone()).await;
        assert_eq!(stopped["stoppedOn"], json!(["n1", "n2", "n3"]), "{stopped}");
        assert_eq!(apis[0].err("StopChaos", experiment.clone()).await.reason, "NO_EXPERIMENT");
        assert_eq!(apis[0].err("GetChaos", experiment).await.reason, "NO_EXPERIMENT");
        register(&apis[0], "cart").await;

        for (from, to) in [("n1", "n2"), ("n2", "n3")] {
            let request = json!({"from": [from], "to": [to], "ttl": "600s", "direction": "ONE_WAY"});
            apis[2].ok("SimulateNetworkPartition", request).await;
        }
        let ended = apis[2].ok("StopAllChaos", json!({})).await;
        assert_eq!(ended["experiments"].as_array().map(Vec::len), Some(2), "{ended}");
        register(&apis[1], "basket").await;
    });
}
