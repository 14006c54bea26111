//! One span a call, from its first byte to its status, with OpenTelemetry's names for what it is.
//!
//! Only `tracing` is known here: where nobody subscribes, a call costs the look at one atomic. The span is entered
//! whenever the handler or the answer's stream is polled, so that what they cause finds its way back to it. It ends
//! with the call, which for a stream is its last item.

use crate::layer::OPERATION_HEADER;
use crate::wire::{Answering, Call};
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tower::{Layer, Service};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

/// Code of a call that its client gave up.
const CANCELLED: i64 = 1;
/// The codes for which the server is at fault: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE,
/// DATA_LOSS. The others are a client's business and leave the span's status unset, as OpenTelemetry has it.
const FAULTS: [i64; 6] = [2, 4, 12, 13, 14, 15];

/// Gives each call a span.
#[derive(Clone, Copy, Debug, Default)]
pub struct TraceLayer;

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService { inner }
    }
}

/// See [`TraceLayer`].
#[derive(Clone, Debug)]
pub struct TraceService<S> {
    inner: S,
}

impl<S> Service<Call> for TraceService<S>
where
    S: Service<Call, Response = Response<Body>, Error = Infallible, Future: Send + 'static>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Answering>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let span = span_of(call.request.uri().path());
        if span.is_disabled() {
            return Either::Left(self.inner.call(call));
        }
        let telling = Telling { span: span.clone(), told: false };
        let answer = span.in_scope(|| self.inner.call(call)).instrument(span);
        Either::Right(Box::pin(async move { answer.await.map(|response| telling.follow(response)) }))
    }
}

fn span_of(path: &str) -> Span {
    let name = path.trim_start_matches('/');
    let (service, method) = name.rsplit_once('/').unwrap_or((name, ""));
    tracing::info_span!(
        "rpc",
        otel.name = name,
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = Empty,
        otel.status_code = Empty,
        arsenal.operation_id = Empty,
    )
}

/// A call whose status is not told yet. Dropped before that, it was given up.
struct Telling {
    span: Span,
    told: bool,
}

impl Telling {
    fn follow(mut self, response: Response<Body>) -> Response<Body> {
        if let Some(id) = response.headers().get(OPERATION_HEADER).and_then(|id| id.to_str().ok()) {
            self.span.record("arsenal.operation_id", id);
        }
        if self.tell(response.headers()) {
            return response;
        }
        response.map(|inner| Body::new(TracedBody { inner, telling: self }))
    }

    /// Records the status if it is among these headers or trailers.
    fn tell(&mut self, headers: &HeaderMap) -> bool {
        let code = headers.get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok());
        code.map(|code| self.record(code)).is_some()
    }

    fn record(&mut self, code: i64) {
        self.told = true;
        self.span.record("rpc.grpc.status_code", code);
        if FAULTS.contains(&code) {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if !self.told {
            self.record(CANCELLED);
        }
    }
}

struct TracedBody {
    inner: Body,
    telling: Telling,
}

impl http_body::Body for TracedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { inner, telling } = &mut *self;
        let entered = telling.span.enter();
        let frame = ready!(Pin::new(inner).poll_frame(context));
        drop(entered);
        if let Some(Ok(frame)) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            telling.tell(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
