//! Who is told what a supervisor does.

use super::super::core::Occurrence;
use arsenal_runtime::context::Context;
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::Term;
use std::sync::{Arc, LazyLock};

/// Told of everything that a supervisor does, in order, inside its turn: it must not take long.
pub trait Observer: Send + Sync + 'static {
    /// Something has happened to the supervisor whose context this is, in the course of `operation`.
    fn observe(&self, occurrence: &Occurrence, operation: u64, context: &mut Context<'_>);
}

/// Writes it into the node's event log, as `supervisor.child_started` and the like: the supervisor's pid, the child's
/// as `other`, the rest as detail.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventLog;

impl Observer for EventLog {
    fn observe(&self, occurrence: &Occurrence, operation: u64, context: &mut Context<'_>) {
        let (kind, child, detail) = event(occurrence);
        context.node().record(kind, context.me(), child, detail, operation);
    }
}

/// The members of details, made once: each restart tells three.
struct Members {
    id: Arc<str>,
    reason: Arc<str>,
    restarts: Arc<str>,
    incarnation: Arc<str>,
    owed: Arc<str>,
}

static MEMBERS: LazyLock<Members> = LazyLock::new(|| Members {
    id: "id".into(),
    reason: "reason".into(),
    restarts: "restarts".into(),
    incarnation: "incarnation".into(),
    owed: "owed".into(),
});

fn map<const N: usize>(members: [(&Arc<str>, Term); N]) -> Term {
    Term::map(members.map(|(key, value)| (Arc::clone(key), value)))
}

fn count(count: usize) -> Term {
    Term::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// Kind, child and detail of the record.
fn event(occurrence: &Occurrence) -> (&'static str, Pid, Term) {
    let of = &*MEMBERS;
    let only = |id: &Term| map([(&of.id, id.clone())]);
    let ended = |id: &Term, reason: &Term| map([(&of.id, id.clone()), (&of.reason, reason.clone())]);
    let counted = |id: &Term, restarts: usize| map([(&of.id, id.clone()), (&of.restarts, count(restarts))]);
    match occurrence {
        Occurrence::Started { id, pid, incarnation } => {
            let detail = map([(&of.id, id.clone()), (&of.incarnation, Term::Int((*incarnation).into()))]);
            let kind =
                if *incarnation > 1 { "supervisor.child_restarted" } else { "supervisor.child_started" };
            (kind, *pid, detail)
        }
        Occurrence::StartFailed { id, reason } => {
            ("supervisor.child_start_failed", Pid::NONE, ended(id, reason))
        }
        Occurrence::Exited { id, pid, reason } => ("supervisor.child_exited", *pid, ended(id, reason)),
        Occurrence::Stopped { id, pid, reason } => ("supervisor.child_stopped", *pid, ended(id, reason)),
        Occurrence::Restarting { id, restarts } => {
            ("supervisor.child_restarting", Pid::NONE, counted(id, *restarts))
        }
        Occurrence::Escalated { id, restarts } => ("supervisor.escalated", Pid::NONE, counted(id, *restarts)),
        Occurrence::AutoShutdown { id } => ("supervisor.auto_shutdown", Pid::NONE, only(id)),
        Occurrence::Owed { id } => ("supervisor.child_owed", Pid::NONE, only(id)),
        Occurrence::Deleted { id } => ("supervisor.child_deleted", Pid::NONE, only(id)),
        Occurrence::Changed => ("supervisor.changed", Pid::NONE, Term::Null),
        Occurrence::Paused => ("supervisor.paused", Pid::NONE, Term::Null),
        Occurrence::Resumed { owed } => ("supervisor.resumed", Pid::NONE, map([(&of.owed, count(*owed))])),
    }
}
