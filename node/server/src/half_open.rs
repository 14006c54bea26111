//! Calls whose client sends headers and then nothing.
//!
//! A unary request is short: its bytes follow its headers. One whose bytes stop coming holds a stream and a handler for
//! nothing, for as long as its client answers pings. It ends with DEADLINE_EXCEEDED. What a client streams may pause as
//! long as it likes.

use arsenal_services::status::failure;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Sleep;
use tonic::{Code, Status};
use tower::{BoxError, Layer, Service};

/// Bounds how long the bytes of a unary request may stop coming.
#[derive(Clone, Debug)]
pub(crate) struct HalfOpenLayer {
    idle_max: Duration,
    client_streaming: Arc<HashSet<String>>,
}

impl HalfOpenLayer {
    /// `client_streaming` are the paths of the RPCs whose clients stream.
    pub(crate) fn new(idle_max: Duration, client_streaming: impl IntoIterator<Item = String>) -> Self {
        Self { idle_max, client_streaming: Arc::new(client_streaming.into_iter().collect()) }
    }
}

impl<S> Layer<S> for HalfOpenLayer {
    type Service = HalfOpen<S>;

    fn layer(&self, inner: S) -> HalfOpen<S> {
        HalfOpen { layer: self.clone(), inner }
    }
}

/// See [`HalfOpenLayer`].
#[derive(Clone, Debug)]
pub(crate) struct HalfOpen<S> {
    layer: HalfOpenLayer,
    inner: S,
}

impl<S, B> Service<Request<B>> for HalfOpen<S>
where
    S: Service<Request<Body>>,
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        if request.body().is_end_stream() || self.layer.client_streaming.contains(request.uri().path()) {
            return self.inner.call(request.map(Body::new));
        }
        let idle_max = self.layer.idle_max;
        self.inner.call(request.map(|inner| Body::new(Bounded { inner, idle_max, idle: None })))
    }
}

struct Bounded<B> {
    inner: B,
    idle_max: Duration,
    /// Runs while nothing is there.
    idle: Option<Pin<Box<Sleep>>>,
}

impl<B> http_body::Body for Bounded<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(context) {
            self.idle = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let idle_max = self.idle_max;
        let idle = self.idle.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle_max)));
        idle.as_mut().poll(context).map(|()| Some(Err(too_slow(idle_max).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

fn too_slow(idle_max: Duration) -> Status {
    let message = format!("nothing more of the request came within {idle_max:?}");
    failure(Code::DeadlineExceeded, "REQUEST_TOO_SLOW", message).status()
}
