//! What comes to the gRPC port: gRPC, which goes straight to the RPCs; gRPC-Web, which is translated; and what is neither,
//! which is told so in HTTP: 415 for another content type, 405 for another method, as gRPC over HTTP/2 has it. Without
//! this a message behind any content type would be taken for a call.
//!
//! The port of a node of a cluster is there before its node is: nodes speak to each other over it to find out who they
//! are. What is of the contract is UNAVAILABLE until then.

mod crossing;

use crate::cluster::{INTERNAL_PATH, InternalWire};
use arsenal_membership::{Crossing, Cuts};
use arsenal_services::status::failure;
use axum::body::Body;
use futures_util::future::{BoxFuture, Either, FutureExt as _};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::future::ready;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tonic::Code;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service};

/// The RPCs of a port, once they are there. Clones are the same.
#[derive(Debug)]
pub(crate) struct Late<S>(Arc<OnceLock<S>>);

impl<S> Clone for Late<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> Default for Late<S> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<S> Late<S> {
    /// They are there.
    pub(crate) fn set(&self, rpcs: S) {
        // a node is started once
        let _ = self.0.set(rpcs);
    }
}

/// The service of the gRPC port.
#[derive(Clone, Debug)]
pub(crate) struct GrpcPort<S> {
    late: Late<S>,
    /// What `late` had when it was looked at first.
    rpcs: Option<Rpcs<S>>,
    internal: Option<InternalWire>,
    /// What the node is cut off from on purpose; nothing if it is in no cluster.
    cuts: Option<Cuts>,
}

#[derive(Clone, Debug)]
struct Rpcs<S> {
    rpcs: S,
    web: GrpcWebService<S>,
}

impl<S: Clone> GrpcPort<S> {
    /// Calls go to `late`, those of other nodes to `internal`; what comes from nodes stands still while it is cut.
    pub(crate) fn new(late: Late<S>, internal: Option<InternalWire>, cuts: Option<Cuts>) -> Self {
        Self { late, rpcs: None, internal, cuts }
    }

    fn rpcs(&mut self) -> Option<&mut Rpcs<S>> {
        if self.rpcs.is_none() {
            let rpcs = self.late.0.get()?.clone();
            self.rpcs = Some(Rpcs { web: GrpcWebLayer::new().layer(rpcs.clone()), rpcs });
        }
        self.rpcs.as_mut()
    }
}

impl<S, F> Service<Request<Incoming>> for GrpcPort<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = F>
        + Service<Request<tonic::body::Body>, Response = Response<Body>, Error = Infallible, Future = F>
        + Clone,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<F, BoxFuture<'static, Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // no layer of ours makes a call wait for its turn
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let refusal = |response: Response<Body>| Either::Right(ready(Ok(response)).boxed());
        if request.method() != Method::POST {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return refusal(response);
        }
        let dialect = dialect(request.headers());
        let crossing = self.cuts.as_ref().and_then(|cuts| Crossing::of(cuts, request.headers()));
        let is_plain = dialect == Some(Dialect::Grpc) && request.version() == Version::HTTP_2;
        if let Some(internal) = self.internal.as_mut().filter(|_| is_plain)
            && request.uri().path().starts_with(INTERNAL_PATH)
        {
            return Either::Right(match crossing.filter(|_| !crossing::passes(request.uri().path())) {
                Some(crossing) => crossing::cross(crossing, internal, request),
                None => internal.call(request).boxed(),
            });
        }
        if dialect.is_none() {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return refusal(response);
        }
        let Some(Rpcs { rpcs, web }) = self.rpcs() else {
            let starting = failure(Code::Unavailable, "STARTING", "the node is not in its cluster yet");
            return refusal(starting.status().into_http());
        };
        match (is_plain, crossing) {
            (true, Some(crossing)) => Either::Right(crossing::cross(crossing, rpcs, request)),
            (true, None) => Either::Left(rpcs.call(request)),
            // gRPC that came over HTTP/1 is refused there
            (false, _) => {
                let answer = web.call(request);
                Either::Right(async move { answer.await.map(|response| response.map(Body::new)) }.boxed())
            }
        }
    }
}

/// What a request's content type says about its framing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Dialect {
    Grpc,
    Web,
}

/// `application/grpc` or `application/grpc-web[-text]`, with `+proto` or parameters behind it or nothing.
fn dialect(headers: &HeaderMap) -> Option<Dialect> {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let rest = value.strip_prefix(b"application/grpc")?;
    let (dialect, rest) = match rest.strip_prefix(b"-web-text").or(rest.strip_prefix(b"-web")) {
        Some(rest) => (Dialect::Web, rest),
        None => (Dialect::Grpc, rest),
    };
    matches!(rest.first(), None | Some(b'+' | b';')).then_some(dialect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_content_types_of_grpc_are_taken_for_it() {
        let is = |value: &'static str| {
            dialect(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))])).is_some()
        };
        for value in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc;x=y",
            "application/grpc-web-text",
        ] {
            assert!(is(value), "{value}");
        }
        for value in ["application/json", "application/grpcx", "application/grpc-other", "text/plain", ""] {
            assert!(!is(value), "{value}");
        }
        assert!(dialect(&HeaderMap::new()).is_none());
    }
}
