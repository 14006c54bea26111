//! Process groups, as `pg` has them, and created ones that stay when they are empty.

use super::dispatch_policy::{Candidate, Policy, choose};
use super::names::{group_key, version};
use super::rows::{GroupRow, MemberRow, node_of, texts};
use super::{RegistryApi, metadata};
use crate::caller::Caller;
use crate::listing::Query;
use crate::status::{bad_argument, failure, no_process, of_registry};
use crate::{Shared, payload, reference};
use arsenal_proto::v1::{
    self, broadcast_to_group_request as broadcast, list_registry_contents_response as contents_response,
};
use arsenal_runtime::registry::{Command, RegistryError, RegistryState};
use arsenal_runtime::request::Sent;
use arsenal_runtime::{Message, Node, Pid, Term};
use std::sync::Arc;
use tonic::{Code, Status};

/// Processes that one request may name.
const PROCESSES_MAX: usize = 10_000;

fn no_group(key: &Arc<str>) -> Status {
    of_registry(&RegistryError::NoGroup(Arc::clone(key)))
}

fn row(node: &Node, key: &Arc<str>) -> Option<GroupRow> {
    node.read_registry(|state| state.groups().get(key).map(|group| GroupRow::of(key, group)))
}

/// The memberships of all groups.
pub(super) fn contents(state: &RegistryState) -> Vec<contents_response::GroupMembers> {
    let groups = state.groups().iter().map(|(key, group)| {
        let members = group.members.iter();
        contents_response::GroupMembers {
            group: Some(GroupRow::of(key, group).encode()),
            members: members
                .flat_map(|(pid, count)| std::iter::repeat_n(pid.to_string(), *count as usize))
                .collect(),
        }
    });
    let mut groups: Vec<_> = groups.collect();
    groups.sort_by(|a, b| order(a.group.as_ref()).cmp(&order(b.group.as_ref())));
    groups
}

/// By scope and name.
fn order(group: Option<&v1::ProcessGroup>) -> Option<(&str, &str)> {
    group.map(|group| (group.scope.as_str(), group.group.as_str()))
}

/// Creates a group that stays.
pub(super) async fn create(
    shared: &Shared,
    caller: &Caller,
    request: v1::CreateProcessGroupRequest,
) -> Result<v1::CreateProcessGroupResponse, Status> {
    let node = &shared.node;
    let key = group_key(node, &request.scope, &request.group)?;
    let metadata = request.metadata.map(payload::struct_to_term).unwrap_or_default();
    metadata::check_size(&metadata)?;
    let command = Command::CreateGroup {
        group: Arc::clone(&key),
        metadata,
        members_max: (request.max_members > 0).then_some(request.max_members),
        at_ms: node.calendar_ms(),
    };
    let applied = node.propose(command, caller.operation).await.map_err(|error| of_registry(&error))?;
    Ok(v1::CreateProcessGroupResponse {
        group: row(node, &key).map(|row| row.encode()),
        log_index: applied.index,
    })
}

/// The references in `processes`, or the session's process where there are none.
fn named<'a>(caller: &Caller, processes: &'a [String]) -> Result<(&'a [String], Option<Pid>), Status> {
    if processes.len() > PROCESSES_MAX {
        let message = format!("`processes` has {} entries; it may have {PROCESSES_MAX}", processes.len());
        return Err(bad_argument("processes", message));
    }
    let session = if processes.is_empty() { caller.session() } else { None };
    if processes.is_empty() && session.is_none() {
        let message = "neither `processes` nor a session says which process is meant";
        return Err(failure(Code::InvalidArgument, "NO_PROCESSES", message).field("processes").status());
    }
    Ok((processes, session))
}

/// `pg:join/3`.
pub(super) async fn join(
    shared: &Shared,
    caller: &Caller,
    request: v1::JoinProcessGroupRequest,
) -> Result<v1::JoinProcessGroupResponse, Status> {
    let node = &shared.node;
    let key = group_key(node, &request.scope, &request.group)?;
    let (references, session) = named(caller, &request.processes)?;
    let alive = |text: &String| {
        let pid = reference::pid(node, "processes", text)?;
        // whether a process of another node lives, that node knows: it ends what the dead have
        if node.is_alive(pid) || shared.is_elsewhere(pid) { Ok(pid) } else { Err(no_process(node, pid)) }
    };
    let mut pids = references.iter().map(alive).collect::<Result<Vec<Pid>, Status>>()?;
    pids.extend(session);
    let command = Command::Join { group: Arc::clone(&key), pids: pids.clone() };
    node.propose(command, caller.operation).await.map_err(|error| of_registry(&error))?;
    Ok(v1::JoinProcessGroupResponse { pids: texts(&pids), group: row(node, &key).map(|row| row.encode()) })
}

/// `pg:leave/3`.
pub(super) async fn leave(
    shared: &Shared,
    caller: &Caller,
    request: v1::LeaveProcessGroupRequest,
) -> Result<v1::LeaveProcessGroupResponse, Status> {
    let node = &shared.node;
    let key = group_key(node, &request.scope, &request.group)?;
    let (references, session) = named(caller, &request.processes)?;
    let lookup = |text: &String| reference::Reference::parse("processes", text)?.lookup(node);
    // who is not there is no member
    let found = references.iter().map(lookup).collect::<Result<Vec<Option<Pid>>, Status>>()?;
    let pids = found.into_iter().flatten().chain(session).collect();
    let command = Command::Leave { group: Arc::clone(&key), pids };
    let applied = node.propose(command, caller.operation).await.map_err(|error| of_registry(&error))?;
    let left: Vec<Pid> = applied.changes.into_iter().flat_map(|change| change.pids).collect();
    let member_count = node.read_registry(|state| state.groups().get(&key).map(|group| group.member_count()));
    Ok(v1::LeaveProcessGroupResponse { pids: texts(&left), member_count: member_count.unwrap_or_default() })
}

/// `pg:which_groups/1`.
pub(super) fn list(
    shared: &Shared,
    request: &v1::ListProcessGroupsRequest,
) -> Result<v1::ListProcessGroupsResponse, Status> {
    let node = &shared.node;
    let mut groups: Vec<(String, GroupRow)> = node.read_registry(|state| {
        let groups = state.groups().iter().map(|(key, group)| {
            let (scope, name) = arsenal_runtime::registry::split_group_key(key);
            (scope, name, GroupRow::of(key, group))
        });
        let wanted = groups.filter(|(scope, ..)| request.scope.is_empty() || *scope == request.scope);
        // no name has a control character, so this orders by scope, then by name
        wanted.map(|(scope, name, row)| (format!("{scope}\0{name}"), row)).collect()
    });
    groups.sort_by(|a, b| a.0.cmp(&b.0));
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: &request.scope,
    };
    let (page, next_page_token) = query.page(groups.into_iter().map(|(_, row)| row).collect())?;
    Ok(v1::ListProcessGroupsResponse {
        groups: page.iter().map(GroupRow::encode).collect(),
        next_page_token,
        unreached: Vec::new(),
        node: node.name().to_string(),
    })
}

/// One group.
pub(super) fn get(
    shared: &Shared,
    request: &v1::GetProcessGroupRequest,
) -> Result<v1::GetProcessGroupResponse, Status> {
    let key = group_key(&shared.node, &request.scope, &request.group)?;
    let row = row(&shared.node, &key).ok_or_else(|| no_group(&key))?;
    Ok(v1::GetProcessGroupResponse { group: Some(row.encode()) })
}

/// Deletes a group, or tells whom that would concern.
pub(super) async fn delete(
    shared: &Shared,
    caller: &Caller,
    request: v1::DeleteProcessGroupRequest,
) -> Result<v1::DeleteProcessGroupResponse, Status> {
    let node = &shared.node;
    let key = group_key(node, &request.scope, &request.group)?;
    let command = Command::DeleteGroup {
        group: Arc::clone(&key),
        version: version(&request.etag),
        expected_count: request.expected_count,
    };
    let applied = if request.dry_run {
        // the very decision, on a copy
        let mut copy = node.read_registry(RegistryState::clone);
        copy.apply(&command).map(|applied| (applied, 0))
    } else {
        node.propose(command, caller.operation).await.map(|applied| {
            let index = applied.index;
            (applied, index)
        })
    };
    let (applied, log_index) = applied.map_err(|error| of_registry(&error))?;
    let members = applied.changes.iter().flat_map(|change| &change.pids).take(PROCESSES_MAX);
    Ok(v1::DeleteProcessGroupResponse { members: members.map(Pid::to_string).collect(), log_index })
}

/// `pg:get_members/2`, `pg:get_local_members/2`.
pub(super) fn members(
    shared: &Shared,
    request: &v1::ListGroupMembersRequest,
) -> Result<v1::ListGroupMembersResponse, Status> {
    let node = &shared.node;
    let key = group_key(node, &request.scope, &request.group)?;
    // the view has the members on every node
    let only = match request.node.as_str() {
        "" | "-" => None,
        name => Some(shared.numbered(name).ok_or_else(|| reference::unknown_node(name))?),
    };
    let members = node.read_registry(|state| {
        let group = state.groups().get(&key)?;
        let members = group.members.iter().filter(|(pid, _)| only.is_none_or(|id| id == pid.node));
        Some(members.map(|(pid, count)| MemberRow { pid: *pid, count: *count }).collect::<Vec<_>>())
    });
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: &format!("{key}\0{}", request.node),
    };
    let (page, next_page_token) = query.page(members.ok_or_else(|| no_group(&key))?)?;
    let pids = page.iter().flat_map(|row| std::iter::repeat_n(row.pid.to_string(), row.count as usize));
    Ok(v1::ListGroupMembersResponse {
        pids: pids.collect(),
        members: page.iter().map(|row| row.encode()).collect(),
        next_page_token,
        unreached: Vec::new(),
        node: node.name().to_string(),
    })
}

/// `pg:monitor/2`.
pub(super) fn monitor(
    shared: &Shared,
    caller: &Caller,
    request: &v1::MonitorGroupRequest,
) -> Result<v1::MonitorGroupResponse, Status> {
    let node = &shared.node;
    let key = group_key(node, &request.scope, &request.group)?;
    let watcher = if request.watcher.is_empty() {
        let nobody = || {
            let message = "neither `watcher` nor a session says who is to be told";
            failure(Code::InvalidArgument, "NO_WATCHER", message).field("watcher").status()
        };
        caller.session().ok_or_else(nobody)?
    } else {
        caller.for_whom(node, reference::process(node, "watcher", &request.watcher)?.pid())?
    };
    let (monitor, members) = node.monitor_group(&key, watcher).ok_or_else(|| no_process(node, watcher))?;
    node.record("group.monitored", watcher, Pid::NONE, Term::Str(key), caller.operation);
    Ok(v1::MonitorGroupResponse { monitor: monitor.to_string(), members: texts(&members) })
}

fn policy(request: &v1::BroadcastToGroupRequest) -> Result<Policy<'_>, Status> {
    Ok(match broadcast::Policy::try_from(request.policy) {
        Ok(broadcast::Policy::Unspecified | broadcast::Policy::All) => Policy::All,
        Ok(broadcast::Policy::Random) => Policy::Random,
        Ok(broadcast::Policy::RoundRobin) => Policy::RoundRobin,
        Ok(broadcast::Policy::LeastQueued) => Policy::LeastQueued,
        Ok(broadcast::Policy::Nearest) => Policy::Nearest,
        Ok(broadcast::Policy::Hash) if request.key.is_empty() => {
            return Err(bad_argument("key", "`key` is empty; the policy HASH goes by it"));
        }
        Ok(broadcast::Policy::Hash) => Policy::Hash(&request.key),
        Err(_) => {
            return Err(bad_argument("policy", format!("`policy` is {}, which is none", request.policy)));
        }
    })
}

/// Sends to the members that a policy chooses.
pub(super) fn broadcast(
    api: &RegistryApi,
    caller: &Caller,
    request: v1::BroadcastToGroupRequest,
) -> Result<v1::BroadcastToGroupResponse, Status> {
    let node = &api.shared.node;
    let key = group_key(node, &request.scope, &request.group)?;
    let policy = policy(&request)?;
    let from = caller.acting(node, "from", &request.from)?.unwrap_or_default();
    let members = node.read_registry(|state| {
        state.groups().get(&key).map(|group| group.members.keys().copied().collect::<Vec<_>>())
    });
    let members = members.ok_or_else(|| no_group(&key))?;
    let chosen = api.choose(&key, policy, &candidates(node, &members));
    if chosen.is_empty() {
        let message = format!("group `{}` has no members", request.group);
        return Err(failure(Code::FailedPrecondition, "NO_MEMBERS", message)
            .resource("group", &key)
            .status());
    }
    let message = match request.payload {
        Some(broadcast::Payload::Message(value)) => payload::to_term(&value),
        Some(broadcast::Payload::MessageBytes(bytes)) => payload::bytes_to_term(bytes),
        None => Term::Null,
    };
    let (bytes, max) = (message.content_bytes(), node.limits().message_bytes_max);
    if bytes > max {
        let message = format!("the message has {bytes} bytes; one may have {max}");
        return Err(failure(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message).field("message").status());
    }
    let message = Message::info(from, message).with_operation(caller.operation);
    let deliveries = chosen.into_iter().map(|pid| delivery(node, pid, message.clone())).collect();
    node.record("group.broadcast", from, Pid::NONE, Term::Str(key), caller.operation);
    Ok(v1::BroadcastToGroupResponse { deliveries })
}

fn candidates(node: &Node, members: &[Pid]) -> Vec<Candidate> {
    let candidate = |pid: &Pid| Candidate {
        pid: *pid,
        queue_len: node.process(*pid).map_or(usize::MAX, |process| node.header(&process).queue_len),
        here: node.is_local(*pid),
    };
    members.iter().map(candidate).collect()
}

fn delivery(node: &Node, pid: Pid, message: Message) -> v1::broadcast_to_group_response::Delivery {
    let reason = match node.send(pid, message) {
        Sent::Delivered => "",
        Sent::MailboxFull => "QUEUE_FULL",
        Sent::TooBig => "MESSAGE_TOO_LARGE",
        Sent::NoProcess => "NOPROC",
        Sent::NoConnection => "NOCONNECTION",
    };
    v1::broadcast_to_group_response::Delivery {
        pid: pid.to_string(),
        node: node_of(pid),
        delivered: reason.is_empty(),
        reason: reason.to_owned(),
    }
}

impl RegistryApi {
    /// Chooses, and remembers whose turn it was.
    fn choose(&self, key: &Arc<str>, policy: Policy<'_>, members: &[Candidate]) -> Vec<Pid> {
        let mut turns = self.turns.lock();
        let chosen = choose(policy, members, turns.last(key), self.chance.draw());
        if let (Policy::RoundRobin, [pid]) = (policy, &chosen[..]) {
            turns.took(key, *pid);
        }
        chosen
    }
}
