//! Failure: `RecoveryService`, of which only the partitions of the network are built.
//!
//! Which nodes are cut apart, and what that means for them, is decided in `plan`; each of them is told over the internal
//! service in `held`, and holds its part of it by its own clock. Connections obey in `arsenal_membership`.

pub mod held;
mod list;
mod partition;
mod plan;
mod stop;

use crate::Shared;
use crate::caller::Caller;
use crate::status::failure;
use arsenal_membership::Cuts;
use arsenal_proto::v1::{self, recovery_service_server::RecoveryService};
use tonic::{Code, Request, Response, Status};

/// The kind of the failures that cut nodes apart.
const PARTITIONS: &str = "partitions";

/// What of a node's failures is caused, as a service.
#[derive(Clone, Debug)]
pub struct RecoveryApi {
    shared: Shared,
}

impl RecoveryApi {
    /// Serves this node.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }
}

/// What this node is cut off from; a table of nothing where its connections cannot be cut.
fn cuts(shared: &Shared) -> Cuts {
    shared.nodes.cuts().unwrap_or_default()
}

/// Tells another node to hold something or to let go of it, and tells it again if the connection broke meanwhile: twice is
/// the same as once.
async fn tell<T, F>(ask: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let is_broken = |status: &Status| {
        status.details().is_empty() && matches!(status.code(), Code::Unknown | Code::Unavailable)
    };
    let told = match ask().await {
        Err(status) if is_broken(&status) => ask().await,
        told => return told,
    };
    told.map_err(|status| if is_broken(&status) { Status::unavailable(status.message()) } else { status })
}

/// `NOT_FOUND NO_EXPERIMENT`.
fn no_experiment(kind: &str, experiment: &str) -> Status {
    failure(Code::NotFound, "NO_EXPERIMENT", format!("no failure is held as `{kind}/{experiment}`"))
        .resource("experiment", experiment)
        .status()
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl RecoveryService for RecoveryApi {
    async fn simulate_network_partition(
        &self,
        request: Request<v1::SimulateNetworkPartitionRequest>,
    ) -> Answer<v1::SimulateNetworkPartitionResponse> {
        let caller = Caller::of(&request);
        partition::cut(&self.shared, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn list_chaos(&self, request: Request<v1::ListChaosRequest>) -> Answer<v1::ListChaosResponse> {
        list::list(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn get_chaos(&self, request: Request<v1::GetChaosRequest>) -> Answer<v1::Chaos> {
        list::get(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn stop_chaos(&self, request: Request<v1::StopChaosRequest>) -> Answer<v1::StopChaosResponse> {
        let caller = Caller::of(&request);
        stop::one(&self.shared, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn stop_all_chaos(
        &self,
        request: Request<v1::StopAllChaosRequest>,
    ) -> Answer<v1::StopAllChaosResponse> {
        let caller = Caller::of(&request);
        stop::all(&self.shared, &caller).await.map(Response::new)
    }
}
