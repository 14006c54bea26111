//! The children of a supervisor: list, count, start, stop, replace.

use super::ask::{ask, no_child, target, unexpected};
use super::spec::{self, child_id, encode_child, id_text, known_child};
use super::{children_page, encode};
use crate::caller::Caller;
use crate::payload;
use crate::process::options;
use crate::status::bad_spec;
use arsenal_behaviours::supervisor::spec::{ChildSpec, Instance, Restart, SpecError};
use arsenal_behaviours::supervisor::{SupervisorReply, SupervisorRequest};
use arsenal_proto::v1;
use arsenal_runtime::{Node, Pid, Term};
use tonic::{Code, Status};

/// Events that are looked through for what an operation did.
const EVENTS_MAX: usize = 100_000;

/// `supervisor:which_children/1`, a page.
pub(super) async fn which_children(
    node: &Node,
    request: &v1::WhichChildrenRequest,
) -> Result<v1::WhichChildrenResponse, Status> {
    let pid = target(node, &request.supervisor)?;
    let page = children_page::read(node, pid, request).await?;
    Ok(v1::WhichChildrenResponse {
        children: page.children,
        next_page_token: page.next_page_token,
        as_of: page.as_of,
        pid: pid.to_string(),
        node: node.name().to_string(),
    })
}

/// `supervisor:count_children/1`.
pub(super) async fn count(node: &Node, supervisor: &str) -> Result<v1::CountChildrenResponse, Status> {
    let pid = target(node, supervisor)?;
    match ask(node, pid, &SupervisorRequest::CountChildren, 0).await? {
        SupervisorReply::Counts(counts) => {
            let v1::ChildCounts { specs, active, supervisors, workers } = encode::counts(counts);
            let (pid, node) = (pid.to_string(), node.name().to_string());
            Ok(v1::CountChildrenResponse { specs, active, supervisors, workers, pid, node })
        }
        other => Err(unexpected(&other)),
    }
}

async fn child_spec(node: &Node, supervisor: Pid, child: Term) -> Result<ChildSpec, Status> {
    match ask(node, supervisor, &SupervisorRequest::GetChildSpec(child), 0).await? {
        SupervisorReply::ChildSpec(spec) => Ok(*spec),
        other => Err(unexpected(&other)),
    }
}

/// `supervisor:get_childspec/2`.
pub(super) async fn get_spec(
    node: &Node,
    request: &v1::GetChildSpecRequest,
) -> Result<v1::ChildSpec, Status> {
    let pid = target(node, &request.supervisor)?;
    Ok(encode_child(&child_spec(node, pid, child_id(&request.child)).await?))
}

/// A child that was started: its pid, empty for one that was ignored.
pub(super) struct Started {
    pub(super) pid: Option<Pid>,
    pub(super) node: String,
}

impl Started {
    pub(super) fn text(&self) -> String {
        self.pid.map(|pid| pid.to_string()).unwrap_or_default()
    }

    pub(super) fn ignored(&self) -> bool {
        self.pid.is_none()
    }
}

async fn started(
    node: &Node,
    supervisor: Pid,
    request: &SupervisorRequest,
    operation: u64,
) -> Result<Started, Status> {
    match ask(node, supervisor, request, operation).await? {
        SupervisorReply::Started { pid, .. } => Ok(Started { pid, node: node.name().to_string() }),
        other => Err(unexpected(&other)),
    }
}

/// `supervisor:start_child/2` with a specification whose restart type may be fixed.
pub(super) async fn start_child(
    node: &Node,
    caller: &Caller,
    supervisor: &str,
    spec: Option<v1::ChildSpec>,
    fixed: Option<Restart>,
) -> Result<Started, Status> {
    let pid = target(node, supervisor)?;
    let mut spec = spec.ok_or_else(|| bad_spec(&SpecError::Missing("spec")))?;
    if let Some(fixed) = fixed {
        if spec::restart(spec.restart)?.is_some_and(|asked| asked != fixed) {
            let value = Term::from(spec.restart().as_str_name().to_lowercase());
            return Err(bad_spec(&SpecError::Invalid {
                field: "restart",
                atom: "invalid_restart_type",
                value,
            }));
        }
        spec.restart = spec::encode_restart(fixed);
    }
    let request = SupervisorRequest::StartChild(Box::new(spec::child(spec)?));
    started(node, pid, &request, caller.operation).await
}

/// An instance of a template.
pub(super) async fn add_dynamic(
    node: &Node,
    caller: &Caller,
    request: v1::AddDynamicChildRequest,
) -> Result<v1::AddDynamicChildResponse, Status> {
    use v1::add_dynamic_child_request::Payload;
    let pid = target(node, &request.supervisor)?;
    let args = match request.payload {
        Some(Payload::Args(value)) => payload::to_term(&value),
        Some(Payload::ArgsBytes(bytes)) => payload::bytes_to_term(bytes),
        None => Term::Null,
    };
    let instance = Instance {
        args,
        name: spec::name(&request.name, request.name_scope)?,
        key: (!request.key.is_empty()).then(|| request.key.into()),
        labels: options::labels(request.labels)?,
    };
    let add = SupervisorRequest::AddDynamicChild(Box::new(instance));
    let started = started(node, pid, &add, caller.operation).await?;
    Ok(v1::AddDynamicChildResponse { pid: started.text(), ignored: started.ignored(), node: started.node })
}

/// `supervisor:restart_child/2`.
pub(super) async fn restart(
    node: &Node,
    caller: &Caller,
    request: &v1::RestartChildRequest,
) -> Result<v1::RestartChildResponse, Status> {
    let pid = target(node, &request.supervisor)?;
    let restart = SupervisorRequest::RestartChild(child_id(&request.child));
    let started = started(node, pid, &restart, caller.operation).await?;
    let process = started.pid.and_then(|pid| node.process(pid));
    Ok(v1::RestartChildResponse {
        pid: started.text(),
        ignored: started.ignored(),
        incarnation: process.and_then(|process| node.incarnation_of(&process)).unwrap_or_default(),
        node: started.node,
    })
}

/// `supervisor:delete_child/2`.
pub(super) async fn delete(
    node: &Node,
    caller: &Caller,
    request: &v1::DeleteChildRequest,
) -> Result<v1::DeleteChildResponse, Status> {
    let pid = target(node, &request.supervisor)?;
    let child = child_id(&request.child);
    let spec = child_spec(node, pid, child.clone()).await;
    match ask(node, pid, &SupervisorRequest::DeleteChild(child), caller.operation).await? {
        SupervisorReply::Done => Ok(v1::DeleteChildResponse {
            supervisor: pid.to_string(),
            node: node.name().to_string(),
            spec: spec.ok().map(|spec| encode_child(&spec)),
        }),
        other => Err(unexpected(&other)),
    }
}

/// `supervisor:terminate_child/2`. What ended, and how, is read back from the event log.
pub(super) async fn terminate(
    node: &Node,
    caller: &Caller,
    request: &v1::TerminateChildRequest,
) -> Result<v1::TerminateChildResponse, Status> {
    let pid = target(node, &request.supervisor)?;
    let child = child_id(&request.child);
    let before = node.events().last_sequence();
    let terminate = SupervisorRequest::TerminateChild(child.clone());
    ask(node, pid, &terminate, caller.operation).await?;
    let events = node.events().after(before, EVENTS_MAX).events.into_iter().rev();
    let stopped =
        events.filter(|event| event.kind == "supervisor.child_stopped" && event.pid == pid).find(|event| {
            let is_child =
                event.detail.get("id").is_some_and(|id| *id == child) || Term::Pid(event.other) == child;
            is_child && event.operation == caller.operation
        });
    let reason = stopped.as_ref().and_then(|event| event.detail.get("reason").cloned());
    let gone = child_spec(node, pid, child).await;
    Ok(v1::TerminateChildResponse {
        pid: stopped.map(|event| event.other.to_string()).unwrap_or_default(),
        node: node.name().to_string(),
        killed: reason.as_ref().is_some_and(|reason| reason.is("killed")),
        reason: reason.as_ref().map(payload::to_value),
        removed: gone.is_err_and(|status| status.code() == Code::NotFound),
    })
}

/// Another spec in the old place.
pub(super) async fn replace(
    node: &Node,
    caller: &Caller,
    request: v1::ReplaceChildSpecRequest,
) -> Result<v1::ReplaceChildSpecResponse, Status> {
    let pid = target(node, &request.supervisor)?;
    let mut spec = request.spec.ok_or_else(|| bad_spec(&SpecError::Missing("spec")))?;
    if request.child.is_empty() {
        return Err(no_child(&request.child));
    }
    if spec.id.is_empty() {
        spec.id.clone_from(&request.child);
    }
    let etag = Some(std::mem::take(&mut spec.etag)).filter(|etag| !etag.is_empty());
    let spec = known_child(spec)?;
    let child = child_id(&request.child);
    if id_text(&spec.id) != id_text(&child) {
        return Err(bad_spec(&SpecError::Invalid { field: "id", atom: "invalid_id", value: spec.id }));
    }
    let replace = SupervisorRequest::ReplaceChildSpec {
        child,
        spec: Box::new(spec.clone()),
        etag,
        restart: request.restart,
    };
    match ask(node, pid, &replace, caller.operation).await? {
        SupervisorReply::Replaced { etag, pid: child } => Ok(v1::ReplaceChildSpecResponse {
            spec: Some(v1::ChildSpec { etag, ..encode_child(&spec) }),
            pid: child.map(|child| child.to_string()).unwrap_or_default(),
            restarted: request.restart,
            node: node.name().to_string(),
        }),
        other => Err(unexpected(&other)),
    }
}
