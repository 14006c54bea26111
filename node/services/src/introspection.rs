//! `IntrospectionService`: what there is to see of processes, of the trees they form and of the node.
//!
//! Every RPC only reads. What the analyses find is `arsenal_observe`'s to say; here it is asked for and encoded.

mod inspect;
mod list;
mod operations;
mod process_info;
mod relations;
mod schema;
mod system;
mod trees;
mod watch;

use crate::reference::{process, unknown_node};
use crate::shared::Shared;
use crate::status::{failure, no_process};
use crate::time::duration;
use arsenal_observe::process_variables::ProcessView;
use arsenal_proto::v1;
use arsenal_proto::v1::introspection_service_server::IntrospectionService;
use arsenal_runtime::{Behaviour, Node, Pid};
use list::{Page, Query, Selection, list};
use process_info::{Fields, check_keys, items, look, monitor, process_info};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tonic::{Code, Request, Response, Status};

/// The service.
#[derive(Clone, Debug)]
pub struct IntrospectionApi {
    shared: Shared,
    /// Open streams of `WatchProcesses`.
    watches: Arc<AtomicUsize>,
}

impl IntrospectionApi {
    /// Serves this node.
    pub fn new(shared: Shared) -> Self {
        Self { shared, watches: Arc::default() }
    }

    fn node(&self) -> &Node {
        &self.shared.node
    }

    /// Lists and analyses are of the node asked, of the node named, or of all: here all are this one.
    fn here(&self, node: &str) -> Result<(), Status> {
        if matches!(node, "" | "-") { Ok(()) } else { self.this(node) }
    }

    fn this(&self, node: &str) -> Result<(), Status> {
        if node.is_empty() || node == &**self.node().name() { Ok(()) } else { Err(unknown_node(node)) }
    }

    fn name(&self) -> String {
        self.node().name().to_string()
    }

    async fn list(&self, node: &str, selection: Selection, query: Query) -> Result<Page, Status> {
        self.here(node)?;
        list(self.node(), selection, query).await
    }
}

#[tonic::async_trait]
impl IntrospectionService for IntrospectionApi {
    async fn get_process_info(
        &self,
        request: Request<v1::GetProcessInfoRequest>,
    ) -> Result<Response<v1::GetProcessInfoResponse>, Status> {
        let request = request.into_inner();
        check_keys(&request.keys)?;
        let process = process(self.node(), "process", &request.process)?;
        let (pid, node) = (process.pid(), self.node());
        let whole = request.keys.is_empty();
        if !whole && !Fields::of(&request.keys.iter().map(String::as_str).collect::<Vec<_>>()).need_body() {
            // nothing that is asked for is worth waiting for the end of a turn
            let items = items(node, &ProcessView::new(node, &process), &process, &request.keys);
            return self.info_response(pid, None, items);
        }
        let (info, items) = look(node, &process, |view| {
            let info = whole.then(|| process_info(node, view, Fields::ALL));
            (info, items(node, view, &process, &request.keys))
        })
        .await;
        self.info_response(pid, info, items)
    }

    async fn get_process_state(
        &self,
        request: Request<v1::GetProcessStateRequest>,
    ) -> Result<Response<v1::GetProcessStateResponse>, Status> {
        let request = request.into_inner();
        let timeout = duration("timeout", request.timeout.as_ref())?.unwrap_or(inspect::TIMEOUT_DEFAULT);
        let process = process(self.node(), "process", &request.process)?;
        inspect::state(self.node(), &process, timeout).await.map(Response::new)
    }

    async fn get_process_backtrace(
        &self,
        request: Request<v1::GetProcessBacktraceRequest>,
    ) -> Result<Response<v1::GetProcessBacktraceResponse>, Status> {
        let process = process(self.node(), "process", &request.into_inner().process)?;
        inspect::backtrace(self.node(), &process).await.map(Response::new)
    }

    async fn get_process_dictionary(
        &self,
        request: Request<v1::GetProcessDictionaryRequest>,
    ) -> Result<Response<v1::GetProcessDictionaryResponse>, Status> {
        let process = self.read(&request.into_inner().process, &["pid", "dictionary"])?;
        let response = v1::GetProcessDictionaryResponse { pid: process.pid, dictionary: process.dictionary };
        Ok(Response::new(response))
    }

    async fn get_process_memory_info(
        &self,
        request: Request<v1::GetProcessMemoryInfoRequest>,
    ) -> Result<Response<v1::GetProcessMemoryInfoResponse>, Status> {
        let process = process(self.node(), "process", &request.into_inner().process)?;
        Ok(Response::new(inspect::memory(self.node(), &process).await))
    }

    async fn get_process_links(
        &self,
        request: Request<v1::GetProcessLinksRequest>,
    ) -> Result<Response<v1::GetProcessLinksResponse>, Status> {
        let process = self.read(&request.into_inner().process, &["pid", "links"])?;
        Ok(Response::new(v1::GetProcessLinksResponse { pid: process.pid, links: process.links }))
    }

    async fn get_process_monitors(
        &self,
        request: Request<v1::GetProcessMonitorsRequest>,
    ) -> Result<Response<v1::GetProcessMonitorsResponse>, Status> {
        let process = process(self.node(), "process", &request.into_inner().process)?;
        let info = self.node().info(process.pid()).ok_or_else(|| no_process(self.node(), process.pid()))?;
        Ok(Response::new(v1::GetProcessMonitorsResponse {
            pid: process.pid().to_string(),
            monitors: info.monitors.iter().map(monitor).collect(),
            monitored_by: info.monitored_by.iter().map(monitor).collect(),
        }))
    }

    async fn get_process_trap_exit(
        &self,
        request: Request<v1::GetProcessTrapExitRequest>,
    ) -> Result<Response<v1::GetProcessTrapExitResponse>, Status> {
        let process = process(self.node(), "process", &request.into_inner().process)?;
        let header = self.node().header(&process);
        let response =
            v1::GetProcessTrapExitResponse { pid: header.pid.to_string(), trap_exit: header.trap_exit };
        Ok(Response::new(response))
    }

    async fn get_process_registered_name(
        &self,
        request: Request<v1::GetProcessRegisteredNameRequest>,
    ) -> Result<Response<v1::GetProcessRegisteredNameResponse>, Status> {
        let wanted = ["pid", "node", "registered_name", "global_names"];
        let process = self.read(&request.into_inner().process, &wanted)?;
        Ok(Response::new(v1::GetProcessRegisteredNameResponse {
            pid: process.pid,
            node: process.node,
            name: process.registered_name,
            global_names: process.global_names,
        }))
    }

    async fn get_process_group_leader(
        &self,
        request: Request<v1::GetProcessGroupLeaderRequest>,
    ) -> Result<Response<v1::GetProcessGroupLeaderResponse>, Status> {
        let process = self.read(&request.into_inner().process, &["pid", "group_leader"])?;
        let response =
            v1::GetProcessGroupLeaderResponse { pid: process.pid, group_leader: process.group_leader };
        Ok(Response::new(response))
    }

    async fn list_all_processes(
        &self,
        request: Request<v1::ListAllProcessesRequest>,
    ) -> Result<Response<v1::ListAllProcessesResponse>, Status> {
        let v1::ListAllProcessesRequest { node, filter, order_by, page_size, page_token, read_mask } =
            request.into_inner();
        let query = Query { filter, order_by, page_size, page_token, read_mask };
        let (processes, next_page_token) = self.list(&node, Selection::All, query).await?;
        let (unreached, node) = (Vec::new(), self.name());
        Ok(Response::new(v1::ListAllProcessesResponse { processes, next_page_token, unreached, node }))
    }

    async fn list_registered_processes(
        &self,
        request: Request<v1::ListRegisteredProcessesRequest>,
    ) -> Result<Response<v1::ListRegisteredProcessesResponse>, Status> {
        let v1::ListRegisteredProcessesRequest { node, filter, order_by, page_size, page_token, read_mask } =
            request.into_inner();
        let query = Query { filter, order_by, page_size, page_token, read_mask };
        let (processes, next_page_token) = self.list(&node, Selection::Registered, query).await?;
        let (unreached, node) = (Vec::new(), self.name());
        Ok(Response::new(v1::ListRegisteredProcessesResponse { processes, next_page_token, unreached, node }))
    }

    async fn list_supervisor_processes(
        &self,
        request: Request<v1::ListSupervisorProcessesRequest>,
    ) -> Result<Response<v1::ListSupervisorProcessesResponse>, Status> {
        let v1::ListSupervisorProcessesRequest { node, filter, order_by, page_size, page_token, read_mask } =
            request.into_inner();
        let query = Query { filter, order_by, page_size, page_token, read_mask };
        let (processes, next_page_token) =
            self.list(&node, Selection::Of(Behaviour::Supervisor), query).await?;
        let (unreached, node) = (Vec::new(), self.name());
        Ok(Response::new(v1::ListSupervisorProcessesResponse { processes, next_page_token, unreached, node }))
    }

    async fn list_gen_server_processes(
        &self,
        request: Request<v1::ListGenServerProcessesRequest>,
    ) -> Result<Response<v1::ListGenServerProcessesResponse>, Status> {
        let v1::ListGenServerProcessesRequest { node, filter, order_by, page_size, page_token, read_mask } =
            request.into_inner();
        let query = Query { filter, order_by, page_size, page_token, read_mask };
        let (processes, next_page_token) =
            self.list(&node, Selection::Of(Behaviour::GenServer), query).await?;
        let (unreached, node) = (Vec::new(), self.name());
        Ok(Response::new(v1::ListGenServerProcessesResponse { processes, next_page_token, unreached, node }))
    }

    async fn list_gen_event_processes(
        &self,
        request: Request<v1::ListGenEventProcessesRequest>,
    ) -> Result<Response<v1::ListGenEventProcessesResponse>, Status> {
        let v1::ListGenEventProcessesRequest { node, filter, order_by, page_size, page_token, read_mask } =
            request.into_inner();
        let query = Query { filter, order_by, page_size, page_token, read_mask };
        let (processes, next_page_token) =
            self.list(&node, Selection::Of(Behaviour::GenEvent), query).await?;
        let (unreached, node) = (Vec::new(), self.name());
        Ok(Response::new(v1::ListGenEventProcessesResponse { processes, next_page_token, unreached, node }))
    }

    async fn list_gen_statem_processes(
        &self,
        request: Request<v1::ListGenStatemProcessesRequest>,
    ) -> Result<Response<v1::ListGenStatemProcessesResponse>, Status> {
        let v1::ListGenStatemProcessesRequest { node, filter, order_by, page_size, page_token, read_mask } =
            request.into_inner();
        let query = Query { filter, order_by, page_size, page_token, read_mask };
        let (processes, next_page_token) =
            self.list(&node, Selection::Of(Behaviour::GenStatem), query).await?;
        let (unreached, node) = (Vec::new(), self.name());
        Ok(Response::new(v1::ListGenStatemProcessesResponse { processes, next_page_token, unreached, node }))
    }

    async fn get_isolated_processes(
        &self,
        request: Request<v1::GetIsolatedProcessesRequest>,
    ) -> Result<Response<v1::GetIsolatedProcessesResponse>, Status> {
        let v1::GetIsolatedProcessesRequest { node, filter, order_by, page_size, page_token, read_mask } =
            request.into_inner();
        let query = Query { filter, order_by, page_size, page_token, read_mask };
        let (processes, next_page_token) = self.list(&node, Selection::Isolated, query).await?;
        let (unreached, node) = (Vec::new(), self.name());
        Ok(Response::new(v1::GetIsolatedProcessesResponse { processes, next_page_token, unreached, node }))
    }

    async fn list_application_processes(
        &self,
        request: Request<v1::ListApplicationProcessesRequest>,
    ) -> Result<Response<v1::ListApplicationProcessesResponse>, Status> {
        // nothing loads an application yet, so that none has this name
        let name = request.into_inner().application;
        let failure = failure(Code::NotFound, "NO_APPLICATION", format!("no application `{name}` is loaded"));
        Err(failure.resource("application", &name).status())
    }

    async fn get_system_info(
        &self,
        request: Request<v1::GetSystemInfoRequest>,
    ) -> Result<Response<v1::GetSystemInfoResponse>, Status> {
        let request = request.into_inner();
        self.this(&request.node)?;
        system::info(&self.shared).await.map(Response::new)
    }

    async fn get_scheduler_info(
        &self,
        request: Request<v1::GetSchedulerInfoRequest>,
    ) -> Result<Response<v1::GetSchedulerInfoResponse>, Status> {
        let request = request.into_inner();
        self.this(&request.node)?;
        system::schedulers(self.node()).await.map(Response::new)
    }

    async fn get_memory_info(
        &self,
        request: Request<v1::GetMemoryInfoRequest>,
    ) -> Result<Response<v1::GetMemoryInfoResponse>, Status> {
        let request = request.into_inner();
        self.this(&request.node)?;
        system::memory(self.node()).await.map(Response::new)
    }

    async fn build_process_tree(
        &self,
        request: Request<v1::BuildProcessTreeRequest>,
    ) -> Result<Response<v1::BuildProcessTreeResponse>, Status> {
        let request = request.into_inner();
        self.here(&request.node)?;
        trees::process_tree(self.node(), &request).await.map(Response::new)
    }

    async fn build_supervision_tree(
        &self,
        request: Request<v1::BuildSupervisionTreeRequest>,
    ) -> Result<Response<v1::BuildSupervisionTreeResponse>, Status> {
        let request = request.into_inner();
        trees::supervision_tree(self.node(), &request).await.map(Response::new)
    }

    async fn find_process_ancestors(
        &self,
        request: Request<v1::FindProcessAncestorsRequest>,
    ) -> Result<Response<v1::FindProcessAncestorsResponse>, Status> {
        let request = request.into_inner();
        trees::ancestors(self.node(), &request).map(Response::new)
    }

    async fn find_process_descendants(
        &self,
        request: Request<v1::FindProcessDescendantsRequest>,
    ) -> Result<Response<v1::FindProcessDescendantsResponse>, Status> {
        let request = request.into_inner();
        trees::descendants(self.node(), &request).await.map(Response::new)
    }

    async fn get_process_dependencies(
        &self,
        request: Request<v1::GetProcessDependenciesRequest>,
    ) -> Result<Response<v1::GetProcessDependenciesResponse>, Status> {
        let request = request.into_inner();
        relations::dependencies(self.node(), &request).await.map(Response::new)
    }

    async fn analyze_process_relationships(
        &self,
        request: Request<v1::AnalyzeProcessRelationshipsRequest>,
    ) -> Result<Response<v1::AnalyzeProcessRelationshipsResponse>, Status> {
        let request = request.into_inner();
        self.here(&request.node)?;
        relations::relationships(self.node(), &request).await.map(Response::new)
    }

    async fn find_process_cycles(
        &self,
        request: Request<v1::FindProcessCyclesRequest>,
    ) -> Result<Response<v1::FindProcessCyclesResponse>, Status> {
        let request = request.into_inner();
        self.here(&request.node)?;
        relations::cycles(self.node()).await.map(Response::new)
    }

    async fn list_operations(
        &self,
        request: Request<v1::ListOperationsRequest>,
    ) -> Result<Response<v1::ListOperationsResponse>, Status> {
        let request = request.into_inner();
        operations::list(&request).map(Response::new)
    }

    type WatchProcessesStream = watch::Stream;

    async fn watch_processes(
        &self,
        request: Request<v1::WatchProcessesRequest>,
    ) -> Result<Response<Self::WatchProcessesStream>, Status> {
        let request = request.into_inner();
        self.here(&request.node)?;
        watch::watch(self.node(), &self.watches, &request).map(Response::new)
    }
}

impl IntrospectionApi {
    /// What was read of a process, if it still lives: what is read of one that ends is of no moment.
    fn info_response(
        &self,
        pid: Pid,
        process: Option<v1::ProcessInfo>,
        items: Vec<v1::ProcessInfoItem>,
    ) -> Result<Response<v1::GetProcessInfoResponse>, Status> {
        if !self.node().is_alive(pid) {
            return Err(no_process(self.node(), pid));
        }
        let (pid, node) = (pid.to_string(), self.name());
        Ok(Response::new(v1::GetProcessInfoResponse { process, items, pid, node }))
    }

    /// Some fields of a live process.
    fn read(&self, reference: &str, fields: &[&str]) -> Result<v1::ProcessInfo, Status> {
        let process = process(self.node(), "process", reference)?;
        let view = ProcessView::new(self.node(), &process);
        let fields = Fields::of(fields);
        // the signal state is gone with a process that has ended meanwhile
        view.info().ok_or_else(|| no_process(self.node(), process.pid()))?;
        Ok(process_info(self.node(), &view, fields))
    }
}
