//! The ports of a node or gateway: what connections may do there, and who serves them. What is served is put together
//! elsewhere.

use crate::assembly::{StartupError, is_traced};
use crate::cluster::InternalWire;
use crate::config::Config;
use crate::gateway;
use crate::grpc::{GrpcPort, Late};
use crate::listener::{self, Door, Protocols};
use crate::metrics::Metrics;
use crate::rest::RestPort;
use crate::telemetry::context::CallerContextLayer;
use arsenal_gateway::StreamTasks;
use arsenal_membership::Cuts;
use arsenal_services::routes::Layered;
use arsenal_services::wire::Wire;
use axum::body::Body;
use http::{Request, Response};
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::{Layer as _, Service};

/// Bytes that a client may send ahead on one stream, and on one connection, over gRPC.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// The same over REST, where a large body may wait for room: the 24 that may leave the others of their connection enough.
const REST_STREAM_WINDOW_BYTES: u32 = 256 << 10;
const REST_CONNECTION_WINDOW_BYTES: u32 = 64 * REST_STREAM_WINDOW_BYTES;

/// hyper's bound where it is told none.
const HTTP1_HEADERS_MAX: usize = 100;

/// What a connection of HTTP/1 may hold of what it reads, at least: a head, or a piece of a body.
const HTTP1_BUFFER_BYTES_MIN: usize = 64 << 10;

pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, StartupError> {
    TcpListener::bind(address).await.map_err(|error| StartupError::Listen { address, error })
}

pub(crate) fn address_of(listener: &TcpListener) -> Result<SocketAddr, StartupError> {
    listener.local_addr().map_err(StartupError::Threads)
}

/// The settings of connections; `streams` is how many requests one of HTTP/2 may have at once.
pub(crate) fn protocols(config: &Config, streams: u32) -> Protocols {
    let milliseconds = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms));
    let mut builder = Protocols::new(StreamTasks);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(config.gateway.header_read_ms))
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .keep_alive_interval(milliseconds(config.grpc.keepalive_ms))
        .keep_alive_timeout(Duration::from_millis(config.grpc.keepalive_timeout_ms));
    builder
}

/// Serves gRPC: the operations, and what nodes say to each other.
pub(crate) fn serve_grpc(
    config: &Config,
    (listener, door): (TcpListener, Door),
    rpcs: Late<Wire<impl Layered>>,
    (internal, cuts): (Option<InternalWire>, Option<Cuts>),
    stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let mut protocols = protocols(config, config.grpc.streams_per_connection_max);
    protocols
        .http2()
        .max_header_list_size(config.grpc.header_bytes_max)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    let port = GrpcPort::new(rpcs, internal, cuts);
    // without an exporter nobody asks for the caller's trace
    match is_traced(config) {
        true => {
            let port = CallerContextLayer.layer(port);
            listener::serve(listener, door, protocols, port, stopped)
        }
        false => listener::serve(listener, door, protocols, port, stopped),
    }
}

/// Serves a gateway, one that stays as it is or one that follows its descriptors.
pub(crate) fn serve_rest<G>(
    config: &Config,
    (listener, door): (TcpListener, Door),
    gateway: G,
    metrics: &Metrics,
    stopped: watch::Receiver<bool>,
) -> JoinHandle<()>
where
    G: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>,
    G: Clone + Send + 'static,
{
    let mut protocols = protocols(config, config.gateway.streams_per_connection_max);
    // WebSockets
    protocols.http2().enable_connect_protocol();
    protocols
        .http2()
        .initial_stream_window_size(REST_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(REST_CONNECTION_WINDOW_BYTES);
    protocols.http2().max_header_list_size(config.gateway.header_bytes_max);
    // what is a little beyond is refused by the gateway, which says more; hyper's own 100 are quicker than a number
    if config.gateway.headers_max > HTTP1_HEADERS_MAX {
        protocols.http1().max_headers(config.gateway.headers_max);
    }
    let head_bytes_max = config.gateway.target_bytes_max + config.gateway.header_bytes_max as usize;
    protocols.http1().max_buf_size(head_bytes_max.max(HTTP1_BUFFER_BYTES_MIN));
    let door = door.telling_peers().telling_errors(&gateway::settings(config).error_domain);
    let port = RestPort::new(gateway, metrics.router(), gateway::hosts(config));
    match is_traced(config) {
        true => {
            let port = CallerContextLayer.layer(port);
            listener::serve(listener, door, protocols, port, stopped)
        }
        false => listener::serve(listener, door, protocols, port, stopped),
    }
}
