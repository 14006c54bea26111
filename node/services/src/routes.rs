//! All services of a node as one router, with the layers that every RPC passes.

use crate::introspection::IntrospectionApi;
use crate::layer::{IdempotencyLayer, OperationLayer, TraceLayer};
use crate::messaging::MessagingApi;
use crate::operations::{self, Effect, Operation};
use crate::process::ProcessApi;
use crate::registry::RegistryApi;
use crate::session::SessionApi;
use crate::shared::Shared;
use crate::supervisor::SupervisorApi;
use arsenal_proto::FILE_DESCRIPTOR_SET;
use arsenal_proto::v1::introspection_service_server::IntrospectionServiceServer;
use arsenal_proto::v1::messaging_service_server::MessagingServiceServer;
use arsenal_proto::v1::process_service_server::ProcessServiceServer;
use arsenal_proto::v1::registry_service_server::RegistryServiceServer;
use arsenal_proto::v1::session_service_server::SessionServiceServer;
use arsenal_proto::v1::supervisor_service_server::SupervisorServiceServer;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

/// Limits of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireLimits {
    /// Bytes of one message that is received.
    pub message_bytes_max: usize,
    /// Bytes of one message that is sent.
    pub response_bytes_max: usize,
}

impl Default for WireLimits {
    fn default() -> Self {
        Self { message_bytes_max: 4 << 20, response_bytes_max: 64 << 20 }
    }
}

/// The services; layers not yet applied. One line each, with its limits:
/// `.add_service(XServiceServer::new(XApi::new(shared.clone())).max_decoding_message_size(limits.message_bytes_max).max_encoding_message_size(limits.response_bytes_max))`
fn services(shared: &Shared, limits: WireLimits) -> Routes {
    Routes::default()
        .add_service(
            IntrospectionServiceServer::new(IntrospectionApi::new(shared.clone()))
                .max_decoding_message_size(limits.message_bytes_max)
                .max_encoding_message_size(limits.response_bytes_max),
        )
        .add_service(
            MessagingServiceServer::new(MessagingApi::new(shared.clone()))
                .max_decoding_message_size(limits.message_bytes_max)
                .max_encoding_message_size(limits.response_bytes_max),
        )
        .add_service(
            ProcessServiceServer::new(ProcessApi::new(shared.clone()))
                .max_decoding_message_size(limits.message_bytes_max)
                .max_encoding_message_size(limits.response_bytes_max),
        )
        .add_service(
            SessionServiceServer::new(SessionApi::new(shared.clone()))
                .max_decoding_message_size(limits.message_bytes_max)
                .max_encoding_message_size(limits.response_bytes_max),
        )
        .add_service(
            SupervisorServiceServer::new(SupervisorApi::new(shared.clone()))
                .max_decoding_message_size(limits.message_bytes_max)
                .max_encoding_message_size(limits.response_bytes_max),
        )
        .add_service(
            RegistryServiceServer::new(RegistryApi::new(shared.clone()))
                .max_decoding_message_size(limits.message_bytes_max)
                .max_encoding_message_size(limits.response_bytes_max),
        )
}

fn is_unary(operation: &Operation) -> bool {
    !operation.method.is_client_streaming() && !operation.method.is_server_streaming()
}

/// All services with reflection and health, behind their layers: for a listener and, in process, for the gateway. The
/// reporter says whether the node is healthy.
///
/// # Errors
/// If the embedded descriptor set cannot be read.
pub fn router(
    shared: &Shared,
    limits: WireLimits,
) -> Result<(HealthReporter, axum::Router), tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let changing = operations::all().into_iter().filter(|operation| operation.effect != Effect::Read);
    let (mutations, unary): (Vec<_>, Vec<_>) =
        changing.map(|operation| (operation.path(), is_unary(&operation).then(|| operation.path()))).unzip();
    let unary = unary.into_iter().flatten();
    let router = services(shared, limits)
        .add_service(health)
        .add_service(reflection)
        .prepare()
        .into_axum_router()
        // one stack, outermost first, since the router boxes each stack and clones it for each request; idempotency is
        // outside the operation layer, so that a repeat shows the operation that the first one was
        .layer((
            TraceLayer,
            IdempotencyLayer::new(shared.node.clone(), unary, limits.message_bytes_max),
            OperationLayer::new(shared.node.clone(), mutations),
        ));
    Ok((reporter, router))
}
