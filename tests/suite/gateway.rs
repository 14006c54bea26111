//! A gateway of its own in front of real nodes.

use arsenal_server::standalone::serve_gateway;
use arsenal_tests::{Api, Sandbox, SandboxConfig, Transport, on};
use serde_json::json;
use std::net::SocketAddr;

fn before(nodes: &[&Sandbox]) -> arsenal_server::config::Config {
    let mut config = SandboxConfig::default().config;
    config.listen.rest = SocketAddr::from(([127, 0, 0, 1], 0));
    let addresses: Vec<String> = nodes.iter().map(|node| format!("http://{}", node.grpc())).collect();
    config.gateway.upstream = addresses.join(",");
    config
}

/// A gateway as the program runs it: on threads of its own.
struct Gateway {
    address: SocketAddr,
    io: Option<tokio::runtime::Runtime>,
    _stop: tokio::sync::watch::Sender<bool>,
}

impl Gateway {
    async fn start(config: arsenal_server::config::Config) -> Self {
        let io = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(4).build().unwrap();
        let serving = io.spawn(async move { serve_gateway(&config).await });
        let (address, _, stop) = serving.await.unwrap().unwrap();
        Self { address, io: Some(io), _stop: stop }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // a runtime waits for its end, which nobody may do who is in another
        if let Some(io) = self.io.take() {
            io.shutdown_background();
        }
    }
}

#[test]
fn it_learns_the_whole_contract_by_its_node_s_reflection() {
    on(Transport::Grpc, |sandbox, api| async move {
        let mut config = before(&[&sandbox]);
        config.gateway.descriptors = "reflection".into();
        let gateway = Gateway::start(config).await;
        let rest = Api::rest(gateway.address);
        let started = rest.ok("StartProcess", json!({"module": "counter", "name": "c"})).await;
        assert_eq!(api.ok("WhereisProcess", json!({"name": "c"})).await["pid"], started["pid"]);
        let answer = rest.ok("CallProcess", json!({"process": "c", "message": ["add", 2]})).await;
        assert_eq!(answer["reply"], 2);
        let missing = rest.err("GetProcessInfo", json!({"process": "nobody"})).await;
        assert_eq!((missing.code.as_str(), missing.reason.as_str()), ("NOT_FOUND", "NOPROC"));
    });
}

#[test]
fn the_stop_of_one_node_of_two_costs_no_read() {
    on(Transport::Grpc, |sandbox, _| async move {
        let other = Sandbox::start().await;
        let gateway = Gateway::start(before(&[&sandbox, &other])).await;
        let rest = Api::rest(gateway.address);
        for _ in 0..20 {
            rest.ok("GetSystemInfo", json!({})).await;
        }
        let reads = async {
            for _ in 0..200 {
                rest.ok("GetSystemInfo", json!({})).await;
            }
        };
        tokio::join!(reads, other.stop());
    });
}
