//! A node that stops, as its clients see it. The program as a whole is watched in the server's own tests.

use arsenal_server::assembly::{self, Running};
use arsenal_server::config::Config;
use arsenal_tests::modules::{Chronicle, Happening, modules_with};
use arsenal_tests::{Api, DEADLINE, Transport};
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;

fn on_a_node<F: Future<Output = ()>>(test: impl Fn(Running, Api, Arc<Chronicle>) -> F) {
    for transport in [Transport::Grpc, Transport::Rest] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut config = Config::default();
            config.node.schedulers = 2;
            config.listen.grpc = SocketAddr::from(([127, 0, 0, 1], 0));
            config.listen.rest = SocketAddr::from(([127, 0, 0, 1], 0));
            let chronicle = Arc::new(Chronicle::default());
            let running = assembly::serve(&config, modules_with(&chronicle)).await.unwrap();
            let api = match transport {
                Transport::Grpc => Api::grpc(running.grpc).await,
                Transport::Rest => Api::rest(running.rest.unwrap()),
            };
            let outcome = tokio::time::timeout(DEADLINE * 2, test(running, api, chronicle)).await;
            assert!(outcome.is_ok(), "the test over {transport:?} did not end");
        });
    }
}

#[test]
fn an_open_stream_ends_with_unavailable() {
    on_a_node(|running, api, _| async move {
        let mut watch = api.stream("WatchProcesses", json!({})).await;
        watch.next().await.unwrap().unwrap();
        let stopping = tokio::spawn(running.stop(DEADLINE));
        let end = loop {
            match watch.next().await {
                Some(Ok(_)) => {}
                Some(Err(failure)) => break failure,
                None => panic!("the stream ended as if it were whole"),
            }
        };
        assert_eq!((&*end.code, &*end.reason), ("UNAVAILABLE", "STOPPING"));
        drop((watch, api));
        assert!(stopping.await.unwrap(), "everything ended by itself");
    });
}

#[test]
fn nothing_starts_any_more_but_reads_are_answered() {
    on_a_node(|running, api, _| async move {
        let pid = api.start("counter", json!({})).await;
        running.node.stop_accepting();
        let failure = api.err("StartProcess", json!({"module": "counter"})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("UNAVAILABLE", "STOPPING"));
        assert_eq!(api.ok("GetProcessInfo", json!({"process": pid})).await["process"]["pid"], json!(pid));
        drop(api);
        running.stop(DEADLINE).await;
    });
}

#[test]
fn terminate_callbacks_run_before_the_node_is_gone() {
    on_a_node(|running, api, chronicle| async move {
        for id in ["older", "younger"] {
            api.start("oracle_counter", json!({"$id": id, "trap_exit": true})).await;
        }
        let _node = running.node.clone();
        drop(api);
        assert!(running.stop(DEADLINE).await);
        let told = chronicle.happenings();
        let terminated: Vec<String> = told
            .iter()
            .filter(
                |(_, happening)| matches!(happening, Happening::Terminated(reason) if reason.is("shutdown")),
            )
            .filter_map(|(pid, _)| chronicle.key(*pid))
            .collect();
        assert_eq!(terminated, ["younger#1", "older#1"]);
    });
}

#[test]
fn a_call_that_waits_hears_that_its_process_was_stopped() {
    on_a_node(|running, api, _| async move {
        let pid = api.start("counter", json!({})).await;
        api.ok("SuspendProcess", json!({"process": pid, "holder": "test"})).await;
        let waiting = api.clone();
        let call = json!({"process": pid, "message": "get", "timeout": "60s"});
        let waiting = tokio::spawn(async move { waiting.call("CallProcess", call).await });
        let node = running.node.clone();
        api.eventually(|| async { (node.waiting_requests() == 1).then_some(()) }).await;
        drop(api);
        let stopping = tokio::spawn(running.stop(DEADLINE));
        let failure = waiting.await.unwrap().unwrap_err();
        assert_eq!((&*failure.code, &*failure.reason), ("ABORTED", "EXITED"), "{failure:?}");
        assert_eq!(failure.exit, Some(json!("shutdown")));
        assert!(stopping.await.unwrap());
    });
}

#[test]
fn a_gateway_of_its_own_tells_its_streams_and_ends() {
    on_a_node(|running, _, _| async move {
        let mut config = Config::default();
        config.listen.rest = SocketAddr::from(([127, 0, 0, 1], 0));
        config.gateway.upstream = format!("http://{}", running.grpc);
        let (address, serving, stop) = arsenal_server::standalone::serve_gateway(&config).await.unwrap();
        let mut watch = Api::rest(address).stream("WatchProcesses", json!({})).await;
        watch.next().await.unwrap().unwrap();
        stop.send(true).unwrap();
        let end = loop {
            match watch.next().await {
                Some(Ok(_)) => {}
                Some(Err(failure)) => break failure,
                None => panic!("the stream ended as if it were whole"),
            }
        };
        assert_eq!((&*end.code, &*end.reason), ("UNAVAILABLE", "STOPPING"));
        assert!(end.message.contains("the gateway is stopping"), "{end:?}");
        drop(watch);
        serving.await.unwrap();
        // the node goes on
        Api::grpc(running.grpc).await.ok("GetSystemInfo", json!({})).await;
        assert!(running.stop(DEADLINE).await);
    });
}

#[test]
fn health_says_so_first() {
    use tonic_health::pb::health_client::HealthClient;
    use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
    on_a_node(|running, api, _| async move {
        // told to stop, and does not
        api.start("recorder", json!({})).await;
        let channel = tonic::transport::Channel::from_shared(format!("http://{}", running.grpc)).unwrap();
        let mut health = HealthClient::new(channel.connect().await.unwrap());
        let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        let node = running.node.clone();
        let stopping = tokio::spawn(running.stop(std::time::Duration::from_secs(5)));
        assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert_eq!(node.process_count(), 1, "it is told before any process has ended");
        drop((watch, health, api));
        assert!(!stopping.await.unwrap(), "one process had to be killed");
    });
}
