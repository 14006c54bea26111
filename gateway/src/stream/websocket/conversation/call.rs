//! The call to upstream behind a WebSocket: what goes there comes through a channel of one message.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

use crate::{failure::Failure, grpc::Messages, held::Held, service::GatewayService};

/// Begins it.
pub(super) async fn open(
    service: &GatewayService,
    request: http::Request<Body>,
) -> Result<Messages, Failure> {
    let answer =
        service.upstream.call(request).await.map_err(|error| service.compiled.unreachable(&error))?;
    Ok(Messages::open(answer, &service.compiled)?.1)
}

/// Upstream's messages, from before it has answered on.
pub(super) enum Answers<'s> {
    Opening(Pin<Box<dyn Future<Output = Result<Messages, Failure>> + Send + 's>>),
    Open(Box<Messages>),
    Failed,
}

impl Answers<'_> {
    /// The next message; a wait that is given up loses nothing.
    pub(super) async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        if let Answers::Opening(opening) = self {
            *self = match opening.await {
                Ok(messages) => Answers::Open(Box::new(messages)),
                Err(failure) => {
                    *self = Answers::Failed;
                    return Some(Err(failure));
                }
            };
        }
        match self {
            Answers::Open(messages) => messages.next().await,
            Answers::Opening(_) | Answers::Failed => None,
        }
    }

    /// See [`Messages::held`].
    pub(super) fn held(&mut self) -> Held {
        match self {
            Answers::Open(messages) => messages.held(),
            Answers::Opening(_) | Answers::Failed => Held::default(),
        }
    }
}

/// The body of the call's request.
pub(super) struct Requests {
    requests: mpsc::Receiver<Option<Bytes>>,
    ended: bool,
}

impl Requests {
    pub(super) fn new(requests: mpsc::Receiver<Option<Bytes>>) -> Self {
        Self { requests, ended: false }
    }
}

/// What a client's going looks like to upstream: a reset, never a clean end.
#[derive(Debug, thiserror::Error)]
#[error("the WebSocket closed")]
pub(super) struct Closed;

impl http_body::Body for Requests {
    type Data = Bytes;
    type Error = Closed;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
        let requests = self.get_mut();
        if requests.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(requests.requests.poll_recv(context)) {
            Some(Some(frame)) => Some(Ok(Frame::data(frame))),
            Some(None) => {
                requests.ended = true;
                None
            }
            None => {
                requests.ended = true;
                Some(Err(Closed))
            }
        })
    }
}
