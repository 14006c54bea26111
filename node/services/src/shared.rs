//! What all services share.

use arsenal_membership::{Alone, Nodes};
use arsenal_runtime::Node;
use std::fmt;
use std::sync::Arc;

/// The node that is served, and the cluster that it is in.
#[derive(Clone)]
pub struct Shared {
    /// The node.
    pub node: Node,
    /// The nodes of its cluster, and the way to each.
    pub nodes: Arc<dyn Nodes>,
}

impl Shared {
    /// Serves this node of a cluster.
    pub fn new(node: Node, nodes: Arc<dyn Nodes>) -> Self {
        Self { node, nodes }
    }

    /// Serves a node that is alone, and reached at this address.
    pub fn alone(node: Node, address: &str) -> Self {
        let nodes = Alone::new(node.id(), node.incarnation(), address);
        Self::new(node, Arc::new(nodes))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("node", &self.node).finish_non_exhaustive()
    }
}
