//! The end of a family: a process, its descendants and what is linked to them, one after the other, leaves first.
//!
//! Invariants: nobody outside the family ends of it: links between its members, and to starters that do not trap exits,
//! are removed before a member ends. A supervised member is ended by its supervisor, so that it counts as a terminated
//! child and is not restarted.

use crate::supervisor::SupervisorRequest;
use arsenal_runtime::family::Member;
use arsenal_runtime::module::Behaviour;
use arsenal_runtime::node::Node;
use arsenal_runtime::pid::Pid;
use arsenal_runtime::stop::Stopped;
use arsenal_runtime::term::{Reason, Term};
use std::collections::HashSet;
use std::time::Duration;

/// How long a killed member is waited for: code that never yields is left to itself.
const KILLING_MAX: Duration = Duration::from_secs(5);

/// Ends the members in their order, each with `reason` (a supervised one as its supervisor does) and killed after
/// `timeout`. Gives the exit reason of each.
pub async fn end(
    node: &Node,
    members: &[Member],
    reason: &Reason,
    timeout: Duration,
    operation: u64,
) -> Vec<(Pid, Reason)> {
    let family: HashSet<Pid> = members.iter().map(|member| member.pid).collect();
    let mut ended = Vec::with_capacity(members.len());
    for Member { pid, .. } in members {
        let supervisor = supervisor_of(node, *pid);
        release(node, *pid, supervisor, &family);
        let gone = match supervisor {
            Some(supervisor) => end_child(node, supervisor, *pid, timeout, operation).await,
            None => stop(node, *pid, reason, timeout, operation).await,
        };
        if !gone {
            node.kill_by(*pid, Term::KILLED, operation);
            node.await_exit_within(*pid, KILLING_MAX).await;
        }
        let known = node.events().exit_of(*pid).map(|record| record.reason);
        ended.push((*pid, known.unwrap_or(Term::NOPROC)));
    }
    ended
}

fn behaviour(node: &Node, pid: Pid) -> Option<Behaviour> {
    node.process(pid).map(|process| node.header(&process).code.behaviour)
}

/// The supervisor whose child the process is.
fn supervisor_of(node: &Node, pid: Pid) -> Option<Pid> {
    let info = node.info(pid)?;
    let parent = info.header.parent.filter(|_| info.child_id.is_some())?;
    (behaviour(node, parent) == Some(Behaviour::Supervisor)).then_some(parent)
}

/// Removes the links through which the end of `pid` would end others.
fn release(node: &Node, pid: Pid, supervisor: Option<Pid>, family: &HashSet<Pid>) {
    let links = node.info(pid).map(|info| info.links).unwrap_or_default();
    for link in links.into_iter().filter(|link| Some(*link) != supervisor) {
        let traps = node.process(link).is_some_and(|process| node.header(&process).trap_exit);
        if family.contains(&link) || !traps {
            // one that has ended meanwhile has no links
            let _ = node.unlink(pid, link);
        }
    }
}

async fn end_child(node: &Node, supervisor: Pid, pid: Pid, timeout: Duration, operation: u64) -> bool {
    let request = SupervisorRequest::TerminateProcess(pid).to_term();
    let answer = node.call(supervisor, request, Some(timeout), operation).await;
    answer.is_ok_and(|answer| SupervisorRequest::read_reply(&answer).is_some_and(|outcome| outcome.is_ok()))
        && !node.is_alive(pid)
}

async fn stop(node: &Node, pid: Pid, reason: &Reason, timeout: Duration, operation: u64) -> bool {
    node.stop(Pid::NONE, pid, reason.clone(), timeout, operation).await != Stopped::Pending
}
