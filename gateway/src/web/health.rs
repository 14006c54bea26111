//! grpc.health.v1 as plain HTTP, for probes that speak nothing else.

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};

use crate::{
    failure::Failure,
    grpc::Messages,
    service::GatewayService,
    transcode::wire::{Reader, WireType},
};

/// HealthCheckResponse.ServingStatus.SERVING
const SERVING: u64 = 1;

/// Asks upstream for its overall health: 200 while it serves, else 503.
pub(super) async fn check(service: &GatewayService) -> Result<Response<Body>, Failure> {
    let serving = serving(service).await;
    let body = if serving { r#"{"status":"SERVING"}"# } else { r#"{"status":"NOT_SERVING"}"# };
    let mut response = Response::new(Body::from(body));
    if !serving {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

async fn serving(service: &GatewayService) -> bool {
    let mut request = Request::new(Body::from(vec![0; crate::grpc::PREFIX]));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/grpc.health.v1.Health/Check");
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let Ok(response) = service.upstream.call(request).await else { return false };
    let Ok((_, mut messages)) = Messages::open(response, &service.compiled.config) else { return false };
    let Some(Ok(message)) = messages.next().await else { return false };
    let mut reader = Reader::new(&message);
    while let Ok((number, wire_type)) = reader.tag() {
        if (number, wire_type) == (1, WireType::Varint) {
            return reader.varint() == Ok(SERVING);
        }
        if reader.skip(number, wire_type, 10).is_err() {
            break;
        }
    }
    false
}
