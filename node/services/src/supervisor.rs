//! Supervisors and their children: `SupervisorService`.
//!
//! What a supervisor decides lives in the behaviours; this service asks it and says what it answered. This file only
//! says which RPC is which request.

mod analysis;
mod ask;
mod children_page;
mod encode;
mod lifecycle;
mod list;
mod manage;
pub(crate) mod spec;
mod strategy;
mod watch;

use crate::Shared;
use crate::caller::Caller;
use arsenal_behaviours::supervisor::spec::{Restart, Strategy};
use arsenal_proto::v1::{self, supervisor_service_server::SupervisorService};
use tonic::{Request, Response, Status};

/// The supervisors of a node as a service.
#[derive(Clone, Debug)]
pub struct SupervisorApi {
    shared: Shared,
}

impl SupervisorApi {
    /// Serves the supervisors of this node.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl SupervisorService for SupervisorApi {
    type WatchSupervisorStream = watch::Stream;

    async fn start_supervisor(
        &self,
        request: Request<v1::StartSupervisorRequest>,
    ) -> Answer<v1::StartSupervisorResponse> {
        let caller = Caller::of(&request);
        lifecycle::start(&self.shared.node, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn start_supervisor_link(
        &self,
        request: Request<v1::StartSupervisorLinkRequest>,
    ) -> Answer<v1::StartSupervisorLinkResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.parent).await?;
        lifecycle::start_link(&self.shared.node, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn stop_supervisor(
        &self,
        request: Request<v1::StopSupervisorRequest>,
    ) -> Answer<v1::StopSupervisorResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        lifecycle::stop(&self.shared.node, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn restart_supervisor(
        &self,
        request: Request<v1::RestartSupervisorRequest>,
    ) -> Answer<v1::RestartSupervisorResponse> {
        let caller = Caller::of(&request);
        lifecycle::restart(&self.shared.node, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn pause_supervisor(
        &self,
        request: Request<v1::PauseSupervisorRequest>,
    ) -> Answer<v1::PauseSupervisorResponse> {
        let caller = Caller::of(&request);
        lifecycle::pause(&self.shared.node, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn resume_supervisor(
        &self,
        request: Request<v1::ResumeSupervisorRequest>,
    ) -> Answer<v1::ResumeSupervisorResponse> {
        let caller = Caller::of(&request);
        lifecycle::resume(&self.shared.node, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn which_children(
        &self,
        request: Request<v1::WhichChildrenRequest>,
    ) -> Answer<v1::WhichChildrenResponse> {
        manage::which_children(&self.shared.node, request.get_ref()).await.map(Response::new)
    }

    async fn count_children(
        &self,
        request: Request<v1::CountChildrenRequest>,
    ) -> Answer<v1::CountChildrenResponse> {
        manage::count(&self.shared.node, &request.get_ref().supervisor).await.map(Response::new)
    }

    async fn delete_child(
        &self,
        request: Request<v1::DeleteChildRequest>,
    ) -> Answer<v1::DeleteChildResponse> {
        let caller = Caller::of(&request);
        manage::delete(&self.shared.node, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn restart_child(
        &self,
        request: Request<v1::RestartChildRequest>,
    ) -> Answer<v1::RestartChildResponse> {
        let caller = Caller::of(&request);
        manage::restart(&self.shared.node, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn terminate_child(
        &self,
        request: Request<v1::TerminateChildRequest>,
    ) -> Answer<v1::TerminateChildResponse> {
        let caller = Caller::of(&request);
        manage::terminate(&self.shared.node, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn change_supervisor_strategy(
        &self,
        request: Request<v1::ChangeSupervisorStrategyRequest>,
    ) -> Answer<v1::ChangeSupervisorStrategyResponse> {
        let caller = Caller::of(&request);
        strategy::change_strategy(&self.shared.node, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn change_supervisor_intensity(
        &self,
        request: Request<v1::ChangeSupervisorIntensityRequest>,
    ) -> Answer<v1::ChangeSupervisorIntensityResponse> {
        let caller = Caller::of(&request);
        strategy::change_intensity(&self.shared.node, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn change_supervisor_period(
        &self,
        request: Request<v1::ChangeSupervisorPeriodRequest>,
    ) -> Answer<v1::ChangeSupervisorPeriodResponse> {
        let caller = Caller::of(&request);
        strategy::change_period(&self.shared.node, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn get_supervisor_flags(
        &self,
        request: Request<v1::GetSupervisorFlagsRequest>,
    ) -> Answer<v1::SupervisorFlags> {
        strategy::get_flags(&self.shared.node, &request.get_ref().supervisor).await.map(Response::new)
    }

    async fn set_supervisor_flags(
        &self,
        request: Request<v1::SetSupervisorFlagsRequest>,
    ) -> Answer<v1::SupervisorFlags> {
        let caller = Caller::of(&request);
        strategy::set_flags(&self.shared.node, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn replace_child_spec(
        &self,
        request: Request<v1::ReplaceChildSpecRequest>,
    ) -> Answer<v1::ReplaceChildSpecResponse> {
        let caller = Caller::of(&request);
        manage::replace(&self.shared.node, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn add_dynamic_child(
        &self,
        request: Request<v1::AddDynamicChildRequest>,
    ) -> Answer<v1::AddDynamicChildResponse> {
        let caller = Caller::of(&request);
        manage::add_dynamic(&self.shared.node, &caller, request.into_inner()).await.map(Response::new)
    }

    async fn start_temporary_child(
        &self,
        request: Request<v1::StartTemporaryChildRequest>,
    ) -> Answer<v1::StartTemporaryChildResponse> {
        let caller = Caller::of(&request);
        let v1::StartTemporaryChildRequest { supervisor, spec } = request.into_inner();
        let started =
            manage::start_child(&self.shared.node, &caller, &supervisor, spec, Some(Restart::Temporary))
                .await?;
        let (pid, ignored) = (started.text(), started.ignored());
        Ok(Response::new(v1::StartTemporaryChildResponse { pid, ignored, node: started.node }))
    }

    async fn start_transient_child(
        &self,
        request: Request<v1::StartTransientChildRequest>,
    ) -> Answer<v1::StartTransientChildResponse> {
        let caller = Caller::of(&request);
        let v1::StartTransientChildRequest { supervisor, spec } = request.into_inner();
        let started =
            manage::start_child(&self.shared.node, &caller, &supervisor, spec, Some(Restart::Transient))
                .await?;
        let (pid, ignored) = (started.text(), started.ignored());
        Ok(Response::new(v1::StartTransientChildResponse { pid, ignored, node: started.node }))
    }

    async fn start_permanent_child(
        &self,
        request: Request<v1::StartPermanentChildRequest>,
    ) -> Answer<v1::StartPermanentChildResponse> {
        let caller = Caller::of(&request);
        let v1::StartPermanentChildRequest { supervisor, spec } = request.into_inner();
        let started =
            manage::start_child(&self.shared.node, &caller, &supervisor, spec, Some(Restart::Permanent))
                .await?;
        let (pid, ignored) = (started.text(), started.ignored());
        Ok(Response::new(v1::StartPermanentChildResponse { pid, ignored, node: started.node }))
    }

    async fn start_child(&self, request: Request<v1::StartChildRequest>) -> Answer<v1::StartChildResponse> {
        let caller = Caller::of(&request);
        let v1::StartChildRequest { supervisor, spec } = request.into_inner();
        let started = manage::start_child(&self.shared.node, &caller, &supervisor, spec, None).await?;
        let (pid, ignored) = (started.text(), started.ignored());
        Ok(Response::new(v1::StartChildResponse { pid, ignored, node: started.node }))
    }

    async fn convert_to_one_for_one(
        &self,
        request: Request<v1::ConvertToOneForOneRequest>,
    ) -> Answer<v1::ConvertToOneForOneResponse> {
        let (node, caller) = (&self.shared.node, Caller::of(&request));
        let supervisor = request.into_inner().supervisor;
        let change = strategy::convert(node, &caller, &supervisor, Strategy::OneForOne).await?;
        Ok(Response::new(v1::ConvertToOneForOneResponse {
            changed: change.changed,
            old_strategy: change.old_strategy(),
            flags: change.flags(node),
            node: node.name().to_string(),
        }))
    }

    async fn convert_to_one_for_all(
        &self,
        request: Request<v1::ConvertToOneForAllRequest>,
    ) -> Answer<v1::ConvertToOneForAllResponse> {
        let (node, caller) = (&self.shared.node, Caller::of(&request));
        let supervisor = request.into_inner().supervisor;
        let change = strategy::convert(node, &caller, &supervisor, Strategy::OneForAll).await?;
        Ok(Response::new(v1::ConvertToOneForAllResponse {
            changed: change.changed,
            old_strategy: change.old_strategy(),
            flags: change.flags(node),
            node: node.name().to_string(),
        }))
    }

    async fn convert_to_rest_for_one(
        &self,
        request: Request<v1::ConvertToRestForOneRequest>,
    ) -> Answer<v1::ConvertToRestForOneResponse> {
        let (node, caller) = (&self.shared.node, Caller::of(&request));
        let supervisor = request.into_inner().supervisor;
        let change = strategy::convert(node, &caller, &supervisor, Strategy::RestForOne).await?;
        Ok(Response::new(v1::ConvertToRestForOneResponse {
            changed: change.changed,
            old_strategy: change.old_strategy(),
            flags: change.flags(node),
            node: node.name().to_string(),
        }))
    }

    async fn convert_to_simple_one_for_one(
        &self,
        request: Request<v1::ConvertToSimpleOneForOneRequest>,
    ) -> Answer<v1::ConvertToSimpleOneForOneResponse> {
        let (node, caller) = (&self.shared.node, Caller::of(&request));
        let supervisor = request.into_inner().supervisor;
        let change = strategy::convert(node, &caller, &supervisor, Strategy::SimpleOneForOne).await?;
        Ok(Response::new(v1::ConvertToSimpleOneForOneResponse {
            changed: change.changed,
            old_strategy: change.old_strategy(),
            flags: change.flags(node),
            node: node.name().to_string(),
            template: strategy::template(&change),
        }))
    }

    async fn get_restart_strategy(
        &self,
        request: Request<v1::GetRestartStrategyRequest>,
    ) -> Answer<v1::RestartStrategy> {
        strategy::rules(&self.shared.node, &request.get_ref().supervisor).await.map(Response::new)
    }

    async fn test_restart_strategy(
        &self,
        request: Request<v1::TestRestartStrategyRequest>,
    ) -> Answer<v1::TestRestartStrategyResponse> {
        analysis::test(&self.shared.node, request.get_ref()).await.map(Response::new)
    }

    async fn optimize_restart_strategy(
        &self,
        request: Request<v1::OptimizeRestartStrategyRequest>,
    ) -> Answer<v1::OptimizeRestartStrategyResponse> {
        let caller = Caller::of(&request);
        analysis::optimize_strategy(&self.shared.node, &caller, request.get_ref()).await.map(Response::new)
    }

    async fn get_supervisor(&self, request: Request<v1::GetSupervisorRequest>) -> Answer<v1::Supervisor> {
        let node = &self.shared.node;
        let pid = ask::target(node, &request.get_ref().supervisor)?;
        lifecycle::describe(node, pid).await.map(Response::new)
    }

    async fn list_supervisors(
        &self,
        request: Request<v1::ListSupervisorsRequest>,
    ) -> Answer<v1::ListSupervisorsResponse> {
        list::list(&self.shared.node, request.get_ref()).await.map(Response::new)
    }

    async fn get_child_spec(&self, request: Request<v1::GetChildSpecRequest>) -> Answer<v1::ChildSpec> {
        manage::get_spec(&self.shared.node, request.get_ref()).await.map(Response::new)
    }

    async fn watch_supervisor(
        &self,
        request: Request<v1::WatchSupervisorRequest>,
    ) -> Answer<Self::WatchSupervisorStream> {
        watch::watch(&self.shared.node, request.get_ref()).await.map(Response::new)
    }
}
