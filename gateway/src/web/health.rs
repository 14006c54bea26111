//! grpc.health.v1 as plain HTTP, for probes that speak nothing else.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

use crate::{
    failure::Failure,
    service::GatewayService,
    upstream::health::{self, Health, NOT_SERVING},
};

/// grpc.health.v1.HealthCheckResponse.ServingStatus, by number.
const STATUSES: [(&str, StatusCode); 4] = [
    ("UNKNOWN", StatusCode::SERVICE_UNAVAILABLE),
    ("SERVING", StatusCode::OK),
    ("NOT_SERVING", StatusCode::SERVICE_UNAVAILABLE),
    ("SERVICE_UNKNOWN", StatusCode::NOT_FOUND),
];

/// Asks upstream for its overall health: 200 while it serves, else 503.
pub(super) async fn check(service: &GatewayService) -> Result<Response<Body>, Failure> {
    // Whoever cannot be asked does not serve.
    let number = match health::ask(&*service.upstream).await {
        Ok(Health::Told(number)) => number,
        Ok(Health::Unknown) | Err(_) => NOT_SERVING,
    };
    let (name, http_status) = STATUSES.get(number as usize).copied().unwrap_or(STATUSES[0]);
    let mut response = Response::new(Body::from(format!(r#"{{"status":"{name}"}}"#)));
    *response.status_mut() = http_status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
