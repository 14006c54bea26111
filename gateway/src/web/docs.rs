//! The page at `/docs`: one file, no network beside `/openapi.json`.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, header};

/// The page. It can make calls, so no other page may have it in a frame, where a click could be led.
pub(super) fn page() -> Response<Body> {
    const PAGE: &str = include_str!("docs.html");
    let mut response = super::document("text/html; charset=utf-8", Bytes::from_static(PAGE.as_bytes()));
    let unframed = HeaderValue::from_static("frame-ancestors 'none'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, unframed);
    response
}
