//! Names: local ones of this node on the spot, global ones through the replicated registry.

use super::metadata;
use super::rows::Registration;
use crate::caller::Caller;
use crate::reference::{self, Reference};
use crate::status::{bad_argument, failure, of_name, of_registry};
use crate::{Shared, payload};
use arsenal_proto::v1::{self, global_whereis_name_request::Consistency, name_scope::Scope};
use arsenal_runtime::names::{NameError, check_name};
use arsenal_runtime::registry::{Command, RegistryError};
use arsenal_runtime::{Node, Pid, Term};
use std::sync::Arc;
use tonic::{Code, Status};

/// How often a full replacement of metadata is tried against others that change them.
const REPLACEMENTS_MAX: usize = 32;

/// The process that a name is to be given to. Who is not there is no missing resource here but a wrong state.
fn holder_to_be(shared: &Shared, name: &str, process: &str) -> Result<Pid, Status> {
    let node = &shared.node;
    check_name(name).map_err(|error| of_name(node, &error))?;
    let nobody = || {
        let message = format!("no process is registered as `{process}`");
        failure(Code::FailedPrecondition, "NOPROC", message).exit(&Term::NOPROC, Pid::NONE, None).status()
    };
    let pid = Reference::parse("process", process)?.lookup(node)?.ok_or_else(nobody)?;
    // whether a process of another node lives, that node knows: it frees what the dead hold
    if node.is_alive(pid) || shared.is_elsewhere(pid) {
        Ok(pid)
    } else {
        Err(of_name(node, &NameError::NoProcess(pid)))
    }
}

fn metadata_term(metadata: Option<prost_types::Struct>) -> Result<Term, Status> {
    let term = metadata.map(payload::struct_to_term).unwrap_or_default();
    metadata::check_size(&term)?;
    Ok(term)
}

/// A version that an etag asks for; one that no name ever has where it is none of ours.
pub(super) fn version(etag: &str) -> Option<u64> {
    (!etag.is_empty()).then(|| etag.parse().unwrap_or(u64::MAX))
}

fn scope(number: i32) -> Result<Scope, Status> {
    match Scope::try_from(number) {
        Ok(Scope::Unspecified) => Ok(Scope::Local),
        Ok(scope) => Ok(scope),
        Err(_) => Err(bad_argument("scope", format!("`scope` is {number}, which is none"))),
    }
}

/// A local name's registration, of a process that lives.
fn local(node: &Node, name: &str) -> Result<Registration, Status> {
    let entry = node.name_entry(name).filter(|entry| node.is_alive(entry.pid));
    let entry = entry.ok_or_else(|| of_name(node, &NameError::NotRegistered(name.to_owned())))?;
    Ok(Registration::local(node, name, entry))
}

/// A global name's registration and the log index that it holds for.
fn global(node: &Node, name: &str) -> Result<(Registration, u64), Status> {
    let found = node.read_registry(|state| {
        let (name, entry) = state.names().get_key_value(name)?;
        Some((Registration::global(name, entry), entry.pid, state.index()))
    });
    match found {
        // one of ours that has just ended has no name any more, though that is not yet committed
        Some((registration, pid, index)) if !node.is_local(pid) || node.is_alive(pid) => {
            Ok((registration, index))
        }
        _ => Err(of_registry(&RegistryError::NotRegistered(name.into()))),
    }
}

/// `register/2`.
pub(super) fn register(
    shared: &Shared,
    caller: &Caller,
    request: v1::RegisterProcessRequest,
) -> Result<v1::RegisterProcessResponse, Status> {
    let node = &shared.node;
    let pid = holder_to_be(shared, &request.name, &request.process)?;
    let registered = node.register(&request.name, pid, Term::Null, caller.operation);
    registered.map_err(|error| of_name(node, &error))?;
    Ok(v1::RegisterProcessResponse { registration: Some(local(node, &request.name)?.encode()) })
}

/// `unregister/1`.
pub(super) fn unregister(
    shared: &Shared,
    caller: &Caller,
    request: v1::UnregisterProcessRequest,
) -> Result<v1::UnregisterProcessResponse, Status> {
    let node = &shared.node;
    reference::check_node(node, &request.node)?;
    let held = node.unregister(&request.name, version(&request.etag), caller.operation);
    let pid = held.map_err(|error| of_name(node, &error))?;
    Ok(v1::UnregisterProcessResponse { pid: pid.to_string(), node: node.name().to_string() })
}

/// `whereis/1`.
pub(super) fn whereis(
    shared: &Shared,
    request: &v1::WhereisProcessRequest,
) -> Result<v1::WhereisProcessResponse, Status> {
    let node = &shared.node;
    reference::check_node(node, &request.node)?;
    let found = local(node, &request.name)?.encode();
    Ok(v1::WhereisProcessResponse { pid: found.pid, node: found.node })
}

/// `global:register_name/2` and `global:re_register_name/2`.
pub(super) async fn register_globally(
    shared: &Shared,
    caller: &Caller,
    request: v1::RegisterProcessGloballyRequest,
) -> Result<v1::RegisterProcessGloballyResponse, Status> {
    let node = &shared.node;
    let pid = holder_to_be(shared, &request.name, &request.process)?;
    let command = Command::Register {
        name: request.name.as_str().into(),
        pid,
        replace: request.replace,
        // global:re_register_name does not ask for other names
        allow_multiple: request.allow_multiple || request.replace,
        metadata: metadata_term(request.metadata)?,
        at_ms: node.calendar_ms(),
    };
    let applied = node.propose(command, caller.operation).await.map_err(|error| of_registry(&error))?;
    let registration = global(node, &request.name).map(|(registration, _)| registration.encode());
    Ok(v1::RegisterProcessGloballyResponse {
        // it may have ended, or lost the name, since the commit
        registration: registration.ok().filter(|registration| registration.token == applied.index),
        token: applied.index,
        log_index: applied.index,
        replaced_pid: applied
            .holder
            .filter(|_| request.replace)
            .map(|pid| pid.to_string())
            .unwrap_or_default(),
    })
}

/// `global:unregister_name/1`.
pub(super) async fn unregister_globally(
    shared: &Shared,
    caller: &Caller,
    request: v1::UnregisterProcessGloballyRequest,
) -> Result<v1::UnregisterProcessGloballyResponse, Status> {
    let command = Command::Unregister { name: request.name.into(), token: request.token };
    let applied =
        shared.node.propose(command, caller.operation).await.map_err(|error| of_registry(&error))?;
    Ok(v1::UnregisterProcessGloballyResponse {
        pid: applied.holder.unwrap_or_default().to_string(),
        log_index: applied.index,
    })
}

/// `global:whereis_name/1`.
pub(super) async fn whereis_globally(
    shared: &Shared,
    request: v1::GlobalWhereisNameRequest,
) -> Result<v1::GlobalWhereisNameResponse, Status> {
    let node = &shared.node;
    if request.consistency() == Consistency::Linearizable {
        node.synchronize_registry().await.map_err(|error| of_registry(&error))?;
    }
    let (found, log_index) = global(node, &request.name)?;
    let found = found.encode();
    Ok(v1::GlobalWhereisNameResponse { pid: found.pid, node: found.node, token: found.token, log_index })
}

/// A local or a global name, with metadata.
pub(super) async fn register_with_metadata(
    shared: &Shared,
    caller: &Caller,
    request: v1::RegisterProcessWithMetadataRequest,
) -> Result<v1::RegisterProcessWithMetadataResponse, Status> {
    let node = &shared.node;
    if scope(request.scope)? == Scope::Global {
        let answer = register_globally(
            shared,
            caller,
            v1::RegisterProcessGloballyRequest {
                name: request.name,
                process: request.process,
                metadata: request.metadata,
                ..Default::default()
            },
        );
        let v1::RegisterProcessGloballyResponse { registration, log_index, .. } = answer.await?;
        return Ok(v1::RegisterProcessWithMetadataResponse { registration, log_index });
    }
    let pid = holder_to_be(shared, &request.name, &request.process)?;
    let metadata = metadata_term(request.metadata)?;
    let registered = node.register(&request.name, pid, metadata, caller.operation);
    registered.map_err(|error| of_name(node, &error))?;
    let registration = Some(local(node, &request.name)?.encode());
    Ok(v1::RegisterProcessWithMetadataResponse { registration, log_index: 0 })
}

/// Merges a patch into the metadata of a name. What the patch comes to under a mask depends on what is there, so it is
/// made anew, unless the caller named a version, if somebody else was faster.
pub(super) async fn update_metadata(
    shared: &Shared,
    caller: &Caller,
    request: v1::UpdateProcessMetadataRequest,
) -> Result<v1::UpdateProcessMetadataResponse, Status> {
    let node = &shared.node;
    reference::check_node(node, &request.node)?;
    let scope = scope(request.scope)?;
    let mask = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
    let asked = version(&request.etag);
    let change = request.metadata.map_or_else(|| Term::map::<&str>([]), payload::struct_to_term);
    for _ in 0..REPLACEMENTS_MAX {
        let current = match scope {
            Scope::Global => global(node, &request.name)?.0,
            _ => local(node, &request.name)?,
        };
        let patch = metadata::patch(current.metadata(), &change, &mask)?;
        metadata::check_size(&current.metadata().merge_patch(&patch))?;
        let version = Some(asked.unwrap_or(current.version()));
        let log_index = match apply_patch(node, scope, &request.name, version, patch, caller.operation).await
        {
            Err(status) if asked.is_none() && status.code() == Code::Aborted => continue,
            outcome => outcome?,
        };
        let registration = match scope {
            Scope::Global => global(node, &request.name)?.0,
            _ => local(node, &request.name)?,
        };
        return Ok(v1::UpdateProcessMetadataResponse {
            registration: Some(registration.encode()),
            log_index,
        });
    }
    let message = format!("the metadata of `{}` were changed by others all the while", request.name);
    Err(failure(Code::Aborted, "ETAG_MISMATCH", message).status())
}

async fn apply_patch(
    node: &Node,
    scope: Scope,
    name: &str,
    version: Option<u64>,
    patch: Term,
    operation: u64,
) -> Result<u64, Status> {
    if scope == Scope::Global {
        let command = Command::SetMetadata { name: name.into(), version, patch };
        let applied = node.propose(command, operation).await.map_err(|error| of_registry(&error))?;
        return Ok(applied.index);
    }
    let updated = node.update_metadata(name, version, &patch, operation);
    updated.map(|_| 0).map_err(|error| of_name(node, &error))
}

/// The metadata of a name.
pub(super) fn get_metadata(
    shared: &Shared,
    request: &v1::GetNameMetadataRequest,
) -> Result<v1::GetNameMetadataResponse, Status> {
    let node = &shared.node;
    reference::check_node(node, &request.node)?;
    let registration = match scope(request.scope)? {
        Scope::Global => global(node, &request.name)?.0,
        _ => local(node, &request.name)?,
    };
    Ok(v1::GetNameMetadataResponse { registration: Some(registration.encode()) })
}

/// The shared name of what a group is known by, checked.
pub(super) fn group_key(node: &Node, scope: &str, group: &str) -> Result<Arc<str>, Status> {
    let check = |field: &str, name: &str| match check_name(name) {
        Err(NameError::Invalid { why, .. }) => {
            Err(bad_argument(field, format!("`{name}` cannot be a {field}'s name: {why}")))
        }
        outcome => outcome.map_err(|error| of_name(node, &error)),
    };
    check("group", group)?;
    if !scope.is_empty() {
        check("scope", scope)?;
    }
    Ok(arsenal_runtime::registry::group_key(scope, group))
}
