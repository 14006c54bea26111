//! One message asked, one answered.

use super::ahead::Ahead;
use super::answer::{Whole, ok_trailers, response};
use super::budget::Answers;
use super::{WireLimits, frame};
use axum::body::Body;
use bytes::BytesMut;
use http::{Request, Response};
use std::convert::Infallible;
use std::future::Future;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Reads the request, runs the handler, writes its answer or its status.
pub(super) async fn answer<Q, R, F>(
    limits: WireLimits,
    answers: Answers,
    request: Request<Body>,
    ahead: Ahead,
    call: impl FnOnce(tonic::Request<Q>) -> F,
) -> Result<Response<Body>, Infallible>
where
    F: Future<Output = Result<tonic::Response<R>, Status>>,
    Q: prost::Message + Default,
    R: prost::Message,
{
    let request = match read(limits, request, ahead).await {
        Ok(request) => request,
        Err(status) => return Ok(status.into_http()),
    };
    let answer = call(request).await.and_then(|answer| write(limits, &answers, answer));
    Ok(answer.unwrap_or_else(Status::into_http))
}

/// The request as handlers take it.
pub(super) async fn read<Q>(
    limits: WireLimits,
    request: Request<Body>,
    ahead: Ahead,
) -> Result<tonic::Request<Q>, Status>
where
    Q: prost::Message + Default,
{
    let (parts, body) = request.into_parts();
    frame::check_encoding(&parts.headers)?;
    let message = frame::read_one(body, ahead, limits.message_bytes_max).await?;
    let metadata = MetadataMap::from_headers(parts.headers);
    Ok(tonic::Request::from_parts(metadata, parts.extensions, message))
}

fn write<R: prost::Message>(
    limits: WireLimits,
    answers: &Answers,
    answer: tonic::Response<R>,
) -> Result<Response<Body>, Status> {
    let (metadata, message, extensions) = answer.into_parts();
    let mut data = BytesMut::new();
    frame::put(&message, limits.response_bytes_max, &mut data)?;
    let body = Whole { data: Some(answers.hold(data.freeze())?), trailers: Some(ok_trailers()) };
    Ok(response(metadata, extensions, Body::new(body)))
}
