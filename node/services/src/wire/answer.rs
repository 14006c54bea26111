//! Answers as HTTP bodies: one message and its status, or a stream of messages and then the status.

use super::budget::Answers;
use super::frame;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use http_body::{Body as HttpBody, Frame};
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tonic::codegen::tokio_stream::Stream;
use tonic::metadata::MetadataMap;

/// gRPC's status.
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// Bytes of a stream's messages that are gathered into one chunk before it is passed on.
const CHUNK_BYTES: usize = 32 << 10;

/// An answer's head: what the handler said, and gRPC's content type.
pub(super) fn response<B>(metadata: MetadataMap, extensions: http::Extensions, body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.headers_mut() = metadata.into_headers();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    *response.extensions_mut() = extensions;
    response
}

/// The trailers of a call that went well.
pub(super) fn ok_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

/// The body of an answer that is at hand.
pub(crate) struct Whole {
    pub(crate) data: Option<Bytes>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = self.data.take().map(Frame::data).or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }
}

/// The body of an answer that is a stream of messages. What is ready at once leaves in one chunk.
pub(super) struct Messages<S> {
    stream: Pin<Box<S>>,
    message_bytes_max: usize,
    answers: Answers,
    /// The status, once the stream has ended but not been told so.
    status: Option<Status>,
    ended: bool,
}

impl<S> Messages<S> {
    pub(super) fn new(stream: S, message_bytes_max: usize, answers: Answers) -> Self {
        Self { stream: Box::pin(stream), message_bytes_max, answers, status: None, ended: false }
    }
}

impl<S, R> Messages<S>
where
    S: Stream<Item = Result<R, Status>>,
    R: prost::Message,
{
    /// Puts what is ready into `chunk`; gives whether the stream has ended.
    fn gather(&mut self, chunk: &mut BytesMut, context: &mut Context<'_>) -> bool {
        while chunk.len() < CHUNK_BYTES {
            let put = match self.stream.as_mut().poll_next(context) {
                Poll::Pending => return false,
                Poll::Ready(None) => Err(Status::ok("")),
                Poll::Ready(Some(message)) => {
                    message.and_then(|message| frame::put(&message, self.message_bytes_max, chunk))
                }
            };
            if let Err(status) = put {
                self.status = Some(status);
                return true;
            }
        }
        false
    }
}

impl<S, R> HttpBody for Messages<S>
where
    S: Stream<Item = Result<R, Status>>,
    R: prost::Message,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.status.is_none() {
            let mut chunk = BytesMut::new();
            let ended = self.gather(&mut chunk, context);
            match self.answers.hold(chunk.freeze()) {
                Ok(chunk) if !chunk.is_empty() => return Poll::Ready(Some(Ok(Frame::data(chunk)))),
                Ok(_) if !ended => return Poll::Pending,
                Ok(_) => {}
                Err(status) => self.status = Some(status),
            }
        }
        self.ended = true;
        let status = self.status.take().unwrap_or_else(|| Status::ok(""));
        let mut trailers = HeaderMap::new();
        Poll::Ready(Some(status.add_header(&mut trailers).map(|()| Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
