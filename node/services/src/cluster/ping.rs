//! Whether a node is there: `net_adm:ping/1`, with the time that its answer took.

use super::{ask, list};
use crate::Shared;
use crate::status::bad_argument;
use crate::time::{duration, to_proto};
use arsenal_membership::NodeError;
use arsenal_proto::v1;
use arsenal_proto::v1::ping_node_response::Result as Pinged;
use std::time::{Duration, Instant};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

pub(super) async fn ping(
    shared: &Shared,
    request: &v1::PingNodeRequest,
) -> Result<v1::PingNodeResponse, Status> {
    let timeout = duration("timeout", request.timeout.as_ref())?.unwrap_or(ask::TIMEOUT_DEFAULT);
    let id = arsenal_runtime::Node::node_number(&request.node)
        .ok_or_else(|| bad_argument("node", format!("`{}` is no node's name, `n2`", request.node)))?;
    let outcome = if id == shared.nodes.own() {
        Ok(Duration::ZERO)
    } else {
        match shared.nodes.channel(id) {
            Ok(channel) => time(channel, timeout).await,
            Err(error) => Err(reason(&error)),
        }
    };
    let from = list::name(shared.nodes.own());
    Ok(match outcome {
        Ok(round_trip) => v1::PingNodeResponse {
            result: Pinged::Pong.into(),
            round_trip: Some(to_proto(round_trip)),
            reason: String::new(),
            from,
        },
        Err(reason) => v1::PingNodeResponse {
            result: Pinged::Pang.into(),
            round_trip: None,
            reason: reason.to_owned(),
            from,
        },
    })
}

/// The round trip of a question that costs the other node nothing.
async fn time(channel: Channel, timeout: Duration) -> Result<Duration, &'static str> {
    let begun = Instant::now();
    let mut health = HealthClient::new(channel);
    match tokio::time::timeout(timeout, health.check(HealthCheckRequest::default())).await {
        Err(_) => Err("TIMEOUT"),
        // whatever it answers, it is there
        Ok(Err(status)) if matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled) => {
            Err("NOCONNECTION")
        }
        Ok(_) => Ok(begun.elapsed()),
    }
}

fn reason(error: &NodeError) -> &'static str {
    match error {
        NodeError::Unknown(_) => "UNKNOWN_NODE",
        NodeError::Down { .. } => "NODE_DOWN",
        NodeError::Address { .. } => "NOCONNECTION",
    }
}
