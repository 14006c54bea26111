//! The failures that a node holds, as lists and answers have them.

use super::{PARTITIONS, cuts, no_experiment};
use crate::Shared;
use crate::listing::{Query, Row};
use crate::reference::check_node;
use crate::time::to_proto;
use arsenal_membership::{Cut, HeldCut};
use arsenal_observe::predicate::{Field, FieldType};
use arsenal_proto::v1;
use arsenal_proto::v1::network_partition::Direction;
use arsenal_runtime::{Node, Term};
use std::collections::BTreeSet;
use tonic::Status;

/// Nodes by their names.
pub(super) fn names(nodes: &BTreeSet<u32>) -> Vec<String> {
    nodes.iter().map(|id| format!("n{id}")).collect()
}

pub(super) fn encode_cut(cut: &Cut) -> v1::NetworkPartition {
    let direction = if cut.both_ways { Direction::BothWays } else { Direction::OneWay };
    v1::NetworkPartition { from: names(&cut.from), to: names(&cut.to), direction: direction.into() }
}

fn encode(node: &Node, held: &HeldCut) -> v1::Chaos {
    v1::Chaos {
        kind: PARTITIONS.to_owned(),
        experiment: held.id.clone(),
        node: node.name().to_string(),
        ttl: Some(to_proto(held.ttl)),
        remaining: Some(to_proto(held.left)),
        hits: held.hits,
        partition: Some(encode_cut(&held.cut)),
    }
}

struct ChaosRow<'a> {
    node: &'a Node,
    held: HeldCut,
}

impl Row for ChaosRow<'_> {
    const FIELDS: &'static [Field] = &[
        ("kind", FieldType::Text),
        ("experiment", FieldType::Text),
        ("node", FieldType::Text),
        ("remaining", FieldType::Number),
        ("hits", FieldType::Number),
    ];

    fn field(&self, name: &str) -> Term {
        match name {
            "kind" => PARTITIONS.into(),
            "experiment" => self.held.id.clone().into(),
            "node" => Term::Str(self.node.name().clone()),
            "remaining" => Term::Float(self.held.left.as_secs_f64()),
            _ => i64::try_from(self.held.hits).unwrap_or(i64::MAX).into(),
        }
    }
}

pub(super) fn list(shared: &Shared, request: &v1::ListChaosRequest) -> Result<v1::ListChaosResponse, Status> {
    let node = &shared.node;
    check_node(node, &request.node)?;
    let rows = cuts(shared).list().into_iter().map(|held| ChaosRow { node, held }).collect();
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: "chaos",
    };
    let (rows, next_page_token) = query.page(rows)?;
    Ok(v1::ListChaosResponse {
        chaos: rows.iter().map(|row| encode(node, &row.held)).collect(),
        next_page_token,
        unreached: Vec::new(),
    })
}

pub(super) fn get(shared: &Shared, request: &v1::GetChaosRequest) -> Result<v1::Chaos, Status> {
    let missing = || no_experiment(&request.kind, &request.experiment);
    let held = cuts(shared).list().into_iter().find(|held| held.id == request.experiment);
    let held = held.filter(|_| request.kind == PARTITIONS).ok_or_else(missing)?;
    Ok(encode(&shared.node, &held))
}
