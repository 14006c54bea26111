//! What is no gRPC is told so in HTTP: 415 for another content type, 405 for another method, as gRPC over HTTP/2 has it.
//! Without this a message behind any content type would be taken for a call.

use futures_util::future::Either;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Lets only gRPC and gRPC-Web through.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ContentTypeLayer;

impl<S> Layer<S> for ContentTypeLayer {
    type Service = ContentType<S>;

    fn layer(&self, inner: S) -> ContentType<S> {
        ContentType { inner }
    }
}

/// See [`ContentTypeLayer`].
#[derive(Clone, Debug)]
pub(crate) struct ContentType<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for ContentType<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Either<S::Future, Ready<Result<Response<R>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.method() != Method::POST {
            let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
            return Either::Right(ready(Ok(response)));
        }
        if !is_grpc(request.headers()) {
            return Either::Right(ready(Ok(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE))));
        }
        Either::Left(self.inner.call(request))
    }
}

/// `application/grpc` or `application/grpc-web[-text]`, with `+proto` or parameters behind it or nothing.
fn is_grpc(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let Some(rest) = value.strip_prefix(b"application/grpc") else { return false };
    let rest = rest.strip_prefix(b"-web-text").or(rest.strip_prefix(b"-web")).unwrap_or(rest);
    matches!(rest.first(), None | Some(b'+' | b';'))
}

/// An answer without a body, which is the default one.
fn refusal<R: Default>(status: StatusCode) -> Response<R> {
    let mut response = Response::new(R::default());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_content_types_of_grpc_are_taken_for_it() {
        let is = |value: &'static str| {
            is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
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
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
