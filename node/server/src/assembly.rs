//! A node put together: runtime, services, gateway, listeners. `shutdown` takes it apart again.

pub use crate::cluster::Joined;

use crate::cluster::{self, Membership};
use crate::config::{Config, ConfigError};
use crate::gateway;
use crate::grpc::Late;
use crate::health;
use crate::listener::{Door, Tally};
use crate::memory;
use crate::metrics::{self, Metrics};
use crate::parting::PartingLayer;
use crate::ports;
use crate::probes::{self, Probes};
use crate::telemetry;
use arsenal_gateway::upstream::{self, RemoteError};
use arsenal_membership::{Alone, ClusterError, Dialer, Nodes};
use arsenal_raft::End;
use arsenal_runtime::registry::LocalRegistry;
use arsenal_runtime::{Module, Node, NodeConfig, wakes};
use arsenal_services::Shared;
use arsenal_services::cluster::placement::Placement;
use arsenal_services::layer::Propagate;
use arsenal_services::own::Serve;
use arsenal_services::routes::{self};
use arsenal_services::wire::WireLimits;
use arsenal_tls::TlsError;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic_health::ServingStatus;

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
    pub(crate) probes: Probes,
    pub(crate) health: tonic_health::server::HealthReporter,
    /// Wakes the requests that wait on this thread.
    pub(crate) gatherer: JoinHandle<Infallible>,
    /// Its part in a cluster; nothing if it is alone.
    pub(crate) membership: Option<Membership>,
    /// The nodes of its cluster, as it sees them.
    pub nodes: Arc<dyn Nodes>,
    /// Answers what its own services ask: they have it only as long as this does.
    _own: Arc<dyn Serve>,
}

impl Running {
    /// The number of the node that leads its cluster, as far as this one knows; nothing if it is alone.
    pub fn leader(&self) -> Option<u32> {
        self.membership.as_ref()?.leader()
    }

    /// Returns once the node has to stop because it is taken out of its cluster.
    pub async fn dismissed(&self) {
        match &self.membership {
            Some(membership) => membership.dismissed().await,
            None => std::future::pending().await,
        }
    }

    /// Where health and metrics are served for probes; nothing if no such port is configured.
    pub fn probes(&self) -> Option<SocketAddr> {
        self.probes.address()
    }
}

/// Why a node or gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// A setting cannot be what it is.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The files for TLS cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {address}: {error}; is another arsenal running? choose another, \
         with --grpc or --rest of `dev`, else with listen.grpc or listen.rest"
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
    /// The descriptors that a gateway of its own is to serve cannot be used.
    #[error("gateway.descriptors is `{from}`: {error}{}", told_of(nodes))]
    Descriptors {
        /// Where they come from.
        from: String,
        /// Why not.
        error: arsenal_gateway::live::LiveError,
        /// The nodes that should have told them and failed, each with the reason.
        nodes: Vec<(String, String)>,
    },
    /// The node does not get into its cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The upstream's address is none.
    #[error(
        "`{0}` is no upstream address; give one like http://127.0.0.1:7450 or https://node.example.com:7450"
    )]
    UpstreamUrl(String),
    /// The upstream cannot be called so.
    #[error(transparent)]
    Upstream(RemoteError),
}

fn told_of(nodes: &[(String, String)]) -> String {
    nodes.iter().map(|(node, why)| format!("; {node}: {why}")).collect()
}

/// What a node listens on, before there is one.
pub struct Bound {
    door: Door,
    grpc: TcpListener,
    rest: Option<TcpListener>,
    probes: probes::Bound,
    address: SocketAddr,
}

impl Bound {
    /// Listens where `config` says.
    ///
    /// # Errors
    /// As [`StartupError`] says.
    pub async fn bind(config: &Config) -> Result<Self, StartupError> {
        config.check()?;
        let door = Door::of(config)?;
        let grpc = ports::listen(config.listen.grpc).await?;
        let rest = if config.listen.embedded_gateway {
            Some(ports::listen(config.listen.rest).await?)
        } else {
            None
        };
        let probes = probes::Bound::bind(config).await?;
        Ok(Self { door, address: ports::address_of(&grpc)?, grpc, rest, probes })
    }

    /// Where gRPC will be served.
    pub fn grpc(&self) -> SocketAddr {
        self.address
    }
}

/// Starts a node with the shipped native modules and `modules`, and serves it on the current tokio runtime.
///
/// # Errors
/// As [`StartupError`] says; nothing is left running.
pub async fn serve(config: &Config, modules: Vec<Arc<dyn Module>>) -> Result<Running, StartupError> {
    serve_on(Bound::bind(config).await?, config, modules, Arc::new(end_process)).await
}

/// A node that cannot go on in its cluster ends its process at once: one that half works holds up the others.
pub(crate) fn end_process(reason: String) {
    tracing::error!(reason, "the node ends");
    eprintln!("arsenal: the node cannot go on: {reason}");
    std::process::exit(CANNOT_GO_ON);
}

/// Exit code of a node that cannot go on.
const CANNOT_GO_ON: i32 = 5;

/// As [`serve`], where it listens already. A node of a cluster is served once it is in it, which takes as long as the
/// others let it wait; `end` is called, and the process has to end, if it cannot go on there.
///
/// # Errors
/// As [`StartupError`] says; nothing is left running.
pub async fn serve_on(
    bound: Bound,
    config: &Config,
    modules: Vec<Arc<dyn Module>>,
    end: End,
) -> Result<Running, StartupError> {
    serve_in(bound, config, modules, Found::Out(end)).await
}

/// As [`serve_on`], of a node whose place in its cluster is known.
///
/// # Errors
/// As [`StartupError`] says; nothing is left running.
pub async fn serve_as(
    bound: Bound,
    config: &Config,
    modules: Vec<Arc<dyn Module>>,
    place: Joined,
) -> Result<Running, StartupError> {
    serve_in(bound, config, modules, Found::Known(place)).await
}

/// Where a node's place in its cluster comes from.
enum Found {
    /// It finds it as its configuration says; this is called if it cannot go on there.
    Out(End),
    /// It is given.
    Known(Joined),
}

async fn serve_in(
    bound: Bound,
    config: &Config,
    modules: Vec<Arc<dyn Module>>,
    found: Found,
) -> Result<Running, StartupError> {
    config.check()?;
    let Bound { door, grpc, rest, probes, address } = bound;
    let gateway = if rest.is_some() { Some(gateway::built(config)?) } else { None };
    let (stop, stopped) = watch::channel(false);
    let (end, place) = match found {
        Found::Out(end) => (Some(end), None),
        Found::Known(place) => (None, Some(place)),
    };
    let membership = match config.membership(address)?.zip(end) {
        Some((settings, end)) => Some(Membership::open(settings, dialer(config)?, end)?),
        None => None,
    };
    let recognition = config.tls.recognition();
    let placement = Placement::default();
    let internal = match (&membership, &place) {
        (Some(membership), _) => Some(membership.wire(&placement, &recognition, stopped.clone())),
        (None, Some(_)) => Some(cluster::wire_of_given(&placement, &recognition, stopped.clone())),
        (None, None) => None,
    };
    let cuts = membership.as_ref().map(Membership::cuts);
    door.follow_files(config, stopped.clone());
    let rpcs = Late::default();
    let ports = [("grpc", Arc::<Tally>::default()), ("rest", Arc::default())];
    let counted = door.clone().counted_by(Arc::clone(&ports[0].1));
    let mut listeners =
        vec![ports::serve_grpc(config, (grpc, counted), rpcs.clone(), (internal, cuts), stopped.clone())];
    let joined = match &membership {
        Some(membership) => membership.join().await?,
        None => place.unwrap_or_else(|| alone(config, address)),
    };
    let node = start_node(config, modules, &joined)?;
    if let Some(membership) = &membership {
        membership.carry(&node, &joined.nodes);
    }
    let limits = WireLimits {
        message_bytes_max: config.grpc.message_bytes_max,
        response_bytes_max: config.grpc.response_bytes_max,
        request_idle_max: Duration::from_millis(config.grpc.request_idle_ms),
        request_bytes_per_second_min: config.grpc.request_bytes_per_second_min,
        requests_bytes_max: config.grpc.requests_bytes_max,
        answers_bytes_max: config.grpc.answers_bytes_max,
    };
    let nodes = joined.nodes;
    let shared = Shared::new(node.clone(), Arc::clone(&nodes)).with_limits(config.limits());
    let shared = shared.with_chaos(config.chaos.allowed).recognizing(recognition);
    placement.begin(shared.clone());
    if let Some(membership) = &membership {
        membership.hold(&shared);
    }
    let (health, wire) = routes::wire(&shared, limits, propagation(config))
        .map_err(|error| StartupError::Descriptor(error.to_string()))?;
    health::tell(&health, ServingStatus::Serving).await;
    let wire = wire.layer(&PartingLayer::new("node", stopped.clone()));
    rpcs.set(wire.clone());
    let own: Arc<dyn Serve> = Arc::new(wire.clone().in_process());
    shared.serve_own(&own);
    let rest_address = rest.as_ref().map(ports::address_of).transpose()?;
    let (of_node, table) = (node.clone(), Arc::clone(wire.table()));
    let rest_port = ports[1].1.clone();
    let mut metrics = Metrics::default()
        .with(move |text| metrics::of_node(&of_node, text))
        .with(move |text| metrics::of_rpcs(&table, text))
        .with(move |text| metrics::of_connections(&ports, text));
    if let Some(leader) = membership.as_ref().map(Membership::leadership) {
        metrics = metrics.with(move |text| metrics::of_cluster(leader(), text));
    }
    if let (Some(listener), Some(gateway)) = (rest, gateway) {
        let of_gateway = gateway.metrics().clone();
        metrics = metrics.with(move |text| of_gateway.write(text));
        let gateway = gateway.service(upstream::service(wire.in_process()));
        let door = door.counted_by(rest_port);
        listeners.push(ports::serve_rest(config, (listener, door), gateway, &metrics, stopped));
    }
    let probes = probes.serve(config, health.clone(), &metrics).await?;
    let gatherer = tokio::spawn(serve_thread());
    let (grpc, rest) = (address, rest_address);
    Ok(Running { node, grpc, rest, stop, listeners, probes, health, gatherer, membership, nodes, _own: own })
}

/// What a node has that is in no cluster.
fn alone(config: &Config, address: SocketAddr) -> Joined {
    let (node, incarnation) = (config.node.id, config.node.incarnation);
    Joined {
        node,
        incarnation,
        registry: Arc::new(LocalRegistry::default()),
        nodes: Arc::new(Alone::new(node, incarnation, &address.to_string())),
    }
}

/// How other nodes are connected to: as this one's own port is.
fn dialer(config: &Config) -> Result<Dialer, StartupError> {
    let Some(files) = config.tls.peer_files() else { return Ok(Dialer::default()) };
    let tls = arsenal_tls::Client::load(files, &[arsenal_tls::H2])?;
    tokio::spawn(tls.clone().follow(Duration::from_millis(config.tls.reload_ms)));
    Ok(Dialer::new(Some(tls)).expecting(&config.tls.node_name))
}

fn start_node(config: &Config, modules: Vec<Arc<dyn Module>>, joined: &Joined) -> Result<Node, StartupError> {
    let mut all = arsenal_behaviours::modules::native_modules();
    all.extend(modules);
    let node = Node::start(NodeConfig {
        id: joined.node,
        incarnation: joined.incarnation,
        schedulers: config.node.schedulers,
        limits: config.limits.to_node(),
        modules: all,
        on_idle: Some(memory::give_back),
        registry: Arc::clone(&joined.registry),
        ..NodeConfig::default()
    });
    node.map_err(StartupError::Threads)
}

/// Whether `config` is one that a node can be started with, as far as that can be told without the machine it is for.
///
/// # Errors
/// As [`StartupError`] says.
pub fn check(config: &Config) -> Result<(), StartupError> {
    config.check()?;
    config.membership(config.listen.grpc)?;
    Door::of(config)?;
    if config.listen.embedded_gateway { gateway::built(config).map(drop) } else { Ok(()) }
}

/// What a thread that serves requests needs beside them: one that wakes those whose answers came, and one that looks now
/// and then whether there are any. The timer of the second is due before theirs, which matters: tokio writes to itself for
/// each timer that is due before all others, as each call's would be on a thread whose connections alone have timers.
async fn serve_thread() -> Infallible {
    tokio::select! {
        never = memory::give_back_when_idle() => never,
        never = wakes::gather() => never,
    }
}

/// How a request to another node continues the trace: without an exporter, as it came.
fn propagation(config: &Config) -> Propagate {
    match is_traced(config) {
        true => Arc::new(telemetry::context::continue_trace),
        false => Arc::new(|_| {}),
    }
}

pub(crate) fn is_traced(config: &Config) -> bool {
    !config.telemetry.otlp_endpoint.is_empty()
}
