//! Nodes that are let in and put out from outside.
//!
//! Whether it may be and when it is done is [`Admission`](arsenal_membership::Admission)'s; here is what a client wants to know
//! beside it: that the newcomer serves, and what goes with who leaves.

use super::{ask, list};
use crate::Shared;
use crate::status::{bad_argument, failure};
use arsenal_membership::{Admission, AdmissionError, Node, NodeState};
use arsenal_proto::v1;
use arsenal_proto::v1::cluster_service_client::ClusterServiceClient;
use arsenal_proto::v1::introspection_service_client::IntrospectionServiceClient;
use prost_types::FieldMask;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tonic::{Code, Response, Status};

/// How long a node that is in may take to serve, and one that is told to end to do so.
const SERVES_MAX: Duration = Duration::from_secs(30);
const ENDS_MAX: Duration = Duration::from_secs(120);
/// A newcomer is asked so often whether it serves.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Processes that are named of a node that goes.
const PROCESSES_MAX: i32 = 1_000;

pub(super) async fn connect(
    shared: &Shared,
    request: &v1::ConnectNodeRequest,
) -> Result<v1::ConnectNodeResponse, Status> {
    let address = request.address.as_str();
    let is_address =
        address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if !is_address {
        return Err(bad_argument("address", format!("`{address}` is no host and port, `10.0.0.7:7450`")));
    }
    let membership = shared.nodes.membership();
    let known =
        membership.nodes.values().find(|node| &*node.address == address && node.state != NodeState::Down);
    if let Some(node) = known.filter(|node| node.voter || !request.voter) {
        return Ok(v1::ConnectNodeResponse { node: Some(list::encode(node)), already: true });
    }
    let admitted =
        admission(shared)?.connect(address, request.voter).await.map_err(|error| refused(&error))?;
    serves(shared, &admitted.node).await?;
    Ok(v1::ConnectNodeResponse { node: Some(list::encode(&admitted.node)), already: admitted.already })
}

/// Returns once the node answers for itself, and may change what all share.
async fn serves(shared: &Shared, node: &Node) -> Result<(), Status> {
    let serving = async {
        loop {
            let asked = ask::one(shared, node.id, ask::TIMEOUT_DEFAULT, |channel| async move {
                let mut client = ClusterServiceClient::new(channel);
                client.get_cluster(v1::GetClusterRequest {}).await.map(Response::into_inner)
            });
            if asked.await.is_ok_and(|seen| seen.in_session) {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    let late = |_| {
        let message = format!("n{} is in the cluster, and does not serve yet", node.id);
        failure(Code::DeadlineExceeded, "TIMEOUT", message).resource("node", &list::name(node.id)).status()
    };
    timeout(SERVES_MAX, serving).await.map_err(late)
}

pub(super) async fn disconnect(
    shared: &Shared,
    request: v1::DisconnectNodeRequest,
) -> Result<v1::DisconnectNodeResponse, Status> {
    let (node, membership) = list::known(shared, "node", &request.node)?;
    let admission = admission(shared)?;
    if node.id == shared.nodes.own() && !request.dry_run {
        // who goes cannot see to it that it is gone
        let mut others = membership.nodes.values();
        let other = others.find(|other| other.id != node.id && other.state == NodeState::Up);
        if let Some(other) = other {
            let on = move |channel| async move {
                ClusterServiceClient::new(channel).disconnect_node(request).await.map(Response::into_inner)
            };
            return ask::one(shared, other.id, ENDS_MAX * 2, on).await;
        }
    }
    admission.may_disconnect(node.id, request.force).await.map_err(|error| refused(&error))?;
    let (processes, process_count) = processes(shared, &node).await;
    let response = v1::DisconnectNodeResponse {
        node: Some(list::encode(&node)),
        processes,
        names: names(shared, &node),
        dry_run: request.dry_run,
        process_count,
    };
    if !request.dry_run {
        let left = admission.disconnect(node.id, request.force, ENDS_MAX).await;
        left.map_err(|error| refused(&error))?;
    }
    Ok(response)
}

/// Processes of a node, and how many there are; none where it does not tell.
async fn processes(shared: &Shared, node: &Node) -> (Vec<String>, u32) {
    if node.state == NodeState::Down {
        return (Vec::new(), 0);
    }
    let asked = ask::one(shared, node.id, ask::TIMEOUT_DEFAULT, |channel| async move {
        let mut client = IntrospectionServiceClient::new(channel);
        let info = client.get_system_info(v1::GetSystemInfoRequest::default()).await?.into_inner();
        let request = v1::ListAllProcessesRequest {
            page_size: PROCESSES_MAX,
            read_mask: Some(FieldMask { paths: vec!["pid".to_owned()] }),
            ..Default::default()
        };
        let listed = client.list_all_processes(request).await?.into_inner();
        let pids = listed.processes.into_iter().map(|process| process.pid).collect();
        Ok((pids, info.counts.map_or(0, |counts| counts.processes)))
    });
    asked.await.unwrap_or_default()
}

/// Global names that the node's processes hold.
fn names(shared: &Shared, node: &Node) -> Vec<String> {
    shared.node.read_registry(|state| {
        let held = state.names().iter().filter(|(_, name)| name.pid.node == node.id);
        held.map(|(name, _)| name.to_string()).collect()
    })
}

fn admission(shared: &Shared) -> Result<Admission, Status> {
    shared.nodes.admission().ok_or_else(|| {
        let message = "this node is in no cluster that others join or leave; it is started with \
                       `cluster.bootstrap_expect`, with `cluster.seeds` or with `cluster.wait`";
        failure(Code::FailedPrecondition, "NOT_CLUSTERED", message).status()
    })
}

fn refused(error: &AdmissionError) -> Status {
    let (code, reason) = match error {
        AdmissionError::Unknown(_) => (Code::NotFound, "UNKNOWN_NODE"),
        AdmissionError::OtherCluster { .. } => (Code::FailedPrecondition, "OTHER_CLUSTER"),
        AdmissionError::Unreachable { .. } => (Code::Unavailable, "NOCONNECTION"),
        AdmissionError::Alive(_) => (Code::FailedPrecondition, "ALIVE"),
        AdmissionError::Quorum(_) => (Code::FailedPrecondition, "QUORUM"),
        AdmissionError::NoVote { .. } => (Code::FailedPrecondition, "NEVER_VOTES"),
        AdmissionError::NoQuorum(_) => (Code::Unavailable, "NO_QUORUM"),
        AdmissionError::Late { .. } => (Code::DeadlineExceeded, "TIMEOUT"),
    };
    failure(code, reason, error.to_string()).status()
}
