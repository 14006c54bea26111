//! grpc.health.v1 as plain HTTP, for probes that speak nothing else.

use std::borrow::Cow;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};

use crate::{
    failure::{Failure, Reason},
    path,
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

/// Asks upstream for its health, or with `?service=NAME` for that of one service: 200 while it serves, else 503. An error
/// that upstream answers with is the answer here too, such as 404 for a service that it does not know.
pub(super) async fn check(
    service: &GatewayService,
    query: Option<String>,
) -> Result<Response<Body>, Failure> {
    let of = asked_of(service, query.as_deref().unwrap_or_default())?;
    let asked =
        tokio::time::timeout(service.compiled.config.health_max, health::ask(&*service.upstream, &of));
    // Whoever cannot be asked, or does not say, does not serve.
    let number = match asked.await {
        Ok(Ok(Health::Told(number))) => number,
        Ok(Ok(Health::Unknown) | Err(_)) | Err(_) => NOT_SERVING,
        Ok(Ok(Health::Refused(code))) => {
            let message = format!("upstream does not tell the health of `{of}`: {}", code.name());
            let failure = service.compiled.failure(Reason::UpstreamUnavailable, message);
            return Err(Failure { code, ..failure });
        }
    };
    let (name, http_status) = STATUSES.get(number as usize).copied().unwrap_or(STATUSES[0]);
    let mut response = Response::new(Body::from(format!(r#"{{"status":"{name}"}}"#)));
    *response.status_mut() = http_status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The service that a query names, empty where it names none.
fn asked_of(service: &GatewayService, query: &str) -> Result<String, Failure> {
    let named = query.split('&').filter_map(|parameter| parameter.strip_prefix("service=")).next();
    let decoded = path::decode_query(named.unwrap_or_default(), service.compiled.config.query.plus_as_space);
    let malformed = |error| {
        service.compiled.failure(Reason::InvalidTarget, format!("query parameter `service`: {error}"))
    };
    decoded.map(Cow::into_owned).map_err(malformed)
}
