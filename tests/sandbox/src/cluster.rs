//! Several nodes in this process that know of each other: each serves on ports of its own, over real loopback, from a thread
//! of its own; signals go over links in memory, and all keep their global names in one registry in memory.
//!
//! Who is a member is what the test says: no session is kept and nothing elects.

use crate::{Api, Sandbox, SandboxConfig, Transport};
use arsenal_link::memory::MemoryNetwork;
use arsenal_link::{LinkConfig, Links};
use arsenal_membership::{Dialer, Membership, Node, NodeError, NodeState, Nodes};
use arsenal_runtime::registry::LocalRegistry;
use arsenal_server::assembly::Joined;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tonic::transport::Channel;

/// Nodes n1, n2 and so on.
pub struct Cluster {
    nodes: Vec<Host>,
    roll: Arc<Roll>,
}

/// A node, and the thread that serves it.
struct Host {
    sandbox: Sandbox,
    /// Dropped, it ends the thread, with every connection that it serves.
    _end: oneshot::Sender<()>,
}

/// Who is a member, for all nodes alike.
struct Roll {
    membership: watch::Sender<Arc<Membership>>,
    channels: Mutex<BTreeMap<u32, Channel>>,
}

/// The cluster as one node sees it.
struct Seen {
    own: u32,
    roll: Arc<Roll>,
}

impl Cluster {
    /// Starts this many nodes.
    pub async fn of(count: u32) -> Self {
        Self::start_with(count, |_| SandboxConfig::default()).await
    }

    /// Starts this many nodes, each as `config` says.
    pub async fn start_with(count: u32, config: impl Fn(u32) -> SandboxConfig) -> Self {
        let roll = Arc::new(Roll { membership: watch::Sender::default(), channels: Mutex::default() });
        let registry = Arc::new(LocalRegistry::default());
        let network = MemoryNetwork::default();
        let mut nodes = Vec::new();
        for id in 1..=count {
            let seen = Arc::new(Seen { own: id, roll: Arc::clone(&roll) });
            let place = Joined { node: id, incarnation: 1, registry: registry.clone(), nodes: seen };
            let host = Host::start(config(id), place, network.clone()).await;
            roll.enter(id, host.sandbox.grpc());
            nodes.push(host);
        }
        Self { nodes, roll }
    }

    fn host(&self, id: u32) -> &Host {
        &self.nodes[id as usize - 1]
    }

    /// A node, by its number.
    pub fn node(&self, id: u32) -> &Sandbox {
        &self.host(id).sandbox
    }

    /// A client of a node.
    pub async fn api(&self, id: u32, transport: Transport) -> Api {
        self.node(id).api(transport).await
    }

    /// Has all nodes believe that one serves at this address.
    pub fn move_to(&self, id: u32, address: SocketAddr) {
        self.roll.channels.lock().remove(&id);
        self.roll.enter(id, address);
    }

    /// Has all nodes believe that one is down.
    pub fn mark_down(&self, id: u32) {
        self.roll.channels.lock().remove(&id);
        self.roll.change(|nodes| {
            nodes.entry(id).and_modify(|node| node.state = NodeState::Down);
        });
    }

    /// Stops all nodes.
    pub async fn stop(self) {
        for node in self.nodes {
            node.sandbox.stop().await;
        }
    }
}

impl Host {
    async fn start(config: SandboxConfig, place: Joined, network: MemoryNetwork) -> Self {
        let id = place.node;
        let (started, starting) = oneshot::channel();
        let (end, until) = oneshot::channel::<()>();
        // what follows the test's requests follows those of its nodes
        let subscriber = tracing::dispatcher::get_default(Clone::clone);
        let serve = move || {
            let _followed = tracing::dispatcher::set_default(&subscriber);
            let runtime = Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap_or_else(|error| panic!("no tokio runtime: {error}"));
            runtime.block_on(async {
                let sandbox = Sandbox::start_as(config, place).await;
                let own = network.of(id);
                let links = Links::start(sandbox.node(), LinkConfig::default(), own, Handle::current());
                network.join(id, links);
                // a test that has given up does not want it
                let _ = started.send(sandbox);
                let _ = until.await;
            });
        };
        let thread = std::thread::Builder::new().name(format!("n{id}")).spawn(serve);
        thread.unwrap_or_else(|error| panic!("no thread for n{id}: {error}"));
        let sandbox = starting.await.unwrap_or_else(|_| panic!("n{id} does not start"));
        Self { sandbox, _end: end }
    }
}

impl Roll {
    fn enter(&self, id: u32, address: SocketAddr) {
        let node = Node {
            id,
            incarnation: 1,
            address: address.to_string().into(),
            zone: "".into(),
            state: NodeState::Up,
            voter: true,
        };
        self.change(|nodes| drop(nodes.insert(id, node)));
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<u32, Node>)) {
        self.membership.send_modify(|membership| {
            let membership = Arc::make_mut(membership);
            membership.index += 1;
            change(&mut membership.nodes);
        });
    }
}

impl Nodes for Seen {
    fn own(&self) -> u32 {
        self.own
    }

    fn incarnation(&self) -> u32 {
        1
    }

    fn membership(&self) -> Arc<Membership> {
        Arc::clone(&self.roll.membership.borrow())
    }

    fn watch(&self) -> watch::Receiver<Arc<Membership>> {
        self.roll.membership.subscribe()
    }

    fn channel(&self, id: u32) -> Result<Channel, NodeError> {
        let known = self.roll.channels.lock().get(&id).cloned();
        let channel = known.map_or_else(|| self.dial(id), Ok)?;
        self.roll.channels.lock().insert(id, channel.clone());
        Ok(channel)
    }

    fn dial(&self, id: u32) -> Result<Channel, NodeError> {
        let membership = self.membership();
        let node = membership.nodes.get(&id).ok_or(NodeError::Unknown(id))?;
        if node.state == NodeState::Down {
            return Err(NodeError::Down { id, incarnation: node.incarnation });
        }
        let address = &node.address;
        let unusable = |reason| NodeError::Address { id, address: Arc::clone(address), reason };
        Dialer::default().channel(address).map_err(unusable)
    }

    fn is_in_session(&self) -> bool {
        true
    }
}
