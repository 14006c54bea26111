//! The cluster: `ClusterService`. Which nodes there are, who hears of them, and what is done on some or all of them.
//!
//! What a node knows of the others is [`Nodes`](arsenal_membership::Nodes); what happened between two pictures of it, and
//! who is told, are decided in `arsenal_membership`. Other nodes are asked over the contract itself, each for what is its
//! own, so that no answer depends on who asked.

mod admission;
pub(crate) mod ask;
mod broadcast;
mod drain;
mod find;
mod gather;
pub(crate) mod list;
mod migrate;
mod monitors;
mod ping;
pub mod placement;
mod replicate;
mod spawn;
#[cfg(test)]
mod tests;
mod watch;

use crate::Shared;
use crate::caller::Caller;
use crate::introspection::IntrospectionApi;
use crate::status::failure;
use arsenal_proto::v1::{self, cluster_service_server::ClusterService};
use futures_util::stream::BoxStream;
use monitors::Monitors;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tonic::{Code, Request, Response, Status};

/// Open watches at most.
const WATCHES_MAX: usize = 1_000;

/// The cluster of a node as a service.
#[derive(Clone, Debug)]
pub struct ClusterApi {
    shared: Shared,
    /// What is asked of this node where all are asked.
    own: IntrospectionApi,
    monitors: Arc<Monitors>,
    watches: Arc<Semaphore>,
}

impl ClusterApi {
    /// Serves this node.
    pub fn new(shared: Shared) -> Self {
        Self {
            own: IntrospectionApi::new(shared.clone()),
            monitors: Arc::new(Monitors::new(&shared)),
            watches: Arc::new(Semaphore::new(WATCHES_MAX)),
            shared,
        }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl ClusterService for ClusterApi {
    type WatchNodesStream = BoxStream<'static, Result<v1::WatchNodesResponse, Status>>;

    async fn connect_node(
        &self,
        request: Request<v1::ConnectNodeRequest>,
    ) -> Answer<v1::ConnectNodeResponse> {
        admission::connect(&self.shared, request.get_ref()).await.map(Response::new)
    }

    async fn disconnect_node(
        &self,
        request: Request<v1::DisconnectNodeRequest>,
    ) -> Answer<v1::DisconnectNodeResponse> {
        admission::disconnect(&self.shared, request.into_inner()).await.map(Response::new)
    }

    async fn list_connected_nodes(
        &self,
        request: Request<v1::ListConnectedNodesRequest>,
    ) -> Answer<v1::ListConnectedNodesResponse> {
        list::list(&self.shared, request.get_ref()).await.map(Response::new)
    }

    async fn ping_node(&self, request: Request<v1::PingNodeRequest>) -> Answer<v1::PingNodeResponse> {
        ping::ping(&self.shared, request.get_ref()).await.map(Response::new)
    }

    async fn monitor_node(
        &self,
        request: Request<v1::MonitorNodeRequest>,
    ) -> Answer<v1::MonitorNodeResponse> {
        let caller = Caller::of(&request);
        self.monitors.add(&self.shared, &caller, request.get_ref()).map(Response::new)
    }

    async fn demonitor_node(
        &self,
        request: Request<v1::DemonitorNodeRequest>,
    ) -> Answer<v1::DemonitorNodeResponse> {
        let caller = Caller::of(&request);
        self.monitors.remove(&self.shared, &caller, request.get_ref()).map(Response::new)
    }

    async fn spawn_process_on_node(
        &self,
        request: Request<v1::SpawnProcessOnNodeRequest>,
    ) -> Answer<v1::SpawnProcessOnNodeResponse> {
        Caller::naming(&self.shared, &request, |request| &request.watcher).await?;
        let caller = Caller::naming(&self.shared, &request, |request| &request.parent).await?;
        spawn::spawn(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn migrate_process_to_node(
        &self,
        request: Request<v1::MigrateProcessToNodeRequest>,
    ) -> Answer<v1::MigrateProcessToNodeResponse> {
        let caller = Caller::of(&request);
        migrate::migrate(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn replicate_process_to_nodes(
        &self,
        request: Request<v1::ReplicateProcessToNodesRequest>,
    ) -> Answer<v1::ReplicateProcessToNodesResponse> {
        let caller = Caller::of(&request);
        replicate::replicate(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn find_process_on_nodes(
        &self,
        request: Request<v1::FindProcessOnNodesRequest>,
    ) -> Answer<v1::FindProcessOnNodesResponse> {
        find::find(&self.shared, &self.own, request.into_inner()).await.map(Response::new)
    }

    async fn broadcast_to_all_nodes(
        &self,
        request: Request<v1::BroadcastToAllNodesRequest>,
    ) -> Answer<v1::BroadcastToAllNodesResponse> {
        let caller = Caller::of(&request);
        broadcast::broadcast(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn gather_from_all_nodes(
        &self,
        request: Request<v1::GatherFromAllNodesRequest>,
    ) -> Answer<v1::GatherFromAllNodesResponse> {
        let caller = Caller::of(&request);
        gather::gather(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn get_node(&self, request: Request<v1::GetNodeRequest>) -> Answer<v1::ClusterNode> {
        list::get(&self.shared, request.get_ref()).await.map(Response::new)
    }

    async fn get_cluster(&self, _request: Request<v1::GetClusterRequest>) -> Answer<v1::Cluster> {
        Ok(Response::new(list::cluster(&self.shared)))
    }

    async fn drain_node(&self, request: Request<v1::DrainNodeRequest>) -> Answer<v1::DrainNodeResponse> {
        drain::drain(&self.shared, request.get_ref()).await.map(Response::new)
    }

    async fn watch_nodes(&self, _request: Request<v1::WatchNodesRequest>) -> Answer<Self::WatchNodesStream> {
        let place = Arc::clone(&self.watches).try_acquire_owned().map_err(|_| {
            let message = format!("the node serves {WATCHES_MAX} watches, its maximum");
            failure(Code::ResourceExhausted, "TOO_MANY_WATCHES", message).status()
        })?;
        Ok(Response::new(watch::watch(&self.shared, place)))
    }
}
