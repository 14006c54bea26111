//! What `grpc.health.v1` is told of a node: the same of the node as a whole, under the empty name, and of each service of the
//! contract under its own, since clients ask for the one that they call. All of them serve, or none does.

use arsenal_services::operations;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

/// Tells `health` that the node, and with it each of its services, is so.
pub(crate) async fn tell(health: &HealthReporter, status: ServingStatus) {
    health.set_service_status("", status).await;
    for service in operations::service_names() {
        health.set_service_status(service, status).await;
    }
}
