//! Lists of supervisors.

use super::lifecycle::describe;
use crate::listing::{Query, Row};
use crate::reference;
use crate::walk;
use arsenal_observe::predicate::{Field, FieldType};
use arsenal_proto::v1;
use arsenal_runtime::module::Behaviour;
use arsenal_runtime::{Node, Pid, Term};
use futures_util::stream::{self, StreamExt as _};
use std::time::Duration;
use tonic::Status;

/// How long a supervisor has to answer; one that does not is named instead of shown.
const PATIENCE: Duration = Duration::from_secs(2);
/// Supervisors that are asked at the same time.
const ASKED_MAX: usize = 64;

/// All supervisors of this node that a filter admits, in order.
pub(super) async fn list(
    node: &Node,
    request: &v1::ListSupervisorsRequest,
) -> Result<v1::ListSupervisorsResponse, Status> {
    reference::check_node(node, &request.node)?;
    let found = walk::over_processes(node, supervisors).await?;
    let asked = stream::iter(found).map(|pid| async move {
        let answer = tokio::time::timeout(PATIENCE, describe(node, pid)).await;
        (pid, answer)
    });
    let answers: Vec<_> = asked.buffered(ASKED_MAX).collect().await;
    let (mut rows, mut unanswered) = (Vec::new(), Vec::new());
    for (pid, answer) in answers {
        match answer {
            Ok(Ok(supervisor)) => rows.push(SupervisorRow(pid, supervisor)),
            // it has ended meanwhile
            Ok(Err(_)) if !node.is_alive(pid) => {}
            Ok(Err(_)) | Err(_) => unanswered.push(pid.to_string()),
        }
    }
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: "supervisors",
    };
    let (page, next_page_token) = query.page(rows)?;
    Ok(v1::ListSupervisorsResponse {
        supervisors: page.into_iter().map(|row| row.1).collect(),
        next_page_token,
        unreached: Vec::new(),
        node: node.name().to_string(),
        unanswered,
    })
}

fn supervisors(node: &Node) -> Vec<Pid> {
    let mut pids = Vec::new();
    node.visit_processes(0, |process| {
        if node.header(process).code.behaviour == Behaviour::Supervisor {
            pids.push(process.pid());
        }
        true
    });
    pids.sort_unstable();
    pids
}

struct SupervisorRow(Pid, v1::Supervisor);

fn integer(number: impl Into<u64>) -> Term {
    Term::Int(i64::try_from(number.into()).unwrap_or(i64::MAX))
}

impl Row for SupervisorRow {
    const FIELDS: &'static [Field] = &[
        ("pid", FieldType::Text),
        ("name", FieldType::Text),
        ("node", FieldType::Text),
        ("flags", FieldType::Map),
        ("counts", FieldType::Map),
        ("owed", FieldType::List),
        ("owed_count", FieldType::Number),
        ("holds", FieldType::List),
        ("parent", FieldType::Text),
        ("restarts_total", FieldType::Number),
        ("start_time", FieldType::Text),
    ];

    fn field(&self, name: &str) -> Term {
        let Self(pid, shown) = self;
        match name {
            "pid" => (*pid).into(),
            "name" => Term::str(shown.name.as_str()),
            "node" => Term::str(shown.node.as_str()),
            "flags" => shown.flags.as_ref().map(flags).unwrap_or_default(),
            "counts" => shown.counts.map(counts).unwrap_or_default(),
            "owed" => Term::list(shown.owed.iter().map(|id| Term::str(id.as_str()))),
            "owed_count" => integer(shown.owed_count),
            "holds" => Term::list(shown.holds.iter().map(|hold| {
                Term::map([
                    ("hold", Term::str(hold.hold.as_str())),
                    ("holder", Term::str(hold.holder.as_str())),
                ])
            })),
            "parent" => Term::str(shown.parent.as_str()),
            "restarts_total" => integer(shown.restarts_total),
            _ => shown.start_time.map(|time| Term::from(time.to_string())).unwrap_or_default(),
        }
    }
}

fn flags(flags: &v1::SupervisorFlags) -> Term {
    let seconds = |period: prost_types::Duration| {
        Duration::try_from(period).map_or(Term::Null, |period| Term::Float(period.as_secs_f64()))
    };
    Term::map([
        ("strategy", Term::from(flags.strategy().as_str_name())),
        ("intensity", integer(flags.intensity())),
        ("period", flags.period.map(seconds).unwrap_or_default()),
        ("auto_shutdown", flags.auto_shutdown().as_str_name().into()),
        ("max_children", flags.max_children.map(integer).unwrap_or_default()),
        ("restarts_used", integer(flags.restarts_used)),
        ("paused", flags.paused.into()),
    ])
}

fn counts(counts: v1::ChildCounts) -> Term {
    Term::map([
        ("specs", integer(counts.specs)),
        ("active", integer(counts.active)),
        ("supervisors", integer(counts.supervisors)),
        ("workers", integer(counts.workers)),
    ])
}
