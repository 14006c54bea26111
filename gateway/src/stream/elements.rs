//! The request of a client stream: the elements of a JSON array, or lines, each sent on as soon as it is complete. A body
//! that says it is JSON has to be an array; one of lines or of no type may be either.

mod splitter;

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

use splitter::{SplitError, Splitter};

use crate::{
    failure::{Failure, Reason},
    gateway::Compiled,
    held::Held,
    method::Method,
    negotiate,
    pace::Paced,
};

/// What is looked at of a body without finding an element, before others get their turn: what was pressed hard is there at
/// once, and nothing else would stop.
const TURN_BYTES: usize = 256 << 10;

/// Where the reason is left when a request stream breaks off: upstream sees only a reset, the client is to see more.
pub(crate) type Refusal = Arc<Mutex<Option<Failure>>>;

/// The frames of a client stream, transcoded while the body arrives. `target` is what query and path set, in every
/// message.
pub(crate) fn request_body(
    compiled: Arc<Compiled>,
    method: &Method,
    target: Vec<u8>,
    headers: &HeaderMap,
    body: Body,
    refusal: Refusal,
) -> Body {
    let only_array = negotiate::says_json(headers);
    let splitter = Splitter::new(compiled.config.limits.request_bytes_max, only_array);
    let body = Paced::new(compiled.clone(), body);
    let (method, held) = (method.index, Held::default());
    Body::new(Elements { compiled, method, target, body, splitter, held, refusal, ended: false })
}

struct Elements {
    compiled: Arc<Compiled>,
    method: usize,
    target: Vec<u8>,
    body: Paced,
    splitter: Splitter,
    held: Held,
    refusal: Refusal,
    ended: bool,
}

impl Elements {
    fn frame(&self, element: &[u8]) -> Result<Bytes, Failure> {
        match self.compiled.routes.route(self.method) {
            Some(method) => self.compiled.element_frame(method, element, &self.target),
            None => Ok(Bytes::new()),
        }
    }

    fn poll_element(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let refused = |compiled: &Compiled, error: SplitError| {
            let reason = if matches!(error, SplitError::TooLarge(_)) {
                Reason::BodyTooLarge
            } else {
                Reason::InvalidBody
            };
            compiled.failure(reason, format!("body: {error}"))
        };
        let mut looked_at = 0;
        loop {
            match self.splitter.next() {
                Ok(Some(element)) => return Poll::Ready(Some(self.frame(&element))),
                Ok(None) if self.ended => return Poll::Ready(None),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(refused(&self.compiled, error)))),
            }
            if looked_at >= TURN_BYTES {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            let within = self.splitter.is_within();
            if !within {
                self.body.rest();
            }
            match ready!(self.body.poll_piece(within, context)) {
                Some(Ok(piece)) => {
                    looked_at += piece.len();
                    self.splitter.push(&piece);
                    if let Err(failure) = self.held.grow_body(self.splitter.kept(), &self.compiled) {
                        return Poll::Ready(Some(Err(failure)));
                    }
                }
                Some(Err(failure)) => return Poll::Ready(Some(Err(failure))),
                None => {
                    self.ended = true;
                    match self.splitter.finish() {
                        Ok(Some(element)) => return Poll::Ready(Some(self.frame(&element))),
                        Ok(None) => return Poll::Ready(None),
                        Err(error) => return Poll::Ready(Some(Err(refused(&self.compiled, error)))),
                    }
                }
            }
        }
    }
}

/// What breaks a request body off: upstream sees a reset.
#[derive(Debug, thiserror::Error)]
#[error("the request stream was refused")]
pub(crate) struct Refused;

impl Refused {
    /// Leaves the reason for the client.
    pub(crate) fn told(refusal: &Refusal, failure: Failure) -> Self {
        if let Ok(mut refusal) = refusal.lock() {
            *refusal = Some(failure);
        }
        Refused
    }
}

impl http_body::Body for Elements {
    type Data = Bytes;
    type Error = Refused;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Refused>>> {
        let elements = self.get_mut();
        let frame = ready!(elements.poll_element(context));
        Poll::Ready(frame.map(|frame| match frame {
            Ok(frame) => Ok(Frame::data(frame)),
            Err(failure) => {
                elements.ended = true;
                Err(Refused::told(&elements.refusal, failure))
            }
        }))
    }
}
