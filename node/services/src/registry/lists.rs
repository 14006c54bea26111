//! Names in lists: local ones, global ones, both at once.

use super::groups;
use super::rows::Registration;
use crate::listing::Query;
use crate::status::{failure, of_registry};
use crate::{Shared, reference, time};
use arsenal_proto::v1;
use arsenal_runtime::Node;
use std::time::Duration;
use tonic::{Code, Status};

/// Entries of the whole registry in one answer.
const CONTENTS_MAX: usize = 100_000;

fn locals(node: &Node) -> Vec<Registration> {
    let names = node.registered().into_iter();
    names.map(|(name, entry)| Registration::local(node, &name, entry)).collect()
}

fn globals(node: &Node) -> (Vec<Registration>, u64) {
    node.read_registry(|state| {
        let names = state.names().iter();
        (names.map(|(name, entry)| Registration::global(name, entry)).collect(), state.index())
    })
}

fn encode(registrations: &[Registration]) -> Vec<v1::NameRegistration> {
    registrations.iter().map(Registration::encode).collect()
}

/// `registered/0`.
pub(super) fn registered(
    shared: &Shared,
    request: &v1::RegisteredNamesRequest,
) -> Result<v1::RegisteredNamesResponse, Status> {
    let node = &shared.node;
    reference::check_node(node, &request.node)?;
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: "local",
    };
    let (page, next_page_token) = query.page(locals(node))?;
    let registrations = encode(&page);
    Ok(v1::RegisteredNamesResponse {
        names: registrations.iter().map(|registration| registration.name.clone()).collect(),
        registrations,
        next_page_token,
        unreached: Vec::new(),
        node: node.name().to_string(),
    })
}

/// The names that a condition is true of.
pub(super) fn search(
    shared: &Shared,
    request: &v1::SearchRegistryByMetadataRequest,
) -> Result<v1::SearchRegistryByMetadataResponse, Status> {
    let node = &shared.node;
    reference::check_node(node, &request.node)?;
    if request.filter.is_empty() {
        let message = "`filter` is empty; a search needs a condition";
        return Err(failure(Code::InvalidArgument, "BAD_FILTER", message).field("filter").status());
    }
    let mut names = locals(node);
    names.extend(globals(node).0);
    names.sort_by(|a, b| a.order().cmp(&b.order()));
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: "search",
    };
    let (page, next_page_token) = query.page(names)?;
    Ok(v1::SearchRegistryByMetadataResponse {
        registrations: encode(&page),
        next_page_token,
        unreached: Vec::new(),
        node: node.name().to_string(),
    })
}

/// `global:registered_names/0`.
pub(super) fn list_globals(
    shared: &Shared,
    request: &v1::ListGlobalNamesRequest,
) -> Result<v1::ListGlobalNamesResponse, Status> {
    let (names, log_index) = globals(&shared.node);
    let query = Query {
        filter: &request.filter,
        order_by: &request.order_by,
        page_size: request.page_size,
        page_token: &request.page_token,
        of: "global",
    };
    let (page, next_page_token) = query.page(names)?;
    let registrations = encode(&page);
    Ok(v1::ListGlobalNamesResponse {
        names: registrations.iter().map(|registration| registration.name.clone()).collect(),
        registrations,
        next_page_token,
        log_index,
        node: shared.node.name().to_string(),
    })
}

/// All there is, the global part no older than the log index asked for.
pub(super) async fn contents(
    shared: &Shared,
    request: &v1::ListRegistryContentsRequest,
) -> Result<v1::ListRegistryContentsResponse, Status> {
    let node = &shared.node;
    await_index(node, request.log_index).await?;
    let (names, groups, log_index) = node.read_registry(|state| {
        let names: Vec<Registration> =
            state.names().iter().map(|(name, entry)| Registration::global(name, entry)).collect();
        (names, groups::contents(state), state.index())
    });
    let locals = locals(node);
    let memberships: usize = groups.iter().map(|group| group.members.len() + 1).sum();
    let entries = names.len() + locals.len() + memberships;
    if entries > CONTENTS_MAX {
        let message = format!("the registry has {entries} entries; an answer has room for {CONTENTS_MAX}");
        return Err(failure(Code::ResourceExhausted, "TOO_MANY", message).status());
    }
    let here = v1::list_registry_contents_response::NodeNames {
        node: node.name().to_string(),
        names: encode(&locals),
        time: Some(time::timestamp(node, node.now_ns())),
    };
    Ok(v1::ListRegistryContentsResponse {
        global_names: encode(&names),
        groups,
        log_index,
        local_names: vec![here],
        unreached: Vec::new(),
        node: node.name().to_string(),
    })
}

/// Waits until the local view has come to `index`; whoever asks without a deadline of their own waits 30 seconds.
async fn await_index(node: &Node, index: u64) -> Result<(), Status> {
    const PATIENCE: Duration = Duration::from_secs(30);
    const PAUSE: Duration = Duration::from_millis(10);
    if index == 0 {
        return Ok(());
    }
    node.synchronize_registry().await.map_err(|error| of_registry(&error))?;
    let reached = async {
        while node.read_registry(|state| state.index()) < index {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.map_err(|_| {
        let at = node.read_registry(|state| state.index());
        let message =
            format!("the registry is at log index {at}; it did not come to {index} within {PATIENCE:?}");
        failure(Code::DeadlineExceeded, "TIMEOUT", message).status()
    })
}
