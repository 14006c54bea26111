//! Supervisors as wholes: start, stop, restart, pause, resume.

use super::ask::{ask, ask_within, beneath, children, target, unexpected};
use super::spec::{child, flag_changes, name};
use super::{ask, encode};
use crate::caller::Caller;
use crate::process::{holds, options};
use crate::status::{bad_start_spec, failure, no_process, of_hold, of_start};
use crate::{payload, reference, time};
use arsenal_behaviours::supervisor::spec::{SUPERVISOR_MODULE, SupervisorFlags, SupervisorSpec};
use arsenal_behaviours::supervisor::{SupervisorReply, SupervisorRequest};
use arsenal_proto::v1;
use arsenal_runtime::hold::{HoldKind, Holder};
use arsenal_runtime::{Node, Pid, StartError, StartOptions, Started, Term};
use prost_types::Duration as ProtoDuration;
use std::time::Duration;
use tonic::{Code, Status};

/// Processes that an answer names.
const NAMED_MAX: usize = 1_000;

/// A supervisor to start, its options and how long that may take.
struct Start {
    spec: SupervisorSpec,
    options: StartOptions,
    timeout: Option<Duration>,
}

fn read(node: &Node, caller: &Caller, request: v1::StartSupervisorRequest) -> Result<Start, Status> {
    reference::check_node(node, &request.node)?;
    let v1::StartSupervisorRequest { strategy, intensity, auto_shutdown, max_children, .. } = request;
    let changes = flag_changes(strategy, intensity, request.period.as_ref(), auto_shutdown, max_children)?;
    let spec = SupervisorSpec {
        flags: changes.apply(SupervisorFlags::default()),
        children: request.children.into_iter().map(child).collect::<Result<_, _>>()?,
    };
    spec.check().map_err(|error| bad_start_spec(&error))?;
    let options = StartOptions {
        name: name(&request.name, request.name_scope)?,
        key: (!request.key.is_empty()).then(|| request.key.into()),
        labels: options::labels(request.labels)?,
        operation: caller.operation,
        ..StartOptions::default()
    };
    Ok(Start { spec, options, timeout: time::duration("timeout", request.timeout.as_ref())? })
}

async fn run(node: &Node, start: Start) -> Result<(Pid, Vec<v1::Child>), Status> {
    let args = start.spec.to_term();
    let started = node.start_process(SUPERVISOR_MODULE, &args, start.options, start.timeout).await;
    let pid = match started {
        Ok(Started::Running(pid)) => pid,
        Ok(Started::Ignored) => return Err(Status::internal("a supervisor ignored its start")),
        Err(error) => return Err(refusal(node, &error)),
    };
    // one that has ended meanwhile, as its children did, was started all the same
    let mut children = children(node, pid).await.unwrap_or_default();
    children.reverse();
    Ok((pid, children.iter().map(encode::child).collect()))
}

fn refusal(node: &Node, error: &StartError) -> Status {
    let message = error.to_string();
    match error {
        StartError::Init(reason) => {
            failure(Code::FailedPrecondition, "START_FAILED", message).exit(reason, Pid::NONE, None).status()
        }
        StartError::NoProcess(pid) => {
            failure(Code::NotFound, "CALLER_NOPROC", message).exit(&Term::NOPROC, *pid, None).status()
        }
        StartError::ParentDied { parent, reason } => {
            failure(Code::Aborted, "CALLER_DIED", message).exit(reason, *parent, None).status()
        }
        error => of_start(node, error),
    }
}

/// `supervisor:start/2`.
pub(super) async fn start(
    node: &Node,
    caller: &Caller,
    request: v1::StartSupervisorRequest,
) -> Result<v1::StartSupervisorResponse, Status> {
    let (pid, children) = run(node, read(node, caller, request)?).await?;
    Ok(v1::StartSupervisorResponse { pid: pid.to_string(), node: node.name().to_string(), children })
}

/// `supervisor:start_link/2`, by the parent.
pub(super) async fn start_link(
    node: &Node,
    caller: &Caller,
    request: v1::StartSupervisorLinkRequest,
) -> Result<v1::StartSupervisorLinkResponse, Status> {
    let nobody = || {
        let message = "`parent` names no process and the request has no `arsenal-session` header";
        failure(Code::InvalidArgument, "NO_PARENT", message).field("parent").status()
    };
    let parent = caller.acting(node, "parent", &request.parent)?.ok_or_else(nobody)?;
    let plain = v1::StartSupervisorRequest {
        node: request.node,
        name: request.name,
        name_scope: request.name_scope,
        key: request.key,
        strategy: request.strategy,
        intensity: request.intensity,
        period: request.period,
        auto_shutdown: request.auto_shutdown,
        children: request.children,
        max_children: request.max_children,
        labels: request.labels,
        timeout: request.timeout,
    };
    let mut start = read(node, caller, plain)?;
    start.options.parent = Some(parent);
    start.options.link = true;
    let (pid, children) = run(node, start).await?;
    let (pid, node, parent) = (pid.to_string(), node.name().to_string(), parent.to_string());
    Ok(v1::StartSupervisorLinkResponse { pid, node, children, parent })
}

/// The processes beneath, if they are as many as the caller expects.
async fn expected(node: &Node, supervisor: Pid, count: Option<u32>) -> Result<Vec<Pid>, Status> {
    let pids = beneath(node, supervisor).await?;
    match count {
        Some(count) if count as usize != pids.len() => {
            let message =
                format!("supervisor {supervisor} has {} processes beneath it, not {count}", pids.len());
            Err(failure(Code::Aborted, "COUNT_MISMATCH", message).field("expected_count").status())
        }
        _ => Ok(pids),
    }
}

fn elapsed(node: &Node, since_ns: u64) -> Duration {
    Duration::from_nanos(node.now_ns().saturating_sub(since_ns))
}

/// Stops a supervisor in order and waits for its end.
pub(super) async fn stop(
    node: &Node,
    caller: &Caller,
    request: v1::StopSupervisorRequest,
) -> Result<v1::StopSupervisorResponse, Status> {
    let began = node.now_ns();
    let pid = target(node, &request.supervisor)?;
    let from = caller.acting(node, "from", &request.from)?;
    let reason = request.reason.as_ref().map_or(Term::SHUTDOWN, payload::to_term);
    let timeout = time::duration("timeout", request.timeout.as_ref())?;
    let pids = expected(node, pid, request.expected_count).await?;
    let mut answer = v1::StopSupervisorResponse {
        pid: pid.to_string(),
        node: node.name().to_string(),
        stopped_count: pids.len() as u64,
        stopped: pids.iter().take(NAMED_MAX).map(Pid::to_string).collect(),
        elapsed: Some(ProtoDuration::default()),
        dry_run: request.dry_run,
    };
    if request.dry_run {
        return Ok(answer);
    }
    node.record("supervisor.stopping", pid, from.unwrap_or_default(), reason.clone(), caller.operation);
    let asked =
        ask_within(node, pid, &SupervisorRequest::Stop(reason.clone()), timeout, caller.operation).await;
    let left = timeout.map(|timeout| timeout.saturating_sub(elapsed(node, began)));
    match asked {
        // it ends after its answer, or has ended of itself before it came to the request
        Ok(_) => {}
        Err(status) if !node.is_alive(pid) && status.code() == Code::Aborted => {}
        Err(status) => return Err(status),
    }
    let ended = match left {
        Some(left) => node.await_exit_within(pid, left).await,
        None => Some(node.await_exit(pid).await),
    };
    let told = ended.ok_or_else(|| {
        let message = format!("supervisor {pid} has not stopped in time; the stop goes on");
        failure(Code::DeadlineExceeded, "TIMEOUT", message).exit(&Term::TIMEOUT, pid, None).status()
    })?;
    let actual = node.events().exit_of(pid).map_or(told, |record| record.reason);
    if actual != reason {
        let message = format!("supervisor {pid} ended with {actual}, not with {reason}");
        return Err(failure(Code::Aborted, "EXITED", message).exit(&actual, pid, None).status());
    }
    answer.elapsed = Some(time::to_proto(elapsed(node, began)));
    Ok(answer)
}

/// Stops the whole tree and starts it again.
pub(super) async fn restart(
    node: &Node,
    caller: &Caller,
    request: &v1::RestartSupervisorRequest,
) -> Result<v1::RestartSupervisorResponse, Status> {
    let pid = target(node, &request.supervisor)?;
    let pids = expected(node, pid, request.expected_count).await?;
    let restart = SupervisorRequest::Restart {
        keep_history: request.keep_history,
        instances: request.restart_instances,
        dry_run: request.dry_run,
    };
    let children = match ask(node, pid, &restart, caller.operation).await? {
        SupervisorReply::Restarted(children) => children,
        other => return Err(unexpected(&other)),
    };
    if !request.dry_run {
        node.record("supervisor.restarted", pid, Pid::NONE, Term::Null, caller.operation);
    }
    Ok(v1::RestartSupervisorResponse {
        pid: pid.to_string(),
        node: node.name().to_string(),
        old_pid: pid.to_string(),
        children: children.iter().take(NAMED_MAX).map(encode::child).collect(),
        stopped_count: pids.len() as u64,
        dry_run: request.dry_run,
    })
}

/// Restarts nothing until resumed, or the lease ends.
pub(super) async fn pause(
    node: &Node,
    caller: &Caller,
    request: &v1::PauseSupervisorRequest,
) -> Result<v1::PauseSupervisorResponse, Status> {
    let lease = time::lease("lease", request.lease.as_ref())?;
    let pid = target(node, &request.supervisor)?;
    let holder = caller.holder(node, &request.holder)?;
    let held = node.hold(pid, HoldKind::PauseSupervision, holder, lease, false);
    let (hold, _) = held.map_err(|error| of_hold(node, &error))?;
    // what ends from here on is owed
    ask(node, pid, &SupervisorRequest::Pause, caller.operation).await?;
    Ok(v1::PauseSupervisorResponse {
        pid: pid.to_string(),
        node: node.name().to_string(),
        hold: Some(holds::encode(node, pid, &hold)),
        holds: encode::pauses(node, pid),
    })
}

/// Ends a pause; the last one's end restarts what is owed.
pub(super) async fn resume(
    node: &Node,
    caller: &Caller,
    request: &v1::ResumeSupervisorRequest,
) -> Result<v1::ResumeSupervisorResponse, Status> {
    let pid = target(node, &request.supervisor)?;
    // a holder that has ended holds nothing, which is no error
    let holder = match request.holder.parse::<Pid>() {
        Ok(holder) => Holder::Process(holder),
        Err(_) => caller.holder(node, &request.holder)?,
    };
    match ask(node, pid, &SupervisorRequest::Resume { holder }, caller.operation).await? {
        SupervisorReply::Resumed { resumed, restarted } => Ok(v1::ResumeSupervisorResponse {
            pid: pid.to_string(),
            node: node.name().to_string(),
            resumed,
            restarted: restarted.iter().map(encode::child).collect(),
            holds: encode::pauses(node, pid),
        }),
        other => Err(unexpected(&other)),
    }
}

/// One supervisor: flags, counts, what is owed, who pauses it.
pub(super) async fn describe(node: &Node, pid: Pid) -> Result<v1::Supervisor, Status> {
    const OWED_MAX: usize = 1_000;
    let report = ask::flags(node, pid).await?;
    let counts = match ask(node, pid, &SupervisorRequest::CountChildren, 0).await? {
        SupervisorReply::Counts(counts) => counts,
        other => return Err(unexpected(&other)),
    };
    let process = node.process(pid).ok_or_else(|| no_process(node, pid))?;
    let header = node.header(&process);
    let parent = header.parent.filter(|_| node.child_id_of(&process).is_some());
    Ok(v1::Supervisor {
        pid: pid.to_string(),
        name: node.name_of(&process).map(|name| name.to_string()).unwrap_or_default(),
        node: node.name().to_string(),
        flags: Some(encode::flags(node, pid, &report)),
        counts: Some(encode::counts(counts)),
        owed: report.owed.iter().take(OWED_MAX).map(super::spec::id_text).collect(),
        owed_count: report.owed.len() as u64,
        holds: encode::pauses(node, pid),
        parent: parent.map(|parent| parent.to_string()).unwrap_or_default(),
        restarts_total: report.restarts_total,
        start_time: Some(time::timestamp_ms(node, header.started_ms)),
    })
}
