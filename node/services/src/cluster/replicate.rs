//! Copies of a process on other nodes, each with the state that it has now.

use super::placement::Origin;
use super::{ask, list};
use crate::Shared;
use crate::caller::Caller;
use crate::reference;
use crate::status::{self, bad_argument, of_call, of_registry};
use arsenal_proto::internal::v1::RestoreRequest;
use arsenal_proto::internal::v1::placement_service_client::PlacementServiceClient;
use arsenal_proto::v1;
use arsenal_proto::v1::replicate_process_to_nodes_response::Copy;
use arsenal_runtime::codec::write_term;
use arsenal_runtime::registry::{Command, group_key};
use arsenal_runtime::{ProcessRef, Term};
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::Status;

/// How long the process may take to come to the end of a turn.
const TURN_MAX: Duration = Duration::from_secs(5);

/// The scope of groups where nothing else is said, as `pg` has it.
const SCOPE: &str = "pg";

pub(super) async fn replicate(
    shared: &Shared,
    caller: &Caller,
    request: v1::ReplicateProcessToNodesRequest,
) -> Result<v1::ReplicateProcessToNodesResponse, Status> {
    let node = &shared.node;
    let places = places(shared, &request.nodes)?;
    let process = reference::process(node, "process", &request.process)?;
    let origin = origin(shared, &process).await?;
    let group = if request.group.is_empty() { format!("replicas.{}", process.pid()) } else { request.group };
    let key = group_key(SCOPE, &group);
    let joined = Command::Join { group: key.clone(), pids: vec![process.pid()] };
    node.propose(joined, caller.operation).await.map_err(|error| of_registry(&error))?;
    let own = shared.nodes.own();
    let others = places.iter().copied().filter(|id| *id != own).collect();
    let message = message(&origin, &key);
    let told = ask::each(shared, others, ask::TIMEOUT_DEFAULT, |_, channel| {
        let message = message.clone();
        async move {
            let mut client = PlacementServiceClient::new(channel);
            client.restore(message).await.map(|answer| answer.into_inner().pid)
        }
    });
    let mut started = told.await;
    if places.contains(&own) {
        let here = origin.start(shared, &key, caller.operation).await;
        started.push((own, here.map(|pid| pid.to_string())));
    }
    let copies = places.iter().filter_map(|id| started.iter().find(|(place, _)| place == id));
    let copies = copies.map(|(id, outcome)| {
        let node = list::name(*id);
        match outcome {
            Ok(pid) => Copy { node, pid: pid.clone(), error: None },
            Err(error) => Copy { node, pid: String::new(), error: Some(status::to_proto(error)) },
        }
    });
    Ok(v1::ReplicateProcessToNodesResponse {
        copies: copies.collect(),
        group,
        pid: process.pid().to_string(),
    })
}

/// The nodes that are named, each once, in the order of the request.
fn places(shared: &Shared, names: &[String]) -> Result<Vec<u32>, Status> {
    if names.is_empty() {
        return Err(bad_argument("nodes", "`nodes` is empty; it names where copies are started"));
    }
    let mut seen = BTreeSet::new();
    let place = |name: &String| {
        let (node, _) = list::known(shared, "nodes", name)?;
        match seen.insert(node.id) {
            true => Ok(node.id),
            false => Err(bad_argument("nodes", format!("`{name}` is named twice; a node gets one copy"))),
        }
    };
    names.iter().map(place).collect()
}

/// What the process is made of between two of its turns.
async fn origin(shared: &Shared, process: &ProcessRef) -> Result<Origin, Status> {
    let node = &shared.node;
    let answer = node.system_request(process.pid(), Term::Atom("snapshot"), Some(TURN_MAX)).await;
    let answer = answer.map_err(|error| of_call(node, &error))?;
    let state = answer.as_list().and_then(|terms| terms.get(1)).cloned().unwrap_or_default();
    let header = node.header(process);
    let labels = node.labels_of(process);
    Ok(Origin {
        module: header.code.name.to_string(),
        state,
        labels: labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        priority: header.priority,
        trap_exit: header.trap_exit,
    })
}

fn message(origin: &Origin, group: &str) -> RestoreRequest {
    let mut state = Vec::new();
    write_term(&origin.state, &mut state);
    RestoreRequest {
        module: origin.module.clone(),
        state: state.into(),
        labels: origin.labels.iter().cloned().collect(),
        priority: origin.priority.as_str().to_owned(),
        trap_exit: origin.trap_exit,
        group: group.to_owned(),
    }
}
