//! The port of probes: what it tells of a node and of a gateway, while they serve and while they stop.

use arsenal_runtime::Term;
use arsenal_server::assembly;
use arsenal_server::config::{Config, OptionalAddress};
use arsenal_server::standalone::serve_gateway;
use arsenal_services::operations;
use arsenal_tests::{Api, DEADLINE, nobody};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::json;
use std::net::SocketAddr;
use tonic::transport::Channel;
use tonic::{Code, Streaming};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus};

const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn with_probes(probes: SocketAddr) -> Config {
    let mut config = Config::default();
    config.node.schedulers = 2;
    (config.listen.grpc, config.listen.rest) = (FREE, FREE);
    config.listen.probes = OptionalAddress(Some(probes));
    config
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(async { tokio::time::timeout(DEADLINE * 2, test).await });
    assert!(outcome.is_ok(), "it did not end");
}

async fn health(address: SocketAddr) -> HealthClient<Channel> {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap();
    HealthClient::new(channel.connect().await.unwrap())
}

async fn told(health: &mut HealthClient<Channel>, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.into() };
    health.check(request).await.unwrap().into_inner().status()
}

async fn watch(health: &mut HealthClient<Channel>, service: &str) -> Streaming<HealthCheckResponse> {
    health.watch(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner()
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(format!("http://{address}{path}").parse().unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    (status, String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap())
}

#[test]
fn a_node_that_stops_is_alive_and_not_ready() {
    run(async {
        let running = assembly::serve(&with_probes(FREE), Vec::new()).await.unwrap();
        let mut health = health(running.probes().unwrap()).await;
        assert_eq!(told(&mut health, "").await, ServingStatus::Serving);
        assert_eq!(told(&mut health, "liveness").await, ServingStatus::Serving);
        let mut readiness = watch(&mut health, "").await;
        let mut service = watch(&mut health, "arsenal.v1.ProcessService").await;
        for watched in [&mut readiness, &mut service] {
            assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        }
        // told to stop, and does not
        let api = Api::grpc(running.grpc).await;
        let pid = api.start("recorder", json!({})).await;
        let node = running.node.clone();
        let stopping = tokio::spawn(running.stop(DEADLINE));
        for watched in [&mut readiness, &mut service] {
            assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        }
        assert_eq!(told(&mut health, "liveness").await, ServingStatus::Serving);
        drop(api);
        node.kill(pid.parse().unwrap(), Term::KILLED);
        assert!(stopping.await.unwrap(), "the open watch on the port of probes held up the stop");
    });
}

#[test]
fn each_service_of_the_contract_has_its_health_and_no_other_name_has_any() {
    run(async {
        let running = assembly::serve(&with_probes(FREE), Vec::new()).await.unwrap();
        for address in [running.grpc, running.probes().unwrap()] {
            let mut health = health(address).await;
            for service in operations::service_names() {
                assert_eq!(told(&mut health, &service).await, ServingStatus::Serving, "{service}");
            }
            for unknown in ["arsenal.v1.NoService", "ProcessService"] {
                let request = HealthCheckRequest { service: unknown.into() };
                assert_eq!(health.check(request).await.unwrap_err().code(), Code::NotFound, "{unknown}");
            }
        }
        assert!(operations::service_names().contains(&"arsenal.v1.ProcessService".to_owned()));
    });
}

#[test]
fn the_port_of_probes_has_health_and_metrics_and_nothing_else() {
    run(async {
        let mut config = with_probes(FREE);
        config.listen.embedded_gateway = false;
        let running = assembly::serve(&config, Vec::new()).await.unwrap();
        let address = running.probes().unwrap();
        let (status, metrics) = get(address, "/metrics").await;
        assert_eq!(status, 200);
        assert!(metrics.contains("\narsenal_processes 0\n"), "{metrics}");
        for path in ["/v1/processes", "/docs", "/openapi.json", "/arsenal.v1.ProcessService/StartProcess"] {
            assert_eq!(get(address, path).await.0, 404, "{path}");
        }
    });
}

#[test]
fn there_is_no_such_port_unless_it_is_configured() {
    run(async {
        let mut config = with_probes(FREE);
        config.listen.probes = OptionalAddress(None);
        assert_eq!(assembly::serve(&config, Vec::new()).await.unwrap().probes(), None);
    });
}

#[test]
fn a_gateway_of_its_own_is_not_ready_once_it_stops() {
    run(async {
        let (_reserved, probes) = nobody();
        let (_, serving, stop) = serve_gateway(&with_probes(probes)).await.unwrap();
        let mut health = health(probes).await;
        let mut readiness = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        assert_eq!(readiness.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        stop.send(true).unwrap();
        assert_eq!(readiness.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
        assert_eq!(told(&mut health, "liveness").await, ServingStatus::Serving);
        serving.await.unwrap();
    });
}
