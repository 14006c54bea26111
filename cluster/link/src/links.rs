//! The links of a node: the carrier that its runtime sends signals through, and a task for each other node that moves
//! frames between a [`Peer`] and the network.
//!
//! A scheduler's thread writes a signal into its lane and goes on; it wakes the task only if that sleeps. While a line
//! is busy what waits grows into larger batches.
//!
//! Invariants: a link's task ends with its node, and with the place of the other node in the cluster; a link is taken out
//! only while nothing waits for it and nobody can put anything in.

use crate::config::LinkConfig;
use crate::frame::{Frame, Head, Life};
use crate::network::{Connection, Network};
use crate::outgoing::Outgoing;
use crate::task;
use arsenal_runtime::Node;
use arsenal_runtime::node::WeakNode;
use arsenal_runtime::remote::{Carried, Carrier, Parcel, Queue};
use futures_util::StreamExt as _;
use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

#[cfg(test)]
mod tests;

/// Links at most: more than there are nodes in any cluster.
const PEERS_MAX: usize = 8_192;
/// Lines and words from the cluster that may wait for a link's task.
const COMMANDS_MAX: usize = 16;

/// The links of one node. Cloning gives another handle to the same ones.
#[derive(Clone)]
pub struct Links(Arc<Inner>);

struct Inner {
    own: Life,
    node: WeakNode,
    config: LinkConfig,
    network: Arc<dyn Network>,
    tasks: Handle,
    peers: RwLock<BTreeMap<u32, Link>>,
    /// Nothing leaves any more.
    parted: AtomicBool,
}

struct Link {
    peering: Arc<Peering>,
    /// Kept here and not where the task has it, so that the task ends with the link.
    commands: mpsc::Sender<Command>,
}

/// What those who put signals in share with the task that takes them out.
pub(crate) struct Peering {
    pub(crate) outgoing: Arc<Outgoing>,
    /// Its task looks at what waits before it sleeps.
    pub(crate) awake: AtomicBool,
    pub(crate) wake: Notify,
}

/// What a link's task is told from outside.
pub(crate) enum Command {
    /// The other side opened a line, on which this came first.
    Accepted(Connection, Head),
    /// This life of the node is over.
    NodeDown(u32),
}

/// Where a link's task takes its link out.
pub(crate) struct Place {
    links: Weak<Inner>,
    node: u32,
}

impl Links {
    /// Carries the signals of `node` from now on. Links are moved by tasks of `tasks`; none is opened before it is
    /// needed.
    pub fn start(node: &Node, config: LinkConfig, network: Arc<dyn Network>, tasks: Handle) -> Self {
        let links = Self(Arc::new(Inner {
            own: Life { node: node.id(), incarnation: node.incarnation() },
            node: node.downgrade(),
            config,
            network,
            tasks,
            peers: RwLock::default(),
            parted: AtomicBool::new(false),
        }));
        node.set_carrier(Arc::new(links.clone()));
        links
    }

    /// Takes a line that another node has opened, whichever node that says it is.
    pub fn accept(&self, connection: Connection) {
        self.accept_of(connection, |_| true);
    }

    /// Takes a line that another node has opened, if it says that it is one of those that it `may_be`.
    pub fn accept_of(&self, connection: Connection, may_be: impl Fn(u32) -> bool + Send + 'static) {
        let links = self.clone();
        self.0.tasks.spawn(async move {
            let Connection { sender, mut frames } = connection;
            let first = tokio::time::timeout(links.0.config.dial_timeout, frames.next()).await;
            let Ok(Some(Frame { head, .. })) = first else { return };
            let (node, head) = match Head::read(&head) {
                Ok(Head::Hello(hello)) => (hello.from.node, Head::Hello(hello)),
                Ok(Head::DataLine { from, session, attempt }) => {
                    (from.node, Head::DataLine { from, session, attempt })
                }
                Ok(_) => return tracing::warn!("a line that does not begin with a greeting"),
                Err(error) => return tracing::warn!(%error, "a line that begins with no greeting"),
            };
            if node == links.0.own.node || node == 0 {
                return tracing::warn!(node, "a line of a node with this node's own number");
            }
            // this node's view of the cluster may be behind that of one that has just come in
            let known = links.0.network.until_known(node);
            if tokio::time::timeout(links.0.config.dial_timeout, known).await.is_err() {
                return tracing::warn!(node, "a line of a node that is not in the cluster");
            }
            if !may_be(node) {
                return tracing::warn!(node, "a line of a node whose certificate is another's");
            }
            let command = Command::Accepted(Connection { sender, frames }, head);
            let commands = links.peer(node).map(|link| link.commands.clone());
            if let Some(commands) = commands {
                // a link whose task is gone goes with the node
                let _ = commands.send(command).await;
            }
        });
    }

    /// The cluster has agreed that this life of a node is over: whoever has to do with it hears so now. A later life, which
    /// may have been met before the word came, stays as it is.
    pub async fn node_down(&self, node: u32, incarnation: u32) {
        let commands = self.0.peers.read().get(&node).map(|link| link.commands.clone());
        if let Some(commands) = commands {
            let _ = commands.send(Command::NodeDown(incarnation)).await;
        }
    }

    /// From now on no signal leaves for any node. Whoever has to do with a process here hears that the connection is lost once
    /// the cluster says that this life is over, and not how the process ended.
    pub fn part(&self) {
        self.0.parted.store(true, Relaxed);
    }

    /// The node is no part of the cluster any more: the link to it goes once its session is over.
    pub fn node_removed(&self, node: u32) {
        if let Some(link) = self.0.peers.read().get(&node) {
            link.peering.wake.notify_one();
        }
    }

    /// The most bytes that ever waited for a node, of what made somebody wait; 0 if nobody had to.
    pub fn most_queued_bytes(&self, node: u32) -> usize {
        self.0.peers.read().get(&node).map_or(0, |link| link.peering.outgoing.most_queued_bytes())
    }

    /// The link to a node, which stays as long as this is held; nothing if there are too many.
    fn peer(&self, node: u32) -> Option<MappedRwLockReadGuard<'_, Link>> {
        let mut peers = self.0.peers.write();
        let is_full = peers.len() >= PEERS_MAX;
        if let Entry::Vacant(place) = peers.entry(node) {
            if is_full {
                tracing::warn!(node, "no link: there are {PEERS_MAX} already");
                return None;
            }
            place.insert(self.begin(node));
        }
        RwLockReadGuard::try_map(RwLockWriteGuard::downgrade(peers), |peers| peers.get(&node)).ok()
    }

    pub(crate) fn place(&self, node: u32) -> Place {
        Place { links: Arc::downgrade(&self.0), node }
    }

    fn begin(&self, node: u32) -> Link {
        let Inner { own, node: runtime, config, network, tasks, .. } = &*self.0;
        let (commands, incoming) = mpsc::channel(COMMANDS_MAX);
        let peering = Arc::new(Peering::new(config));
        let task = task::Task::new(
            *own,
            self.place(node),
            runtime.clone(),
            config.clone(),
            Arc::clone(network),
            Arc::clone(&peering),
            incoming,
        );
        tasks.spawn(task.run());
        Link { peering, commands }
    }
}

impl Place {
    pub(crate) fn node(&self) -> u32 {
        self.node
    }

    /// Takes the link out if nothing waits for it; whether it is out.
    pub(crate) fn leave(&self) -> bool {
        let Some(links) = self.links.upgrade() else { return true };
        // who puts something in holds the lock for reading
        let mut peers = links.peers.write();
        let idle = peers.get(&self.node).is_none_or(|link| link.peering.outgoing.is_empty());
        if idle {
            peers.remove(&self.node);
        }
        idle
    }
}

impl Carrier for Links {
    fn carry(&self, parcel: &Parcel) -> Carried {
        if self.0.parted.load(Relaxed) {
            return Carried::NoConnection;
        }
        let peers = self.0.peers.read();
        let Some(link) = peers.get(&parcel.node()) else {
            drop(peers);
            if !self.0.network.knows(parcel.node()) {
                return Carried::NoConnection;
            }
            return self.peer(parcel.node()).map_or(Carried::NoConnection, |link| link.peering.carry(parcel));
        };
        link.peering.carry(parcel)
    }

    fn has_room(&self, queue: Queue) -> bool {
        let peers = self.0.peers.read();
        peers.get(&queue.node).is_none_or(|link| link.peering.outgoing.has_room(queue.number))
    }
}

impl Peering {
    /// Its task begins awake.
    pub(crate) fn new(config: &LinkConfig) -> Self {
        let outgoing = Arc::new(Outgoing::new(config.clone()));
        Self { outgoing, awake: AtomicBool::new(true), wake: Notify::new() }
    }

    pub(crate) fn carry(&self, parcel: &Parcel) -> Carried {
        let carried = self.outgoing.put(parcel);
        if !self.awake.load(SeqCst) && !self.awake.swap(true, SeqCst) {
            self.wake.notify_one();
        }
        carried
    }
}
