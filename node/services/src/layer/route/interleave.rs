//! The streams of several nodes as one: whole messages, as they come, each node's in its order.
//!
//! Invariants: of each node one message at most waits here, so that a slow reader holds all of them back; the stream ends
//! with the first node whose stream does, for whoever reads would not know otherwise that something is missing.

use super::gather::Gathering;
use crate::status::bad_argument;
use crate::wire::{Answers, Call, encode_one, whole_message};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use http::{HeaderMap, Response};
use http_body::{Body as HttpBody, Frame};
use prost_reflect::Value;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use tonic::Status;
use tower::Service;

impl<S> Gathering<'_, S>
where
    S: Service<Call, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + Sync,
{
    /// Follows all nodes.
    pub(super) async fn follow(self) -> Result<Response<Body>, Status> {
        let after = self.message.get_field_by_name("after").and_then(|after| after.as_u64());
        if after.is_some_and(|after| after > 0) {
            let message = "`after` is a place in one node's stream; the streams of all nodes begin anew";
            return Err(bad_argument("after", message));
        }
        let begun = self.router.shared.all_nodes().into_iter().map(|node| {
            let mut request = self.message.clone();
            request.set_field_by_name("node", Value::String(format!("n{node}")));
            let head = encode_one(&request, self.router.message_bytes_max);
            let gathering = &self;
            async move { gathering.send(node, head?).await }
        });
        let begun = try_join_all(begun).await?;
        let refused = begun.iter().find(|response| response.headers().contains_key("grpc-status"));
        if let Some(status) = refused.and_then(|response| Status::from_header_map(response.headers())) {
            return Err(status);
        }
        let mut headers = HeaderMap::new();
        let mut sources = Vec::new();
        for response in begun {
            let (parts, body) = response.into_parts();
            headers = parts.headers;
            sources.push(Source { body, come: BytesMut::new() });
        }
        let answers = self.router.answers.clone();
        let mut response = Response::new(Body::new(Interleaved { sources, turn: 0, answers, ended: false }));
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// One node's stream.
struct Source {
    body: Body,
    /// What has come of it and was not passed on: less than a message, or a few that came at once.
    come: BytesMut,
}

struct Interleaved {
    sources: Vec<Source>,
    /// Whose turn it is to be asked first.
    turn: usize,
    answers: Answers,
    ended: bool,
}

impl Source {
    /// Its next message with its prefix, or its end.
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, HeaderMap>> {
        loop {
            if let Some(message) = whole_message(&mut self.come) {
                return Poll::Ready(Ok(message));
            }
            let frame = match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Poll::Ready(Err(trailers(&Status::from_error(error.into())))),
                None => {
                    return Poll::Ready(Err(trailers(&Status::unknown("a stream ended without a status"))));
                }
            };
            match frame.into_data() {
                Ok(data) => self.come.extend_from_slice(&data),
                Err(frame) => return Poll::Ready(Err(frame.into_trailers().unwrap_or_default())),
            }
        }
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut headers = HeaderMap::new();
    // what cannot be a header leaves the code alone
    let _ = status.add_header(&mut headers);
    headers
}

impl HttpBody for Interleaved {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let count = self.sources.len();
        for offset in 0..count {
            let at = (self.turn + offset) % count;
            let Poll::Ready(next) = self.sources[at].poll_message(context) else { continue };
            let held = next.and_then(|message| self.answers.hold(message).map_err(|full| trailers(&full)));
            let frame = match held {
                Ok(message) => {
                    self.turn = at + 1;
                    Frame::data(message)
                }
                Err(trailers) => {
                    self.ended = true;
                    Frame::trailers(trailers)
                }
            };
            return Poll::Ready(Some(Ok(frame)));
        }
        Poll::Pending
    }
}
