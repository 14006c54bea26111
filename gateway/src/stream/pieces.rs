//! The request of an upload: a client stream of google.api.HttpBody, whose messages are the pieces of the body as they come.
//!
//! The first message has the content type, and is there even if the body is empty; what query and path set is in each.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body::Frame;

use super::elements::{Refusal, Refused};
use crate::{failure::Failure, gateway::Compiled, method::Method, pace::Paced};

/// The most of a body that one message holds; a piece that came larger is cut.
const PIECE_BYTES_MAX: usize = 256 << 10;

/// The frames of an upload. `target` is what query and path set.
pub(crate) fn upload_body(
    compiled: Arc<Compiled>,
    method: &Method,
    target: Vec<u8>,
    headers: &HeaderMap,
    body: Body,
    refusal: Refusal,
) -> Body {
    let piece_max = PIECE_BYTES_MAX.min(compiled.config.limits.request_bytes_max).max(1);
    let content_type = headers.get(header::CONTENT_TYPE).cloned();
    let headers = content_type.map(|value| (header::CONTENT_TYPE, value)).into_iter().collect();
    let body = Paced::new(compiled.clone(), body);
    Body::new(Pieces {
        compiled,
        hurried: !method.server_streaming,
        method: method.index,
        target,
        headers,
        body,
        rest: Bytes::new(),
        piece_max,
        refusal,
        state: State::Fresh,
    })
}

struct Pieces {
    compiled: Arc<Compiled>,
    method: usize,
    /// The body has to keep coming; one that is answered by a stream may be a conversation, and pause.
    hurried: bool,
    target: Vec<u8>,
    /// The content type, until a message has told it.
    headers: HeaderMap,
    body: Paced,
    /// What came and is not sent yet.
    rest: Bytes,
    piece_max: usize,
    refusal: Refusal,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No message was made.
    Fresh,
    /// Some were.
    Flowing,
    /// The body is at its end.
    Ended,
}

impl Pieces {
    fn message(&mut self) -> Result<Bytes, Failure> {
        self.state = State::Flowing;
        let piece = self.rest.split_to(self.rest.len().min(self.piece_max));
        let headers = std::mem::take(&mut self.headers);
        match self.compiled.routes.route(self.method) {
            Some(method) => self.compiled.piece_frame(method, &headers, &piece, &self.target),
            None => Ok(Bytes::new()),
        }
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        while self.rest.is_empty() {
            if self.state == State::Ended {
                return Poll::Ready(None);
            }
            match ready!(self.body.poll_piece(self.hurried, context)) {
                Some(Ok(piece)) => self.rest = piece,
                Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
                None => {
                    let last = (self.state == State::Fresh).then(|| self.message());
                    self.state = State::Ended;
                    return Poll::Ready(last);
                }
            }
        }
        Poll::Ready(Some(self.message()))
    }
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Refused;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        let pieces = self.get_mut();
        let message = ready!(pieces.poll_message(context));
        Poll::Ready(message.map(|message| match message {
            Ok(message) => Ok(Frame::data(message)),
            Err(failure) => {
                (pieces.state, pieces.rest) = (State::Ended, Bytes::new());
                Err(Refused::told(&pieces.refusal, failure))
            }
        }))
    }
}
