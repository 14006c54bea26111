//! Processes that come from other nodes with their state: `internal.v1.PlacementService`.

use crate::Shared;
use crate::status::{failure, of_registry, of_start};
use arsenal_proto::internal::v1::placement_service_server::PlacementService;
use arsenal_proto::internal::v1::{RestoreRequest, RestoreResponse};
use arsenal_runtime::codec::{Reader, read_term};
use arsenal_runtime::registry::Command;
use arsenal_runtime::{Pid, Priority, StartError, StartOptions, Term};
use std::sync::{Arc, OnceLock};
use tonic::{Code, Request, Response, Status};

/// Takes processes in, once there is a node to take them into: what nodes say to each other is served before that.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    shared: Arc<OnceLock<Shared>>,
}

impl Placement {
    /// Takes them into this node from now on.
    pub fn begin(&self, shared: Shared) {
        self.shared.get_or_init(|| shared);
    }
}

#[tonic::async_trait]
impl PlacementService for Placement {
    async fn restore(&self, request: Request<RestoreRequest>) -> Result<Response<RestoreResponse>, Status> {
        let starting =
            || failure(Code::Unavailable, "STARTING", "the node is not in its cluster yet").status();
        let shared = self.shared.get().ok_or_else(starting)?;
        let request = request.into_inner();
        let damaged = |why: String| failure(Code::InvalidArgument, "BADARG", why).status();
        let mut reader = Reader::of_shared(&request.state);
        let state = read_term(&mut reader).map_err(|error| damaged(error.to_string()))?;
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
        let started = node.start_restored(&self.module, &self.state, options).map_err(|error| match &error {
            StartError::UnknownModule(module) => {
                failure(Code::FailedPrecondition, "UNKNOWN_MODULE", error.to_string())
                    .precondition("MODULE", module)
                    .status()
            }
            StartError::Init(_) => {
                let message = format!("module `{}` takes no such state", self.module);
                failure(Code::FailedPrecondition, "RESTORE_FAILED", message).status()
            }
            error => of_start(node, error),
        });
        let pid = started?.pid();
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
