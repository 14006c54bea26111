//! Messages for whoever asks other nodes: written as requests and read as answers, as the wire has them.

use super::ahead::Ahead;
use super::answer::{Whole, ok_trailers, response};
use super::budget::Answers;
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
/// `RESOURCE_EXHAUSTED` beyond `max` bytes; as [`Answers::hold`].
pub(crate) fn write_answer(
    headers: HeaderMap,
    message: &impl prost::Message,
    max: usize,
    answers: &Answers,
) -> Result<Response<Body>, Status> {
    let data = answers.hold(encode_one(message, max)?)?;
    let body = Whole { data: Some(data), trailers: Some(ok_trailers()) };
    Ok(response(MetadataMap::from_headers(headers), http::Extensions::new(), Body::new(body)))
}

/// Why an answer was not read to its end.
pub(crate) enum Unfinished<E> {
    /// It broke off.
    Broken(E),
    /// There is no room for more of it.
    Full(Status),
}

/// Reads an answer of one message to its end. What its client does not read of it then waits here, in the account, and not
/// on the connection that it came by, where it would hold up all others.
///
/// # Errors
/// As [`Unfinished`] says.
pub(crate) async fn read_whole<B>(mut body: B, answers: &Answers) -> Result<Whole, Unfinished<B::Error>>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut coming = answers.coming();
    let (mut first, mut joined) = (Bytes::new(), BytesMut::new());
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let data = match frame.map_err(Unfinished::Broken)?.into_data() {
            Ok(data) => data,
            Err(frame) => {
                trailers = frame.into_trailers().ok();
                continue;
            }
        };
        coming.grow(first.len() + joined.len() + data.len()).map_err(Unfinished::Full)?;
        if first.is_empty() && joined.is_empty() {
            first = data;
            continue;
        }
        joined.extend_from_slice(&std::mem::take(&mut first));
        joined.extend_from_slice(&data);
    }
    let data = if joined.is_empty() { first } else { joined.freeze() };
    let data = (!data.is_empty()).then(|| coming.whole(data));
    Ok(Whole { data, trailers })
}

/// Takes the first message with its prefix off what has come of a stream, if it has come whole.
pub(crate) fn whole_message(come: &mut BytesMut) -> Option<Bytes> {
    frame::whole_message(come)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_is_read_whole_counts_while_it_comes_and_until_it_was_sent() {
        let answers = Answers::new(100 << 10);
        let pieces = |count: usize| {
            let piece = Bytes::from(vec![7; 10 << 10]);
            Body::from_stream(futures_util::stream::iter(vec![Ok::<_, tonic::Status>(piece); count]))
        };
        let Ok(first) = read_whole(pieces(6), &answers).await else { panic!("there is room") };
        assert_eq!(first.data.as_ref().map(Bytes::len), Some(60 << 10));
        let Err(Unfinished::Full(status)) = read_whole(pieces(6), &answers).await else {
            panic!("there is no room")
        };
        assert_eq!(status.code(), Code::ResourceExhausted);
        drop(first);
        assert!(read_whole(pieces(6), &answers).await.is_ok());
        let broken = futures_util::stream::iter([Ok(Bytes::from_static(b"a")), Err(Status::aborted("b"))]);
        let broken = read_whole(Body::from_stream(broken), &answers).await;
        assert!(matches!(broken, Err(Unfinished::Broken(_))));
    }
}
