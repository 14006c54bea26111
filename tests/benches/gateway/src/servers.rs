//! The servers that are loaded, each on a thread of its own: the gateway's is called `server`, and that of the gRPC
//! service, where it has one, `upstream`.

use crate::messages::Size;
use crate::{bare, echo, hop};
use arsenal_gateway::config::Transcoder;
use arsenal_gateway::grpc::{PREFIX, seal};
use arsenal_gateway::transcode::decode;
use arsenal_gateway::transcode::lexer::JsonLimits;
use arsenal_gateway::upstream::{self, Remote, Upstream};
use arsenal_gateway::{Config, Gateway, JsonOptions, StreamTasks};
use axum::Router;
use axum::serve::ListenerExt as _;
use bench_load::{server, server_named};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;

/// The thread of what is measured.
pub const SERVER: &str = "server";
/// The thread of the service that a gateway of its own calls.
pub const UPSTREAM: &str = "upstream";

/// What a connection of HTTP/2 may have under way, as on Arsenal's own REST port.
const STREAMS_MAX: u32 = 1_024;
pub(crate) const STREAM_WINDOW_BYTES: u32 = 256 << 10;
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 64 * STREAM_WINDOW_BYTES;

/// HTTP/2 connections between a gateway of its own and its upstream: one, as tonic's client has.
const CONNECTIONS: usize = 1;
/// Bounds on JSON that no message here comes near.
pub const JSON_LIMITS: JsonLimits = JsonLimits { depth: 100, values: 1_000_000 };

/// The gateway with its defaults, save the way it transcodes.
pub fn gateway(transcoder: Transcoder) -> Gateway {
    gateway_with(Config { transcoder, ..Config::default() })
}

fn gateway_with(config: Config) -> Gateway {
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

/// The same as gRPC frames it.
pub fn frame(size: Size) -> Bytes {
    let mut frame = [&[0; PREFIX], wire(size).as_slice()].concat();
    seal(&mut frame);
    frame.into()
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
    server(move || serve(in_front_of(Transcoder::Plan, remote(upstream))))
}

/// The same for clients that share one HTTP/2 connection. It has the windows that Arsenal's own port gives, and holds as
/// much as all of them send at once: what waits on a shared connection is soon refused.
pub fn standalone_http2() -> SocketAddr {
    let upstream = tonic_echo(UPSTREAM);
    server(move || async move {
        let mut config = Config::default();
        (config.limits.bodies_bytes_max, config.limits.answers_bytes_max) = (1 << 30, 1 << 30);
        serve_http2(gateway_with(config).into_router(remote(upstream))).await
    })
}

/// A hop that does nothing, in front of the same service.
pub fn hop(size: Size) -> SocketAddr {
    let upstream = tonic_echo(UPSTREAM);
    server(move || async move { serve(hop::router(upstream, size).await).await })
}

/// The same for clients that share one HTTP/2 connection.
pub fn hop_http2(size: Size) -> SocketAddr {
    let upstream = tonic_echo(UPSTREAM);
    server(move || async move { serve_http2(hop::router(upstream, size).await).await })
}

fn remote(upstream: SocketAddr) -> Arc<dyn Upstream> {
    let address = format!("http://{upstream}").parse().expect("an address");
    Arc::new(Remote::new(&address, CONNECTIONS).expect("a plain address"))
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

async fn serve_http2(router: Router) -> (SocketAddr, impl Sized) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it listens");
    let serving = async move {
        while let Ok((connection, _)) = listener.accept().await {
            // as above
            let _ = connection.set_nodelay(true);
            let service = TowerToHyperService::new(router.clone());
            let mut http2 = hyper::server::conn::http2::Builder::new(StreamTasks);
            http2
                .max_concurrent_streams(STREAMS_MAX)
                .initial_stream_window_size(STREAM_WINDOW_BYTES)
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
            tokio::spawn(http2.serve_connection(TokioIo::new(connection), service));
        }
    };
    (address, tokio::spawn(serving))
}
