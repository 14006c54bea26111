//! Ends failures before their time: on the node asked at once, then on all that it reaches.

use super::{PARTITIONS, held, list, no_experiment, tell};
use crate::Shared;
use crate::caller::Caller;
use crate::cluster::{ask, list as nodes};
use arsenal_membership::NodeState;
use arsenal_proto::internal::v1::HealRequest;
use arsenal_proto::internal::v1::chaos_service_client::ChaosServiceClient;
use arsenal_proto::v1;
use arsenal_runtime::{Pid, Term};
use std::collections::{BTreeMap, BTreeSet};
use tonic::Status;

/// What each node let go of, and the nodes that could not be told.
pub(super) struct Healed {
    by: BTreeMap<u32, Vec<String>>,
    unreached: BTreeSet<u32>,
}

/// Has nodes let go of a failure, or of all. This one is the first, so that it reaches the others.
pub(super) async fn heal(shared: &Shared, nodes: &BTreeSet<u32>, experiment: &str) -> Healed {
    let own = shared.nodes.own();
    let mut by = BTreeMap::new();
    by.insert(own, held::heal(shared, experiment));
    let message = HealRequest { experiment: experiment.to_owned() };
    let others = nodes.iter().copied().filter(|id| *id != own).collect();
    let told = ask::each(shared, others, ask::TIMEOUT_DEFAULT, |_, channel| {
        let (client, message) = (ChaosServiceClient::new(channel), message.clone());
        tell(move || {
            let (mut client, message) = (client.clone(), message.clone());
            async move { client.heal(message).await }
        })
    });
    let mut unreached = BTreeSet::new();
    for (id, told) in told.await {
        match told {
            Ok(healed) => drop(by.insert(id, healed.into_inner().experiments)),
            Err(_) => drop(unreached.insert(id)),
        }
    }
    by.retain(|_, healed| !healed.is_empty());
    Healed { by, unreached }
}

/// A node that is down holds nothing: it has none when it starts.
fn all_up(shared: &Shared) -> BTreeSet<u32> {
    let membership = shared.nodes.membership();
    let up = membership.nodes.values().filter(|node| node.state != NodeState::Down);
    up.map(|node| node.id).collect()
}

pub(super) async fn one(
    shared: &Shared,
    caller: &Caller,
    request: &v1::StopChaosRequest,
) -> Result<v1::StopChaosResponse, Status> {
    let missing = || no_experiment(&request.kind, &request.experiment);
    if request.kind != PARTITIONS || request.experiment.is_empty() {
        return Err(missing());
    }
    let healed = heal(shared, &all_up(shared), &request.experiment).await;
    if healed.by.is_empty() {
        return Err(missing());
    }
    record(shared, caller, &request.experiment);
    Ok(v1::StopChaosResponse {
        stopped_on: healed.by.into_keys().map(nodes::name).collect(),
        unreached: list::names(&healed.unreached),
    })
}

pub(super) async fn all(shared: &Shared, caller: &Caller) -> Result<v1::StopAllChaosResponse, Status> {
    let healed = heal(shared, &all_up(shared), "").await;
    let experiments: BTreeSet<String> = healed.by.into_values().flatten().collect();
    experiments.iter().for_each(|experiment| record(shared, caller, experiment));
    Ok(v1::StopAllChaosResponse {
        experiments: experiments.into_iter().collect(),
        unreached: list::names(&healed.unreached),
    })
}

fn record(shared: &Shared, caller: &Caller, experiment: &str) {
    shared.node.record("partition.healed", Pid::NONE, Pid::NONE, Term::str(experiment), caller.operation);
}
