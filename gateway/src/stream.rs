//! Streams over HTTP: answers item by item, requests item by item.
//!
//! Nothing is buffered beyond one item: the server asks the body for a frame when the client has room, the body asks
//! upstream, and so back pressure reaches the one who produces.

mod elements;
mod framing;
mod items;
mod pieces;
pub(crate) mod websocket;

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use tokio::time::Instant;

use crate::{
    config::StreamFormat, failure::Failure, gateway::Compiled, grpc::Messages, metadata, method::Method,
    negotiate, web::NOSNIFF,
};

/// Where a browser says which item it had last.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(crate) use elements::{Refusal, request_body};
use framing::Framing;
use items::{Items, Source};
pub(crate) use pieces::upload_body;

/// Answers with a stream; the headers are the request's and those of upstream. An error before the first item keeps its
/// HTTP status.
pub(crate) async fn respond(
    compiled: Arc<Compiled>,
    method: &Method,
    (request, initial): (&HeaderMap, HeaderMap),
    mut messages: Messages,
    deadline: Option<Instant>,
    refusal: Refusal,
) -> Result<Response<Body>, Failure> {
    let first = match tokio::time::timeout(compiled.config.first_item_wait, messages.next()).await {
        Ok(first) => Some(first.transpose()?),
        Err(_) => None,
    };
    let configured = compiled.config.stream_format;
    let format = negotiate::stream_format(configured, request).unwrap_or(configured);
    let (framing, content_type) = match &first {
        Some(Some(message)) if method.raw_response => (Framing::Raw, compiled.raw_body(method, message)?.0),
        _ if method.raw_response => (Framing::Raw, HeaderValue::from_static("application/octet-stream")),
        _ => (Framing::of(format), content_type(format)),
    };
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if framing == Framing::Sse && matches!(first, Some(None)) && resumes(method, request) {
        // a browser that came back for more would come back for ever; this is the word on which it does not (HTML, 9.2.3)
        compiled.crossing.response(&initial, headers);
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Ok(response);
    }
    headers.insert(header::CONTENT_TYPE, content_type);
    if method.raw_response {
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    }
    // Proxies that gather answers before they pass them on leave this one alone.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    compiled.crossing.response(&initial, headers);
    let trailers = metadata::takes_trailers(request);
    if let Some(names) = compiled.crossing.announced().filter(|_| trailers) {
        headers.insert(header::TRAILER, names);
    }
    let shape = items::Shape::of(method);
    let items = Items::new(compiled, shape, framing, Source { messages, first, refusal }, deadline, trailers);
    *response.body_mut() = Body::new(items);
    Ok(response)
}

/// Whether a stream goes on behind an item that its client has had.
fn resumes(method: &Method, request: &HeaderMap) -> bool {
    method.resume.after.is_some() && request.get(LAST_EVENT_ID).is_some_and(|id| !id.is_empty())
}

fn content_type(format: StreamFormat) -> HeaderValue {
    HeaderValue::from_static(match format {
        StreamFormat::Sse => "text/event-stream",
        StreamFormat::Ndjson => "application/x-ndjson",
        StreamFormat::JsonArray | StreamFormat::GatewayResult => "application/json",
    })
}
