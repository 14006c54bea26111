//! Many messages answered, to one or to many.

use super::ahead::Ahead;
use super::answer::{Messages, response};
use super::budget::Answers;
use super::frame::{self, Follower};
use super::{WireLimits, unary};
use axum::body::Body;
use bytes::{Buf as _, Bytes};
use http::{Request, Response};
use http_body::Frame;
use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tonic::codec::{DecodeBuf, Decoder};
use tonic::codegen::tokio_stream::Stream;
use tonic::metadata::MetadataMap;
use tonic::{Status, Streaming};

/// A request of one message, and the stream of its answers.
pub(super) async fn answers_of_one<Q, R, S, F>(
    limits: WireLimits,
    answers: Answers,
    request: Request<Body>,
    ahead: Ahead,
    call: impl FnOnce(tonic::Request<Q>) -> F,
) -> Result<Response<Body>, Infallible>
where
    F: Future<Output = Result<tonic::Response<S>, Status>>,
    S: Stream<Item = Result<R, Status>> + Send + 'static,
    Q: prost::Message + Default,
    R: prost::Message + 'static,
{
    let request = match unary::read(limits, request, ahead).await {
        Ok(request) => request,
        Err(status) => return Ok(status.into_http()),
    };
    Ok(call(request).await.map_or_else(Status::into_http, |answer| write(limits, answers, answer)))
}

/// A stream of messages, and the stream of its answers.
pub(super) async fn answers_of_many<Q, R, S, F>(
    limits: WireLimits,
    answers: Answers,
    request: Request<Body>,
    call: impl FnOnce(tonic::Request<Streaming<Q>>) -> F,
) -> Result<Response<Body>, Infallible>
where
    F: Future<Output = Result<tonic::Response<S>, Status>>,
    S: Stream<Item = Result<R, Status>> + Send + 'static,
    Q: prost::Message + Default + Send + 'static,
    R: prost::Message + 'static,
{
    let (parts, body) = request.into_parts();
    if let Err(status) = frame::check_encoding(&parts.headers) {
        return Ok(status.into_http());
    }
    let max = limits.message_bytes_max;
    let body = Followed { body, follower: Follower::default(), max, failed: false };
    let messages = Streaming::new_request(Decode(PhantomData), body, None, Some(max));
    let metadata = MetadataMap::from_headers(parts.headers);
    let request = tonic::Request::from_parts(metadata, parts.extensions, messages);
    Ok(call(request).await.map_or_else(Status::into_http, |answer| write(limits, answers, answer)))
}

fn write<S, R>(limits: WireLimits, answers: Answers, answer: tonic::Response<S>) -> Response<Body>
where
    S: Stream<Item = Result<R, Status>> + Send + 'static,
    R: prost::Message + 'static,
{
    let (metadata, stream, extensions) = answer.into_parts();
    response(metadata, extensions, Body::new(Messages::new(stream, limits.response_bytes_max, answers)))
}

/// Decodes the messages of a stream.
struct Decode<Q>(PhantomData<fn() -> Q>);

impl<Q: prost::Message + Default> Decoder for Decode<Q> {
    type Item = Q;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Q>, Status> {
        let message = from.copy_to_bytes(from.remaining());
        let message = Q::decode(message);
        message.map(Some).map_err(|error| frame::malformed(format!("a message is not valid: {error}")))
    }
}

/// A request's body, which ends with a precise status where a message cannot be taken.
struct Followed {
    body: Body,
    follower: Follower,
    max: usize,
    failed: bool,
}

impl Followed {
    fn fail(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.failed = true;
        Poll::Ready(Some(Err(status)))
    }
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let Self { body, follower, max, .. } = &mut *self;
        let seen = match ready!(Pin::new(body).poll_frame(context)) {
            Some(Ok(frame)) => match frame.data_ref().map(|data| follower.see(data, *max)) {
                None | Some(Ok(())) => return Poll::Ready(Some(Ok(frame))),
                Some(Err(status)) => status,
            },
            Some(Err(error)) => Status::from_error(error.into()),
            None if follower.is_between() => return Poll::Ready(None),
            None => frame::malformed("the stream ends within a message"),
        };
        self.fail(seen)
    }

    fn is_end_stream(&self) -> bool {
        self.failed || (self.body.is_end_stream() && self.follower.is_between())
    }
}
