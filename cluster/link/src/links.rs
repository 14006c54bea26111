//! The links of a node: the carrier that its runtime sends signals through, and a task for each other node that moves
//! frames between a [`Peer`] and the network.
//!
//! A scheduler's thread writes a signal into its lane and goes on; it wakes the task only if that sleeps. While a line
//! is busy what waits grows into larger batches.

use crate::config::LinkConfig;
use crate::frame::{Frame, Head, Life};
use crate::network::{Connection, Network};
use crate::outgoing::Outgoing;
use crate::task;
use arsenal_runtime::Node;
use arsenal_runtime::node::WeakNode;
use arsenal_runtime::remote::{Carried, Carrier, Parcel, Queue};
use futures_util::StreamExt as _;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

/// Nodes that there are links to, or were, at most.
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
    peers: RwLock<BTreeMap<u32, Arc<Peering>>>,
}

/// What the rest of the node has to do with one link.
pub(crate) struct Peering {
    pub(crate) outgoing: Arc<Outgoing>,
    /// Its task looks at what waits before it sleeps.
    pub(crate) awake: AtomicBool,
    pub(crate) wake: Notify,
    commands: mpsc::Sender<Command>,
}

/// What a link's task is told from outside.
pub(crate) enum Command {
    /// The other side opened a line, on which this came first.
    Accepted(Connection, Head),
    /// The life of the node is over.
    NodeDown,
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
            if !may_be(node) {
                return tracing::warn!(node, "a line of a node whose certificate is another's");
            }
            let command = Command::Accepted(Connection { sender, frames }, head);
            if let Some(peering) = links.peer(node) {
                // a link whose task is gone goes with the node
                let _ = peering.commands.send(command).await;
            }
        });
    }

    /// The cluster has agreed that this life of a node is over: whoever has to do with it hears so now.
    pub async fn node_down(&self, node: u32) {
        let peering = self.0.peers.read().get(&node).cloned();
        if let Some(peering) = peering {
            let _ = peering.commands.send(Command::NodeDown).await;
        }
    }

    /// The most bytes that ever waited for a node, of what made somebody wait; 0 if nobody had to.
    pub fn most_queued_bytes(&self, node: u32) -> usize {
        self.0.peers.read().get(&node).map_or(0, |peering| peering.outgoing.most_queued_bytes())
    }

    /// The link to a node; nothing if there are too many.
    fn peer(&self, node: u32) -> Option<Arc<Peering>> {
        if let Some(peering) = self.0.peers.read().get(&node) {
            return Some(Arc::clone(peering));
        }
        let mut peers = self.0.peers.write();
        if peers.len() >= PEERS_MAX && !peers.contains_key(&node) {
            tracing::warn!(node, "no link: there are {PEERS_MAX} already");
            return None;
        }
        Some(Arc::clone(peers.entry(node).or_insert_with(|| self.begin(node))))
    }

    fn begin(&self, node: u32) -> Arc<Peering> {
        let Inner { own, node: runtime, config, network, tasks, .. } = &*self.0;
        let (commands, incoming) = mpsc::channel(COMMANDS_MAX);
        let peering = Arc::new(Peering {
            outgoing: Arc::new(Outgoing::new(config.clone())),
            awake: AtomicBool::new(true),
            wake: Notify::new(),
            commands,
        });
        let task = task::Task::new(
            *own,
            node,
            runtime.clone(),
            config.clone(),
            Arc::clone(network),
            Arc::clone(&peering),
            incoming,
        );
        tasks.spawn(task.run());
        peering
    }
}

impl Carrier for Links {
    fn carry(&self, parcel: &Parcel) -> Carried {
        let peers = self.0.peers.read();
        let Some(peering) = peers.get(&parcel.node()) else {
            drop(peers);
            if !self.0.network.knows(parcel.node()) {
                return Carried::NoConnection;
            }
            return self.peer(parcel.node()).map_or(Carried::NoConnection, |peering| peering.carry(parcel));
        };
        peering.carry(parcel)
    }

    fn has_room(&self, queue: Queue) -> bool {
        let peers = self.0.peers.read();
        peers.get(&queue.node).is_none_or(|peering| peering.outgoing.has_room(queue.number))
    }
}

impl Peering {
    fn carry(&self, parcel: &Parcel) -> Carried {
        let carried = self.outgoing.put(parcel);
        if !self.awake.load(SeqCst) && !self.awake.swap(true, SeqCst) {
            self.wake.notify_one();
        }
        carried
    }
}
