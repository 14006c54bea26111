//! The life of processes: `ProcessService`.
//!
//! This file only says which RPC is which call; each call decodes, asks the runtime and encodes. The rules of OTP are
//! the runtime's, the end of a family that of `arsenal_behaviours::family`.

pub(crate) mod end;
mod exits;
pub(crate) mod holds;
mod memory;
pub(crate) mod options;
pub(crate) mod relations;
mod scheduling;
pub(crate) mod start;

use crate::Shared;
use crate::caller::Caller;
use arsenal_proto::v1::{self, process_service_server::ProcessService};
use arsenal_runtime::{Node, ProcessRef};
use tonic::{Request, Response, Status};

/// The processes of a node as a service.
#[derive(Clone, Debug)]
pub struct ProcessApi {
    shared: Shared,
}

impl ProcessApi {
    /// Serves the processes of this node.
    pub fn new(shared: Shared) -> Self {
        Self { shared }
    }

    fn node(&self) -> &Node {
        &self.shared.node
    }
}

type Answer<T> = Result<Response<T>, Status>;

/// What most answers begin with: the pid that was meant, and its node.
fn place(node: &Node, process: &ProcessRef) -> (String, String) {
    (process.pid().to_string(), node.name().to_string())
}

#[tonic::async_trait]
impl ProcessService for ProcessApi {
    async fn start_process(
        &self,
        request: Request<v1::StartProcessRequest>,
    ) -> Answer<v1::StartProcessResponse> {
        let caller = Caller::of(&request);
        start::start(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn start_link_process(
        &self,
        request: Request<v1::StartLinkProcessRequest>,
    ) -> Answer<v1::StartLinkProcessResponse> {
        let caller = Caller::of(&request);
        start::start_link(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn start_monitor_process(
        &self,
        request: Request<v1::StartMonitorProcessRequest>,
    ) -> Answer<v1::StartMonitorProcessResponse> {
        let caller = Caller::of(&request);
        start::start_monitor(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn spawn_process(
        &self,
        request: Request<v1::SpawnProcessRequest>,
    ) -> Answer<v1::SpawnProcessResponse> {
        let caller = Caller::of(&request);
        start::spawn(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn spawn_link_process(
        &self,
        request: Request<v1::SpawnLinkProcessRequest>,
    ) -> Answer<v1::SpawnLinkProcessResponse> {
        let caller = Caller::of(&request);
        start::spawn_link(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn spawn_monitor_process(
        &self,
        request: Request<v1::SpawnMonitorProcessRequest>,
    ) -> Answer<v1::SpawnMonitorProcessResponse> {
        let caller = Caller::of(&request);
        start::spawn_monitor(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn kill_process(
        &self,
        request: Request<v1::KillProcessRequest>,
    ) -> Answer<v1::KillProcessResponse> {
        let caller = Caller::of(&request);
        end::kill(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn exit_process(
        &self,
        request: Request<v1::ExitProcessRequest>,
    ) -> Answer<v1::ExitProcessResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        end::exit(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn shutdown_process(
        &self,
        request: Request<v1::ShutdownProcessRequest>,
    ) -> Answer<v1::ShutdownProcessResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        end::shutdown(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn terminate_process_tree(
        &self,
        request: Request<v1::TerminateProcessTreeRequest>,
    ) -> Answer<v1::TerminateProcessTreeResponse> {
        let caller = Caller::of(&request);
        end::terminate_tree(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn hibernate_process(
        &self,
        request: Request<v1::HibernateProcessRequest>,
    ) -> Answer<v1::HibernateProcessResponse> {
        let caller = Caller::of(&request);
        memory::hibernate(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn wake_process(
        &self,
        request: Request<v1::WakeProcessRequest>,
    ) -> Answer<v1::WakeProcessResponse> {
        let caller = Caller::of(&request);
        memory::wake(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn suspend_process(
        &self,
        request: Request<v1::SuspendProcessRequest>,
    ) -> Answer<v1::SuspendProcessResponse> {
        let caller = Caller::of(&request);
        holds::suspend(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn resume_process(
        &self,
        request: Request<v1::ResumeProcessRequest>,
    ) -> Answer<v1::ResumeProcessResponse> {
        let caller = Caller::of(&request);
        holds::resume(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn pause_process_scheduling(
        &self,
        request: Request<v1::PauseProcessSchedulingRequest>,
    ) -> Answer<v1::PauseProcessSchedulingResponse> {
        let caller = Caller::of(&request);
        holds::pause(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn resume_process_scheduling(
        &self,
        request: Request<v1::ResumeProcessSchedulingRequest>,
    ) -> Answer<v1::ResumeProcessSchedulingResponse> {
        let caller = Caller::of(&request);
        holds::resume_scheduling(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn set_process_priority(
        &self,
        request: Request<v1::SetProcessPriorityRequest>,
    ) -> Answer<v1::SetProcessPriorityResponse> {
        let caller = Caller::of(&request);
        scheduling::set_priority(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn migrate_process(
        &self,
        request: Request<v1::MigrateProcessRequest>,
    ) -> Answer<v1::MigrateProcessResponse> {
        let caller = Caller::of(&request);
        scheduling::migrate(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn pin_process_to_scheduler(
        &self,
        request: Request<v1::PinProcessToSchedulerRequest>,
    ) -> Answer<v1::PinProcessToSchedulerResponse> {
        let caller = Caller::of(&request);
        scheduling::pin(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn unpin_process_from_scheduler(
        &self,
        request: Request<v1::UnpinProcessFromSchedulerRequest>,
    ) -> Answer<v1::UnpinProcessFromSchedulerResponse> {
        let caller = Caller::of(&request);
        scheduling::unpin(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn garbage_collect_process(
        &self,
        request: Request<v1::GarbageCollectProcessRequest>,
    ) -> Answer<v1::GarbageCollectProcessResponse> {
        let caller = Caller::of(&request);
        memory::collect_garbage(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn compact_process_heap(
        &self,
        request: Request<v1::CompactProcessHeapRequest>,
    ) -> Answer<v1::CompactProcessHeapResponse> {
        let caller = Caller::of(&request);
        memory::compact(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn link_processes(
        &self,
        request: Request<v1::LinkProcessesRequest>,
    ) -> Answer<v1::LinkProcessesResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        relations::link(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn unlink_processes(
        &self,
        request: Request<v1::UnlinkProcessesRequest>,
    ) -> Answer<v1::UnlinkProcessesResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        relations::unlink(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn monitor_process(
        &self,
        request: Request<v1::MonitorProcessRequest>,
    ) -> Answer<v1::MonitorProcessResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.watcher).await?;
        relations::monitor(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn demonitor(&self, request: Request<v1::DemonitorRequest>) -> Answer<v1::DemonitorResponse> {
        let caller = Caller::naming(&self.shared, &request, |request| &request.from).await?;
        relations::demonitor(self.node(), &caller, request.into_inner()).await.map(Response::new)
    }

    async fn set_trap_exit(
        &self,
        request: Request<v1::SetTrapExitRequest>,
    ) -> Answer<v1::SetTrapExitResponse> {
        let caller = Caller::of(&request);
        relations::set_trap_exit(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn set_group_leader(
        &self,
        request: Request<v1::SetGroupLeaderRequest>,
    ) -> Answer<v1::SetGroupLeaderResponse> {
        let caller = Caller::of(&request);
        relations::set_group_leader(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn update_process_labels(
        &self,
        request: Request<v1::UpdateProcessLabelsRequest>,
    ) -> Answer<v1::ProcessLabels> {
        let caller = Caller::of(&request);
        relations::update_labels(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn await_exit(&self, request: Request<v1::AwaitExitRequest>) -> Answer<v1::ExitRecord> {
        exits::await_exit(self.node(), &request.into_inner()).await.map(Response::new)
    }

    async fn list_exits(&self, request: Request<v1::ListExitsRequest>) -> Answer<v1::ListExitsResponse> {
        exits::list(self.node(), &request.into_inner()).map(Response::new)
    }

    async fn get_exit(&self, request: Request<v1::GetExitRequest>) -> Answer<v1::ExitRecord> {
        exits::get(self.node(), &request.into_inner()).map(Response::new)
    }

    async fn list_holds(&self, request: Request<v1::ListHoldsRequest>) -> Answer<v1::ListHoldsResponse> {
        holds::list(self.node(), &request.into_inner()).map(Response::new)
    }

    async fn get_hold(&self, request: Request<v1::GetHoldRequest>) -> Answer<v1::Hold> {
        holds::get(self.node(), &request.into_inner()).map(Response::new)
    }

    async fn renew_hold(&self, request: Request<v1::RenewHoldRequest>) -> Answer<v1::Hold> {
        let caller = Caller::of(&request);
        holds::renew(self.node(), &caller, request.into_inner()).map(Response::new)
    }

    async fn release_hold(
        &self,
        request: Request<v1::ReleaseHoldRequest>,
    ) -> Answer<v1::ReleaseHoldResponse> {
        let caller = Caller::of(&request);
        holds::release(self.node(), &caller, request.into_inner()).map(Response::new)
    }
}
