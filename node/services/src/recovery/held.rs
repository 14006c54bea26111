//! What a node holds of the failures that others have it take part in: `internal.v1.ChaosService`.

use crate::Shared;
use crate::status::failure;
use arsenal_membership::Cut;
use arsenal_proto::internal::v1::chaos_service_server::ChaosService;
use arsenal_proto::internal::v1::{HealRequest, HealResponse, HoldRequest, HoldResponse};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tonic::{Code, Request, Response, Status};

/// Holds them, once there is a node: what nodes say to each other is served before that.
#[derive(Clone, Debug, Default)]
pub struct Held {
    shared: Arc<OnceLock<Shared>>,
}

impl Held {
    /// This node's from now on.
    pub fn begin(&self, shared: Shared) {
        self.shared.get_or_init(|| shared);
    }

    fn shared(&self) -> Result<&Shared, Status> {
        let starting =
            || failure(Code::Unavailable, "STARTING", "the node is not in its cluster yet").status();
        self.shared.get().ok_or_else(starting)
    }
}

#[tonic::async_trait]
impl ChaosService for Held {
    async fn hold(&self, request: Request<HoldRequest>) -> Result<Response<HoldResponse>, Status> {
        hold(self.shared()?, request.get_ref())?;
        Ok(Response::new(HoldResponse {}))
    }

    async fn heal(&self, request: Request<HealRequest>) -> Result<Response<HealResponse>, Status> {
        let experiments = heal(self.shared()?, &request.get_ref().experiment);
        Ok(Response::new(HealResponse { experiments }))
    }
}

/// Has this node hold a cut.
///
/// # Errors
/// If it is not allowed here, or too many are held.
pub(super) fn hold(shared: &Shared, request: &HoldRequest) -> Result<(), Status> {
    allowed(shared)?;
    let cut = Cut {
        from: request.from.iter().copied().collect(),
        to: request.to.iter().copied().collect(),
        both_ways: request.both_ways,
    };
    let ttl = Duration::from_millis(request.ttl_ms);
    super::cuts(shared).add(&request.experiment, cut, ttl).map_err(|error| {
        failure(Code::ResourceExhausted, "TOO_MANY_EXPERIMENTS", error.to_string())
            .resource("node", shared.node.name())
            .status()
    })?;
    tracing::warn!(experiment = request.experiment, ?ttl, from = ?request.from, to = ?request.to, "the network is cut on purpose");
    Ok(())
}

/// Whether failures may be caused here.
///
/// # Errors
/// `FAILED_PRECONDITION CHAOS_FORBIDDEN`.
pub(super) fn allowed(shared: &Shared) -> Result<(), Status> {
    if shared.chaos_allowed {
        return Ok(());
    }
    let name = shared.node.name();
    let message = format!("node {name} does not allow failures to be caused: `chaos.allowed` is not set");
    let forbidden = failure(Code::FailedPrecondition, "CHAOS_FORBIDDEN", message);
    Err(forbidden.precondition("SETTING", "chaos.allowed").resource("node", name).status())
}

/// Lets go of one cut, or of all; gives what they were called.
pub(super) fn heal(shared: &Shared, experiment: &str) -> Vec<String> {
    let cuts = super::cuts(shared);
    let ids: Vec<String> = match experiment {
        "" => cuts.list().into_iter().map(|held| held.id).collect(),
        one => vec![one.to_owned()],
    };
    let healed: Vec<String> = ids.iter().filter_map(|id| cuts.remove(id)).map(|held| held.id).collect();
    if !healed.is_empty() {
        tracing::warn!(experiments = ?healed, "the network is whole again before its time");
    }
    healed
}
