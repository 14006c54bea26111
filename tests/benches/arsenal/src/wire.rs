//! A whole node behind its listeners: a call over gRPC, and over REST through the embedded gateway, that reaches a
//! process and brings back its reply. The listeners share one thread; the node's schedulers are a core each, as for
//! everyone. Who loads them is the code that loads the peers.

use crate::Measured;
use arsenal_proto::v1::{CallProcessRequest, call_process_request::Payload};
use arsenal_runtime::{ProcessName, StartOptions, Started, Term};
use arsenal_server::assembly::{Running, serve};
use arsenal_server::config::Config;
use bench_load::{OBJECT, PAYLOAD, server};
use prost::Message as _;
use std::net::SocketAddr;

/// The process that answers each call with its argument.
const CALLEE: &str = "echo";

/// A field of [`OBJECT`], which comes back with its keys in another order.
const REPLIED: &str = r#""name":"order-processing""#;

async fn node() -> Running {
    let mut config = Config::default();
    config.listen.grpc = ([127, 0, 0, 1], 0).into();
    config.listen.rest = ([127, 0, 0, 1], 0).into();
    let running = match serve(&config, Vec::new()).await {
        Ok(running) => running,
        Err(error) => panic!("the node does not start: {error}"),
    };
    let name = ProcessName { name: CALLEE.into(), global: false };
    let options = StartOptions { name: Some(name), ..StartOptions::default() };
    match running.node.start_process("echo", &Term::Null, options, None).await {
        Ok(Started::Running(_)) => running,
        other => panic!("no callee: {other:?}"),
    }
}

fn grpc_address() -> SocketAddr {
    server(|| async {
        let running = node().await;
        (running.grpc, running)
    })
}

fn rest_address() -> SocketAddr {
    server(|| async {
        let running = node().await;
        (running.rest.expect("the gateway is embedded"), running)
    })
}

fn measured(load: bench_load::Measured) -> Measured {
    Measured { value: load.value, unit: load.unit }
}

pub fn grpc_unary() -> Measured {
    let payload = Some(Payload::MessageBytes(PAYLOAD.to_vec().into()));
    let request = CallProcessRequest { process: CALLEE.to_owned(), payload, ..CallProcessRequest::default() };
    let method = "/arsenal.v1.MessagingService/CallProcess";
    measured(bench_load::grpc_unary(grpc_address(), method, &request.encode_to_vec()))
}

pub fn rest_unary() -> Measured {
    let body = format!(r#"{{"message":{OBJECT}}}"#);
    measured(bench_load::rest_unary(rest_address(), "/v1/processes/echo:call", &body, REPLIED))
}
