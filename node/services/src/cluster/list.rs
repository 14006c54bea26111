//! The nodes as lists and answers have them.

use super::ask;
use crate::Shared;
use crate::listing::{Query, Row};
use crate::reference::unknown_node;
use crate::status::bad_argument;
use crate::time::to_proto;
use arsenal_membership::{Membership, Node, NodeState};
use arsenal_observe::predicate::{Field, FieldType};
use arsenal_proto::v1;
use arsenal_proto::v1::cluster_node::{Load, Role, State};
use arsenal_proto::v1::introspection_service_client::IntrospectionServiceClient;
use arsenal_runtime::Term;
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;

/// How long a node may take to tell its load: a list is not held up by one that is out of reach.
const LOAD_TIMEOUT: Duration = Duration::from_secs(1);

/// The name of a node.
pub(crate) fn name(id: u32) -> String {
    format!("n{id}")
}

pub(super) fn state(state: NodeState) -> State {
    match state {
        NodeState::Up => State::Up,
        NodeState::Leaving => State::Leaving,
        NodeState::Down => State::Down,
    }
}

fn role(node: &Node) -> Role {
    if node.voter { Role::Voter } else { Role::Member }
}

/// A node without what only it can tell.
pub(super) fn encode(node: &Node) -> v1::ClusterNode {
    v1::ClusterNode {
        node: name(node.id),
        role: role(node).into(),
        state: state(node.state).into(),
        incarnation: u64::from(node.incarnation),
        address: node.address.to_string(),
        zone: node.zone.to_string(),
        version: String::new(),
        load: None,
    }
}

/// The node of this name, as it is known now, and the picture that it is of.
///
/// # Errors
/// `NOT_FOUND UNKNOWN_NODE`; `BADARG` where `field` is empty.
pub(crate) fn known(shared: &Shared, field: &str, name: &str) -> Result<(Node, Arc<Membership>), Status> {
    if name.is_empty() {
        return Err(bad_argument(field, format!("`{field}` is empty; it names a node")));
    }
    let membership = shared.nodes.membership();
    let node = arsenal_runtime::Node::node_number(name).and_then(|id| membership.nodes.get(&id).cloned());
    node.map(|node| (node, membership)).ok_or_else(|| unknown_node(name))
}

struct NodeRow(Node);

impl Row for NodeRow {
    const FIELDS: &'static [Field] = &[
        ("node", FieldType::Text),
        ("role", FieldType::Text),
        ("state", FieldType::Text),
        ("incarnation", FieldType::Number),
        ("address", FieldType::Text),
        ("zone", FieldType::Text),
    ];

    fn field(&self, field: &str) -> Term {
        let Self(node) = self;
        match field {
            "node" => name(node.id).into(),
            "role" => role(node).as_str_name().into(),
            "state" => state(node.state).as_str_name().into(),
            "incarnation" => i64::from(node.incarnation).into(),
            "address" => Term::str(Arc::clone(&node.address)),
            "zone" => Term::str(Arc::clone(&node.zone)),
            _ => Term::Null,
        }
    }
}

/// Answers a page; only the nodes on it are asked for their load.
pub(super) async fn list(
    shared: &Shared,
    request: &v1::ListConnectedNodesRequest,
) -> Result<v1::ListConnectedNodesResponse, Status> {
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: "nodes",
    };
    let membership = shared.nodes.membership();
    let (rows, next_page_token) = query.page(membership.nodes.values().cloned().map(NodeRow).collect())?;
    let mut nodes: Vec<v1::ClusterNode> = rows.iter().map(|NodeRow(node)| encode(node)).collect();
    let up: Vec<u32> = rows
        .iter()
        .filter(|NodeRow(node)| node.state != NodeState::Down)
        .map(|NodeRow(node)| node.id)
        .collect();
    let mut unreached = Vec::new();
    for (id, told) in tell(shared, up).await {
        let Some(node) = nodes.iter_mut().find(|node| node.node == name(id)) else { continue };
        match told {
            Some((version, load)) => (node.version, node.load) = (version, Some(load)),
            None => unreached.push(name(id)),
        }
    }
    Ok(v1::ListConnectedNodesResponse { nodes, next_page_token, unreached, index: membership.index })
}

pub(super) async fn get(shared: &Shared, request: &v1::GetNodeRequest) -> Result<v1::ClusterNode, Status> {
    let (node, _) = known(shared, "node", &request.node)?;
    let mut encoded = encode(&node);
    if node.state != NodeState::Down
        && let Some((_, Some((version, load)))) = tell(shared, vec![node.id]).await.pop()
    {
        (encoded.version, encoded.load) = (version, Some(load));
    }
    Ok(encoded)
}

type Told = Option<(String, Load)>;

/// What nodes say of themselves; nothing of those that do not say it in time.
async fn tell(shared: &Shared, nodes: Vec<u32>) -> Vec<(u32, Told)> {
    let own = shared.nodes.own();
    let others = nodes.iter().copied().filter(|id| *id != own).collect();
    let told = ask::each(shared, others, LOAD_TIMEOUT, |_, channel| async move {
        let mut client = IntrospectionServiceClient::new(channel);
        client.get_system_info(v1::GetSystemInfoRequest::default()).await.map(tonic::Response::into_inner)
    });
    let mut told: Vec<(u32, Told)> =
        told.await.into_iter().map(|(id, told)| (id, told.ok().map(of_info))).collect();
    if nodes.contains(&own) {
        told.push((own, Some(of_self(shared))));
    }
    told
}

fn of_info(info: v1::GetSystemInfoResponse) -> (String, Load) {
    let processes = info.counts.map_or(0, |counts| counts.processes);
    (info.version, Load { processes, schedulers: info.schedulers, uptime: info.uptime })
}

fn of_self(shared: &Shared) -> (String, Load) {
    let node = &shared.node;
    let load = Load {
        processes: u32::try_from(node.process_count()).unwrap_or(u32::MAX),
        schedulers: u32::try_from(node.scheduler_info().len()).unwrap_or(u32::MAX),
        uptime: Some(to_proto(Duration::from_nanos(node.now_ns()))),
    };
    (env!("CARGO_PKG_VERSION").to_owned(), load)
}

/// How many voters have to agree.
pub(super) fn quorum(membership: &Membership) -> usize {
    membership.nodes.values().filter(|node| node.voter).count() / 2 + 1
}

pub(super) fn cluster(shared: &Shared) -> v1::Cluster {
    let membership = shared.nodes.membership();
    let names = |keep: &dyn Fn(&Node) -> bool| {
        membership.nodes.values().filter(|node| keep(node)).map(|node| name(node.id)).collect()
    };
    let standing = shared.nodes.standing();
    v1::Cluster {
        node: name(shared.nodes.own()),
        leader: standing.as_ref().and_then(|standing| standing.leader).map(name).unwrap_or_default(),
        term: standing.as_ref().map_or(0, |standing| standing.term),
        lease: standing.map(|standing| to_proto(standing.lease)),
        index: membership.index,
        voters: names(&|node| node.voter),
        members: names(&|node| !node.voter),
        down: names(&|node| node.state == NodeState::Down),
        quorum: u32::try_from(quorum(&membership)).unwrap_or(u32::MAX),
        in_session: shared.nodes.is_in_session(),
    }
}
