//! What is sent and not waited for: messages, casts, exit signals, to one, to a group, to all that a filter matches.

use super::carried;
use crate::Shared;
use crate::caller::Caller;
use crate::listing::bad_filter;
use crate::payload;
use crate::reference::{self, Reference};
use crate::status::{failure, of_call, of_registry};
use crate::walk;
use arsenal_observe::predicate::PredicateError;
use arsenal_observe::process_filter::ProcessFilter;
use arsenal_observe::process_variables::ProcessView;
use arsenal_proto::v1;
use arsenal_proto::v1::broadcast_message_response::NodeCount;
use arsenal_runtime::registry::{RegistryError, group_key};
use arsenal_runtime::request::{CallError, Sent};
use arsenal_runtime::{Kind, Message, Node, Pid, ProcessRef, Term};
use std::collections::{BTreeMap, BTreeSet};
use tonic::{Code, Status};

/// Pids that an answer names at most.
const PIDS_MAX: usize = 10_000;

/// Sends to whoever has this pid; whether it was put into a mailbox, where that can be told.
fn deliver(node: &Node, to: Pid, message: Message) -> Result<Option<bool>, Status> {
    match node.send(to, message) {
        Sent::Delivered | Sent::NoConnection if to.node != node.id() => Ok(None),
        Sent::Delivered => Ok(Some(true)),
        Sent::NoProcess | Sent::NoConnection => Ok(Some(false)),
        Sent::MailboxFull => Err(of_call(node, &CallError::MailboxFull(to))),
        Sent::TooBig => Err(of_call(node, &CallError::TooBig(to))),
    }
}

/// Waits until what was sent is where its receiver is, if that has just moved: whoever sends the next message is answered
/// there, and must not overtake this one.
async fn passed_on(node: &Node, to: Pid) {
    if node.has_relays()
        && let Some(process) = node.process(to)
    {
        node.until_passed_on(&process).await;
    }
}

pub(super) async fn message(
    shared: &Shared,
    caller: &Caller,
    request: v1::SendMessageRequest,
) -> Result<v1::SendMessageResponse, Status> {
    let node = &shared.node;
    let to = reference::pid(node, "process", &request.process)?;
    let from = caller.acting(node, "from", &request.from)?.unwrap_or_default();
    let payload = carried::term(node, request.payload)?;
    let delivered = deliver(node, to, Message::info(from, payload).with_operation(caller.operation))?;
    passed_on(node, to).await;
    Ok(v1::SendMessageResponse { pid: to.to_string(), delivered })
}

pub(super) async fn cast(
    shared: &Shared,
    caller: &Caller,
    request: v1::CastMessageRequest,
) -> Result<v1::CastMessageResponse, Status> {
    let node = &shared.node;
    let payload = carried::term(node, request.payload)?;
    let from = caller.acting(node, "from", &request.from)?.unwrap_or_default();
    let to = match Reference::parse("process", &request.process)?.lookup(node) {
        // a node that nobody knows is one more way of nobody having the name
        Err(status) if status.code() == Code::NotFound => None,
        found => found?,
    };
    let Some(to) = to else { return Ok(v1::CastMessageResponse::default()) };
    let to = reference::present(node, to);
    deliver(node, to, Message::of(Kind::Cast, from, payload).with_operation(caller.operation))?;
    passed_on(node, to).await;
    Ok(v1::CastMessageResponse { pid: to.to_string() })
}

pub(super) fn exit_signal(
    shared: &Shared,
    caller: &Caller,
    request: v1::SendExitSignalRequest,
) -> Result<v1::SendExitSignalResponse, Status> {
    let node = &shared.node;
    let from = caller.acting(node, "from", &request.from)?.ok_or_else(|| {
        let message =
            "`from` names no process and the request has no session; an exit signal comes from a process";
        failure(Code::InvalidArgument, "NO_FROM", message).field("from").status()
    })?;
    let to = reference::pid(node, "process", &request.process)?;
    let reason = request.reason.as_ref().map_or(Term::NORMAL, payload::to_term);
    node.record("process.exit_signal", to, from, reason.clone(), caller.operation);
    node.exit_by(from, to, reason, caller.operation);
    Ok(v1::SendExitSignalResponse { pid: to.to_string() })
}

/// The members of a group, a process as often as it joined.
///
/// # Errors
/// `NOT_FOUND NO_GROUP`.
pub(super) fn members(node: &Node, scope: &str, group: &str) -> Result<Vec<Pid>, Status> {
    let key = group_key(scope, group);
    if !node.read_registry(|state| state.groups().contains_key(&key)) {
        return Err(of_registry(&RegistryError::NoGroup(group.into())));
    }
    Ok(node.group_members(&key))
}

pub(super) fn broadcast(
    shared: &Shared,
    caller: &Caller,
    request: v1::BroadcastMessageRequest,
) -> Result<v1::BroadcastMessageResponse, Status> {
    let node = &shared.node;
    let from = caller.acting(node, "from", &request.from)?.unwrap_or_default();
    let payload = carried::term(node, request.payload)?;
    let members = members(node, &request.scope, &request.group)?;
    let (mut sent, mut unreached) = (BTreeMap::<u32, u32>::new(), BTreeSet::new());
    for member in members {
        let message = Message::info(from, payload.clone()).with_operation(caller.operation);
        match node.send(member, message) {
            Sent::Delivered => *sent.entry(member.node).or_default() += 1,
            Sent::NoConnection => drop(unreached.insert(member.node)),
            Sent::NoProcess | Sent::MailboxFull | Sent::TooBig => {}
        }
    }
    let name = |id: u32| format!("n{id}");
    Ok(v1::BroadcastMessageResponse {
        count: sent.values().sum(),
        nodes: sent.into_iter().map(|(id, count)| NodeCount { node: name(id), count }).collect(),
        unreached: unreached.into_iter().map(name).collect(),
    })
}

/// All processes that `filter` matches, by pid.
fn matching(node: &Node, filter: &ProcessFilter) -> Result<Vec<ProcessRef>, PredicateError> {
    let mut found = Vec::new();
    let mut failed = None;
    node.visit_processes(0, |process| {
        match filter.admits(&ProcessView::new(node, process)) {
            Ok(true) => found.push(process.clone()),
            Ok(false) => {}
            Err(error) => failed = Some(error),
        }
        failed.is_none()
    });
    found.sort_by_key(ProcessRef::pid);
    failed.map_or(Ok(found), Err)
}

pub(super) async fn selective(
    shared: &Shared,
    caller: &Caller,
    request: v1::SelectiveSendRequest,
) -> Result<v1::SelectiveSendResponse, Status> {
    let node = &shared.node;
    reference::check_node(node, &request.node)?;
    let filter = ProcessFilter::compile(&request.filter).map_err(|error| bad_filter(&error))?;
    let from = caller.acting(node, "from", &request.from)?.unwrap_or_default();
    let payload = carried::term(node, request.payload)?;
    let (expected, dry_run, operation) = (request.expected_count, request.dry_run, caller.operation);
    let sent = walk::over_processes(node, move |node| {
        let found = matching(node, &filter).map_err(|error| bad_filter(&error))?;
        let count = u32::try_from(found.len()).unwrap_or(u32::MAX);
        check_count(expected, count, "processes")?;
        if !dry_run {
            for process in &found {
                node.send_to(process, Message::info(from, payload.clone()).with_operation(operation));
            }
            node.record("messages.selectively_sent", Pid::NONE, from, Term::Int(count.into()), operation);
        }
        let pids = found.iter().take(PIDS_MAX).map(|process| process.pid().to_string()).collect();
        Ok::<_, Status>((count, pids))
    });
    let (count, pids) = sent.await??;
    Ok(v1::SelectiveSendResponse { count, pids, unreached: Vec::new(), node: node.name().to_string() })
}

/// Checks how many things an operation would concern.
///
/// # Errors
/// `ABORTED COUNT_MISMATCH`.
pub(crate) fn check_count(expected: Option<u32>, found: u32, what: &str) -> Result<(), Status> {
    match expected {
        Some(expected) if expected != found => {
            let message = format!("{found} {what} match, not {expected}; nothing was done");
            Err(failure(Code::Aborted, "COUNT_MISMATCH", message).into())
        }
        _ => Ok(()),
    }
}
