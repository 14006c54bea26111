//! Names and groups: `RegistryService`.
//!
//! What a name or a group is lives in the runtime's registry; which members a broadcast chooses in
//! [`dispatch_policy`]. This file only says which RPC is which call.

mod dispatch_policy;
mod groups;
mod lists;
mod metadata;
mod names;
mod rows;

use crate::Shared;
use crate::caller::Caller;
use arsenal_proto::v1::{self, registry_service_server::RegistryService};
use dispatch_policy::{Turns, mix};
use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tonic::{Request, Response, Status};

/// The registry of a node as a service.
#[derive(Clone, Debug)]
pub struct RegistryApi {
    shared: Shared,
    turns: Arc<Mutex<Turns>>,
    chance: Arc<Chance>,
}

/// Random numbers for the policy RANDOM: `SplitMix64`, from a seed of the machine's.
#[derive(Debug)]
struct Chance(AtomicU64);

impl Chance {
    fn draw(&self) -> u64 {
        mix(self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed))
    }
}

impl RegistryApi {
    /// Serves the registry of this node.
    pub fn new(shared: Shared) -> Self {
        let chance = Chance(AtomicU64::new(RandomState::new().hash_one(0)));
        Self { shared, turns: Arc::default(), chance: Arc::new(chance) }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl RegistryService for RegistryApi {
    async fn register_process(
        &self,
        request: Request<v1::RegisterProcessRequest>,
    ) -> Answer<v1::RegisterProcessResponse> {
        let caller = Caller::of(&request);
        names::register(&self.shared, &caller, request.into_inner()).map(Response::new)
    }

    async fn unregister_process(
        &self,
        request: Request<v1::UnregisterProcessRequest>,
    ) -> Answer<v1::UnregisterProcessResponse> {
        let caller = Caller::of(&request);
        names::unregister(&self.shared, &caller, request.into_inner()).map(Response::new)
    }

    async fn whereis_process(
        &self,
        request: Request<v1::WhereisProcessRequest>,
    ) -> Answer<v1::WhereisProcessResponse> {
        names::whereis(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn registered_names(
        &self,
        request: Request<v1::RegisteredNamesRequest>,
    ) -> Answer<v1::RegisteredNamesResponse> {
        lists::registered(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn register_process_globally(
        &self,
        request: Request<v1::RegisterProcessGloballyRequest>,
    ) -> Answer<v1::RegisterProcessGloballyResponse> {
        let caller = Caller::of(&request);
        names::register_globally(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn unregister_process_globally(
        &self,
        request: Request<v1::UnregisterProcessGloballyRequest>,
    ) -> Answer<v1::UnregisterProcessGloballyResponse> {
        let caller = Caller::of(&request);
        names::unregister_globally(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn global_whereis_name(
        &self,
        request: Request<v1::GlobalWhereisNameRequest>,
    ) -> Answer<v1::GlobalWhereisNameResponse> {
        names::whereis_globally(&self.shared, request.into_inner()).await.map(Response::new)
    }

    async fn register_process_with_metadata(
        &self,
        request: Request<v1::RegisterProcessWithMetadataRequest>,
    ) -> Answer<v1::RegisterProcessWithMetadataResponse> {
        let caller = Caller::of(&request);
        names::register_with_metadata(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn update_process_metadata(
        &self,
        request: Request<v1::UpdateProcessMetadataRequest>,
    ) -> Answer<v1::UpdateProcessMetadataResponse> {
        let caller = Caller::of(&request);
        names::update_metadata(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn search_registry_by_metadata(
        &self,
        request: Request<v1::SearchRegistryByMetadataRequest>,
    ) -> Answer<v1::SearchRegistryByMetadataResponse> {
        lists::search(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn list_registry_contents(
        &self,
        request: Request<v1::ListRegistryContentsRequest>,
    ) -> Answer<v1::ListRegistryContentsResponse> {
        lists::contents(&self.shared, request.get_ref()).await.map(Response::new)
    }

    async fn create_process_group(
        &self,
        request: Request<v1::CreateProcessGroupRequest>,
    ) -> Answer<v1::CreateProcessGroupResponse> {
        let caller = Caller::of(&request);
        groups::create(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn join_process_group(
        &self,
        request: Request<v1::JoinProcessGroupRequest>,
    ) -> Answer<v1::JoinProcessGroupResponse> {
        let caller = Caller::of(&request);
        groups::join(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn leave_process_group(
        &self,
        request: Request<v1::LeaveProcessGroupRequest>,
    ) -> Answer<v1::LeaveProcessGroupResponse> {
        let caller = Caller::of(&request);
        groups::leave(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn list_process_groups(
        &self,
        request: Request<v1::ListProcessGroupsRequest>,
    ) -> Answer<v1::ListProcessGroupsResponse> {
        groups::list(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn broadcast_to_group(
        &self,
        request: Request<v1::BroadcastToGroupRequest>,
    ) -> Answer<v1::BroadcastToGroupResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        groups::broadcast(self, &caller, request.into_inner()).map(Response::new)
    }

    async fn list_global_names(
        &self,
        request: Request<v1::ListGlobalNamesRequest>,
    ) -> Answer<v1::ListGlobalNamesResponse> {
        lists::list_globals(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn get_name_metadata(
        &self,
        request: Request<v1::GetNameMetadataRequest>,
    ) -> Answer<v1::GetNameMetadataResponse> {
        names::get_metadata(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn get_process_group(
        &self,
        request: Request<v1::GetProcessGroupRequest>,
    ) -> Answer<v1::GetProcessGroupResponse> {
        groups::get(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn delete_process_group(
        &self,
        request: Request<v1::DeleteProcessGroupRequest>,
    ) -> Answer<v1::DeleteProcessGroupResponse> {
        let caller = Caller::of(&request);
        groups::delete(&self.shared, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn list_group_members(
        &self,
        request: Request<v1::ListGroupMembersRequest>,
    ) -> Answer<v1::ListGroupMembersResponse> {
        groups::members(&self.shared, request.get_ref()).map(Response::new)
    }

    async fn monitor_group(
        &self,
        request: Request<v1::MonitorGroupRequest>,
    ) -> Answer<v1::MonitorGroupResponse> {
        let caller = Caller::of(&request);
        groups::monitor(&self.shared, &caller, request.get_ref()).map(Response::new)
    }
}
