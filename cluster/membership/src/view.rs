//! The nodes as the replicated state has them, followed.

use crate::admission::Admission;
use crate::cuts::Cuts;
use crate::desk::{Life, Shared};
use crate::dialer::Dialer;
use crate::nodes::{self, Membership, Node, NodeError, NodeState, Nodes, Standing};
use crate::session::Lease;
use arsenal_raft::Group;
use arsenal_raft::nodes::NodePhase;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tonic::transport::Channel;

/// What this node sees of its cluster.
pub(crate) struct ClusterView {
    own: u32,
    incarnation: u32,
    lease: Arc<Lease>,
    group: Group,
    /// Not kept by whoever looks at the nodes: it has the directory.
    shared: Weak<Shared>,
    dialer: Dialer,
    /// Where connections have their tasks: whoever asks for one may have no runtime.
    io: Handle,
    membership: watch::Sender<Arc<Membership>>,
    /// Connections that all share, by node, with the address that they are to.
    channels: Mutex<BTreeMap<u32, (Arc<str>, Channel)>>,
}

impl ClusterView {
    /// What this life of a node sees that has this lease. Connections are driven by `io`.
    pub(crate) fn new(
        life: &Life,
        lease: Arc<Lease>,
        group: Group,
        shared: &Arc<Shared>,
        io: Handle,
    ) -> Self {
        let (membership, channels) = (watch::Sender::default(), Mutex::default());
        let (dialer, shared) = (shared.dialer.clone(), Arc::downgrade(shared));
        let (own, incarnation) = (life.node, life.incarnation);
        Self { own, incarnation, lease, group, shared, dialer, io, membership, channels }
    }

    /// What tells whether there is anything new to see.
    fn seen(&self) -> (u64, u64) {
        self.group.picture(|picture| (picture.state.nodes().changes(), picture.voters_since))
    }

    /// Looks at the replicated state.
    fn look(&self) {
        let membership = self.group.picture(|picture| {
            let nodes = picture.state.nodes().nodes().iter().map(|(id, record)| {
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
                    voter: picture.voters.contains_key(&u64::from(*id)),
                };
                (*id, node)
            });
            Membership { index: picture.index, nodes: nodes.collect() }
        });
        let addresses = membership.nodes.values().map(|node| (Arc::clone(&node.address), node.id));
        self.dialer.cuts().locate(self.own, addresses);
        let membership = Arc::new(membership);
        self.membership.send_replace(Arc::clone(&membership));
        // after who asks for one sees where a node is now: one that was dialled by what was seen before goes as well
        self.channels.lock().retain(|id, (address, _)| {
            let node = membership.nodes.get(id);
            node.is_some_and(|node| node.address == *address && node.state != NodeState::Down)
        });
    }

    /// Follows the replicated state until its voter stops.
    pub(crate) async fn follow(self: Arc<Self>) {
        let mut applied = self.group.applied();
        let mut seen = None;
        loop {
            applied.mark_unchanged();
            let now = self.seen();
            if seen.replace(now) != Some(now) {
                self.look();
            }
            if applied.changed().await.is_err() {
                return;
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
        let membership = self.membership();
        let node = membership.nodes.get(&id).ok_or(NodeError::Unknown(id))?;
        let mut channels = self.channels.lock();
        // one of an earlier address may stand there until the next look
        let usable =
            |(address, _): &&(Arc<str>, Channel)| *address == node.address && node.state != NodeState::Down;
        if let Some((_, channel)) = channels.get(&id).filter(usable) {
            return Ok(channel.clone());
        }
        let _runtime = self.io.enter();
        let channel = nodes::channel(&self.dialer, &membership, id)?;
        channels.insert(id, (Arc::clone(&node.address), channel.clone()));
        Ok(channel)
    }

    fn dial(&self, id: u32) -> Result<Channel, NodeError> {
        let _runtime = self.io.enter();
        nodes::line(&self.dialer, &self.membership(), id)
    }

    fn is_in_session(&self) -> bool {
        self.lease.holds()
    }

    fn cuts(&self) -> Option<Cuts> {
        Some(self.dialer.cuts().clone())
    }

    fn standing(&self) -> Option<Standing> {
        let status = self.group.status();
        let leader = status.leader.and_then(|leader| u32::try_from(leader).ok());
        let lease = self.shared.upgrade()?.settings.lease;
        Some(Standing { leader, term: status.term, lease })
    }

    fn admission(&self) -> Option<Admission> {
        Some(Admission::new(self.shared.upgrade()?, self.group.clone(), self.membership.subscribe()))
    }
}
