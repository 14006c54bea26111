//! Messages for whoever asks other nodes: written as requests and read as answers, as the wire has them.

use super::ahead::Ahead;
use super::answer::{Whole, ok_trailers, response};
use super::frame;
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt as _, Limited};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

/// A message behind its prefix.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` beyond `max` bytes.
pub(crate) fn encode_one(message: &impl prost::Message, max: usize) -> Result<Bytes, Status> {
    let mut data = BytesMut::new();
    frame::put(message, max, &mut data)?;
    Ok(data.freeze())
}

/// The bytes of a request that is one message.
///
/// # Errors
/// What its handler would say of a body that is none.
pub(crate) async fn read_message(
    headers: &HeaderMap,
    body: Body,
    ahead: Ahead,
    max: usize,
) -> Result<Bytes, Status> {
    frame::check_encoding(headers)?;
    frame::read_bytes(body, ahead, max).await
}

/// The headers and the message of an answer that is one.
///
/// # Errors
/// The status that it is instead.
pub(crate) async fn read_answer(answer: Response<Body>, max: usize) -> Result<(HeaderMap, Bytes), Status> {
    let (parts, body) = answer.into_parts();
    check(&parts.headers)?;
    let collected = Limited::new(body, max).collect().await.map_err(Status::from_error)?;
    collected.trailers().map_or(Ok(()), check)?;
    let message = frame::read_bytes(Body::from(collected.to_bytes()), Ahead::default(), max).await?;
    Ok((parts.headers, message))
}

fn check(headers: &HeaderMap) -> Result<(), Status> {
    match Status::from_header_map(headers) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Ok(()),
    }
}

/// An answer of one message.
///
/// # Errors
/// `RESOURCE_EXHAUSTED` beyond `max` bytes.
pub(crate) fn write_answer(
    headers: HeaderMap,
    message: &impl prost::Message,
    max: usize,
) -> Result<Response<Body>, Status> {
    let body = Whole { data: Some(encode_one(message, max)?), trailers: Some(ok_trailers()) };
    Ok(response(MetadataMap::from_headers(headers), http::Extensions::new(), Body::new(body)))
}

/// Takes the first message with its prefix off what has come of a stream, if it has come whole.
pub(crate) fn whole_message(come: &mut BytesMut) -> Option<Bytes> {
    frame::whole_message(come)
}
