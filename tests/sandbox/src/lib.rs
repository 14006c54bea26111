//! The sandbox of the black-box suite: a real node with its gateway in this process, and one client interface over
//! both transports, so that every test runs once over gRPC and once over REST.

pub mod api;
pub mod cluster;
pub mod modules;
pub mod pair;
mod rest;

pub use api::{Answers, Api, Failure};
pub use cluster::Cluster;
pub use pair::Pair;

use arsenal_membership::{Membership, NodeState};
use arsenal_runtime::Module;
use arsenal_server::assembly::{self, Bound, Joined, Running};
use arsenal_server::config::Config;
use futures_util::future::try_join_all;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpSocket;

/// Longer than anything in a test takes on a busy machine: what takes longer hangs.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Which transport a client uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    /// gRPC on its own port.
    Grpc,
    /// REST through the gateway.
    Rest,
}

/// What a sandbox's node is made of.
pub struct SandboxConfig {
    /// Settings; the ports are free ones.
    pub config: Config,
    /// Modules beside those that ship.
    pub modules: Vec<Arc<dyn Module>>,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        let mut config = Config::default();
        config.node.schedulers = 2;
        Self { config, modules: modules::test_modules() }
    }
}

/// A node with its gateway on free ports.
pub struct Sandbox {
    running: Running,
}

impl Sandbox {
    /// Starts a node with the shipped modules and the tests' own.
    pub async fn start() -> Self {
        Self::start_with(SandboxConfig::default()).await
    }

    /// Starts a node as `config` says.
    pub async fn start_with(config: SandboxConfig) -> Self {
        let SandboxConfig { config, modules } = config;
        let running = assembly::serve(&on_free_ports(config), modules).await;
        Self { running: running.unwrap_or_else(|error| panic!("the sandbox does not start: {error}")) }
    }

    /// Starts a node as `config` says, whose place in its cluster the test knows.
    pub async fn start_as(config: SandboxConfig, place: Joined) -> Self {
        let SandboxConfig { config, modules } = config;
        let config = on_free_ports(config);
        let bound = Bound::bind(&config).await;
        let bound = bound.unwrap_or_else(|error| panic!("the sandbox does not listen: {error}"));
        let running = assembly::serve_as(bound, &config, modules, place).await;
        Self { running: running.unwrap_or_else(|error| panic!("the sandbox does not start: {error}")) }
    }

    /// Starts nodes as `config` says that are one cluster, each a voter; they keep what they know under `folder`.
    pub async fn cluster(count: usize, config: &Config, folder: &Path) -> Vec<Self> {
        let configs: Vec<Config> = (0..count).map(|_| on_free_ports(config.clone())).collect();
        let bound = try_join_all(configs.iter().map(Bound::bind)).await;
        let bound = bound.unwrap_or_else(|error| panic!("the sandbox does not listen: {error}"));
        let seeds: Vec<String> = bound.iter().map(|bound| bound.grpc().to_string()).collect();
        let starting = bound.into_iter().zip(configs).zip(1..).map(|((bound, mut config), number)| {
            let name = format!("node-{number}");
            config.node.data_dir = folder.join(&name).to_string_lossy().into_owned();
            config.cluster.name = name;
            config.cluster.bootstrap_expect = count;
            config.cluster.seeds.clone_from(&seeds);
            async move {
                let end = Arc::new(|reason: String| panic!("a node cannot go on: {reason}"));
                assembly::serve_on(bound, &config, modules::test_modules(), end).await
            }
        });
        let running = try_join_all(starting).await;
        let running = running.unwrap_or_else(|error| panic!("the cluster does not start: {error}"));
        let nodes: Vec<Self> = running.into_iter().map(|running| Self { running }).collect();
        for node in &nodes {
            node.until_up(count).await;
        }
        nodes
    }

    /// Returns once the node sees so many of its cluster up: what it has heard of the others may lag behind.
    async fn until_up(&self, count: usize) {
        let mut nodes = self.running.nodes.watch();
        let up = |membership: &Arc<Membership>| {
            membership.nodes.values().filter(|node| node.state == NodeState::Up).count() >= count
        };
        let seen = tokio::time::timeout(DEADLINE, nodes.wait_for(up)).await;
        assert!(matches!(seen, Ok(Ok(_))), "{} sees no {count} nodes up", self.node().name());
    }

    /// Starts a node as `config` says that joins the cluster of its seeds.
    pub async fn joining(config: &Config) -> Self {
        let config = on_free_ports(config.clone());
        let bound = Bound::bind(&config).await;
        let bound = bound.unwrap_or_else(|error| panic!("the sandbox does not listen: {error}"));
        let end = Arc::new(|reason: String| panic!("a node cannot go on: {reason}"));
        let running = assembly::serve_on(bound, &config, modules::test_modules(), end).await;
        Self { running: running.unwrap_or_else(|error| panic!("the node does not join: {error}")) }
    }

    /// Starts a node that waits to be let into a cluster: where it serves, and the node once it is in one.
    pub async fn waiting(
        name: &str,
        config: &Config,
        folder: &Path,
    ) -> (SocketAddr, impl Future<Output = Self> + use<>) {
        let mut config = on_free_ports(config.clone());
        config.node.data_dir = folder.join(name).to_string_lossy().into_owned();
        (config.cluster.name, config.cluster.wait) = (name.to_owned(), true);
        let bound = Bound::bind(&config).await;
        let bound = bound.unwrap_or_else(|error| panic!("the sandbox does not listen: {error}"));
        let address = bound.grpc();
        let waiting = async move {
            let end = Arc::new(|reason: String| panic!("a node cannot go on: {reason}"));
            let running = assembly::serve_on(bound, &config, modules::test_modules(), end).await;
            Self {
                running: running.unwrap_or_else(|error| panic!("{address} is let into no cluster: {error}")),
            }
        };
        (address, waiting)
    }

    /// Stops it once it is taken out of its cluster, as its program does.
    pub async fn obey(self) {
        self.running.dismissed().await;
        self.stop().await;
    }

    /// The node itself, for what no client can see.
    pub fn node(&self) -> &arsenal_runtime::Node {
        &self.running.node
    }

    /// Where gRPC is served.
    pub fn grpc(&self) -> SocketAddr {
        self.running.grpc
    }

    /// Where REST is served.
    pub fn rest(&self) -> SocketAddr {
        self.running.rest.unwrap_or_else(|| panic!("the sandbox has a gateway"))
    }

    /// A client over this transport.
    pub async fn api(&self, transport: Transport) -> Api {
        match transport {
            Transport::Grpc => Api::grpc(self.grpc()).await,
            Transport::Rest => Api::rest(self.rest()),
        }
    }

    /// Stops it.
    pub async fn stop(self) {
        self.running.stop(Duration::from_secs(2)).await;
    }
}

/// An address at which nobody listens, and what keeps it from whoever else wants a port.
pub fn nobody() -> (TcpSocket, SocketAddr) {
    let bound = || {
        let socket = TcpSocket::new_v4()?;
        // so that somebody may listen there who is told to
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr()?;
        Ok::<_, std::io::Error>((socket, address))
    };
    bound().unwrap_or_else(|error| panic!("no address is free: {error}"))
}

fn on_free_ports(mut config: Config) -> Config {
    config.listen.grpc = SocketAddr::from(([127, 0, 0, 1], 0));
    config.listen.rest = SocketAddr::from(([127, 0, 0, 1], 0));
    config
}

/// Runs a test over gRPC and then over REST, each on a fresh node.
pub fn both<F: Future<Output = ()>>(test: impl Fn(Api) -> F) {
    for transport in [Transport::Grpc, Transport::Rest] {
        on(transport, |_, api| test(api));
    }
}

/// Runs a test that needs the sandbox too, over both transports.
pub fn both_with<F: Future<Output = ()>>(test: impl Fn(Arc<Sandbox>, Api) -> F) {
    for transport in [Transport::Grpc, Transport::Rest] {
        on(transport, &test);
    }
}

/// Runs a test over one transport.
pub fn on<F: Future<Output = ()>>(transport: Transport, test: impl Fn(Arc<Sandbox>, Api) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.unwrap_or_else(|error| panic!("no tokio runtime: {error}"));
    runtime.block_on(async {
        let sandbox = Arc::new(Sandbox::start().await);
        let api = sandbox.api(transport).await;
        let outcome = tokio::time::timeout(DEADLINE * 2, test(Arc::clone(&sandbox), api)).await;
        assert!(outcome.is_ok(), "the test over {transport:?} did not end within {:?}", DEADLINE * 2);
        if let Some(sandbox) = Arc::into_inner(sandbox) {
            sandbox.stop().await;
        }
    });
}
