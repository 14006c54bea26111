//! Processes that come from other nodes with their state: `internal.v1.PlacementService`.

mod coming;

use crate::Shared;
use crate::status::{failure, of_passage, of_registry, of_start};
use arsenal_proto::internal::v1::placement_service_server::PlacementService;
use arsenal_proto::internal::v1::{
    AdmitRequest, AdmitResponse, DiscardRequest, DiscardResponse, FillRequest, FillResponse, RestoreRequest,
    RestoreResponse, ResumeRequest, ResumeResponse,
};
use arsenal_runtime::codec::{DecodeError, Reader, read_term};
use arsenal_runtime::passage::{Cargo, Luggage, read_messages};
use arsenal_runtime::registry::Command;
use arsenal_runtime::{Node, Pid, Priority, StartError, StartOptions, Term};
use coming::Coming;
use std::sync::{Arc, OnceLock};
use tonic::{Code, Request, Response, Status};

/// Takes processes in, once there is a node to take them into: what nodes say to each other is served before that.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    shared: Arc<OnceLock<Shared>>,
    coming: Coming,
}

impl Placement {
    /// Takes them into this node from now on.
    pub fn begin(&self, shared: Shared) {
        self.shared.get_or_init(|| shared);
    }

    fn shared(&self) -> Result<&Shared, Status> {
        let starting =
            || failure(Code::Unavailable, "STARTING", "the node is not in its cluster yet").status();
        self.shared.get().ok_or_else(starting)
    }
}

/// Bytes of another node that are not what they should be.
fn damaged(why: impl ToString) -> Status {
    failure(Code::InvalidArgument, "BADARG", why.to_string()).status()
}

fn pid(text: &str) -> Result<Pid, Status> {
    text.parse().map_err(damaged)
}

/// What `read` makes of all these bytes.
fn decoded<T>(
    bytes: &bytes::Bytes,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, Status> {
    let mut reader = Reader::of_shared(bytes);
    let value = read(&mut reader).map_err(damaged)?;
    reader.finish().map_err(damaged)?;
    Ok(value)
}

/// A process of another node that cannot be one of this.
fn refused(node: &Node, module: &str, error: &StartError) -> Status {
    match error {
        StartError::UnknownModule(module) => {
            failure(Code::FailedPrecondition, "UNKNOWN_MODULE", error.to_string())
                .precondition("MODULE", module)
                .status()
        }
        StartError::Init(_) => {
            let message = format!("module `{module}` takes no such state");
            failure(Code::FailedPrecondition, "RESTORE_FAILED", message).status()
        }
        error => of_start(node, error),
    }
}

#[tonic::async_trait]
impl PlacementService for Placement {
    async fn restore(&self, request: Request<RestoreRequest>) -> Result<Response<RestoreResponse>, Status> {
        let shared = self.shared()?;
        let request = request.into_inner();
        let state = decoded(&request.state, read_term)?;
        let priority = Priority::from_name(&request.priority);
        let origin = Origin {
            priority: priority.ok_or_else(|| damaged(format!("no priority is `{}`", request.priority)))?,
            module: request.module,
            state,
            labels: request.labels.into_iter().collect(),
            trap_exit: request.trap_exit,
        };
        let pid = origin.start(shared, &request.group, 0).await?;
        Ok(Response::new(RestoreResponse { pid: pid.to_string() }))
    }

    async fn admit(&self, request: Request<AdmitRequest>) -> Result<Response<AdmitResponse>, Status> {
        let shared = self.shared()?;
        let cargo = decoded(&request.into_inner().cargo, Cargo::decode)?;
        let admitted = shared.node.admit(&cargo, 0);
        let process = admitted.map_err(|error| refused(&shared.node, &cargo.module, &error))?;
        self.coming.attend(shared, process.pid(), cargo.former);
        Ok(Response::new(AdmitResponse { pid: process.pid().to_string() }))
    }

    async fn fill(&self, request: Request<FillRequest>) -> Result<Response<FillResponse>, Status> {
        let node = &self.shared()?.node;
        let request = request.into_inner();
        let messages = decoded(&request.messages, read_messages)?;
        let taken = node.take_tail(pid(&request.pid)?, request.offset as usize, messages);
        let count = taken.map_err(|error| of_passage(node, &error))?;
        Ok(Response::new(FillResponse { count: u32::try_from(count).unwrap_or(u32::MAX) }))
    }

    async fn resume(&self, request: Request<ResumeRequest>) -> Result<Response<ResumeResponse>, Status> {
        let node = &self.shared()?.node;
        let luggage = decoded(&request.into_inner().luggage, Luggage::decode)?;
        let pid = luggage.pid;
        node.arrive(luggage).map_err(|error| of_passage(node, &error))?;
        self.coming.is_settled(pid);
        Ok(Response::new(ResumeResponse {}))
    }

    async fn discard(&self, request: Request<DiscardRequest>) -> Result<Response<DiscardResponse>, Status> {
        let node = &self.shared()?.node;
        let request = request.into_inner();
        let pid = pid(&request.pid)?;
        node.turn_away(pid, self::pid(&request.former)?);
        self.coming.is_settled(pid);
        Ok(Response::new(DiscardResponse {}))
    }
}

/// What a process is made of that is to begin elsewhere as it is here.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) module: String,
    pub(super) state: Term,
    pub(super) labels: Vec<(String, String)>,
    pub(super) priority: Priority,
    pub(super) trap_exit: bool,
}

impl Origin {
    /// Starts such a process on this node, and makes it a member of a group where one is named.
    pub(super) async fn start(&self, shared: &Shared, group: &str, operation: u64) -> Result<Pid, Status> {
        let node = &shared.node;
        let labels = self.labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into()));
        let options = StartOptions {
            priority: self.priority,
            trap_exit: self.trap_exit,
            labels: labels.collect(),
            operation,
            ..StartOptions::default()
        };
        let started = node.start_restored(&self.module, &self.state, options);
        let pid = started.map_err(|error| refused(node, &self.module, &error))?.pid();
        if !group.is_empty() {
            let command = Command::Join { group: group.into(), pids: vec![pid] };
            if let Err(error) = node.propose(command, operation).await {
                // a copy that nobody finds is none
                node.kill(pid, Term::KILLED);
                return Err(of_registry(&error));
            }
        }
        Ok(pid)
    }
}
