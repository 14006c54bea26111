//! Cuts nodes apart: all that take part are told, the node asked last, since it may cut itself off by that.

use super::{held, list, plan, stop, tell};
use crate::Shared;
use crate::caller::Caller;
use crate::cluster::{ask, list as nodes};
use crate::status::bad_argument;
use crate::time::{LEASE_DEFAULT, duration, timestamp, to_proto};
use arsenal_membership::{Cut, Membership, NodeState};
use arsenal_proto::internal::v1::HoldRequest;
use arsenal_proto::internal::v1::chaos_service_client::ChaosServiceClient;
use arsenal_proto::v1;
use arsenal_proto::v1::network_partition::Direction;
use arsenal_proto::v1::simulate_network_partition_response::Cut as Pair;
use arsenal_runtime::{Pid, Term};
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::Status;

/// The longest that nodes may be cut apart.
const TTL_MAX: Duration = Duration::from_secs(3600);

/// A request that was read.
struct Plan {
    cut: Cut,
    ttl: Duration,
    /// Nothing is cut.
    dry_run: bool,
    /// Those that take part and are up.
    up: BTreeSet<u32>,
    /// Those that take part and are down.
    down: BTreeSet<u32>,
}

pub(super) async fn cut(
    shared: &Shared,
    caller: &Caller,
    request: &v1::SimulateNetworkPartitionRequest,
) -> Result<v1::SimulateNetworkPartitionResponse, Status> {
    let membership = shared.nodes.membership();
    let plan = read(shared, &membership, request)?;
    let mut response = encode(&membership, &plan);
    if plan.dry_run {
        return Ok(response);
    }
    held::allowed(shared)?;
    let node = &shared.node;
    let experiment = node.new_id(b'x').to_string();
    hold(shared, &plan, &experiment).await?;
    node.record("partition.cut", Pid::NONE, Pid::NONE, Term::str(experiment.as_str()), caller.operation);
    let ttl_ns = u64::try_from(plan.ttl.as_nanos()).unwrap_or(u64::MAX);
    response.expire_time = Some(timestamp(node, node.now_ns().saturating_add(ttl_ns)));
    response.experiment = experiment;
    Ok(response)
}

fn read(
    shared: &Shared,
    membership: &Membership,
    request: &v1::SimulateNetworkPartitionRequest,
) -> Result<Plan, Status> {
    let ttl = duration("ttl", request.ttl.as_ref())?.unwrap_or(LEASE_DEFAULT);
    if ttl.is_zero() || ttl > TTL_MAX {
        let message =
            format!("`ttl` is {ttl:?}; nodes are cut apart for a positive time and at most {TTL_MAX:?}");
        return Err(bad_argument("ttl", message));
    }
    let direction = Direction::try_from(request.direction).map_err(|_| {
        bad_argument("direction", format!("no direction has the number {}", request.direction))
    })?;
    let from = named(shared, "from", &request.from, &BTreeSet::new())?;
    let to = named(shared, "to", &request.to, &from)?;
    let is_plan = from.is_empty() && to.is_empty();
    let (from, to) = plan::sides(membership, shared.nodes.own(), from, to);
    let dry_run = request.dry_run || is_plan;
    for (field, side) in [("from", &from), ("to", &to)] {
        if side.is_empty() && !dry_run {
            return Err(bad_argument(
                field,
                format!("no node is left for `{field}`; there is nothing to cut"),
            ));
        }
    }
    let is_down = |id: &u32| membership.nodes.get(id).is_none_or(|node| node.state == NodeState::Down);
    let (down, up) = from.union(&to).copied().partition(is_down);
    let cut = Cut { from, to, both_ways: direction != Direction::OneWay };
    Ok(Plan { cut, ttl, dry_run, up, down })
}

/// The numbers of nodes that are named, each once, and none of `others`.
fn named(
    shared: &Shared,
    field: &str,
    names: &[String],
    others: &BTreeSet<u32>,
) -> Result<BTreeSet<u32>, Status> {
    let mut side = BTreeSet::new();
    for name in names {
        let (node, _) = nodes::known(shared, field, name)?;
        if others.contains(&node.id) || !side.insert(node.id) {
            return Err(bad_argument(field, format!("`{name}` is named twice; a node is on one side")));
        }
    }
    Ok(side)
}

fn encode(membership: &Membership, plan: &Plan) -> v1::SimulateNetworkPartitionResponse {
    let pair = |(from, to)| Pair { from: nodes::name(from), to: nodes::name(to) };
    let without = plan::without_quorum(membership, &plan.cut);
    v1::SimulateNetworkPartitionResponse {
        experiment: String::new(),
        partition: Some(list::encode_cut(&plan.cut)),
        cuts: plan::pairs(&plan.cut).into_iter().map(pair).collect(),
        without_quorum: without.into_iter().map(nodes::name).collect(),
        ttl: Some(to_proto(plan.ttl)),
        expire_time: None,
        held_by: list::names(&plan.up),
        unreached: list::names(&plan.down),
        dry_run: plan.dry_run,
    }
}

/// Has all that take part hold it, or none.
async fn hold(shared: &Shared, plan: &Plan, experiment: &str) -> Result<(), Status> {
    let own = shared.nodes.own();
    let message = HoldRequest {
        experiment: experiment.to_owned(),
        from: plan.cut.from.iter().copied().collect(),
        to: plan.cut.to.iter().copied().collect(),
        both_ways: plan.cut.both_ways,
        ttl_ms: u64::try_from(plan.ttl.as_millis()).unwrap_or(u64::MAX).max(1),
    };
    let others = plan.up.iter().copied().filter(|id| *id != own).collect();
    let told = ask::each(shared, others, ask::TIMEOUT_DEFAULT, |_, channel| {
        let (client, message) = (ChaosServiceClient::new(channel), message.clone());
        tell(move || {
            let (mut client, message) = (client.clone(), message.clone());
            async move { client.hold(message).await }
        })
    });
    let refused = told.await.into_iter().find_map(|(_, told)| told.err());
    let outcome = match refused {
        Some(refused) => Err(refused),
        None if plan.up.contains(&own) => held::hold(shared, &message),
        None => Ok(()),
    };
    if outcome.is_err() {
        // one that did not answer may hold it all the same
        stop::heal(shared, &plan.up, experiment).await;
    }
    outcome
}
