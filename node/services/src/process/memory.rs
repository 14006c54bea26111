//! What a process weighs: hibernation, waking, giving memory back. Each is a system request, done between two turns.

use super::holds::check_runs;
use crate::caller::Caller;
use crate::status::{failure, of_call};
use crate::{reference, time};
use arsenal_proto::v1;
use arsenal_runtime::request::CallError;
use arsenal_runtime::{Node, Pid, ProcessRef, Term};
use std::time::Duration;
use tonic::{Code, Status};

/// How long a turn may take to end where the request does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// What a system request answered.
struct Weighed(Term);

impl Weighed {
    fn number(&self, name: &str) -> u64 {
        self.0
            .get(name)
            .and_then(Term::as_int)
            .and_then(|number| u64::try_from(number).ok())
            .unwrap_or_default()
    }

    fn before(&self) -> u64 {
        self.number("before")
    }

    fn after(&self) -> u64 {
        self.number("after")
    }
}

async fn ask(
    node: &Node,
    text: &str,
    request: &'static str,
    timeout: Option<&prost_types::Duration>,
) -> Result<(ProcessRef, Weighed), Status> {
    let timeout = time::duration("timeout", timeout)?.unwrap_or(TIMEOUT_DEFAULT);
    let process = reference::process(node, "process", text)?;
    let pid = process.pid();
    check_runs(node, pid)?;
    match node.system_request(pid, Term::Atom(request), Some(timeout)).await {
        Ok(answer) => Ok((process, Weighed(answer))),
        Err(error) => Err(refusal(node, pid, &error)),
    }
}

fn refusal(node: &Node, pid: Pid, error: &CallError) -> Status {
    match error {
        CallError::Died { reason, .. } if reason.is("restore_failed") => {
            let message = format!("a fresh instance refused the state of process {pid}; the old one runs on");
            let failure = failure(Code::FailedPrecondition, "RESTORE_FAILED", message);
            failure.precondition("RESTORE", &pid.to_string()).status()
        }
        error => of_call(node, error),
    }
}

fn record(node: &Node, event: &'static str, process: &ProcessRef, weighed: &Weighed, caller: &Caller) {
    node.record(event, process.pid(), Pid::NONE, weighed.0.clone(), caller.operation);
}

pub(super) async fn hibernate(
    node: &Node,
    caller: &Caller,
    request: v1::HibernateProcessRequest,
) -> Result<v1::HibernateProcessResponse, Status> {
    let process = reference::process(node, "process", &request.process)?;
    let already_hibernating = node.header(&process).hibernating;
    let (process, weighed) = ask(node, &request.process, "hibernate", request.timeout.as_ref()).await?;
    record(node, "process.hibernated", &process, &weighed, caller);
    let (pid, node) = super::place(node, &process);
    let (bytes_before, bytes_after) = (weighed.before(), weighed.after());
    Ok(v1::HibernateProcessResponse { pid, node, bytes_before, bytes_after, already_hibernating })
}

pub(super) async fn wake(
    node: &Node,
    caller: &Caller,
    request: v1::WakeProcessRequest,
) -> Result<v1::WakeProcessResponse, Status> {
    let began_ns = node.now_ns();
    let (process, weighed) = ask(node, &request.process, "wake", None).await?;
    let latency = Duration::from_nanos(node.now_ns().saturating_sub(began_ns));
    record(node, "process.woken", &process, &weighed, caller);
    let (pid, node) = super::place(node, &process);
    Ok(v1::WakeProcessResponse {
        pid,
        node,
        woken: weighed.0.get("woken").and_then(Term::as_bool).unwrap_or_default(),
        latency: Some(time::to_proto(latency)),
        bytes_before: weighed.before(),
        bytes_after: weighed.after(),
    })
}

pub(super) async fn collect_garbage(
    node: &Node,
    caller: &Caller,
    request: v1::GarbageCollectProcessRequest,
) -> Result<v1::GarbageCollectProcessResponse, Status> {
    use v1::garbage_collect_process_response::GuestGc;
    let (process, weighed) = ask(node, &request.process, "shrink", request.timeout.as_ref()).await?;
    record(node, "process.garbage_collected", &process, &weighed, caller);
    let collector = weighed.0.get("guest_gc").and_then(Term::as_bool).unwrap_or_default();
    let guest_gc = if collector { GuestGc::Ran } else { GuestGc::Absent } as i32;
    let (pid, node) = super::place(node, &process);
    let (bytes_before, bytes_after) = (weighed.before(), weighed.after());
    Ok(v1::GarbageCollectProcessResponse { pid, node, guest_gc, bytes_before, bytes_after })
}

pub(super) async fn compact(
    node: &Node,
    caller: &Caller,
    request: v1::CompactProcessHeapRequest,
) -> Result<v1::CompactProcessHeapResponse, Status> {
    let (process, weighed) = ask(node, &request.process, "compact", request.timeout.as_ref()).await?;
    record(node, "process.compacted", &process, &weighed, caller);
    let (pid, node) = super::place(node, &process);
    Ok(v1::CompactProcessHeapResponse {
        pid,
        node,
        bytes_before: weighed.before(),
        bytes_after: weighed.after(),
        pause: Some(time::to_proto(Duration::from_nanos(weighed.number("pause_ns")))),
    })
}
