//! The table of nodes that the voters agree on: who belongs to the cluster, which life of it holds a session, and the
//! numbers that were given away.
//!
//! Invariants: a number is given to one identity and never again; a node's incarnation never goes back; one process at a
//! time holds the session of a node. When a lease has run out is not decided here: a log has no clock. A leader that
//! renews sessions, their *keeper*, opens each with a number of its own before it renews it the first time, and proposes
//! [`NodeCommand::Down`] for the keeper whose leases it saw run out. So what a leader of before thought of a lease ends
//! nothing that a later one has renewed.

use crate::versions::PROTOCOL_FIRST;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A change of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeCommand {
    /// Names the first nodes of a new cluster, numbered from 1 in this order. The second time it changes nothing.
    Found {
        /// Who they are.
        nodes: Vec<Candidate>,
    },
    /// Gives a number to a node that has none. One that has is told it again.
    Join(Candidate),
    /// Begins a life's session, or goes on with it. The names of former lives are dropped with it.
    Open {
        /// Its number.
        node: u32,
        /// Which life of it, from 1.
        incarnation: u32,
        /// Drawn by the process that lives it: two processes that share a directory are told apart by it.
        life: u64,
        /// Host and port where it serves.
        address: Arc<str>,
        /// Label of its zone; empty for none.
        zone: Arc<str>,
        /// Drawn by the leader that will renew it.
        keeper: u64,
    },
    /// A life is about to end by its own will: nothing new goes to it.
    Leave {
        /// Its number.
        node: u32,
        /// Which life of it.
        incarnation: u32,
    },
    /// A life ended: its names and memberships vanish.
    Down {
        /// Its number.
        node: u32,
        /// Which life of it.
        incarnation: u32,
        /// Who saw its lease run out; nothing if it ended by its own word.
        keeper: Option<u64>,
    },
    /// Forgets a node that is down. Its number stays used.
    Remove {
        /// Its number.
        node: u32,
    },
    /// From here on the log may hold whatever nodes can read that speak this version of the protocol between nodes: all of them
    /// do. What has been raised is not lowered.
    Raise {
        /// The version.
        protocol: u32,
    },
}

/// A node that asks for a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Drawn once, and kept in its data directory.
    pub identity: u64,
    /// What it is called outside: its host's or pod's name.
    pub name: Arc<str>,
    /// Host and port where it serves.
    pub address: Arc<str>,
    /// Label of its zone; empty for none.
    pub zone: Arc<str>,
}

/// How a node takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodePhase {
    /// It has a number, and no life yet.
    Joined,
    /// A life of it holds a session.
    Up,
    /// That life is about to end.
    Leaving,
    /// Its last life ended.
    Down,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRecord {
    /// Who it is.
    pub candidate: Candidate,
    /// Its last life; 0 for none yet.
    pub incarnation: u32,
    /// What the process drew that lives it.
    pub life: u64,
    /// What the leader drew that renews its session.
    pub keeper: u64,
    /// How it takes part.
    pub phase: NodePhase,
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeRefusal {
    /// The first nodes have to be named before others join.
    #[error("the first nodes of the cluster are not named yet")]
    NotFounded,
    /// Nobody has that number.
    #[error("no node is called n{0}")]
    Unknown(u32),
    /// A later life of the node has begun, or another process lives this one.
    #[error("n{node} is in incarnation {incarnation} already, lived by another process")]
    Superseded {
        /// Its number.
        node: u32,
        /// The life it is in.
        incarnation: u32,
    },
    /// Another leader renews its session.
    #[error("the session of n{0} is kept by another leader")]
    Kept(u32),
    /// It is up.
    #[error("n{0} is not down")]
    Alive(u32),
    /// All numbers are used.
    #[error("no number is left for a node")]
    Exhausted,
}

/// All nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeTable {
    next: u32,
    changes: u64,
    nodes: BTreeMap<u32, NodeRecord>,
    /// 0 before it was raised.
    protocol: u32,
}

impl NodeTable {
    pub(crate) fn from_parts(next: u32, changes: u64, nodes: BTreeMap<u32, NodeRecord>) -> Self {
        Self { next, changes, nodes, protocol: 0 }
    }

    pub(crate) fn with_protocol(mut self, protocol: u32) -> Self {
        self.protocol = protocol;
        self
    }

    /// The version of the protocol between nodes that all of them speak, as far as is agreed on.
    pub fn protocol(&self) -> u32 {
        self.protocol.max(PROTOCOL_FIRST)
    }

    /// How many commands have changed it: two tables of one cluster with the same count are the same.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// The number that the next node gets; 0 before the first ones are named.
    pub fn next(&self) -> u32 {
        self.next
    }

    /// All nodes by number.
    pub fn nodes(&self) -> &BTreeMap<u32, NodeRecord> {
        &self.nodes
    }

    /// Whether this life of a node may hold names. Before the first nodes are named, any may.
    pub fn is_alive(&self, node: u32, incarnation: u32) -> bool {
        self.next == 0
            || self.nodes.get(&node).is_some_and(|record| {
                record.incarnation == incarnation
                    && matches!(record.phase, NodePhase::Up | NodePhase::Leaving)
            })
    }

    /// Applies one command; gives the number of the node that it is about, 0 for none.
    pub(crate) fn apply(&mut self, command: &NodeCommand) -> Result<u32, NodeRefusal> {
        let applied = self.change(command);
        self.changes += u64::from(applied.is_ok());
        applied
    }

    fn change(&mut self, command: &NodeCommand) -> Result<u32, NodeRefusal> {
        match command {
            NodeCommand::Found { nodes } => {
                if self.next == 0 {
                    self.next = 1;
                    nodes.iter().try_for_each(|candidate| self.add(candidate).map(drop))?;
                }
                Ok(0)
            }
            NodeCommand::Join(candidate) => self.join(candidate),
            NodeCommand::Open { node, incarnation, life, address, zone, keeper } => {
                let record = self.open(*node, *incarnation, *life)?;
                record.candidate.address = Arc::clone(address);
                record.candidate.zone = Arc::clone(zone);
                record.keeper = *keeper;
                Ok(*node)
            }
            NodeCommand::Leave { node, incarnation } => {
                self.enter(*node, *incarnation, NodePhase::Leaving, None)
            }
            NodeCommand::Down { node, incarnation, keeper } => {
                self.enter(*node, *incarnation, NodePhase::Down, *keeper)
            }
            NodeCommand::Remove { node } => {
                let record = self.nodes.get(node).ok_or(NodeRefusal::Unknown(*node))?;
                if matches!(record.phase, NodePhase::Up | NodePhase::Leaving) {
                    return Err(NodeRefusal::Alive(*node));
                }
                self.nodes.remove(node);
                Ok(*node)
            }
            NodeCommand::Raise { protocol } => {
                if *protocol > self.protocol() {
                    self.protocol = *protocol;
                }
                Ok(0)
            }
        }
    }

    fn add(&mut self, candidate: &Candidate) -> Result<u32, NodeRefusal> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or(NodeRefusal::Exhausted)?;
        let candidate = candidate.clone();
        let record = NodeRecord { candidate, incarnation: 0, life: 0, keeper: 0, phase: NodePhase::Joined };
        self.nodes.insert(number, record);
        Ok(number)
    }

    fn join(&mut self, candidate: &Candidate) -> Result<u32, NodeRefusal> {
        if self.next == 0 {
            return Err(NodeRefusal::NotFounded);
        }
        let known = self.nodes.iter().find(|(_, record)| record.candidate.identity == candidate.identity);
        match known {
            Some((number, _)) => Ok(*number),
            None => self.add(candidate),
        }
    }

    fn open(&mut self, node: u32, incarnation: u32, life: u64) -> Result<&mut NodeRecord, NodeRefusal> {
        let record = self.nodes.get_mut(&node).ok_or(NodeRefusal::Unknown(node))?;
        let later = incarnation > record.incarnation;
        let same = incarnation == record.incarnation && life == record.life;
        if !later && !same {
            return Err(NodeRefusal::Superseded { node, incarnation: record.incarnation });
        }
        let leaves = same && record.phase == NodePhase::Leaving;
        record.phase = if leaves { NodePhase::Leaving } else { NodePhase::Up };
        (record.incarnation, record.life) = (incarnation, life);
        Ok(record)
    }

    /// Changes the phase of a life. A life that is over stays over: only a session begins it anew.
    fn enter(
        &mut self,
        node: u32,
        incarnation: u32,
        phase: NodePhase,
        keeper: Option<u64>,
    ) -> Result<u32, NodeRefusal> {
        let record = self.nodes.get_mut(&node).ok_or(NodeRefusal::Unknown(node))?;
        if record.incarnation != incarnation {
            return Err(NodeRefusal::Superseded { node, incarnation: record.incarnation });
        }
        if keeper.is_some_and(|keeper| keeper != record.keeper) {
            return Err(NodeRefusal::Kept(node));
        }
        if record.phase != NodePhase::Down {
            record.phase = phase;
        }
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(identity: u64) -> Candidate {
        let name = format!("node-{identity}");
        Candidate { identity, name: name.as_str().into(), address: "127.0.0.1:1".into(), zone: Arc::from("") }
    }

    fn founded() -> NodeTable {
        let mut table = NodeTable::default();
        table.apply(&NodeCommand::Found { nodes: (1..=3).map(candidate).collect() }).unwrap();
        table
    }

    fn open(node: u32, incarnation: u32, life: u64) -> NodeCommand {
        kept(node, incarnation, life, 1)
    }

    fn kept(node: u32, incarnation: u32, life: u64, keeper: u64) -> NodeCommand {
        let (address, zone) = ("127.0.0.1:2".into(), Arc::from(""));
        NodeCommand::Open { node, incarnation, life, address, zone, keeper }
    }

    fn down(node: u32, incarnation: u32) -> NodeCommand {
        NodeCommand::Down { node, incarnation, keeper: None }
    }

    #[test]
    fn a_number_is_never_given_twice_though_its_node_is_forgotten() {
        let mut table = founded();
        assert_eq!(table.apply(&NodeCommand::Join(candidate(9))), Ok(4));
        assert_eq!(table.apply(&NodeCommand::Join(candidate(9))), Ok(4), "the same node asks again");
        assert_eq!(table.apply(&NodeCommand::Remove { node: 4 }), Ok(4));
        assert_eq!(table.apply(&NodeCommand::Join(candidate(9))), Ok(5));
    }

    #[test]
    fn nobody_joins_before_the_first_nodes_are_named_and_they_are_named_once() {
        let mut table = NodeTable::default();
        assert_eq!(table.apply(&NodeCommand::Join(candidate(9))), Err(NodeRefusal::NotFounded));
        let mut table = founded();
        assert_eq!(table.apply(&NodeCommand::Found { nodes: vec![candidate(7)] }), Ok(0));
        assert_eq!(table.nodes(), founded().nodes());
    }

    #[test]
    fn a_life_is_lived_by_one_process_and_ends_for_good_when_a_later_one_begins() {
        let mut table = founded();
        table.apply(&open(1, 1, 10)).unwrap();
        let superseded = Err(NodeRefusal::Superseded { node: 1, incarnation: 1 });
        assert_eq!(table.apply(&open(1, 1, 11)), superseded, "a copy of its directory");
        table.apply(&open(1, 2, 12)).unwrap();
        assert!(table.apply(&open(1, 1, 10)).is_err());
        assert!(table.is_alive(1, 2) && !table.is_alive(1, 1));
        assert!(table.apply(&down(1, 1)).is_err());
        assert!(table.is_alive(1, 2), "a late word about a former life");
    }

    #[test]
    fn what_a_leader_of_before_thought_of_a_lease_ends_nothing_that_a_later_one_keeps() {
        let mut table = founded();
        table.apply(&kept(1, 1, 10, 7)).unwrap();
        table.apply(&kept(1, 1, 10, 8)).unwrap();
        let late = NodeCommand::Down { node: 1, incarnation: 1, keeper: Some(7) };
        assert_eq!(table.apply(&late), Err(NodeRefusal::Kept(1)));
        assert!(table.is_alive(1, 1));
        let now = NodeCommand::Down { node: 1, incarnation: 1, keeper: Some(8) };
        table.apply(&now).unwrap();
        assert!(!table.is_alive(1, 1));
    }

    #[test]
    fn a_live_node_that_was_called_dead_takes_up_the_same_life() {
        let mut table = founded();
        table.apply(&open(1, 1, 10)).unwrap();
        table.apply(&down(1, 1)).unwrap();
        assert!(!table.is_alive(1, 1));
        table.apply(&NodeCommand::Leave { node: 1, incarnation: 1 }).unwrap();
        assert!(!table.is_alive(1, 1), "what is down does not leave");
        table.apply(&open(1, 1, 10)).unwrap();
        assert!(table.is_alive(1, 1));
    }

    #[test]
    fn a_node_that_leaves_goes_on_leaving_when_its_session_is_renewed() {
        let mut table = founded();
        table.apply(&open(1, 1, 10)).unwrap();
        table.apply(&NodeCommand::Leave { node: 1, incarnation: 1 }).unwrap();
        table.apply(&open(1, 1, 10)).unwrap();
        assert_eq!(table.nodes()[&1].phase, NodePhase::Leaving);
        assert_eq!(table.apply(&NodeCommand::Remove { node: 1 }), Err(NodeRefusal::Alive(1)));
    }
}
