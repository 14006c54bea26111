//! Starting and spawning. The contract gives the three starts, and the three spawns, the same fields under the same
//! numbers, so that each is read as the plain one; what it has beyond that is read first.

use super::options;
use crate::caller::Caller;
use crate::status::{bad_argument, failure, no_process, of_start};
use crate::{payload, reference, time};
use arsenal_proto::v1;
use arsenal_runtime::{Node, Pid, ProcessRef, StartError, StartOptions, Started, Term};
use prost::Message;
use std::time::Duration;
use tonic::{Code, Status};

/// The request as the plain one of its kind, without the fields that the plain one has not.
fn plain<P: Message + Default>(request: &impl Message) -> P {
    // what prost has just encoded it also decodes
    P::decode(request.encode_to_vec().as_slice()).unwrap_or_default()
}

/// The live process in `field`, else the session's.
pub(crate) fn other(
    node: &Node,
    caller: &Caller,
    field: &str,
    text: &str,
    reason: &str,
) -> Result<Pid, Status> {
    if !text.is_empty() {
        let pid = reference::process(node, field, text)?.pid();
        return caller.for_whom(node, pid);
    }
    caller.session().ok_or_else(|| no_party(field, reason))
}

/// `INVALID_ARGUMENT`: a process has to act, and none is named.
pub(super) fn no_party(field: &str, reason: &str) -> Status {
    let message = format!("`{field}` names no process and the request has no `arsenal-session` header");
    failure(Code::InvalidArgument, reason, message).field(field).status()
}

struct Start {
    module: String,
    args: Term,
    options: StartOptions,
    timeout: Option<Duration>,
}

fn read(node: &Node, caller: &Caller, request: v1::StartProcessRequest) -> Result<Start, Status> {
    use v1::start_process_request::Payload;
    reference::check_node(node, &request.node)?;
    let args = match request.payload {
        Some(Payload::Args(args)) => payload::to_term(&args),
        Some(Payload::ArgsBytes(bytes)) => payload::bytes_to_term(bytes),
        None => Term::Null,
    };
    let (mailbox, memory_bytes_max) = options::limits(request.limits.as_ref())?;
    let options = StartOptions {
        name: options::name(&request.name, request.name_scope)?,
        key: (!request.key.is_empty()).then(|| request.key.as_str().into()),
        priority: options::priority(request.priority)?.unwrap_or_default(),
        trap_exit: request.trap_exit.unwrap_or_default(),
        mailbox,
        memory_bytes_max,
        labels: options::labels(request.labels)?,
        group_leader: group_leader(node, &request.group_leader)?,
        operation: caller.operation,
        ..StartOptions::default()
    };
    let timeout = time::duration("timeout", request.timeout.as_ref())?;
    check_module(&request.module)?;
    Ok(Start { module: request.module, args, options, timeout })
}

/// `INVALID_ARGUMENT BADARG` where none is named.
fn check_module(module: &str) -> Result<(), Status> {
    if module.is_empty() {
        return Err(bad_argument("module", "`module` is missing: it names what the process runs"));
    }
    Ok(())
}

fn group_leader(node: &Node, text: &str) -> Result<Option<Pid>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    reference::process(node, "group_leader", text).map(|process| Some(process.pid()))
}

/// Runs the start; the pid, empty for one that was ignored, and whether it was.
async fn run(node: &Node, start: Start) -> Result<(String, bool), Status> {
    let Start { module, args, options, timeout } = start;
    match node.start_process(&module, &args, options, timeout).await {
        Ok(Started::Running(pid)) => Ok((pid.to_string(), false)),
        Ok(Started::Ignored) => Ok((String::new(), true)),
        Err(error) => Err(refusal(node, &error)),
    }
}

fn refusal(node: &Node, error: &StartError) -> Status {
    let message = error.to_string();
    match error {
        StartError::UnknownModule(module) => {
            failure(Code::NotFound, "UNKNOWN_MODULE", message).resource("module", module).status()
        }
        StartError::ParentDied { parent, reason } => {
            failure(Code::Aborted, "CALLER_DIED", message).exit(reason, *parent, None).status()
        }
        StartError::NoProcess(pid) => no_process(node, *pid),
        error => of_start(node, error),
    }
}

/// Starts a process as `join` has it stand to others: the pid, empty for one that was ignored, and whether it was.
pub(crate) async fn start_joined(
    node: &Node,
    caller: &Caller,
    request: v1::StartProcessRequest,
    join: impl FnOnce(&mut StartOptions),
) -> Result<(String, bool), Status> {
    let mut start = read(node, caller, request)?;
    join(&mut start.options);
    run(node, start).await
}

pub(super) async fn start(
    node: &Node,
    caller: &Caller,
    request: v1::StartProcessRequest,
) -> Result<v1::StartProcessResponse, Status> {
    let (pid, ignored) = run(node, read(node, caller, request)?).await?;
    Ok(v1::StartProcessResponse { pid, ignored, node: node.name().to_string() })
}

pub(super) async fn start_link(
    node: &Node,
    caller: &Caller,
    request: v1::StartLinkProcessRequest,
) -> Result<v1::StartLinkProcessResponse, Status> {
    let mut start = read(node, caller, plain(&request))?;
    let parent = other(node, caller, "parent", &request.parent, "NO_PARENT")?;
    start.options.parent = Some(parent);
    start.options.link = true;
    let (pid, ignored) = run(node, start).await?;
    let (node, parent) = (node.name().to_string(), parent.to_string());
    Ok(v1::StartLinkProcessResponse { pid, ignored, node, parent })
}

pub(super) async fn start_monitor(
    node: &Node,
    caller: &Caller,
    request: v1::StartMonitorProcessRequest,
) -> Result<v1::StartMonitorProcessResponse, Status> {
    let mut start = read(node, caller, plain(&request))?;
    let watcher = other(node, caller, "watcher", &request.watcher, "NO_WATCHER")?;
    let reference = node.new_ref_of(watcher);
    start.options.monitor = Some((watcher, reference));
    let (pid, ignored) = run(node, start).await?;
    let monitor = if ignored { String::new() } else { node.monitor_id(watcher, reference).to_string() };
    let (node, watcher) = (node.name().to_string(), watcher.to_string());
    Ok(v1::StartMonitorProcessResponse { pid, ignored, node, monitor, watcher })
}

pub(crate) fn run_function(
    node: &Node,
    caller: &Caller,
    request: v1::SpawnProcessRequest,
    join: impl FnOnce(&mut StartOptions),
) -> Result<ProcessRef, Status> {
    use v1::spawn_process_request::Payload;
    reference::check_node(node, &request.node)?;
    for (field, value) in [("module", &request.module), ("function", &request.function)] {
        if value.is_empty() {
            return Err(bad_argument(field, format!("`{field}` is empty")));
        }
    }
    let args = match request.payload {
        Some(Payload::Args(args)) => payload::to_term(&args),
        Some(Payload::ArgsBytes(bytes)) => payload::bytes_to_term(bytes),
        None => Term::Null,
    };
    let (mailbox, memory_bytes_max) = options::limits(request.limits.as_ref())?;
    let mut options = StartOptions {
        priority: options::priority(request.priority)?.unwrap_or_default(),
        mailbox,
        memory_bytes_max,
        labels: options::labels(request.labels)?,
        group_leader: group_leader(node, &request.group_leader)?,
        operation: caller.operation,
        ..StartOptions::default()
    };
    join(&mut options);
    node.spawn_function(&request.module, &request.function, &args, options)
        .map_err(|error| refusal(node, &error))
}

pub(super) fn spawn(
    node: &Node,
    caller: &Caller,
    request: v1::SpawnProcessRequest,
) -> Result<v1::SpawnProcessResponse, Status> {
    let process = run_function(node, caller, request, |_| {})?;
    let (pid, node) = super::place(node, &process);
    Ok(v1::SpawnProcessResponse { pid, node })
}

pub(super) fn spawn_link(
    node: &Node,
    caller: &Caller,
    request: v1::SpawnLinkProcessRequest,
) -> Result<v1::SpawnLinkProcessResponse, Status> {
    let parent = other(node, caller, "parent", &request.parent, "NO_PARENT")?;
    let process = run_function(node, caller, plain(&request), |options| {
        options.parent = Some(parent);
        options.link = true;
    })?;
    let (pid, node) = super::place(node, &process);
    Ok(v1::SpawnLinkProcessResponse { pid, node, parent: parent.to_string() })
}

pub(super) fn spawn_monitor(
    node: &Node,
    caller: &Caller,
    request: v1::SpawnMonitorProcessRequest,
) -> Result<v1::SpawnMonitorProcessResponse, Status> {
    let watcher = other(node, caller, "watcher", &request.watcher, "NO_WATCHER")?;
    let reference = node.new_ref_of(watcher);
    let process = run_function(node, caller, plain(&request), |options| {
        options.monitor = Some((watcher, reference));
    })?;
    let monitor = node.monitor_id(watcher, reference).to_string();
    let (pid, node) = super::place(node, &process);
    Ok(v1::SpawnMonitorProcessResponse { pid, node, monitor, watcher: watcher.to_string() })
}
