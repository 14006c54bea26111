//! What all services share.

use crate::own::{Own, Serve};
use arsenal_membership::{Alone, Membership, NodeState, Nodes, Recognition};
use arsenal_runtime::{Node, Pid};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::watch;

/// The node that is served, and the cluster that it is in.
#[derive(Clone)]
pub struct Shared {
    /// The node.
    pub node: Node,
    /// The nodes of its cluster, and the way to each.
    pub nodes: Arc<dyn Nodes>,
    /// The limits that it was configured with, each by its name in the configuration.
    pub limits: Arc<BTreeMap<String, u64>>,
    /// Whether it lets failures be caused on purpose.
    pub chaos_allowed: bool,
    /// Whose word about a request that another node was asked is taken.
    pub recognition: Recognition,
    /// The way to the RPCs of this node.
    pub(crate) own: Own,
    membership: watch::Receiver<Arc<Membership>>,
}

impl Shared {
    /// Serves this node of a cluster.
    pub fn new(node: Node, nodes: Arc<dyn Nodes>) -> Self {
        let membership = nodes.watch();
        Self {
            node,
            nodes,
            membership,
            limits: Arc::default(),
            chaos_allowed: false,
            recognition: Recognition::default(),
            own: Own::default(),
        }
    }

    /// The same, in a cluster whose nodes are recognized so.
    #[must_use]
    pub fn recognizing(mut self, recognition: Recognition) -> Self {
        self.recognition = recognition;
        self
    }

    /// The same, and tells these limits.
    #[must_use]
    pub fn with_limits(mut self, limits: BTreeMap<String, u64>) -> Self {
        self.limits = Arc::new(limits);
        self
    }

    /// The same, which lets failures be caused on purpose if it is allowed.
    #[must_use]
    pub fn with_chaos(mut self, allowed: bool) -> Self {
        self.chaos_allowed = allowed;
        self
    }

    /// Has what services ask of their own node answered by this, for as long as the caller keeps it.
    pub fn serve_own(&self, serve: &Arc<dyn Serve>) {
        self.own.set(serve);
    }

    /// Serves a node that is alone, and reached at this address.
    pub fn alone(node: Node, address: &str) -> Self {
        let nodes = Alone::new(node.id(), node.incarnation(), address);
        Self::new(node, Arc::new(nodes))
    }

    /// Whether there are other nodes.
    pub fn is_clustered(&self) -> bool {
        self.membership.borrow().nodes.len() > 1
    }

    /// The number of the node with this name, if it is one of the cluster.
    pub fn numbered(&self, name: &str) -> Option<u32> {
        let number = name.strip_prefix('n')?.parse().ok()?;
        // `n07` and `n+7` are nobody's names
        let named = self.membership.borrow().nodes.contains_key(&number) && name == format!("n{number}");
        named.then_some(number)
    }

    /// The numbers of all nodes, this one and those that are down among them.
    pub fn all_nodes(&self) -> Vec<u32> {
        self.membership.borrow().nodes.keys().copied().collect()
    }

    /// Whether a node is known and not down.
    pub fn is_up(&self, node: u32) -> bool {
        self.membership.borrow().nodes.get(&node).is_some_and(|node| node.state != NodeState::Down)
    }

    /// Whether a process lives on another node, if it lives.
    pub fn is_elsewhere(&self, pid: Pid) -> bool {
        pid.node != self.node.id() && self.is_up(pid.node) && self.may_live(pid.node, pid.incarnation)
    }

    /// Whether this life of a node may go on: not if there was a later one, nor if nobody knows the node.
    pub fn may_live(&self, node: u32, incarnation: u32) -> bool {
        self.membership.borrow().nodes.get(&node).is_some_and(|node| node.incarnation <= incarnation)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("node", &self.node).finish_non_exhaustive()
    }
}
