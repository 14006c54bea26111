//! The smallest cluster that is one as it is deployed: n1 is its only voter, n2 a member that never votes. Both serve over
//! real loopback, each from a thread of its own, and signals go over links of real connections. Leases are short, so that
//! a dead node is down soon.

use crate::{Api, Sandbox, SandboxConfig};
use arsenal_runtime::Node;
use arsenal_server::assembly::{self, Bound};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

/// The voter's number and the member's.
pub const VOTER: u32 = 1;
pub const MEMBER: u32 = 2;

/// Short, and yet longer than a busy test machine keeps a thread waiting.
const LEASE_MS: u64 = 3_000;
const RENEW_MS: u64 = 250;

/// How long a partition may last at most that nobody ends.
const PARTITION: &str = "600s";

/// A voter and a member.
pub struct Pair {
    hosts: [Host; 2],
    /// A client of the voter.
    voter: Api,
    /// The partition that there is now.
    experiment: Mutex<Option<String>>,
    _folder: TempDir,
}

/// A node, and the thread that serves it.
struct Host {
    node: Node,
    sandbox: Mutex<Option<Sandbox>>,
    /// Dropped, it ends the thread at once, with every connection that it serves.
    end: Mutex<Option<oneshot::Sender<()>>>,
}

impl Pair {
    /// Starts both, each as `config` says.
    pub async fn start_with(config: impl Fn() -> SandboxConfig) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"));
        let voter = Host::start(config(), folder.path(), None).await;
        let seed = voter.sandbox.lock().as_ref().map(|voter| voter.grpc().to_string());
        let member = Host::start(config(), folder.path(), seed).await;
        let numbers = [voter.node.id(), member.node.id()];
        assert_eq!(numbers, [VOTER, MEMBER], "nodes are numbered as they come");
        let api = voter.api().await;
        let pair = Self { hosts: [voter, member], voter: api, experiment: Mutex::default(), _folder: folder };
        pair.member_is("UP").await;
        pair
    }

    fn host(&self, number: u32) -> &Host {
        &self.hosts[number as usize - 1]
    }

    /// A node, for what no client can see.
    pub fn node(&self, number: u32) -> &Node {
        &self.host(number).node
    }

    /// A client of a node that lives.
    pub async fn api(&self, number: u32) -> Api {
        self.host(number).api().await
    }

    /// Ends the member as `kill -9` does, and waits until its lease has run out.
    pub async fn kill_member(&self) {
        let host = self.host(MEMBER);
        drop(host.end.lock().take());
        drop(host.sandbox.lock().take());
        let node = host.node.clone();
        // its threads may be busy with a turn
        let closed = tokio::task::spawn_blocking(move || node.close());
        closed.await.unwrap_or_else(|error| panic!("the member does not close: {error}"));
        self.member_is("DOWN").await;
    }

    /// Cuts the two apart for longer than the lease.
    pub async fn part(&self) {
        let request = json!({"from": ["n1"], "to": ["n2"], "ttl": PARTITION});
        let answer = self.voter.ok("SimulateNetworkPartition", request).await;
        *self.experiment.lock() = answer["experiment"].as_str().map(str::to_owned);
        self.member_is("DOWN").await;
    }

    /// Joins them again; nothing if they are joined.
    pub async fn rejoin(&self) {
        let Some(experiment) = self.experiment.lock().take() else { return };
        for host in &self.hosts {
            let request = json!({"kind": "partitions", "experiment": experiment});
            // each knows of the partition by itself, and cannot tell the other
            let _ = host.api().await.call("StopChaos", request).await;
        }
        self.member_is("UP").await;
    }

    /// Waits until the member is as the voter sees it.
    async fn member_is(&self, state: &str) {
        let is_so = || async {
            let answer = self.voter.call("ListConnectedNodes", json!({})).await.ok()?;
            let nodes = answer["nodes"].as_array()?;
            let is_member = |node: &&Value| node["node"] == "n2" && node["state"] == state;
            nodes.iter().find(is_member).map(|_| ())
        };
        self.voter.eventually(is_so).await;
    }
}

impl Host {
    /// A member if there is a seed; else the voter.
    async fn start(config: SandboxConfig, folder: &Path, seed: Option<String>) -> Self {
        let name = if seed.is_some() { "member" } else { "voter" };
        let SandboxConfig { config, modules } = config;
        let mut config = crate::on_free_ports(config);
        config.node.data_dir = folder.join(name).to_string_lossy().into_owned();
        config.chaos.allowed = true;
        let cluster = &mut config.cluster;
        cluster.name = name.to_owned();
        (cluster.lease_ms, cluster.renew_ms) = (LEASE_MS, RENEW_MS);
        cluster.bootstrap_expect = usize::from(seed.is_none());
        cluster.never_votes = seed.is_some();
        let (started, starting) = oneshot::channel();
        let (end, until) = oneshot::channel::<()>();
        let serve = move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap_or_else(|error| panic!("no tokio runtime: {error}"));
            runtime.block_on(async {
                let bound = Bound::bind(&config).await;
                let bound = bound.unwrap_or_else(|error| panic!("the {name} does not listen: {error}"));
                config.cluster.seeds = vec![seed.unwrap_or_else(|| bound.grpc().to_string())];
                // what is cut off or killed may find that it cannot go on, and nobody minds
                let end = Arc::new(move |reason: String| eprintln!("the {name} cannot go on: {reason}"));
                let running = assembly::serve_on(bound, &config, modules, end).await;
                let running = running.unwrap_or_else(|error| panic!("the {name} does not start: {error}"));
                // a test that has given up wants neither
                let _ = started.send(Sandbox { running });
                let _ = until.await;
            });
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(serve);
        thread.unwrap_or_else(|error| panic!("no thread for the {name}: {error}"));
        let sandbox = starting.await.unwrap_or_else(|_| panic!("the {name} does not start"));
        Self { node: sandbox.node().clone(), sandbox: Mutex::new(Some(sandbox)), end: Mutex::new(Some(end)) }
    }

    async fn api(&self) -> Api {
        let address = self.sandbox.lock().as_ref().map(Sandbox::grpc);
        match address {
            Some(address) => Api::grpc(address).await,
            None => panic!("a node that was killed has no clients"),
        }
    }
}
