//! The nodes as the replicated state has them, followed.

use crate::cuts::Cuts;
use crate::dialer::Dialer;
use crate::nodes::{self, Membership, Node, NodeError, NodeState, Nodes};
use crate::session::Lease;
use arsenal_raft::Group;
use arsenal_raft::nodes::NodePhase;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::transport::Channel;

/// What this node sees of its cluster.
pub(crate) struct ClusterView {
    own: u32,
    incarnation: u32,
    lease: Arc<Lease>,
    dialer: Dialer,
    /// Where connections have their tasks: whoever asks for one may have no runtime.
    io: Handle,
    membership: watch::Sender<Arc<Membership>>,
    /// Connections that all share, by node, with the address that they are to.
    channels: Mutex<BTreeMap<u32, (Arc<str>, Channel)>>,
}

impl ClusterView {
    /// What a node sees that has this lease. Connections are driven by `io`.
    pub(crate) fn new(own: u32, incarnation: u32, lease: Arc<Lease>, dialer: Dialer, io: Handle) -> Self {
        let (membership, channels) = (watch::Sender::default(), Mutex::default());
        Self { own, incarnation, lease, dialer, io, membership, channels }
    }

    /// Looks at the replicated state.
    pub(crate) fn look(&self, group: &Group) -> (u64, BTreeSet<u64>) {
        let status = group.status();
        let (changes, nodes) = group.look(|state| {
            let nodes = state.nodes().nodes().iter().map(|(id, record)| {
                let node = Node {
                    id: *id,
                    incarnation: record.incarnation,
                    address: Arc::clone(&record.candidate.address),
                    zone: Arc::clone(&record.candidate.zone),
                    state: match record.phase {
                        NodePhase::Up => NodeState::Up,
                        NodePhase::Leaving => NodeState::Leaving,
                        NodePhase::Joined | NodePhase::Down => NodeState::Down,
                    },
                    voter: status.voters.contains(&u64::from(*id)),
                };
                (*id, node)
            });
            (state.nodes().changes(), nodes.collect::<BTreeMap<_, _>>())
        });
        self.channels.lock().retain(|id, (address, _)| {
            nodes.get(id).is_some_and(|node| node.address == *address && node.state != NodeState::Down)
        });
        let addresses = nodes.values().map(|node| (Arc::clone(&node.address), node.id));
        self.dialer.cuts().locate(self.own, addresses);
        self.membership.send_replace(Arc::new(Membership { index: status.applied, nodes }));
        (changes, status.voters)
    }

    /// Follows the replicated state until its voter stops.
    pub(crate) async fn follow(self: Arc<Self>, group: Group) {
        let mut applied = group.applied();
        let mut seen = self.look(&group);
        while applied.changed().await.is_ok() {
            let changes = group.look(|state| state.nodes().changes());
            if changes != seen.0 || group.status().voters != seen.1 {
                seen = self.look(&group);
            }
        }
    }
}

impl Nodes for ClusterView {
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
        if let Some((_, channel)) = self.channels.lock().get(&id) {
            return Ok(channel.clone());
        }
        let channel = self.dial(id)?;
        let membership = self.membership();
        let address = membership.nodes.get(&id).map(|node| Arc::clone(&node.address));
        let address = address.ok_or(NodeError::Unknown(id))?;
        self.channels.lock().insert(id, (address, channel.clone()));
        Ok(channel)
    }

    fn dial(&self, id: u32) -> Result<Channel, NodeError> {
        let _runtime = self.io.enter();
        nodes::dial(&self.dialer, &self.membership(), id)
    }

    fn is_in_session(&self) -> bool {
        self.lease.holds()
    }

    fn cuts(&self) -> Option<Cuts> {
        Some(self.dialer.cuts().clone())
    }
}
