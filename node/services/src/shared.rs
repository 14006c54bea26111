//! What all services share.

use arsenal_runtime::Node;

/// The node that is served.
#[derive(Clone, Debug)]
pub struct Shared {
    /// The node.
    pub node: Node,
}

impl Shared {
    /// Serves this node.
    pub fn new(node: Node) -> Self {
        Self { node }
    }
}
