//! Asking a supervisor: the one way in which this service reaches it, and what its silence means.

use super::spec::child_id;
use crate::reference::Reference;
use crate::status::{failure, of_call, of_supervisor};
use arsenal_behaviours::supervisor::request::{ChildInfo, ChildrenPage, FlagsReport};
use arsenal_behaviours::supervisor::spec::ChildKind;
use arsenal_behaviours::supervisor::{SupervisorError, SupervisorReply, SupervisorRequest};
use arsenal_runtime::module::Behaviour;
use arsenal_runtime::request::CallError;
use arsenal_runtime::{Node, Pid, Term};
use std::time::Duration;
use tonic::{Code, Status};

/// Children in one answer of a supervisor, so that a large one answers others in between.
const PAGE: usize = 1_000;

/// The supervisor that a reference means.
///
/// # Errors
/// `NOPROC`, `NOT_A_SUPERVISOR`.
pub(super) fn target(node: &Node, text: &str) -> Result<Pid, Status> {
    let found = Reference::parse("supervisor", text)?.lookup(node)?;
    let pid = found
        .ok_or_else(|| no_supervisor(text, Pid::NONE, format!("no process is registered as `{text}`")))?;
    let process =
        node.process(pid).ok_or_else(|| no_supervisor(text, pid, format!("process {pid} is not alive")))?;
    if node.header(&process).code.behaviour == Behaviour::Supervisor {
        return Ok(pid);
    }
    let message = format!("process {pid} is no supervisor");
    Err(failure(Code::FailedPrecondition, "NOT_A_SUPERVISOR", message)
        .precondition("SUPERVISOR", text)
        .status())
}

/// A synchronous request to nobody exits the caller with `noproc`.
fn no_supervisor(text: &str, pid: Pid, message: String) -> Status {
    let reason = Term::map([("call_exit", Term::NOPROC)]);
    failure(Code::NotFound, "NOPROC", message).exit(&reason, pid, None).resource("supervisor", text).status()
}

/// Asks with no limit of its own: whoever gives the call up drops it.
///
/// # Errors
/// What the supervisor refuses, or why it did not answer.
pub(super) async fn ask(
    node: &Node,
    supervisor: Pid,
    request: &SupervisorRequest,
    operation: u64,
) -> Result<SupervisorReply, Status> {
    ask_within(node, supervisor, request, None, operation).await
}

/// As [`ask`], for so long.
///
/// # Errors
/// As [`ask`].
pub(super) async fn ask_within(
    node: &Node,
    supervisor: Pid,
    request: &SupervisorRequest,
    timeout: Option<Duration>,
    operation: u64,
) -> Result<SupervisorReply, Status> {
    let answer =
        node.call(supervisor, request.to_term(), timeout, operation).await.map_err(|error| match &error {
            CallError::NoProcess(pid) => no_supervisor(&pid.to_string(), *pid, error.to_string()),
            _ => of_call(node, &error),
        })?;
    let outcome = SupervisorRequest::read_reply(&answer).ok_or_else(|| {
        let message = format!("process {supervisor} answered {answer}, which no supervisor would");
        failure(Code::FailedPrecondition, "NOT_A_SUPERVISOR", message).status()
    })?;
    outcome.map_err(|error| of_supervisor(&error))
}

/// An answer of another kind than the request's: a fault of this program.
pub(super) fn unexpected(reply: &SupervisorReply) -> Status {
    Status::internal(format!("a supervisor gave an answer to another request: {reply:?}"))
}

/// The flags as they stand.
///
/// # Errors
/// As [`ask`].
pub(super) async fn flags(node: &Node, supervisor: Pid) -> Result<FlagsReport, Status> {
    match ask(node, supervisor, &SupervisorRequest::GetFlags, 0).await? {
        SupervisorReply::Flags(report) => Ok(report),
        other => Err(unexpected(&other)),
    }
}

/// All children, latest started first: the order in which they are stopped.
///
/// # Errors
/// As [`ask`].
pub(super) async fn children(node: &Node, supervisor: Pid) -> Result<Vec<ChildInfo>, Status> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let request = SupervisorRequest::WhichChildren { before, limit: Some(PAGE) };
        match ask(node, supervisor, &request, 0).await? {
            SupervisorReply::Children(ChildrenPage { children, next, .. }) => {
                all.extend(children);
                before = next;
            }
            other => return Err(unexpected(&other)),
        }
        if before.is_none() {
            return Ok(all);
        }
    }
}

/// The processes beneath a supervisor, all levels, in the order in which it would stop them.
///
/// # Errors
/// As [`ask`], of the supervisor itself: one beneath it that ends meanwhile has nobody beneath it.
pub(super) async fn beneath(node: &Node, supervisor: Pid) -> Result<Vec<Pid>, Status> {
    // a child is stopped after all that is beneath it and that was started later: the reverse of parents first, in
    // start order
    let mut starts = Vec::new();
    let mut waiting: Vec<(Pid, ChildKind)> = running(children(node, supervisor).await?).collect();
    while let Some((pid, kind)) = waiting.pop() {
        starts.push(pid);
        if kind == ChildKind::Supervisor && target(node, &pid.to_string()).is_ok() {
            waiting.extend(running(children(node, pid).await.unwrap_or_default()));
        }
    }
    starts.reverse();
    Ok(starts)
}

fn running(children: Vec<ChildInfo>) -> impl Iterator<Item = (Pid, ChildKind)> {
    children.into_iter().filter_map(|child| child.state.pid().map(|pid| (pid, child.kind)))
}

/// `NOT_FOUND NOT_FOUND`.
pub(super) fn no_child(child: &str) -> Status {
    of_supervisor(&SupervisorError::NotFound(child_id(child)))
}
