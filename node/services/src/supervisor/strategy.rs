//! Flags and strategies: read, changed, converted.

use super::ask::{ask, children, flags as read_flags, target, unexpected};
use super::encode;
use super::spec::{
    encode_auto_shutdown, encode_child, encode_kind, encode_restart, encode_strategy, flag_changes, id_text,
    masked_changes, strategy,
};
use crate::caller::Caller;
use crate::status::{bad_argument, of_supervisor};
use crate::time;
use arsenal_behaviours::supervisor::request::{FlagChanges, FlagsReport};
use arsenal_behaviours::supervisor::spec::{ChildKind, ChildSpec, Restart, Shutdown, Strategy};
use arsenal_behaviours::supervisor::{SupervisorError, SupervisorReply, SupervisorRequest};
use arsenal_proto::v1::{self, restart_strategy::ChildRule, restart_strategy::child_rule::Stop};
use arsenal_runtime::{Node, Pid};
use tonic::Status;

/// A change of flags: the flags before and after, and whether they differ.
pub(super) struct Change {
    pub(super) before: FlagsReport,
    pub(super) after: FlagsReport,
    pub(super) changed: bool,
    supervisor: Pid,
}

impl Change {
    /// The flags now.
    pub(super) fn flags(&self, node: &Node) -> Option<v1::SupervisorFlags> {
        Some(encode::flags(node, self.supervisor, &self.after))
    }

    /// The strategy before.
    pub(super) fn old_strategy(&self) -> i32 {
        encode_strategy(self.before.flags.strategy)
    }
}

async fn change(
    node: &Node,
    caller: &Caller,
    supervisor: &str,
    request: &SupervisorRequest,
) -> Result<Change, Status> {
    let supervisor = target(node, supervisor)?;
    let before = read_flags(node, supervisor).await?;
    match ask(node, supervisor, request, caller.operation).await? {
        SupervisorReply::Changed { changed, flags: after } => {
            Ok(Change { before, after, changed, supervisor })
        }
        other => Err(unexpected(&other)),
    }
}

async fn set(node: &Node, caller: &Caller, supervisor: &str, changes: FlagChanges) -> Result<Change, Status> {
    change(node, caller, supervisor, &SupervisorRequest::SetFlags { changes, etag: None }).await
}

/// Switches among the three strategies that need no conversion.
pub(super) async fn change_strategy(
    node: &Node,
    caller: &Caller,
    request: &v1::ChangeSupervisorStrategyRequest,
) -> Result<v1::ChangeSupervisorStrategyResponse, Status> {
    let Some(wanted) = strategy(request.strategy)? else {
        return Err(bad_argument("strategy", "`strategy` is absent; it says which one is to be followed"));
    };
    let pid = target(node, &request.supervisor)?;
    let present = read_flags(node, pid).await?.flags.strategy;
    if wanted == Strategy::SimpleOneForOne || present == Strategy::SimpleOneForOne {
        // also where it is that already: this RPC has no business with it
        return Err(of_supervisor(&SupervisorError::NeedsConversion { from: present, to: wanted }));
    }
    let changes = FlagChanges { strategy: Some(wanted), ..FlagChanges::default() };
    let change = set(node, caller, &request.supervisor, changes).await?;
    Ok(v1::ChangeSupervisorStrategyResponse {
        old_strategy: change.old_strategy(),
        flags: change.flags(node),
        node: node.name().to_string(),
    })
}

/// Sets how many restarts a period allows.
pub(super) async fn change_intensity(
    node: &Node,
    caller: &Caller,
    request: &v1::ChangeSupervisorIntensityRequest,
) -> Result<v1::ChangeSupervisorIntensityResponse, Status> {
    let intensity = request.intensity.ok_or_else(|| {
        bad_argument("intensity", "`intensity` is absent; it says how many restarts a period allows")
    })?;
    let changes = FlagChanges { intensity: Some(intensity), ..FlagChanges::default() };
    let change = set(node, caller, &request.supervisor, changes).await?;
    Ok(v1::ChangeSupervisorIntensityResponse {
        old_intensity: change.before.flags.intensity,
        flags: change.flags(node),
        node: node.name().to_string(),
    })
}

/// Sets the time in which restarts are counted.
pub(super) async fn change_period(
    node: &Node,
    caller: &Caller,
    request: &v1::ChangeSupervisorPeriodRequest,
) -> Result<v1::ChangeSupervisorPeriodResponse, Status> {
    let wrong =
        || bad_argument("period", "`period` must be present, positive and a whole number of milliseconds");
    if request.period.is_none() {
        return Err(wrong());
    }
    let changes = flag_changes(0, None, request.period.as_ref(), 0, None).map_err(|_| wrong())?;
    let change = set(node, caller, &request.supervisor, changes).await?;
    Ok(v1::ChangeSupervisorPeriodResponse {
        old_period: Some(time::to_proto(change.before.flags.period)),
        flags: change.flags(node),
        node: node.name().to_string(),
    })
}

/// The flags as they stand.
pub(super) async fn get_flags(node: &Node, supervisor: &str) -> Result<v1::SupervisorFlags, Status> {
    let pid = target(node, supervisor)?;
    Ok(encode::flags(node, pid, &read_flags(node, pid).await?))
}

/// Several flags at once, all or none.
pub(super) async fn set_flags(
    node: &Node,
    caller: &Caller,
    request: v1::SetSupervisorFlagsRequest,
) -> Result<v1::SupervisorFlags, Status> {
    let flags = request.flags.unwrap_or_default();
    let mask = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
    let changes = masked_changes(&flags, &mask)?;
    let etag = Some(flags.etag).filter(|etag| !etag.is_empty());
    let set = SupervisorRequest::SetFlags { changes, etag };
    let change = change(node, caller, &request.supervisor, &set).await?;
    Ok(encode::flags(node, change.supervisor, &change.after))
}

/// Another strategy, children converted where that takes it.
pub(super) async fn convert(
    node: &Node,
    caller: &Caller,
    supervisor: &str,
    to: Strategy,
) -> Result<Change, Status> {
    change(node, caller, supervisor, &SupervisorRequest::Convert(to)).await
}

/// The template that the children's specs became.
pub(super) fn template(change: &Change) -> Option<v1::ChildSpec> {
    change.after.template.as_deref().map(encode_child)
}

/// The restart rules of a supervisor and its children.
pub(super) async fn rules(node: &Node, supervisor: &str) -> Result<v1::RestartStrategy, Status> {
    let pid = target(node, supervisor)?;
    let report = read_flags(node, pid).await?;
    let children = match report.template.as_deref() {
        Some(ChildSpec { restart, shutdown, significant, kind, .. }) => {
            vec![rule(String::new(), *restart, *shutdown, *significant, *kind)]
        }
        None => {
            let children = children(node, pid).await?.into_iter().rev();
            let encode = children.map(|child| {
                rule(id_text(&child.id), child.restart, child.shutdown, child.significant, child.kind)
            });
            encode.collect()
        }
    };
    Ok(v1::RestartStrategy {
        supervisor: pid.to_string(),
        strategy: encode_strategy(report.flags.strategy),
        intensity: report.flags.intensity,
        period: Some(time::to_proto(report.flags.period)),
        auto_shutdown: encode_auto_shutdown(report.flags.auto_shutdown),
        children,
    })
}

fn rule(id: String, restart: Restart, shutdown: Shutdown, significant: bool, kind: ChildKind) -> ChildRule {
    ChildRule {
        id,
        restart: encode_restart(restart),
        stop: Some(match shutdown {
            Shutdown::BrutalKill => Stop::BrutalKill(true),
            Shutdown::Infinity => Stop::Infinity(true),
            Shutdown::Timeout(timeout) => Stop::Shutdown(time::to_proto(timeout)),
        }),
        significant,
        r#type: encode_kind(kind),
    }
}
