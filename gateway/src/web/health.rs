//! grpc.health.v1 as plain HTTP, for probes that speak nothing else.

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use crate::{
    failure::Failure,
    grpc::Messages,
    service::GatewayService,
    transcode::wire::{Reader, WireType},
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
    let number = status_number(service).await.unwrap_or(2);
    let (name, http_status) = STATUSES.get(number as usize).copied().unwrap_or(STATUSES[0]);
    let mut response = Response::new(Body::from(format!(r#"{{"status":"{name}"}}"#)));
    *response.status_mut() = http_status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn status_number(service: &GatewayService) -> Option<u64> {
    let mut request = Request::new(Body::from(vec![0; crate::grpc::PREFIX]));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/grpc.health.v1.Health/Check");
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let response = service.upstream.call(request).await.ok()?;
    let (_, mut messages) = Messages::open(response, &service.compiled).ok()?;
    let message = messages.next().await?.ok()?;
    let mut reader = Reader::new(&message);
    let mut number = 0;
    while !reader.is_empty() {
        match reader.tag().ok()? {
            (1, WireType::Varint) => number = reader.varint().ok()?,
            (field, wire_type) => reader.skip(field, wire_type, 10).ok()?,
        }
    }
    Some(number)
}
