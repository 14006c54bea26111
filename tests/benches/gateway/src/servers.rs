//! The servers that are loaded, each on a thread of its own: the gateway's is called `server`, and that of the gRPC
//! service, where it has one, `upstream`.

use crate::messages::Size;
use crate::{bare, echo};
use arsenal_gateway::config::Transcoder;
use arsenal_gateway::transcode::decode;
use arsenal_gateway::transcode::lexer::JsonLimits;
use arsenal_gateway::upstream::{self, Remote, Upstream};
use arsenal_gateway::{Config, Gateway, JsonOptions};
use axum::Router;
use axum::serve::ListenerExt as _;
use bench_load::{server, server_named};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

/// The thread of what is measured.
pub const SERVER: &str = "server";
/// The thread of the service that a gateway of its own calls.
pub const UPSTREAM: &str = "upstream";

/// HTTP/2 connections between a gateway of its own and its upstream: one, as tonic's client has.
const CONNECTIONS: usize = 1;
/// Bounds on JSON that no message here comes near.
pub const JSON_LIMITS: JsonLimits = JsonLimits { depth: 100, values: 1_000_000 };

/// The gateway with its defaults, save the way it transcodes.
pub fn gateway(transcoder: Transcoder) -> Gateway {
    let config = Config { transcoder, ..Config::default() };
    match Gateway::builder(echo::DESCRIPTOR_SET).config(config).build() {
        Ok(gateway) => gateway,
        Err(error) => panic!("the gateway cannot be built: {error}"),
    }
}

/// A message on the wire.
pub fn wire(size: Size) -> Vec<u8> {
    let gateway = gateway(Transcoder::Plan);
    let schema = gateway.schema();
    let id = schema.message_id(size.message()).expect("the service's own message");
    let mut wire = Vec::new();
    decode::message(schema, id, &size.json(), JsonOptions::default(), JSON_LIMITS, &mut wire)
        .expect("the message is valid");
    wire
}

/// The bare axum echo.
pub fn axum_echo() -> SocketAddr {
    server(|| serve(bare::router()))
}

/// The gateway in one program with the service, which it calls without a socket.
pub fn embedded(transcoder: Transcoder) -> SocketAddr {
    server(move || serve(in_front_of(transcoder, upstream::service(echo::service()))))
}

/// The gateway in front of a service somewhere else.
pub fn standalone() -> SocketAddr {
    let upstream = tonic_echo(UPSTREAM);
    server(move || async move {
        let address = format!("http://{upstream}").parse().expect("an address");
        let remote: Arc<dyn Upstream> =
            Arc::new(Remote::new(&address, CONNECTIONS).expect("a plain address"));
        serve(in_front_of(Transcoder::Plan, remote)).await
    })
}

fn in_front_of(transcoder: Transcoder, upstream: impl Upstream) -> Router {
    gateway(transcoder).into_router(upstream)
}

/// The bare tonic echo.
pub fn tonic_echo(thread: &str) -> SocketAddr {
    server_named(thread, || async {
        let loopback = ([127, 0, 0, 1], 0).into();
        let incoming = TcpIncoming::bind(loopback).expect("a free port").with_nodelay(Some(true));
        let address = incoming.local_addr().expect("it listens");
        let server = tonic::transport::Server::builder()
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .add_service(echo::service())
            .serve_with_incoming(incoming);
        (address, tokio::spawn(server))
    })
}

/// As whoever writes an axum service serves it.
async fn serve(router: Router) -> (SocketAddr, impl Sized) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let listener = listener.tap_io(|connection| {
        // a connection that does not take the option is only slower
        let _ = connection.set_nodelay(true);
    });
    (address, tokio::spawn(axum::serve(listener, router).into_future()))
}
