//! What binds processes: links, monitors, trapping, group leaders; and their labels.

use super::end::ever_lived;
use super::options;
use super::start::no_party;
use crate::caller::Caller;
use crate::reference::{self, Reference};
use crate::status::{bad_argument, failure, no_process, of_control};
use crate::walk;
use arsenal_proto::v1;
use arsenal_runtime::{Kind, Message, Node, OwnedId, Pid, ProcessRef, Term};
use std::collections::BTreeMap;
use tonic::{Code, Status};

fn acting(node: &Node, caller: &Caller, field: &str, text: &str, reason: &str) -> Result<Pid, Status> {
    caller.acting(node, field, text)?.ok_or_else(|| no_party(field, reason))
}

/// `link/1` of `from`. A process that is not there is an error to one that does not trap exits, and an exit message
/// `noproc` to one that does.
pub(crate) fn link_from(node: &Node, from: Pid, to: &str, operation: u64) -> Result<Pid, Status> {
    let pid = reference::pid(node, "process", to)?;
    let traps = node.process(from).is_some_and(|process| node.header(&process).trap_exit);
    // of another node only a signal tells, as in OTP
    let both_here = ![from, pid].iter().any(|pid| node.is_remote(*pid));
    if both_here && !traps && !node.is_alive(pid) {
        return Err(no_process(node, pid));
    }
    node.link(from, pid).map_err(|error| of_control(node, &error))?;
    node.record("process.linked", pid, from, Term::Null, operation);
    Ok(pid)
}

/// `unlink/1` of `from`.
pub(crate) fn unlink_from(node: &Node, from: Pid, to: &str, operation: u64) -> Result<Pid, Status> {
    let pid = reference::pid(node, "process", to)?;
    node.unlink(from, pid).map_err(|error| of_control(node, &error))?;
    node.record("process.unlinked", pid, from, Term::Null, operation);
    Ok(pid)
}

/// `monitor/2` of `watcher`: of a pid, or of a name as it is held now. Gives the monitor and who is meant.
pub(crate) fn monitor_by(
    node: &Node,
    watcher: Pid,
    of: &str,
    operation: u64,
) -> Result<(OwnedId, Option<Pid>), Status> {
    let reference = Reference::parse("process", of)?;
    if let Reference::NameOn(name, on) = &reference
        && let Some(number) = Node::node_number(on).filter(|number| node.reaches(*number))
    {
        // one that is out of reach: the watcher hears so, as in OTP
        let monitor =
            node.monitor_name_on(watcher, number, name).map_err(|error| of_control(node, &error))?;
        node.record("process.monitored", Pid::NONE, watcher, monitor.into(), operation);
        return Ok((monitor, None));
    }
    let pid = reference.lookup(node)?;
    let name = match &reference {
        Reference::Pid(_) => None,
        Reference::Name(name)
        | Reference::NameOn(name, _)
        | Reference::Global(name)
        | Reference::Key(name) => Some(name.as_str()),
    };
    let monitor = node.monitor(watcher, pid, name).map_err(|error| of_control(node, &error))?;
    node.record("process.monitored", pid.unwrap_or(Pid::NONE), watcher, monitor.into(), operation);
    Ok((monitor, pid))
}

pub(super) fn link(
    node: &Node,
    caller: &Caller,
    request: v1::LinkProcessesRequest,
) -> Result<v1::LinkProcessesResponse, Status> {
    let from = acting(node, caller, "from", &request.from, "NO_FROM")?;
    let pid = link_from(node, from, &request.process, caller.operation)?;
    let (pid, node, from) = (pid.to_string(), node.name().to_string(), from.to_string());
    Ok(v1::LinkProcessesResponse { pid, node, from })
}

pub(super) fn unlink(
    node: &Node,
    caller: &Caller,
    request: v1::UnlinkProcessesRequest,
) -> Result<v1::UnlinkProcessesResponse, Status> {
    let from = acting(node, caller, "from", &request.from, "NO_FROM")?;
    let pid = unlink_from(node, from, &request.process, caller.operation)?;
    let (pid, node, from) = (pid.to_string(), node.name().to_string(), from.to_string());
    Ok(v1::UnlinkProcessesResponse { pid, node, from })
}

pub(super) fn monitor(
    node: &Node,
    caller: &Caller,
    request: v1::MonitorProcessRequest,
) -> Result<v1::MonitorProcessResponse, Status> {
    let watcher = acting(node, caller, "watcher", &request.watcher, "NO_WATCHER")?;
    let (monitor, pid) = monitor_by(node, watcher, &request.process, caller.operation)?;
    Ok(v1::MonitorProcessResponse {
        monitor: monitor.to_string(),
        pid: pid.map(|pid| pid.to_string()).unwrap_or_default(),
        node: node.name().to_string(),
        watcher: watcher.to_string(),
    })
}

/// The id of a monitor.
pub(crate) fn monitor_id(text: &str) -> Result<OwnedId, Status> {
    let id: Option<OwnedId> = text.parse().ok().filter(|id: &OwnedId| id.kind() == b'm');
    id.ok_or_else(|| bad_argument("monitor", format!("`{text}` is no id of a monitor")))
}

pub(super) async fn demonitor(
    node: &Node,
    caller: &Caller,
    request: v1::DemonitorRequest,
) -> Result<v1::DemonitorResponse, Status> {
    let monitor = monitor_id(&request.monitor)?;
    let named = if request.from.is_empty() { None } else { caller.acting(node, "from", &request.from)? };
    let owner = node.monitor_owner(monitor);
    if let (Some(named), Some(owner)) = (named, owner)
        && named != owner
    {
        let message = format!("monitor {monitor} is one of {owner}, not of {named}");
        return Err(failure(Code::PermissionDenied, "NOT_WATCHER", message)
            .resource("monitor", &request.monitor)
            .status());
    }
    // one that has fired has no owner any more, but its message may wait in the watcher's mailbox
    let told = match owner {
        None if request.flush => who_was_told(node, monitor, named).await?,
        _ => None,
    };
    let flushed = told.is_some();
    let watcher = match owner.or(told).or(named) {
        Some(watcher) => Some(watcher),
        None => caller.session(),
    };
    let found = match watcher {
        Some(watcher) => {
            node.demonitor(watcher, monitor, request.flush).map_err(|error| of_control(node, &error))?
        }
        None => false,
    };
    if found {
        node.record(
            "process.demonitored",
            Pid::NONE,
            watcher.unwrap_or(Pid::NONE),
            monitor.into(),
            caller.operation,
        );
    }
    Ok(v1::DemonitorResponse { found: !request.info || (found && !flushed) })
}

/// In whose mailbox the DOWN of a monitor waits: in that of `watcher`, where one is named, else it is looked for in all.
async fn who_was_told(node: &Node, monitor: OwnedId, watcher: Option<Pid>) -> Result<Option<Pid>, Status> {
    let is = move |message: &Message| message.kind == Kind::Down && message.reference == monitor.reference();
    let waits = move |node: &Node, process: &ProcessRef| {
        let found = node.mailbox(process, |_, message| is(message).then_some(()));
        (!found.is_empty()).then(|| process.pid())
    };
    if let Some(watcher) = watcher {
        return Ok(node.process(watcher).and_then(|process| waits(node, &process)));
    }
    let look = walk::over_processes(node, move |node| {
        let mut told = None;
        node.visit_processes(0, |process| {
            told = waits(node, process);
            told.is_none()
        });
        told
    });
    look.await
}

pub(super) fn set_trap_exit(
    node: &Node,
    caller: &Caller,
    request: v1::SetTrapExitRequest,
) -> Result<v1::SetTrapExitResponse, Status> {
    let process = reference::process(node, "process", &request.process)?;
    let trap_exit = request.trap_exit;
    let old_trap_exit =
        node.set_trap_exit(process.pid(), trap_exit).map_err(|error| of_control(node, &error))?;
    node.record("process.trap_exit_set", process.pid(), Pid::NONE, Term::Bool(trap_exit), caller.operation);
    let (pid, node) = super::place(node, &process);
    Ok(v1::SetTrapExitResponse { pid, node, old_trap_exit, trap_exit })
}

pub(super) fn set_group_leader(
    node: &Node,
    caller: &Caller,
    request: v1::SetGroupLeaderRequest,
) -> Result<v1::SetGroupLeaderResponse, Status> {
    let process = reference::process(node, "process", &request.process)?;
    let leader = ever_lived(node, "group_leader", &request.group_leader);
    let leader = leader.ok().filter(|leader| node.is_alive(*leader));
    let Some(leader) = leader else {
        if request.group_leader.is_empty() {
            return Err(bad_argument("group_leader", "`group_leader` is empty; it names a process"));
        }
        let message = format!("the group leader `{}` is not alive", request.group_leader);
        let failure = failure(Code::NotFound, "UNKNOWN_GROUP_LEADER", message);
        return Err(failure.resource("process", &request.group_leader).status());
    };
    let old = node.set_group_leader(process.pid(), Some(leader)).map_err(|error| of_control(node, &error))?;
    node.record("process.group_leader_set", process.pid(), leader, Term::Null, caller.operation);
    let (pid, node) = super::place(node, &process);
    let old_group_leader = old.map(|pid| pid.to_string()).unwrap_or_default();
    Ok(v1::SetGroupLeaderResponse { pid, node, old_group_leader, group_leader: leader.to_string() })
}

pub(super) fn update_labels(
    node: &Node,
    caller: &Caller,
    request: v1::UpdateProcessLabelsRequest,
) -> Result<v1::ProcessLabels, Status> {
    let process = reference::process(node, "process", &request.process)?;
    let given = request.process_labels.unwrap_or_default().labels;
    let paths = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
    let labels = patched(node.labels_of(&process), given, &paths)?;
    let pid = process.pid();
    node.replace_labels(pid, labels.clone()).map_err(|error| of_control(node, &error))?;
    node.record("process.labelled", pid, Pid::NONE, Term::Null, caller.operation);
    let labels = labels.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    Ok(v1::ProcessLabels { process: pid.to_string(), labels })
}

/// The labels after a change: `labels` replaces all, `labels.KEY` sets that one, or removes it where it is not given.
fn patched(
    old: options::Labels,
    given: std::collections::HashMap<String, String>,
    paths: &[String],
) -> Result<options::Labels, Status> {
    if paths.is_empty() || paths.iter().any(|path| path == "labels" || path == "*") {
        return options::labels(given);
    }
    let mut labels: BTreeMap<String, String> =
        old.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    for path in paths {
        let key = path.strip_prefix("labels.").map(|key| key.trim_matches('`')).filter(|key| !key.is_empty());
        let wrong = || bad_argument("update_mask", format!("`{path}` is neither `labels` nor `labels.KEY`"));
        let key = key.ok_or_else(wrong)?;
        match given.get(key) {
            Some(value) => labels.insert(key.to_owned(), value.clone()),
            None => labels.remove(key),
        };
    }
    options::labels(labels.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> std::collections::HashMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn keys(labels: &options::Labels) -> Vec<String> {
        labels.iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    #[test]
    fn a_mask_changes_the_labels_that_it_names_and_no_other() {
        let old = || options::labels(map(&[("a", "1"), ("b", "2")])).unwrap();
        let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
        assert_eq!(keys(&patched(old(), map(&[("c", "3")]), &[]).unwrap()), ["c=3"]);
        let one = patched(old(), map(&[("a", "9"), ("b", "9")]), &paths(&["labels.a"])).unwrap();
        assert_eq!(keys(&one), ["a=9", "b=2"]);
        assert_eq!(keys(&patched(old(), map(&[]), &paths(&["labels.a"])).unwrap()), ["b=2"]);
        assert!(patched(old(), map(&[]), &paths(&["name"])).is_err());
        assert!(patched(old(), map(&[]), &paths(&["labels."])).is_err());
    }
}
