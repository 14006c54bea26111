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
            let folder = tempfile::tempdir().unwrap();
            let mut config = Config::default();
            config.node.schedulers = 1;
            // a test machine may be busy with other tests
            (config.cluster.heartbeat_ms, config.cluster.election_ms) = (150, 600);
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

async fn register(api: &Api, name: &str) -> String {
    let pid = api.start("counter", Value::Null).await;
    let registered = || async {
        let request = json!({"name": name, "process": pid});
        match api.call("RegisterProcessGlobally", request).await {
            Ok(_) => Some(()),
            // nothing was proposed: another node begins to lead
            Err(failure) if failure.code == "UNAVAILABLE" => None,
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
        assert_eq!(holder(&apis[1], "cart").await, None);
        assert_eq!(holder(&apis[1], "kept").await, Some(kept));
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
