//! The deadline that a client sets by `grpc-timeout`: a call that has no answer by then is given up, and says so.
//!
//! It bounds the time until an answer begins; a stream that has begun is its client's to end.

use crate::status::failure;
use crate::wire::{Answering, Call};
use axum::body::Body;
use futures_util::future::Either;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;
use tonic::{Code, Status};
use tower::{Layer, Service};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// Gives up calls whose time is over.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeadlineLayer;

impl<S> Layer<S> for DeadlineLayer {
    type Service = DeadlineService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        DeadlineService { inner }
    }
}

/// See [`DeadlineLayer`].
#[derive(Clone, Debug)]
pub struct DeadlineService<S> {
    inner: S,
}

impl<S> Service<Call> for DeadlineService<S>
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
        let Some(timeout) = timeout(call.request.headers()) else {
            return Either::Left(self.inner.call(call));
        };
        let answer = self.inner.call(call);
        Either::Right(Box::pin(async move {
            let answer = tokio::time::timeout(timeout, answer).await;
            answer.unwrap_or_else(|_| Ok(exceeded(timeout).into_http()))
        }))
    }
}

fn exceeded(timeout: Duration) -> Status {
    failure(Code::DeadlineExceeded, "DEADLINE_EXCEEDED", format!("no answer within {timeout:?}")).status()
}

/// What the header `grpc-timeout` says; one that is malformed says nothing, as for gRPC's own servers.
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    headers.get(&GRPC_TIMEOUT).and_then(|value| value.to_str().ok()).and_then(parse)
}

/// Sets the header to a time, to the microsecond where its eight digits allow.
pub(super) fn set(headers: &mut HeaderMap, timeout: Duration) {
    const DIGITS_MAX: u128 = 99_999_999;
    let (value, unit) = match timeout.as_micros() {
        micros if micros <= DIGITS_MAX => (micros, 'u'),
        micros if micros / 1_000 <= DIGITS_MAX => (micros / 1_000, 'm'),
        micros => ((micros / 1_000_000).min(DIGITS_MAX), 'S'),
    };
    if let Ok(value) = HeaderValue::try_from(format!("{value}{unit}")) {
        headers.insert(GRPC_TIMEOUT, value);
    }
}

/// At most eight digits and a unit, as gRPC has it.
fn parse(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3_600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_that_is_set_is_read_back_to_the_precision_that_eight_digits_have() {
        let mut headers = HeaderMap::new();
        for (set_to, read) in [
            (Duration::from_micros(1_234_567), Duration::from_micros(1_234_567)),
            (Duration::from_nanos(999), Duration::ZERO),
            (Duration::from_micros(200_000_001), Duration::from_millis(200_000)),
            (Duration::from_secs(1 << 40), Duration::from_secs(99_999_999)),
        ] {
            set(&mut headers, set_to);
            assert_eq!(timeout(&headers), Some(read));
        }
    }

    #[test]
    fn a_timeout_is_read_as_grpc_writes_it_and_anything_else_is_none() {
        assert_eq!(parse("5S"), Some(Duration::from_secs(5)));
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("2H"), Some(Duration::from_secs(7_200)));
        for text in ["", "S", "5", "5s", "-5S", "123456789S", "5é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
