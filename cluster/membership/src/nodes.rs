//! The nodes of the cluster as one of them sees them, and how it reaches each.
//!
//! Invariants: the number of a node never becomes another's, and its incarnation only grows, so that the two name one life
//! of a node for ever. What a node sees may lag behind what the voters agreed on; the index tells how new it is.

use crate::admission::Admission;
use crate::cuts::Cuts;
use crate::dialer::Dialer;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tonic::transport::Channel;

/// How a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// It keeps its session with the voters.
    Up,
    /// It is about to leave: nothing new is placed on it.
    Leaving,
    /// Its last life ended, by its own word or because its lease ran out. The names and memberships of that life are gone.
    Down,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number, from 1; its name is `n` and this number.
    pub id: u32,
    /// Which life of it this is, from 1; the last one of a node that is down.
    pub incarnation: u32,
    /// Host and port where it serves gRPC, `10.0.0.7:7450`.
    pub address: Arc<str>,
    /// Label of the zone that it runs in; empty for none.
    pub zone: Arc<str>,
    /// How it takes part.
    pub state: NodeState,
    /// Whether it votes on the replicated state.
    pub voter: bool,
}

/// The nodes at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Log index of the replicated state that this is of; 0 of a node that is alone.
    pub index: u64,
    /// All nodes by number, those that are down included until they are removed.
    pub nodes: BTreeMap<u32, Node>,
}

impl Membership {
    /// Where each node serves.
    pub fn addresses(&self) -> impl Iterator<Item = (u32, &str)> {
        self.nodes.iter().map(|(id, node)| (*id, &*node.address))
    }
}

/// Where the voters are in their agreement, as far as one node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The node that leads them.
    pub leader: Option<u32>,
    /// The term of that leader.
    pub term: u64,
    /// How long a session holds without being renewed.
    pub lease: Duration,
}

/// Why a node is not reached. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// No node has or had that number, as far as is known here.
    #[error("no node is called n{0}")]
    Unknown(u32),
    /// Its last life ended.
    #[error("node n{id} is down; its last life was {incarnation}")]
    Down {
        /// Its number.
        id: u32,
        /// Its last life.
        incarnation: u32,
    },
    /// What the voters know as its address is none.
    #[error("node n{id} has the address `{address}`, which cannot be used: {reason}")]
    Address {
        /// Its number.
        id: u32,
        /// The address.
        address: Arc<str>,
        /// What is wrong.
        reason: String,
    },
}

/// The cluster as one of its nodes sees it.
pub trait Nodes: Send + Sync + 'static {
    /// The number of this node.
    fn own(&self) -> u32;

    /// Which life of this node this is.
    fn incarnation(&self) -> u32;

    /// The nodes as they are known here now, this one among them.
    fn membership(&self) -> Arc<Membership>;

    /// Follows the nodes. A receiver sees the newest state and may miss those between.
    fn watch(&self) -> watch::Receiver<Arc<Membership>>;

    /// The connection to a node for RPCs, one that all share. It connects when it is first used and again when it broke.
    ///
    /// # Errors
    /// If the node is unknown or down.
    fn channel(&self, id: u32) -> Result<Channel, NodeError>;

    /// A connection of the caller's own to a node, for one stream, as [`Nodes::channel`] otherwise.
    ///
    /// # Errors
    /// If the node is unknown or down.
    fn dial(&self, id: u32) -> Result<Channel, NodeError>;

    /// Whether this node's session holds: if not, its names may already be another's, and what needs the cluster's
    /// consent must not be done here.
    fn is_in_session(&self) -> bool;

    /// What the connections of this node are cut off from on purpose; nothing where they cannot be.
    fn cuts(&self) -> Option<Cuts> {
        None
    }

    /// Where the voters are in their agreement; nothing where nobody votes.
    fn standing(&self) -> Option<Standing> {
        None
    }

    /// Lets nodes in and puts them out; nothing where there is no cluster that one could join or leave.
    fn admission(&self) -> Option<Admission> {
        None
    }
}

/// A node that is alone: there is nobody else to reach.
#[derive(Debug)]
pub struct Alone {
    own: u32,
    incarnation: u32,
    membership: watch::Sender<Arc<Membership>>,
}

impl Alone {
    /// The only node of its cluster.
    pub fn new(own: u32, incarnation: u32, address: &str) -> Self {
        let node = Node {
            id: own,
            incarnation,
            address: address.into(),
            zone: "".into(),
            state: NodeState::Up,
            voter: true,
        };
        let membership = Membership { index: 0, nodes: BTreeMap::from([(own, node)]) };
        Self { own, incarnation, membership: watch::Sender::new(Arc::new(membership)) }
    }
}

impl Nodes for Alone {
    fn own(&self) -> u32 {
        self.own
    }

    fn incarnation(&self) -> u32 {
        self.incarnation
    }

    fn membership(&self) -> Arc<Membership> {
        Arc::clone(&self.membership.borrow())
    }

    fn watch(&self) -> watch::Receiver<Arc<Membership>> {
        self.membership.subscribe()
    }

    fn channel(&self, id: u32) -> Result<Channel, NodeError> {
        channel(&Dialer::default(), &self.membership(), id)
    }

    fn dial(&self, id: u32) -> Result<Channel, NodeError> {
        line(&Dialer::default(), &self.membership(), id)
    }

    fn is_in_session(&self) -> bool {
        true
    }
}

/// A connection to a node for any number of requests, if it is up.
pub(crate) fn channel(dialer: &Dialer, membership: &Membership, id: u32) -> Result<Channel, NodeError> {
    open(membership, id, |address| dialer.channel(address))
}

/// A connection to a node for one stream, if it is up.
pub(crate) fn line(dialer: &Dialer, membership: &Membership, id: u32) -> Result<Channel, NodeError> {
    open(membership, id, |address| dialer.line(address))
}

fn open(
    membership: &Membership,
    id: u32,
    open: impl FnOnce(&str) -> Result<Channel, String>,
) -> Result<Channel, NodeError> {
    let node = membership.nodes.get(&id).ok_or(NodeError::Unknown(id))?;
    if node.state == NodeState::Down {
        return Err(NodeError::Down { id, incarnation: node.incarnation });
    }
    let unusable = |reason| NodeError::Address { id, address: Arc::clone(&node.address), reason };
    open(&node.address).map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_node_that_is_alone_reaches_nobody_but_itself() {
        let alone = Alone::new(1, 4, "127.0.0.1:7450");
        assert_eq!(alone.membership().nodes[&1].incarnation, 4);
        assert!(alone.dial(1).is_ok());
        assert_eq!(alone.dial(2).err(), Some(NodeError::Unknown(2)));
        assert!(alone.is_in_session());
    }

    #[test]
    fn a_node_that_is_down_is_not_dialled() {
        let mut membership = Membership::clone(&Alone::new(1, 4, "127.0.0.1:7450").membership());
        membership.nodes.entry(1).and_modify(|node| node.state = NodeState::Down);
        let refused = line(&Dialer::default(), &membership, 1);
        assert_eq!(refused.err(), Some(NodeError::Down { id: 1, incarnation: 4 }));
    }
}
