//! All services of a node, with the layers that every RPC passes.

use crate::cluster::ClusterApi;
use crate::introspection::IntrospectionApi;
use crate::layer::{
    ActingSession, DeadlineLayer, GuardLayer, IdempotencyLayer, MeterLayer, OperationLayer, Propagate,
    RouteLayer, TraceLayer,
};
use crate::messaging::MessagingApi;
use crate::operations::{self, Effect};
use crate::process::ProcessApi;
use crate::recovery::RecoveryApi;
use crate::reflection::Reflection;
use crate::registry::RegistryApi;
use crate::session::SessionApi;
use crate::shared::Shared;
use crate::supervisor::SupervisorApi;
use crate::wire::{Call, Facts, Run, Table, Wire, WireLimits};
use arsenal_proto::v1;
use axum::body::Body;
use http::Response;
use std::convert::Infallible;
use std::sync::Arc;
use tonic_health::server::HealthReporter;
use tower::{Layer as _, Service};

/// The services of the contract; one line each.
fn list(shared: &Shared, to: &mut Table) {
    v1::list_cluster_service(&Arc::new(ClusterApi::new(shared.clone())), to);
    v1::list_introspection_service(&Arc::new(IntrospectionApi::new(shared.clone())), to);
    v1::list_messaging_service(&Arc::new(MessagingApi::new(shared.clone())), to);
    v1::list_process_service(&Arc::new(ProcessApi::new(shared.clone())), to);
    v1::list_recovery_service(&Arc::new(RecoveryApi::new(shared.clone())), to);
    v1::list_registry_service(&Arc::new(RegistryApi::new(shared.clone())), to);
    v1::list_session_service(&Arc::new(SessionApi::new(shared.clone())), to);
    v1::list_supervisor_service(&Arc::new(SupervisorApi::new(shared.clone())), to);
}

/// All services with reflection and health, behind their layers: for a listener and, in process, for the gateway. The
/// reporter says whether the node is healthy.
///
/// # Errors
/// If the embedded descriptor set cannot be read.
pub fn wire(
    shared: &Shared,
    limits: WireLimits,
    propagate: Propagate,
) -> Result<(HealthReporter, Wire<impl Layered>), prost::DecodeError> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = Reflection::new()?;
    let facts = operations::all().into_iter().map(|operation| {
        let changes = operation.effect != Effect::Read;
        (operation.path(), Facts { changes, route: operation.route })
    });
    let mut table = Table::new(limits, facts);
    list(shared, &mut table);
    table.add_service(&health, &[("Check", false, false), ("Watch", false, true)]);
    table.add_service(&reflection.v1(), &[("ServerReflectionInfo", true, true)]);
    table.add_service(&reflection.v1alpha(), &[("ServerReflectionInfo", true, true)]);
    // outermost first; a request is sent on before its key is looked up, so that the node that executes it keeps the
    // answer; idempotency is outside the operation layer, so that a repeat shows the operation that the first one was
    let layers = (
        MeterLayer,
        TraceLayer,
        DeadlineLayer,
        RouteLayer::new(shared.clone(), limits, &table, propagate),
        IdempotencyLayer::new(shared.node.clone(), limits.message_bytes_max),
        OperationLayer::new(shared.node.clone()),
        GuardLayer(ActingSession(shared.node.clone())),
    );
    Ok((reporter, Wire::new(table, limits, layers.layer(Run))))
}

/// What the layers make of [`Run`].
pub trait Layered:
    Service<Call, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static
{
}

impl<S> Layered for S where
    S: Service<Call, Response = Response<Body>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}
