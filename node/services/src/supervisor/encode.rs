//! What a supervisor tells of itself, for the wire.

use super::spec::{
    bound, encode_auto_shutdown, encode_kind, encode_restart, encode_strategy, id_text, modules,
};
use crate::process::holds;
use crate::time;
use arsenal_behaviours::supervisor::core::{ChildCounts, ChildState};
use arsenal_behaviours::supervisor::request::{ChildInfo, FlagsReport};
use arsenal_proto::v1;
use arsenal_runtime::hold::HoldKind;
use arsenal_runtime::{Node, Pid};

/// A child as it is now.
pub(super) fn child(child: &ChildInfo) -> v1::Child {
    let state = match child.state {
        ChildState::Running(_) => v1::child::State::Running,
        ChildState::Restarting(_) => v1::child::State::Restarting,
        ChildState::Starting | ChildState::Stopped | ChildState::Owed(_) => v1::child::State::Undefined,
    };
    v1::Child {
        id: id_text(&child.id),
        pid: child.state.pid().map(|pid| pid.to_string()).unwrap_or_default(),
        state: state.into(),
        r#type: encode_kind(child.kind),
        modules: modules(child.modules.as_deref(), &child.module),
        dynamic_modules: child.modules.as_ref().is_some_and(Vec::is_empty),
        owed: matches!(child.state, ChildState::Owed(_)),
        incarnation: child.incarnation.into(),
        restart: encode_restart(child.restart),
    }
}

/// The flags as they stand.
pub(super) fn flags(node: &Node, supervisor: Pid, report: &FlagsReport) -> v1::SupervisorFlags {
    let pauses = node.holds_of(supervisor).into_iter().filter(|hold| hold.kind == HoldKind::PauseSupervision);
    let expires_ns = pauses.map(|hold| hold.expires_ns).max();
    v1::SupervisorFlags {
        supervisor: supervisor.to_string(),
        strategy: encode_strategy(report.flags.strategy),
        intensity: Some(report.flags.intensity),
        period: Some(time::to_proto(report.flags.period)),
        auto_shutdown: encode_auto_shutdown(report.flags.auto_shutdown),
        max_children: report.flags.children_max.map(bound),
        restarts_used: bound(report.restarts_used),
        paused: report.paused,
        pause_expire_time: expires_ns.map(|expires_ns| time::timestamp(node, expires_ns)),
        etag: report.etag.clone(),
    }
}

/// All pauses of a supervisor.
pub(super) fn pauses(node: &Node, supervisor: Pid) -> Vec<v1::Hold> {
    holds::holds_of(node, supervisor, HoldKind::PauseSupervision)
}

/// The children by kind.
pub(super) fn counts(counts: ChildCounts) -> v1::ChildCounts {
    v1::ChildCounts {
        specs: counts.specs as u64,
        active: counts.active as u64,
        supervisors: counts.supervisors as u64,
        workers: counts.workers as u64,
    }
}
