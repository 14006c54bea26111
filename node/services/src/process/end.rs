//! Ending processes: kill, exit signals, orderly stops, whole families.

use crate::caller::Caller;
use crate::reference::{self, Reference};
use crate::status::{bad_argument, failure, no_name, no_process};
use crate::{payload, time};
use arsenal_behaviours::family;
use arsenal_proto::v1;
use arsenal_proto::v1::shutdown_process_response::Outcome;
use arsenal_proto::v1::terminate_process_tree_response::Entry;
use arsenal_runtime::family::Member;
use arsenal_runtime::stop::Stopped;
use arsenal_runtime::{Node, Pid, Reason, Term};
use std::time::Duration;
use tonic::{Code, Status};

/// How long an end is waited for where the request does not say.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

fn reason(value: Option<&arsenal_proto::Value>, default: Term) -> Reason {
    value.map_or(default, payload::to_term)
}

pub(super) async fn kill(
    node: &Node,
    caller: &Caller,
    request: v1::KillProcessRequest,
) -> Result<v1::KillProcessResponse, Status> {
    let process = reference::process(node, "process", &request.process)?;
    let reason = reason(request.reason.as_ref(), Term::KILLED);
    let pid = process.pid();
    node.record("process.kill", pid, by(caller), reason.clone(), caller.operation);
    node.kill_by(pid, reason, caller.operation);
    let ended = node.await_exit_within(pid, TIMEOUT_DEFAULT).await.is_some();
    let (pid, node) = super::place(node, &process);
    Ok(v1::KillProcessResponse { pid, node, ended })
}

/// The session's process, for the record.
fn by(caller: &Caller) -> Pid {
    caller.session().unwrap_or(Pid::NONE)
}

/// The pid in a reference, dead or alive. One that never was is none.
pub(crate) fn ever_lived(node: &Node, field: &str, text: &str) -> Result<Pid, Status> {
    let reference = Reference::parse(field, text)?;
    let pid = reference.lookup(node)?.ok_or_else(|| no_name(text))?;
    let events = node.events();
    let known = node.is_alive(pid) || events.exit_of(pid).is_some() || events.exits_dropped() > 0;
    if node.is_local(pid) && known { Ok(pid) } else { Err(no_process(node, pid)) }
}

pub(super) async fn exit(
    node: &Node,
    caller: &Caller,
    request: v1::ExitProcessRequest,
) -> Result<v1::ExitProcessResponse, Status> {
    let from = caller.acting(node, "from", &request.from)?;
    let pid = ever_lived(node, "process", &request.process)?;
    let reason = reason(request.reason.as_ref(), Term::NORMAL);
    send_exit(node, from, pid, reason, caller.operation).await?;
    Ok(v1::ExitProcessResponse { pid: pid.to_string(), node: node.name().to_string() })
}

/// `exit/2`; a sender that ends of its own signal is told.
pub(crate) async fn send_exit(
    node: &Node,
    from: Option<Pid>,
    to: Pid,
    reason: Reason,
    operation: u64,
) -> Result<(), Status> {
    let traps = node.process(to).is_some_and(|process| node.header(&process).trap_exit);
    let ends_itself = from == Some(to) && (reason.is("kill") || !traps);
    let from = from.unwrap_or(Pid::NONE);
    node.record("process.exit_signal", to, from, reason.clone(), operation);
    node.exit_by(from, to, reason, operation);
    if ends_itself && let Some(reason) = node.await_exit_within(to, TIMEOUT_DEFAULT).await {
        let message = format!("process {to} ended by its own exit signal: {reason}");
        return Err(failure(Code::Aborted, "CALLER_DIED", message).exit(&reason, to, None).status());
    }
    Ok(())
}

pub(super) async fn shutdown(
    node: &Node,
    caller: &Caller,
    request: v1::ShutdownProcessRequest,
) -> Result<v1::ShutdownProcessResponse, Status> {
    use v1::shutdown_process_request::OnTimeout;
    let process = reference::process(node, "process", &request.process)?;
    let pid = process.pid();
    let from = caller.acting(node, "from", &request.from)?.unwrap_or(Pid::NONE);
    let timeout = time::duration("timeout", request.timeout.as_ref())?.unwrap_or(TIMEOUT_DEFAULT);
    let on_timeout = OnTimeout::try_from(request.on_timeout).map_err(|_| {
        bad_argument("on_timeout", format!("{} is neither KILL nor LEAVE", request.on_timeout))
    })?;
    let wanted = reason(request.reason.as_ref(), Term::SHUTDOWN);
    node.record("process.shutdown", pid, from, wanted.clone(), caller.operation);
    let began_ns = node.now_ns();
    let stopped = node.stop(from, pid, wanted.clone(), timeout, caller.operation).await;
    let (outcome, reason) = match stopped {
        Stopped::NoProcess => return Err(no_process(node, pid)),
        Stopped::Ended(reason) if reason == wanted => (Outcome::Graceful, Some(reason)),
        Stopped::Ended(reason) => return Err(ended_otherwise(node, pid, &reason, reason.clone())),
        Stopped::EndedBefore(reason) => {
            let call_exit = Term::map([("call_exit", reason.clone())]);
            return Err(ended_otherwise(node, pid, &reason, call_exit));
        }
        Stopped::Pending if on_timeout == OnTimeout::Leave => (Outcome::Pending, None),
        Stopped::Pending => {
            node.kill_by(pid, Term::KILLED, caller.operation);
            match node.await_exit_within(pid, TIMEOUT_DEFAULT).await {
                Some(reason) if reason == Term::KILLED => (Outcome::Killed, Some(reason)),
                // it stopped in the moment in which it was killed
                Some(reason) if reason == wanted => (Outcome::Graceful, Some(reason)),
                Some(reason) => return Err(ended_otherwise(node, pid, &reason, reason.clone())),
                None => (Outcome::Pending, None),
            }
        }
    };
    let elapsed = Duration::from_nanos(node.now_ns().saturating_sub(began_ns));
    Ok(v1::ShutdownProcessResponse {
        pid: pid.to_string(),
        node: node.name().to_string(),
        outcome: outcome as i32,
        elapsed: Some(time::to_proto(elapsed)),
        reason: reason.as_ref().map(payload::to_value),
    })
}

fn ended_otherwise(node: &Node, pid: Pid, reason: &Reason, told: Term) -> Status {
    let message = format!("process {pid} ended with another reason than the one asked for: {reason}");
    let words = node.events().exit_of(pid).and_then(|record| record.error);
    failure(Code::Aborted, "EXITED", message).exit(&told, pid, words.as_deref()).status()
}

pub(super) async fn terminate_tree(
    node: &Node,
    caller: &Caller,
    request: v1::TerminateProcessTreeRequest,
) -> Result<v1::TerminateProcessTreeResponse, Status> {
    let root = reference::process(node, "process", &request.process)?.pid();
    let timeout = time::duration("timeout", request.timeout.as_ref())?.unwrap_or(TIMEOUT_DEFAULT);
    let members = node.family(root);
    if let Some(expected) = request.expected_count.filter(|expected| *expected as usize != members.len()) {
        let message = format!("the tree of {root} has {} processes, not {expected}", members.len());
        return Err(failure(Code::Aborted, "COUNT_MISMATCH", message).status());
    }
    let mut processes: Vec<Entry> = members.iter().map(|member| entry(node, member)).collect();
    if !request.dry_run {
        let reason = reason(request.reason.as_ref(), Term::SHUTDOWN);
        node.record("process.terminate_tree", root, by(caller), reason.clone(), caller.operation);
        let ended = family::end(node, &members, &reason, timeout, caller.operation).await;
        for (entry, (_, reason)) in processes.iter_mut().zip(&ended) {
            entry.reason = Some(payload::to_value(reason));
        }
    }
    let (dry_run, node) = (request.dry_run, node.name().to_string());
    Ok(v1::TerminateProcessTreeResponse { processes, dry_run, node })
}

fn entry(node: &Node, member: &Member) -> Entry {
    let process = node.process(member.pid);
    let name = process.as_ref().and_then(|process| node.name_of(process));
    let module = process.as_ref().map(|process| node.header(process).code.name.to_string());
    Entry {
        pid: member.pid.to_string(),
        name: name.map(|name| name.to_string()).unwrap_or_default(),
        module: module.unwrap_or_default(),
        through: member.through.map(|pid| pid.to_string()).unwrap_or_default(),
        reason: None,
    }
}
