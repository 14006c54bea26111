//! The question that grpc.health.v1 is for: whether a server serves, asked of it as a whole or of one service of its.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::BodyExt as _;
use tower::BoxError;

use super::Upstream;
use crate::{
    code::Code,
    failure::GRPC_STATUS,
    grpc::{self, Deframer, PREFIX},
    transcode::wire::{self, Reader, WireType},
};

/// A health answer has a few bytes.
const ANSWER_BYTES_MAX: usize = 1024;

/// What a server says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// A grpc.health.v1.HealthCheckResponse.ServingStatus, by its number.
    Told(u64),
    /// It has no health service.
    Unknown,
    /// It is there, and answers with an error.
    Refused(Code),
}

/// Two of those numbers.
pub(crate) const SERVING: u64 = 1;
pub(crate) const NOT_SERVING: u64 = 2;

/// Asks of a service, or of the server as a whole where that has no name. Whoever answers something else than its health
/// has failed.
pub(crate) async fn ask(upstream: &dyn Upstream, service: &str) -> Result<Health, BoxError> {
    let mut frame = vec![0; PREFIX];
    if !service.is_empty() {
        frame.push(1 << 3 | WireType::Length as u8);
        wire::put_bytes(&mut frame, service.as_bytes());
    }
    grpc::seal(&mut frame);
    let mut request = Request::new(Body::from(frame));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/grpc.health.v1.Health/Check");
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let (parts, body) = upstream.call(request).await?.into_parts();
    if let Some(code) = code_of(&parts.headers) {
        return Ok(refused(code));
    }
    if !parts.status.is_success() {
        // a proxy that knows no such path says so in HTTP alone
        return Ok(refused(Code::from_http_status(parts.status)));
    }
    let collected = http_body_util::Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
    match collected.trailers().and_then(code_of) {
        Some(Code::Ok) => {}
        Some(code) => return Ok(refused(code)),
        None => return Err("it told no status".into()),
    }
    let mut deframer = Deframer::of_answer(&parts.headers);
    deframer.push(collected.to_bytes());
    let message = deframer.next(ANSWER_BYTES_MAX)?.ok_or("it told no health")?;
    Ok(Health::Told(status_of(&message)?))
}

/// An answer without a message: success is none either.
fn refused(code: Code) -> Health {
    match code {
        Code::Unimplemented => Health::Unknown,
        Code::Ok => Health::Told(NOT_SERVING),
        code => Health::Refused(code),
    }
}

fn code_of(status: &HeaderMap) -> Option<Code> {
    Some(Code::from_number(status.get(GRPC_STATUS)?.to_str().ok()?.parse().ok()?))
}

fn status_of(message: &[u8]) -> Result<u64, BoxError> {
    let (mut reader, mut status) = (Reader::new(message), 0);
    while !reader.is_empty() {
        match reader.tag()? {
            (1, WireType::Varint) => status = reader.varint()?,
            (field, wire_type) => reader.skip(field, wire_type, 10)?,
        }
    }
    Ok(status)
}

#[cfg(test)]
mod tests {
    use http::{Response, StatusCode};
    use tower::service_fn;

    use super::*;
    use crate::upstream;

    async fn told(status: StatusCode) -> Health {
        let upstream = upstream::service(service_fn(move |_| async move {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            Ok::<_, BoxError>(response)
        }));
        ask(&upstream, "").await.unwrap()
    }

    #[tokio::test]
    async fn a_proxy_that_knows_no_health_has_told_nothing_of_it() {
        assert!(matches!(told(StatusCode::NOT_FOUND).await, Health::Unknown));
        let refused = told(StatusCode::SERVICE_UNAVAILABLE).await;
        assert!(matches!(refused, Health::Refused(Code::Unavailable)), "{refused:?}");
    }
}
