//! How processes are scheduled: priority, and on which scheduler. Schedulers are numbered from 1, as on BEAM.

use super::options;
use crate::caller::Caller;
use crate::reference;
use crate::status::{bad_argument, failure, of_control};
use arsenal_proto::v1;
use arsenal_runtime::control::ControlError;
use arsenal_runtime::{Node, Pid, ProcessRef, Term};
use tonic::{Code, Status};

fn refusal(node: &Node, error: &ControlError) -> Status {
    match error {
        ControlError::NoScheduler { .. } => {
            failure(Code::OutOfRange, "UNKNOWN_SCHEDULER", error.to_string()).field("scheduler").status()
        }
        error => of_control(node, error),
    }
}

fn record(node: &Node, event: &'static str, process: &ProcessRef, detail: Term, caller: &Caller) {
    node.record(event, process.pid(), Pid::NONE, detail, caller.operation);
}

pub(super) fn set_priority(
    node: &Node,
    caller: &Caller,
    request: v1::SetProcessPriorityRequest,
) -> Result<v1::SetProcessPriorityResponse, Status> {
    let process = reference::process(node, "process", &request.process)?;
    let wanted = options::priority(request.priority)?;
    let wanted = wanted.ok_or_else(|| bad_argument("priority", "`priority` is absent"))?;
    let old = node.set_priority(process.pid(), wanted).map_err(|error| refusal(node, &error))?;
    record(node, "process.priority_set", &process, wanted.as_str().into(), caller);
    let (pid, node) = super::place(node, &process);
    let (old_priority, priority) = (options::level(old), options::level(wanted));
    Ok(v1::SetProcessPriorityResponse { pid, node, old_priority, priority })
}

pub(super) fn migrate(
    node: &Node,
    caller: &Caller,
    request: v1::MigrateProcessRequest,
) -> Result<v1::MigrateProcessResponse, Status> {
    let process = reference::process(node, "process", &request.process)?;
    let old_scheduler = node.header(&process).scheduler.unwrap_or_default();
    let scheduler = request.scheduler;
    node.migrate(process.pid(), scheduler).map_err(|error| refusal(node, &error))?;
    record(node, "process.migrated", &process, Term::Int(scheduler.into()), caller);
    let (pid, node) = super::place(node, &process);
    Ok(v1::MigrateProcessResponse { pid, node, old_scheduler, scheduler })
}

pub(super) fn pin(
    node: &Node,
    caller: &Caller,
    request: v1::PinProcessToSchedulerRequest,
) -> Result<v1::PinProcessToSchedulerResponse, Status> {
    let process = reference::process(node, "process", &request.process)?;
    let old_scheduler = node.header(&process).pinned;
    let scheduler = request.scheduler;
    node.pin(process.pid(), scheduler).map_err(|error| refusal(node, &error))?;
    record(node, "process.pinned", &process, Term::Int(scheduler.into()), caller);
    let (pid, node) = super::place(node, &process);
    Ok(v1::PinProcessToSchedulerResponse { pid, node, scheduler, old_scheduler })
}

pub(super) fn unpin(
    node: &Node,
    caller: &Caller,
    request: v1::UnpinProcessFromSchedulerRequest,
) -> Result<v1::UnpinProcessFromSchedulerResponse, Status> {
    let process = reference::process(node, "process", &request.process)?;
    let old_scheduler = node.header(&process).pinned;
    let unpinned = node.unpin(process.pid()).map_err(|error| refusal(node, &error))?;
    record(node, "process.unpinned", &process, Term::Bool(unpinned), caller);
    let (pid, node) = super::place(node, &process);
    Ok(v1::UnpinProcessFromSchedulerResponse { pid, node, unpinned, old_scheduler })
}
