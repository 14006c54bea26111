//! Calls: to one process, without a timeout of one's own, to many at once.

use super::carried::{self, Carried};
use super::deadline::Deadline;
use super::send::members;
use crate::caller::Caller;
use crate::reference::{self, Reference};
use crate::status::{bad_argument, failure, of_call};
use crate::{Shared, payload, time};
use arsenal_proto::v1;
use arsenal_proto::v1::multi_call_processes_response::{Bad, Reply};
use arsenal_runtime::request::CallError;
use arsenal_runtime::{Node, Pid, Term};
use futures_util::future::join_all;
use prost_types::Duration as ProtoDuration;
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::{Code, Status};

/// How long a call waits where nothing is said: OTP's default.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// Processes that are called at once at most.
const TARGETS_MAX: usize = 10_000;

/// The timeout that is asked for, else OTP's default.
///
/// # Errors
/// `INVALID_ARGUMENT` for a negative one.
pub(super) fn timeout(asked: Option<&ProtoDuration>) -> Result<Duration, Status> {
    Ok(time::duration("timeout", asked)?.unwrap_or(TIMEOUT_DEFAULT))
}

/// `UNAVAILABLE NOCONNECTION`: the process is on a node that cannot be reached; nothing was sent.
pub(super) fn no_connection(pid: Pid) -> Status {
    let message = format!("there is no connection to node n{} of process {pid}; nothing was sent", pid.node);
    failure(Code::Unavailable, "NOCONNECTION", message).exit(&"noconnection".into(), pid, None).status()
}

/// The pid to be called, dead or alive, on this node, and not the caller.
fn callee(node: &Node, process: &str, from: Option<Pid>) -> Result<Pid, Status> {
    let pid = reference::pid(node, "process", process)?;
    if pid.node != node.id() {
        return Err(no_connection(pid));
    }
    if from == Some(pid) {
        let message = format!("process {pid} would call itself and wait for ever");
        return Err(failure(Code::FailedPrecondition, "CALLING_SELF", message)
            .exit(&"calling_self".into(), pid, None)
            .precondition("CALLING_SELF", &pid.to_string())
            .status());
    }
    Ok(pid)
}

pub(super) async fn call(
    shared: &Shared,
    caller: &Caller,
    deadline: Deadline,
    request: v1::CallProcessRequest,
) -> Result<v1::CallProcessResponse, Status> {
    let node = &shared.node;
    let from = caller.acting(node, "from", &request.from)?;
    let pid = callee(node, &request.process, from)?;
    let timeout = deadline.bound(Some(timeout(request.timeout.as_ref())?));
    let payload = carried::term(node, request.payload)?;
    let reply =
        node.call(pid, payload, timeout, caller.operation).await.map_err(|error| of_call(node, &error))?;
    Ok(v1::CallProcessResponse { payload: Some(Carried::of_term(&reply)), pid: pid.to_string() })
}

pub(super) async fn call_sync(
    shared: &Shared,
    caller: &Caller,
    deadline: Deadline,
    request: v1::CallProcessSyncRequest,
) -> Result<v1::CallProcessSyncResponse, Status> {
    let node = &shared.node;
    let from = caller.acting(node, "from", &request.from)?;
    let pid = callee(node, &request.process, from)?;
    let payload = carried::term(node, request.payload)?;
    let reply = node.call(pid, payload, deadline.bound(None), caller.operation).await;
    let reply = reply.map_err(|error| of_call(node, &error))?;
    Ok(v1::CallProcessSyncResponse { payload: Some(Carried::of_term(&reply)), pid: pid.to_string() })
}

/// One of those to be called: as it was named, its node, and who it is or why it cannot be called.
struct Target {
    process: String,
    node: String,
    pid: Result<Callee, Term>,
}

/// Who is called.
#[derive(Clone, Copy)]
enum Callee {
    Process(Pid),
    /// Whoever has the target's name on this node.
    NameOn(u32),
}

impl Target {
    fn new(node: &Node, process: String, found: Option<Pid>, from: Option<Pid>) -> Self {
        let pid = match found {
            None => Err(Term::NOPROC),
            Some(pid) if Some(pid) == from => Err(Term::Atom("calling_self")),
            Some(pid) => Ok(Callee::Process(pid)),
        };
        let on = found.map_or_else(|| node.name().to_string(), |pid| format!("n{}", pid.node));
        Self { process, node: on, pid }
    }
}

/// Whom a multi call is for, in the order in which they were named.
fn targets(
    shared: &Shared,
    request: &v1::MultiCallProcessesRequest,
    from: Option<Pid>,
) -> Result<Vec<Target>, Status> {
    let node = &shared.node;
    let said = [!request.processes.is_empty(), !request.name.is_empty(), !request.group.is_empty()];
    if said.into_iter().filter(|said| *said).count() != 1 {
        return Err(bad_argument(
            "processes",
            "exactly one of `processes`, `name` and `group` says whom to call",
        ));
    }
    let target = |process: String, found| Target::new(node, process, found, from);
    if !request.group.is_empty() {
        let unique: BTreeSet<Pid> = members(node, &request.scope, &request.group)?.into_iter().collect();
        return Ok(unique.into_iter().map(|pid| target(pid.to_string(), Some(pid))).collect());
    }
    if !request.name.is_empty() {
        let here = || target(request.name.clone(), node.whereis(&request.name));
        let on = |name: &String| match **name == **node.name() {
            true => here(),
            false => {
                let callee = Node::node_number(name).map(Callee::NameOn);
                let pid = callee.ok_or_else(|| Term::Atom("noconnection"));
                Target { process: request.name.clone(), node: name.clone(), pid }
            }
        };
        if !request.nodes.is_empty() {
            return Ok(request.nodes.iter().map(on).collect());
        }
        let up = shared.all_nodes().into_iter().filter(|id| shared.is_up(*id));
        return Ok(up.map(|id| on(&format!("n{id}"))).collect());
    }
    if request.processes.len() > TARGETS_MAX {
        let message = format!(
            "`processes` names {}; at most {TARGETS_MAX} are called at once",
            request.processes.len()
        );
        return Err(bad_argument("processes", message));
    }
    let found = request.processes.iter().map(|process| {
        let found = match Reference::parse("processes", process)?.lookup(node) {
            Err(status) if status.code() == Code::NotFound => None,
            found => found?,
        };
        Ok(target(process.clone(), found))
    });
    found.collect()
}

/// Why one did not reply, in OTP's words.
fn reason_of(error: &CallError) -> Term {
    match error {
        CallError::NoProcess(_) => Term::NOPROC,
        CallError::NoConnection(_) => Term::Atom("noconnection"),
        CallError::Died { reason, .. } => reason.clone(),
        CallError::Timeout { .. } => Term::TIMEOUT,
        CallError::MailboxFull(_) => Term::Atom("queue_full"),
        CallError::TooBig(_) | CallError::TooManyRequests(_) => Term::Atom("system_limit"),
        CallError::NoHook { .. } | CallError::Registry(_) => Term::from(error.to_string()),
    }
}

pub(super) async fn multi_call(
    shared: &Shared,
    caller: &Caller,
    deadline: Deadline,
    mut request: v1::MultiCallProcessesRequest,
) -> Result<v1::MultiCallProcessesResponse, Status> {
    let node = &shared.node;
    let from = caller.acting(node, "from", &request.from)?;
    let timeout = deadline.bound(Some(timeout(request.timeout.as_ref())?));
    let payload = carried::term(node, request.payload.take())?;
    let calls = targets(shared, &request, from)?.into_iter().map(|target| {
        let payload = payload.clone();
        async move {
            let outcome = match &target.pid {
                Ok(Callee::Process(pid)) => {
                    let reply = node.call(*pid, payload, timeout, caller.operation).await;
                    reply.map(|reply| (*pid, reply)).map_err(|error| reason_of(&error))
                }
                Ok(Callee::NameOn(on)) => {
                    let name = &target.process;
                    let reply = node.call_on(*on, name, payload, timeout, caller.operation).await;
                    reply.map_err(|error| reason_of(&error))
                }
                Err(reason) => Err(reason.clone()),
            };
            (target, outcome)
        }
    });
    let mut response = v1::MultiCallProcessesResponse::default();
    for (Target { process, node, .. }, outcome) in join_all(calls).await {
        match outcome {
            Ok((pid, reply)) => {
                let pid = pid.to_string();
                response.replies.push(Reply { pid, process, node, payload: Some(Carried::of_term(&reply)) });
            }
            Err(reason) => response.bad.push(Bad { process, node, reason: Some(payload::to_value(&reason)) }),
        }
    }
    Ok(response)
}
