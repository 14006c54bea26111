//! Starting a process on the node that is named.
//!
//! Who asks is answered by the node asked, and the process is started by its own: that one makes the link, so that it is
//! there from the first moment; the monitor is its watcher's, whose node is the one asked.

use super::{ask, list};
use crate::Shared;
use crate::caller::Caller;
use crate::process::start;
use crate::status::{bad_argument, of_control};
use arsenal_membership::Node as Known;
use arsenal_proto::v1;
use arsenal_proto::v1::cluster_service_client::ClusterServiceClient;
use arsenal_runtime::{Pid, StartOptions};
use tonic::{Code, Status};

pub(super) async fn spawn(
    shared: &Shared,
    caller: &Caller,
    mut request: v1::SpawnProcessOnNodeRequest,
) -> Result<v1::SpawnProcessOnNodeResponse, Status> {
    let (place, _) = list::known(shared, "node", &request.node)?;
    let parent = related(shared, caller, request.link, "parent", &request.parent)?;
    let watcher = related(shared, caller, request.monitor, "watcher", &request.watcher)?;
    let outcome = if place.id == shared.nodes.own() {
        here(shared, caller, request, parent).await
    } else {
        (request.monitor, request.watcher) = (false, String::new());
        request.parent = parent.map(|parent| parent.to_string()).unwrap_or_default();
        there(shared, place.id, caller.asking(request)).await
    };
    let mut response = match outcome {
        Ok(response) => response,
        Err(status) => {
            if status.code() == Code::Unavailable && place.id != shared.nodes.own() {
                no_connection(shared, &place, parent, watcher);
            }
            return Err(status);
        }
    };
    if let (Some(watcher), Ok(pid)) = (watcher, response.pid.parse::<Pid>()) {
        let monitor = shared.node.monitor(watcher, Some(pid), None);
        response.monitor = monitor.map_err(|error| of_control(&shared.node, &error))?.to_string();
    }
    Ok(response)
}

/// The process in `field`, else the session's, where a link or a monitor was asked for. One of another node is named by
/// that node, which looked whether it lives.
fn related(
    shared: &Shared,
    caller: &Caller,
    asked: bool,
    field: &str,
    text: &str,
) -> Result<Option<Pid>, Status> {
    match text.parse::<Pid>() {
        _ if !asked => Ok(None),
        Ok(pid) if shared.node.is_remote(pid) => Ok(Some(pid)),
        _ => {
            let reason = if field == "parent" { "NO_PARENT" } else { "NO_WATCHER" };
            start::other(&shared.node, caller, field, text, reason).map(Some)
        }
    }
}

async fn there(
    shared: &Shared,
    place: u32,
    request: tonic::Request<v1::SpawnProcessOnNodeRequest>,
) -> Result<v1::SpawnProcessOnNodeResponse, Status> {
    // what init may take is bounded by the request itself, and by who asked
    let timeout = std::time::Duration::from_secs(24 * 3600);
    ask::one(shared, place, timeout, |channel| async move {
        let mut client = ClusterServiceClient::new(channel);
        client.spawn_process_on_node(request).await.map(tonic::Response::into_inner)
    })
    .await
}

async fn here(
    shared: &Shared,
    caller: &Caller,
    request: v1::SpawnProcessOnNodeRequest,
    parent: Option<Pid>,
) -> Result<v1::SpawnProcessOnNodeResponse, Status> {
    let node = &shared.node;
    let join = |options: &mut StartOptions| {
        options.parent = parent;
        options.link = parent.is_some();
    };
    let (pid, ignored) = if request.function.is_empty() {
        start::start_joined(node, caller, to_start(request), join).await?
    } else {
        let process = start::run_function(node, caller, to_spawn(request)?, join)?;
        (process.pid().to_string(), false)
    };
    Ok(v1::SpawnProcessOnNodeResponse { pid, ignored, node: node.name().to_string(), monitor: String::new() })
}

fn to_start(request: v1::SpawnProcessOnNodeRequest) -> v1::StartProcessRequest {
    use v1::spawn_process_on_node_request::Payload;
    use v1::start_process_request::Payload as Start;
    v1::StartProcessRequest {
        module: request.module,
        payload: request.payload.map(|payload| match payload {
            Payload::Args(args) => Start::Args(args),
            Payload::ArgsBytes(bytes) => Start::ArgsBytes(bytes),
        }),
        name: request.name,
        name_scope: request.name_scope,
        key: request.key,
        priority: request.priority,
        limits: request.limits,
        labels: request.labels,
        timeout: request.timeout,
        ..Default::default()
    }
}

fn to_spawn(request: v1::SpawnProcessOnNodeRequest) -> Result<v1::SpawnProcessRequest, Status> {
    use v1::spawn_process_on_node_request::Payload;
    use v1::spawn_process_request::Payload as Spawn;
    for (field, given) in [
        ("name", !request.name.is_empty()),
        ("key", !request.key.is_empty()),
        ("timeout", request.timeout.is_some()),
    ] {
        if given {
            return Err(bad_argument(
                field,
                format!("`{field}` goes with a start, and `function` runs one function"),
            ));
        }
    }
    Ok(v1::SpawnProcessRequest {
        module: request.module,
        function: request.function,
        payload: request.payload.map(|payload| match payload {
            Payload::Args(args) => Spawn::Args(args),
            Payload::ArgsBytes(bytes) => Spawn::ArgsBytes(bytes),
        }),
        priority: request.priority,
        limits: request.limits,
        labels: request.labels,
        ..Default::default()
    })
}

/// The link or monitor that was asked for fires `noconnection`, as that of a process which is out of reach.
fn no_connection(shared: &Shared, place: &Known, parent: Option<Pid>, watcher: Option<Pid>) {
    // of no process, and of that life of the node
    let nobody = Pid::new(place.id, place.incarnation, 0);
    // whoever has ended in the meantime hears nothing
    let _ = parent.map(|parent| shared.node.link(parent, nobody));
    let _ = watcher.map(|watcher| shared.node.monitor(watcher, Some(nobody), None));
}
