//! The W3C trace context on the wire: taken from requests at the listeners, put into calls to an upstream
//! and into requests that go on to another node.

use arsenal_gateway::upstream::{Answer, Upstream};
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use opentelemetry::Context;
use opentelemetry::context::{FutureExt as _, WithContext};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use std::task::{self, Poll};
use tower::{Layer, Service};

/// Handles each request within its caller's trace.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallerContextLayer;

impl<S> Layer<S> for CallerContextLayer {
    type Service = CallerContext<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CallerContext { inner, propagator: TraceContextPropagator::new() }
    }
}

/// See [`CallerContextLayer`].
#[derive(Clone, Debug)]
pub struct CallerContext<S> {
    inner: S,
    propagator: TraceContextPropagator,
}

impl<S: Service<Request<B>>, B> Service<Request<B>> for CallerContext<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = WithContext<S::Future>;

    fn poll_ready(&mut self, context: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // a malformed header is none, as the specification has it
        let caller = self.propagator.extract_with_context(&Context::new(), &Received(request.headers()));
        let in_context = caller.clone().attach();
        let answer = self.inner.call(request);
        drop(in_context);
        answer.with_context(caller)
    }
}

/// An upstream that learns which span calls it.
#[derive(Clone, Debug)]
pub struct TracedUpstream<U> {
    inner: U,
    propagator: TraceContextPropagator,
}

impl<U> TracedUpstream<U> {
    /// Calls go on to `inner`.
    pub fn new(inner: U) -> Self {
        Self { inner, propagator: TraceContextPropagator::new() }
    }
}

impl<U: Upstream> Upstream for TracedUpstream<U> {
    fn call(&self, mut request: Request<Body>) -> Answer {
        self.propagator.inject_context(&Context::current(), &mut Sent(request.headers_mut()));
        self.inner.call(request)
    }
}

/// Puts the present span's context into the headers of a request to another node.
pub(crate) fn continue_trace(headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&Context::current(), &mut Sent(headers));
}

struct Received<'a>(&'a HeaderMap);

impl Extractor for Received<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct Sent<'a>(&'a mut HeaderMap);

impl Injector for Sent<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(key.as_bytes()), HeaderValue::from_str(&value))
        {
            self.0.insert(name, value);
        }
    }
}
