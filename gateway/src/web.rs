//! What the gateway answers by itself, beside the service's own routes: the OpenAPI document, the page that shows it,
//! and the health of upstream.

mod docs;
mod grpc_web;
mod health;
pub(crate) mod origin;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};

pub(crate) use grpc_web::{Dialect, pass};

use crate::{
    config::GrpcCalls,
    service::{Answering, GatewayService, ready},
};

/// Where the OpenAPI document is.
pub(crate) const OPENAPI_PATH: &str = "/openapi.json";
/// What keeps a browser from reading bytes as another type than they are said to be, such as an upload as a page.
pub(crate) const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
/// Where its page is.
pub(crate) const DOCS_PATH: &str = "/docs";

/// The dialect of gRPC in which a client that has stubs makes a call; none for any other request.
pub(crate) fn dialect(service: &GatewayService, request: &Request<Body>) -> Option<Dialect> {
    if service.compiled.config.grpc == GrpcCalls::None || request.method() != Method::POST {
        return None;
    }
    Dialect::of(request.headers())
}

/// Whether one of these is at a path.
pub(crate) fn is_page(service: &GatewayService, path: &str) -> bool {
    path == OPENAPI_PATH || path == DOCS_PATH || service.compiled.config.health_path.as_deref() == Some(path)
}

/// The answer, if the request is for one of these.
pub(crate) fn answer<'a>(service: &'a GatewayService, request: &Request<Body>) -> Option<Answering<'a>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return None;
    }
    let compiled = &service.compiled;
    match request.uri().path() {
        OPENAPI_PATH => Some(ready(document("application/json", compiled.openapi.clone()))),
        DOCS_PATH => Some(ready(docs::page())),
        path if compiled.config.health_path.as_deref() == Some(path) => {
            Some(Box::pin(health::check(service, request.uri().query().map(str::to_owned))))
        }
        _ => None,
    }
}

fn document(content_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    *response.body_mut() = Body::from(body);
    response
}
