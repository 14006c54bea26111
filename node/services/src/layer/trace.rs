//! One span a call, from its first byte to its status, with OpenTelemetry's names for what it is.
//!
//! Only `tracing` is known here: where nobody subscribes, a call costs the look at one atomic. The span is entered
//! whenever the handler or the answer's stream is polled, so that what they cause finds its way back to it. It ends
//! with the call, which for a stream is its last item.

use super::ending::{self, Ending};
use crate::layer::OPERATION_HEADER;
use crate::wire::{Answering, Call};
use axum::body::Body;
use futures_util::future::Either;
use http::{HeaderMap, Response};
use std::convert::Infallible;
use std::task::{Context, Poll};
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
    fn follow(self, response: Response<Body>) -> Response<Body> {
        if let Some(id) = response.headers().get(OPERATION_HEADER).and_then(|id| id.to_str().ok()) {
            self.span.record("arsenal.operation_id", id);
        }
        ending::follow(response, self)
    }

    fn record(&mut self, code: i64) {
        self.told = true;
        self.span.record("rpc.grpc.status_code", code);
        if FAULTS.contains(&code) {
            self.span.record("otel.status_code", "ERROR");
        }
    }
}

impl Ending for Telling {
    fn tell(&mut self, headers: &HeaderMap) -> bool {
        let code = headers.get("grpc-status").and_then(|code| code.to_str().ok()?.parse().ok());
        code.map(|code| self.record(code)).is_some()
    }

    fn ask<R>(&mut self, next: impl FnOnce() -> R) -> R {
        self.span.in_scope(next)
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        if !self.told {
            self.record(CANCELLED);
        }
    }
}
