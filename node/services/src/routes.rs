//! All services of a node as one router, with the layers that every RPC passes.

use crate::layer::OperationLayer;
use crate::operations::{self, Effect};
use crate::process::ProcessApi;
use crate::registry::RegistryApi;
use crate::session::SessionApi;
use crate::shared::Shared;
use arsenal_proto::FILE_DESCRIPTOR_SET;
use arsenal_proto::v1::process_service_server::ProcessServiceServer;
use arsenal_proto::v1::registry_service_server::RegistryServiceServer;
use arsenal_proto::v1::session_service_server::SessionServiceServer;
use tonic::service::Routes;

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
        .add_service(ProcessServiceServer::new(ProcessApi::new(shared.clone())).max_decoding_message_size(limits.message_bytes_max).max_encoding_message_size(limits.response_bytes_max))
        .add_service(SessionServiceServer::new(SessionApi::new(shared.clone())).max_decoding_message_size(limits.message_bytes_max).max_encoding_message_size(limits.response_bytes_max))
        .add_service(RegistryServiceServer::new(RegistryApi::new(shared.clone())).max_decoding_message_size(limits.message_bytes_max).max_encoding_message_size(limits.response_bytes_max))
}

/// The services behind their layers: for a listener and, in process, for the gateway.
pub fn router(shared: &Shared, limits: WireLimits) -> axum::Router {
    let changing = operations::all().into_iter().filter(|operation| operation.effect != Effect::Read);
    let mutations = changing.map(|operation| operation.path());
    services(shared, limits)
        .prepare()
        .into_axum_router()
        .layer(OperationLayer::new(shared.node.clone(), mutations))
}

/// Health of the whole node and of each service, and reflection of the contract.
///
/// # Errors
/// If the embedded descriptor set cannot be read.
pub fn standard_services() -> Result<(tonic_health::server::HealthReporter, Routes), tonic_reflection::server::Error> {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    Ok((reporter, Routes::new(health).add_service(reflection)))
}
