//! Holds: suspensions, scheduling pauses, and the list of them.

use crate::caller::Caller;
use crate::listing::{Query, Row};
use crate::process::exits::time_term;
use crate::status::{bad_argument, failure, no_hook, of_call, of_hold};
use crate::{reference, time};
use arsenal_observe::predicate::{Field, FieldType};
use arsenal_proto::v1;
use arsenal_runtime::hold::{Hold, HoldError, HoldKind, Holder};
use arsenal_runtime::request::CallError;
use arsenal_runtime::{Behaviour, Node, OwnedId, Pid, ProcessRef, Term};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Code, Status};

/// How long a hold may take to take hold where the request does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// How often a process that is to leave its scheduler is looked at: at a preemption point no signal is sent.
const LOOK: Duration = Duration::from_micros(500);

/// A hold on a process.
pub(crate) fn encode(node: &Node, pid: Pid, hold: &Hold) -> v1::Hold {
    v1::Hold {
        hold: hold.id.to_string(),
        process: pid.to_string(),
        kind: kind(hold.kind) as i32,
        holder: holder_text(&hold.holder),
        count: hold.count,
        create_time: Some(time::timestamp(node, hold.since_ns)),
        expire_time: Some(time::timestamp(node, hold.expires_ns)),
        node: node.name().to_string(),
    }
}

fn kind(kind: HoldKind) -> v1::hold::Kind {
    match kind {
        HoldKind::Suspend => v1::hold::Kind::Suspend,
        HoldKind::PauseScheduling => v1::hold::Kind::PauseScheduling,
        HoldKind::PauseSupervision => v1::hold::Kind::PauseSupervision,
    }
}

fn holder_text(holder: &Holder) -> String {
    match holder {
        Holder::Process(pid) => pid.to_string(),
        Holder::Principal(name) => name.to_string(),
    }
}

/// All holds of one kind on a process.
pub(crate) fn holds_of(node: &Node, pid: Pid, wanted: HoldKind) -> Vec<v1::Hold> {
    let holds = node.holds_of(pid);
    holds.iter().filter(|hold| hold.kind == wanted).map(|hold| encode(node, pid, hold)).collect()
}

/// `FAILED_PRECONDITION HELD` for a process whose scheduling is paused: it answers nothing.
pub(super) fn check_runs(node: &Node, pid: Pid) -> Result<(), Status> {
    let holds = node.holds_of(pid);
    let Some(hold) = holds.iter().find(|hold| hold.kind == HoldKind::PauseScheduling) else { return Ok(()) };
    let message = format!("the scheduling of process {pid} is paused by hold {}", hold.id);
    Err(failure(Code::FailedPrecondition, "HELD", message)
        .precondition("HOLD", &hold.id.to_string())
        .status())
}

/// A process that has system messages.
fn with_system(node: &Node, text: &str) -> Result<ProcessRef, Status> {
    let process = reference::process(node, "process", text)?;
    match node.header(&process).code.behaviour {
        Behaviour::Plain => Err(no_hook(process.pid(), "system messages")),
        _ => Ok(process),
    }
}

pub(super) async fn suspend(
    node: &Node,
    caller: &Caller,
    request: v1::SuspendProcessRequest,
) -> Result<v1::SuspendProcessResponse, Status> {
    let lease = time::lease("lease", request.lease.as_ref())?;
    let timeout = time::duration("timeout", request.timeout.as_ref())?.unwrap_or(TIMEOUT_DEFAULT);
    let process =
        with_system(node, &request.process).map_err(|status| sys_failure(node, &request.process, status))?;
    let holder = caller.holder(node, &request.holder)?;
    let pid = process.pid();
    let held = node.hold(pid, HoldKind::Suspend, holder.clone(), lease, false);
    let (hold, taken) = held.map_err(|error| of_hold(node, &error))?;
    let paused = node.holds_of(pid).iter().any(|hold| hold.kind == HoldKind::PauseScheduling);
    // between two turns a system message is answered; a paused process has no turn to wait for
    if !(paused && node.is_between_turns(&process))
        && let Err(error) = node.system_request(pid, Term::Atom("memory"), Some(timeout)).await
    {
        if matches!(error, CallError::Timeout { .. }) && taken {
            // it may have ended, or the lease, meanwhile
            let _ = node.release(pid, HoldKind::Suspend, &holder);
        }
        return Err(of_call(node, &error));
    }
    record(node, "process.suspended", pid, &holder, caller.operation);
    let holds = holds_of(node, pid, HoldKind::Suspend);
    let (pid_text, name) = super::place(node, &process);
    Ok(v1::SuspendProcessResponse { pid: pid_text, node: name, hold: Some(encode(node, pid, &hold)), holds })
}

/// The reason that `sys` gives for a process that is not there is `{noproc, {sys, suspend, _}}`.
fn sys_failure(node: &Node, text: &str, status: Status) -> Status {
    if status.code() != Code::NotFound {
        return status;
    }
    let pid = reference::pid(node, "process", text).unwrap_or(Pid::NONE);
    let call_exit = Term::map([("call_exit", Term::NOPROC)]);
    let message = status.message().to_owned();
    failure(Code::NotFound, "NOPROC", message).resource("process", text).exit(&call_exit, pid, None).status()
}

fn record(node: &Node, event: &'static str, pid: Pid, holder: &Holder, operation: u64) {
    let other = match holder {
        Holder::Process(pid) => *pid,
        Holder::Principal(_) => Pid::NONE,
    };
    node.record(event, pid, other, Term::from(holder_text(holder)), operation);
}

pub(super) fn resume(
    node: &Node,
    caller: &Caller,
    request: v1::ResumeProcessRequest,
) -> Result<v1::ResumeProcessResponse, Status> {
    let process = with_system(node, &request.process)?;
    let holder = caller.holder(node, &request.holder)?;
    let pid = process.pid();
    let resumed = match node.release(pid, HoldKind::Suspend, &holder) {
        Ok(_) => true,
        // sys:resume of one that is not suspended is no error
        Err(HoldError::NotHeld { .. }) => false,
        Err(error) => return Err(of_hold(node, &error)),
    };
    if resumed {
        record(node, "process.resumed", pid, &holder, caller.operation);
    }
    let holds = holds_of(node, pid, HoldKind::Suspend);
    let (pid, node) = super::place(node, &process);
    Ok(v1::ResumeProcessResponse { pid, node, resumed, running: holds.is_empty(), holds })
}

pub(super) async fn pause(
    node: &Node,
    caller: &Caller,
    request: v1::PauseProcessSchedulingRequest,
) -> Result<v1::PauseProcessSchedulingResponse, Status> {
    let lease = time::lease("lease", request.lease.as_ref())?;
    let process = reference::process(node, "process", &request.process)?;
    let holder = caller.holder(node, &request.holder)?;
    let pid = process.pid();
    if holder == Holder::Process(pid) {
        return Err(bad_argument("holder", format!("process {pid} cannot pause itself")));
    }
    let kind = HoldKind::PauseScheduling;
    let held = node.hold(pid, kind, holder.clone(), lease, request.unless_suspending);
    let (hold, paused) = held.map_err(|error| of_hold(node, &error))?;
    if !request.asynchronous {
        let off = async {
            while process.is_alive() && !node.is_between_turns(&process) {
                tokio::time::sleep(LOOK).await;
            }
        };
        // code that never yields stays where it is; the watchdog tells of it
        let _ = tokio::time::timeout(TIMEOUT_DEFAULT, off).await;
    }
    record(node, "process.paused", pid, &holder, caller.operation);
    let holds = holds_of(node, pid, kind);
    let (pid_text, name) = super::place(node, &process);
    let hold = Some(encode(node, pid, &hold));
    Ok(v1::PauseProcessSchedulingResponse { pid: pid_text, node: name, paused, hold, holds })
}

pub(super) fn resume_scheduling(
    node: &Node,
    caller: &Caller,
    request: v1::ResumeProcessSchedulingRequest,
) -> Result<v1::ResumeProcessSchedulingResponse, Status> {
    let process = reference::process(node, "process", &request.process)?;
    let holder = caller.holder(node, &request.holder)?;
    let pid = process.pid();
    node.release(pid, HoldKind::PauseScheduling, &holder).map_err(|error| of_hold(node, &error))?;
    record(node, "process.scheduling_resumed", pid, &holder, caller.operation);
    let holds = holds_of(node, pid, HoldKind::PauseScheduling);
    let (pid, node) = super::place(node, &process);
    Ok(v1::ResumeProcessSchedulingResponse { pid, node, running: holds.is_empty(), holds })
}

/// One hold, as filters see it.
struct Held<'a> {
    node: &'a Node,
    pid: Pid,
    hold: Hold,
}

impl Row for Held<'_> {
    const FIELDS: &'static [Field] = &[
        ("hold", FieldType::Text),
        ("process", FieldType::Text),
        ("kind", FieldType::Text),
        ("holder", FieldType::Text),
        ("count", FieldType::Number),
        ("create_time", FieldType::Text),
        ("expire_time", FieldType::Text),
        ("node", FieldType::Text),
    ];

    fn field(&self, name: &str) -> Term {
        match name {
            "hold" => self.hold.id.into(),
            "process" => self.pid.into(),
            "kind" => Term::str(kind(self.hold.kind).as_str_name()),
            "holder" => holder_text(&self.hold.holder).into(),
            "count" => Term::Int(self.hold.count.into()),
            "create_time" => time_term(self.node, self.hold.since_ns),
            "expire_time" => time_term(self.node, self.hold.expires_ns),
            _ => Term::Str(Arc::clone(self.node.name())),
        }
    }
}

pub(super) fn list(node: &Node, request: &v1::ListHoldsRequest) -> Result<v1::ListHoldsResponse, Status> {
    reference::check_node(node, &request.node)?;
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: &request.node,
    };
    let mut rows: Vec<_> = node.holds().into_iter().map(|(pid, hold)| Held { node, pid, hold }).collect();
    rows.sort_by_key(|held| (held.hold.since_ns, held.hold.id));
    let (page, next_page_token) = query.page(rows)?;
    let holds = page.iter().map(|held| encode(node, held.pid, &held.hold)).collect();
    Ok(v1::ListHoldsResponse { holds, next_page_token, unreached: Vec::new(), node: node.name().to_string() })
}

fn hold_id(text: &str) -> Result<OwnedId, Status> {
    text.parse().map_err(|_| {
        failure(Code::NotFound, "NO_HOLD", format!("no hold has the id `{text}`"))
            .resource("hold", text)
            .status()
    })
}

pub(super) fn get(node: &Node, request: &v1::GetHoldRequest) -> Result<v1::Hold, Status> {
    let id = hold_id(&request.hold)?;
    let found = node.holds().into_iter().find(|(_, hold)| hold.id == id);
    let (pid, hold) = found.ok_or_else(|| of_hold(node, &HoldError::Unknown(id)))?;
    Ok(encode(node, pid, &hold))
}

pub(super) fn renew(node: &Node, caller: &Caller, request: v1::RenewHoldRequest) -> Result<v1::Hold, Status> {
    let lease = time::lease("lease", request.lease.as_ref())?;
    let changed = node.change_hold(hold_id(&request.hold)?, Some(lease));
    let (pid, hold) = changed.map_err(|error| of_hold(node, &error))?;
    record(node, "hold.renewed", pid, &hold.holder, caller.operation);
    Ok(encode(node, pid, &hold))
}

pub(super) fn release(
    node: &Node,
    caller: &Caller,
    request: v1::ReleaseHoldRequest,
) -> Result<v1::ReleaseHoldResponse, Status> {
    let (pid, hold) =
        node.change_hold(hold_id(&request.hold)?, None).map_err(|error| of_hold(node, &error))?;
    record(node, "hold.released", pid, &hold.holder, caller.operation);
    let holds = node.holds_of(pid).iter().map(|hold| encode(node, pid, hold)).collect();
    Ok(v1::ReleaseHoldResponse { hold: Some(encode(node, pid, &hold)), holds })
}
