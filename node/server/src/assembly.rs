//! A node put together: runtime, services, gateway, listeners. `shutdown` takes it apart again.

use crate::config::Config;
use crate::content_type::ContentTypeLayer;
use crate::half_open::HalfOpenLayer;
use crate::parting::{PartingLayer, PartingUpstream};
use crate::telemetry::context::{CallerContextLayer, TracedUpstream};
use crate::{listener, rest};
use arsenal_gateway::{Gateway, upstream};
use arsenal_runtime::{Module, Node, NodeConfig};
use arsenal_services::routes::{self, WireLimits};
use arsenal_services::{Shared, operations};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Reflection, whose clients stream.
const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

/// A node that serves.
pub struct Running {
    /// The node.
    pub node: Node,
    /// Where gRPC is served.
    pub grpc: SocketAddr,
    /// Where REST is served; nothing if the gateway is not embedded.
    pub rest: Option<SocketAddr>,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) listeners: Vec<JoinHandle<()>>,
    pub(crate) health: tonic_health::server::HealthReporter,
}

/// Why a node or gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: {error}; is another arsenal running? choose another with --grpc or --rest"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The machine refuses a thread.
    #[error("cannot start the node's threads: {0}")]
    Threads(std::io::Error),
    /// The contract's descriptor cannot be used.
    #[error("the embedded descriptor set cannot be used: {0}")]
    Descriptor(String),
    /// The upstream's address is none.
    #[error("`{0}` is no upstream address; give one like http://127.0.0.1:7450")]
    Upstream(String),
}

/// Starts a node with the shipped native modules and `modules`, and serves it on the current tokio runtime.
///
/// # Errors
/// As [`StartupError`] says; nothing is left running.
pub async fn serve(config: &Config, modules: Vec<Arc<dyn Module>>) -> Result<Running, StartupError> {
    let grpc = listen(config.listen.grpc).await?;
    let rest = if config.listen.embedded_gateway { Some(listen(config.listen.rest).await?) } else { None };
    let gateway = if rest.is_some() { Some(gateway(config)?) } else { None };
    let mut all = arsenal_behaviours::modules::native_modules();
    all.extend(modules);
    let node = Node::start(NodeConfig {
        id: config.node.id,
        incarnation: config.node.incarnation,
        schedulers: config.node.schedulers,
        limits: config.limits.to_node(),
        modules: all,
        ..NodeConfig::default()
    })
    .map_err(StartupError::Threads)?;
    let limits = WireLimits {
        message_bytes_max: config.grpc.message_bytes_max,
        response_bytes_max: config.grpc.response_bytes_max,
    };
    let (health, router) = routes::router(&Shared::new(node.clone()), limits)
        .map_err(|error| StartupError::Descriptor(error.to_string()))?;
    let (stop, stopped) = watch::channel(false);
    let router = router.layer(PartingLayer::new("node", stopped.clone()));
    let mut listeners = Vec::new();
    let (grpc_address, rest_address) = (address_of(&grpc)?, rest.as_ref().map(address_of).transpose()?);
    listeners.push(serve_grpc(config, grpc, router.clone(), stopped.clone()));
    if let (Some(listener), Some(gateway)) = (rest, gateway) {
        let mut app = gateway.into_router(upstream::service(router));
        app = app.merge(crate::metrics::router(node.clone()));
        listeners.push(rest::serve(config, listener, traced(config, app), stopped));
    }
    Ok(Running { node, grpc: grpc_address, rest: rest_address, stop, listeners, health })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartupError> {
    TcpListener::bind(address).await.map_err(|error| StartupError::Listen { address, error })
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr, StartupError> {
    listener.local_addr().map_err(StartupError::Threads)
}

/// The gateway of this contract.
///
/// # Errors
/// If its descriptor set or a limit cannot be used.
pub fn gateway(config: &Config) -> Result<Gateway, StartupError> {
    let mut settings = arsenal_gateway::Config::default();
    settings.limits.request_bytes_max = config.gateway.body_bytes_max;
    settings.limits.response_bytes_max = config.grpc.response_bytes_max;
    settings.limits.depth_max = config.gateway.json_depth_max;
    settings.limits.json_values_max = config.gateway.json_values_max;
    settings.limits.target_bytes_max = config.gateway.target_bytes_max;
    settings.limits.body_idle_max = Duration::from_millis(config.gateway.body_idle_ms);
    settings.json.enum_case_insensitive = true;
    settings.json.emit_defaults = true;
    settings.heartbeat = Duration::from_millis(config.gateway.heartbeat_ms.max(1));
    settings.sse_retry =
        (config.gateway.reconnect_ms > 0).then(|| Duration::from_millis(config.gateway.reconnect_ms));
    settings.compress_bytes_min = Some(config.gateway.compress_bytes_min).filter(|&bytes_min| bytes_min > 0);
    settings.origins.clone_from(&config.gateway.origins);
    settings.error_domain = arsenal_services::status::DOMAIN.to_owned();
    settings.metadata.request_headers = ["arsenal-session", "arsenal-node"].map(str::to_owned).into();
    settings.metadata.response_headers.push(arsenal_services::layer::OPERATION_HEADER.to_owned());
    settings.info = arsenal_gateway::Info {
        title: "Arsenal".to_owned(),
        version: "v1".to_owned(),
        description: "OTP as a service: processes, supervisors, messages and names.".to_owned(),
    };
    Gateway::builder(arsenal_proto::FILE_DESCRIPTOR_SET)
        .config(settings)
        .build()
        .map_err(|error| StartupError::Descriptor(error.to_string()))
}

/// Within the caller's trace, if traces are exported.
fn traced(config: &Config, router: axum::Router) -> axum::Router {
    if is_traced(config) { router.layer(CallerContextLayer) } else { router }
}

fn is_traced(config: &Config) -> bool {
    !config.telemetry.otlp_endpoint.is_empty()
}

fn serve_grpc(
    config: &Config,
    listener: TcpListener,
    router: axum::Router,
    mut stopped: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let milliseconds = |ms: u64| (ms > 0).then(|| Duration::from_millis(ms));
    let mut server = tonic::transport::Server::builder()
        .accept_http1(true)
        .max_concurrent_streams(config.grpc.streams_per_connection_max)
        .http2_max_header_list_size(config.grpc.header_bytes_max)
        .http2_keepalive_interval(milliseconds(config.grpc.keepalive_ms))
        .http2_keepalive_timeout(milliseconds(config.grpc.keepalive_timeout_ms))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20);
    let streaming = operations::all().into_iter().filter(|operation| operation.method.is_client_streaming());
    // reflection is a stream of requests too
    let streaming = streaming.map(|operation| operation.path()).chain([REFLECTION.to_owned()]);
    let half_open = HalfOpenLayer::new(Duration::from_millis(config.grpc.request_idle_ms), streaming);
    let router = router.layer((ContentTypeLayer, tonic_web::GrpcWebLayer::new(), half_open));
    let router = traced(config, router);
    let routes = tonic::service::Routes::from(router);
    let incoming = listener::connections(listener, &config.listen, listener::Places::new(&config.listen));
    tokio::spawn(async move {
        let stop = async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        };
        if let Err(error) = server.add_routes(routes).serve_with_incoming_shutdown(incoming, stop).await {
            tracing::error!(%error, "the gRPC listener failed");
        }
    })
}

/// Starts a gateway of its own.
///
/// # Errors
/// As [`StartupError`] says.
pub async fn serve_gateway(
    config: &Config,
) -> Result<(SocketAddr, JoinHandle<()>, watch::Sender<bool>), StartupError> {
    let wrong = || StartupError::Upstream(config.gateway.upstream.clone());
    let address = config.gateway.upstream.parse().map_err(|_| wrong())?;
    let remote = upstream::Remote::new(&address, config.gateway.connections).map_err(|_| wrong())?;
    let listener = listen(config.listen.rest).await?;
    let bound = address_of(&listener)?;
    let gateway = gateway(config)?;
    let (stop, stopped) = watch::channel(false);
    let remote = PartingUpstream::new(PartingLayer::new("gateway", stopped.clone()), remote);
    let app = match is_traced(config) {
        true => gateway.into_router(TracedUpstream::new(remote)),
        false => gateway.into_router(remote),
    };
    Ok((bound, rest::serve(config, listener, traced(config, app), stopped), stop))
}
