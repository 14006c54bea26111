//! A node's part in its cluster, put together: what it serves to other nodes, the registry that all share, the links that
//! carry signals.
//!
//! What nodes say to each other comes to the gRPC port, beside the contract; none of the contract's layers stands before
//! it but one of its own, which lets only nodes in; and neither gRPC-Web nor the gateway leads there.

mod fenced;
mod late_links;
mod nodes_only;

use crate::parting::{Parting, PartingLayer};
use arsenal_link::grpc::GrpcNetwork;
use arsenal_link::{LinkConfig, Links};
use arsenal_membership::{
    Cluster, ClusterError, Cuts, Dialer, Entered, NodeChange, Nodes, Recognition, Settings, changes,
};
use arsenal_names::ReplicatedRegistry;
use arsenal_proto::internal::v1;
use arsenal_raft::End;
use arsenal_runtime::Node;
use arsenal_runtime::registry::Registry;
use arsenal_services::Shared;
use arsenal_services::cluster::placement::Placement;
use arsenal_services::layer::GuardLayer;
use arsenal_services::layer::guard::Guarded;
use arsenal_services::recovery::held::Held;
use arsenal_services::wire::{Run, Table, Wire, WireLimits};
use fenced::Fenced;
use late_links::LateLinks;
use nodes_only::NodesOnly;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;

/// Where the paths of what nodes say to each other begin.
pub(crate) const INTERNAL_PATH: &str = "/arsenal.internal.";

/// What serves it.
pub(crate) type InternalWire = Wire<Guarded<Parting<Run>, NodesOnly>>;

/// A node waits so long for its session before it serves without: what needs the cluster's consent is refused then.
const SESSION_WAIT: Duration = Duration::from_secs(10);

/// Bytes of a message between nodes: a batch of the log, a part of a snapshot, a frame of a link.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A node's part in its cluster.
pub(crate) struct Membership {
    cluster: Arc<Cluster>,
    links: LateLinks,
    /// The failures that it is to hold.
    held: Held,
}

/// What the cluster is to the node.
pub struct Joined {
    /// Its number.
    pub node: u32,
    /// Which life of it this is.
    pub incarnation: u32,
    /// Where global names and groups are kept.
    pub registry: Arc<dyn Registry>,
    /// The nodes, and the way to each.
    pub nodes: Arc<dyn Nodes>,
}

impl Membership {
    /// Takes the node's directory. `end` ends the process if the node's part in the cluster cannot go on.
    pub(crate) fn open(settings: Settings, dialer: Dialer, end: End) -> Result<Self, ClusterError> {
        let cluster = Cluster::open(settings, dialer, end)?;
        Ok(Self { cluster: Arc::new(cluster), links: LateLinks::default(), held: Held::default() })
    }

    /// What other nodes, as they are recognized, ask this one; its streams end with `stopped`.
    pub(crate) fn wire(
        &self,
        placement: &Placement,
        recognition: &Recognition,
        stopped: watch::Receiver<bool>,
    ) -> InternalWire {
        let mut table = Table::new(limits(), []);
        v1::list_membership_service(&Arc::new(self.cluster.desk()), &mut table);
        v1::list_raft_service(&Arc::new(self.cluster.answering()), &mut table);
        v1::list_link_service(&Arc::new(self.links.clone()), &mut table);
        v1::list_placement_service(&Arc::new(placement.clone()), &mut table);
        v1::list_chaos_service(&Arc::new(self.held.clone()), &mut table);
        for_nodes(table, recognition, stopped)
    }

    /// What this node is cut off from on purpose.
    pub(crate) fn cuts(&self) -> Cuts {
        self.cluster.cuts().clone()
    }

    /// Gets into the cluster; returns once the node's session is open, or the voters let it wait for too long.
    pub(crate) async fn join(&self) -> Result<Joined, ClusterError> {
        let entered = self.cluster.enter().await?;
        if !entered.opened(SESSION_WAIT).await {
            tracing::warn!("the voters have opened no session for this node yet; it serves without");
        }
        let Entered { node, incarnation, group, nodes, .. } = entered;
        let replica = Arc::new(Fenced::new(group, Arc::clone(&nodes)));
        let registry = Arc::new(ReplicatedRegistry::on(Handle::current(), replica));
        Ok(Joined { node, incarnation, registry, nodes })
    }

    /// Carries the signals of the node to the others and theirs to it.
    pub(crate) fn carry(&self, node: &Node, nodes: &Arc<dyn Nodes>) {
        let network = Arc::new(GrpcNetwork::new(Arc::clone(nodes)));
        let links = Links::start(node, LinkConfig::default(), network, Handle::current());
        self.links.set(links.clone(), Arc::clone(nodes));
        tokio::spawn(tell_ends(links, nodes.watch()));
    }

    /// Holds the failures that others have the node take part in.
    pub(crate) fn hold(&self, shared: &Shared) {
        self.held.begin(shared.clone());
    }

    /// The number of the node that leads, as far as this one knows.
    pub(crate) fn leader(&self) -> Option<u32> {
        self.cluster.leader()
    }

    /// Tells the number of the node that leads, as long as this one is in its cluster.
    pub(crate) fn leadership(&self) -> impl Fn() -> Option<u32> + Send + Sync + 'static {
        let cluster = Arc::downgrade(&self.cluster);
        move || cluster.upgrade()?.leader()
    }

    /// Returns once the node was told to end because it is taken out of its cluster.
    pub(crate) async fn dismissed(&self) {
        self.cluster.dismissed().await;
    }

    /// Says that the node is about to stop, and lets another lead. One that is taken out for good sends nothing more: its
    /// connections are lost, as by OTP's `disconnect_node`, and how its processes end then is nobody's business elsewhere.
    pub(crate) async fn leave(&self) {
        self.cluster.leave().await;
        if self.cluster.is_dismissed() {
            self.links.part();
        }
    }

    /// Ends the node's session and its voter.
    pub(crate) async fn stop(&self) {
        self.cluster.stop().await;
    }
}

/// What other nodes ask of one that was given its place: whoever gave it carries its signals and knows its members.
pub(crate) fn wire_of_given(
    placement: &Placement,
    recognition: &Recognition,
    stopped: watch::Receiver<bool>,
) -> InternalWire {
    let mut table = Table::new(limits(), []);
    v1::list_placement_service(&Arc::new(placement.clone()), &mut table);
    for_nodes(table, recognition, stopped)
}

fn limits() -> WireLimits {
    WireLimits {
        message_bytes_max: MESSAGE_BYTES_MAX,
        response_bytes_max: MESSAGE_BYTES_MAX,
        ..WireLimits::default()
    }
}

fn for_nodes(table: Table, recognition: &Recognition, stopped: watch::Receiver<bool>) -> InternalWire {
    let wire = Wire::new(table, limits(), Run).layer(&PartingLayer::new("node", stopped));
    wire.layer(&GuardLayer(NodesOnly::new(recognition)))
}

/// Tells the links of lives that ended and of nodes that are gone, until the cluster's view is gone.
async fn tell_ends(links: Links, mut membership: watch::Receiver<Arc<arsenal_membership::Membership>>) {
    let mut before = Arc::clone(&membership.borrow_and_update());
    while membership.changed().await.is_ok() {
        let now = Arc::clone(&membership.borrow_and_update());
        for change in changes(&before, &now) {
            match change {
                NodeChange::Down(node) => links.node_down(node.id, node.incarnation).await,
                NodeChange::Removed(node) => links.node_removed(node.id),
                NodeChange::Up(_) | NodeChange::Changed(_) => {}
            }
        }
        before = now;
    }
}
