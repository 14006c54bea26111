//! What comes to the gRPC port: gRPC, which goes straight to the RPCs; gRPC-Web, which is translated; and what is neither,
//! which is told so in HTTP: 415 for another content type, 405 for another method, as gRPC over HTTP/2 has it. Without
//! this a message behind any content type would be taken for a call.

use axum::body::Body;
use futures_util::future::{BoxFuture, Either, FutureExt as _};
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use std::convert::Infallible;
use std::future::ready;
use std::task::{Context, Poll};
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service};

/// The service of the gRPC port.
#[derive(Clone, Debug)]
pub(crate) struct GrpcPort<S> {
    rpcs: S,
    web: GrpcWebService<S>,
}

impl<S: Clone> GrpcPort<S> {
    /// Calls go to `rpcs`.
    pub(crate) fn new(rpcs: S) -> Self {
        Self { web: GrpcWebLayer::new().layer(rpcs.clone()), rpcs }
    }
}

impl<S, F> Service<Request<Incoming>> for GrpcPort<S>
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future = F>
        + Service<Request<tonic::body::Body>, Response = Response<Body>, Error = Infallible, Future = F>,
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
        match dialect(request.headers()) {
            Some(Dialect::Grpc) if request.version() == Version::HTTP_2 => {
                Either::Left(self.rpcs.call(request))
            }
            // gRPC that came over HTTP/1 is refused there
            Some(_) => {
                let answer = self.web.call(request);
                Either::Right(async move { answer.await.map(|response| response.map(Body::new)) }.boxed())
            }
            None => {
                let mut response = Response::default();
                *response.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
                refusal(response)
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
