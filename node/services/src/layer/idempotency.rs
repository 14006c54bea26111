//! `idempotency-key`: a repeat of a request gets the answer of the first one, for ten minutes.
//!
//! Unary RPCs that change something alone: other requests pass untouched. The key is bound to the RPC's path, to the
//! bytes of its request, and to the principal that sent it. The first runs in a task of its own, for which its client only
//! waits: a client that goes away, which is when repeats come, takes neither the effect nor the answer with it.
//!
//! Invariants: at most [`ANSWERS_MAX`] answers of at most [`ANSWERS_BYTES_MAX`] together are kept, the oldest go first; a
//! repeat that comes while the first still runs waits for it; at most [`FIRSTS_MAX`] run, each for as long as its answer
//! would be kept, and one that is given up then leaves nothing, so that the next one runs.

mod store;

use crate::caller::Principal;
use crate::status::{bad_argument, failure};
use crate::wire::{Ahead, Answering, Call, Whole};
use arsenal_runtime::Node;
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::Either;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use store::{Claim, First, KEPT, Key, Store};
use tokio::sync::Semaphore;
use tonic::{Code, Status};
use tower::{Layer, Service};
use tracing::Instrument as _;

/// The request header with the client's key.
pub const IDEMPOTENCY_HEADER: &str = "idempotency-key";
/// As a name that needs no parsing at each request.
const IDEMPOTENCY: HeaderName = HeaderName::from_static(IDEMPOTENCY_HEADER);
/// The response header of an answer that was given before.
pub const REPLAYED_HEADER: &str = "arsenal-idempotency-replayed";

/// Bytes of a key at most.
const KEY_BYTES_MAX: usize = 255;
/// Answers kept at most.
const ANSWERS_MAX: usize = 65_536;
/// Bytes of the answers kept at most.
const ANSWERS_BYTES_MAX: usize = 64 << 20;
/// Requests with a key that run at most: one whose client has gone is bounded by nothing else.
const FIRSTS_MAX: usize = 16_384;

/// An answer as it went over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

impl Answer {
    fn bytes(&self) -> usize {
        let size = |headers: &HeaderMap| {
            headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>()
        };
        self.body.len() + size(&self.headers) + self.trailers.as_ref().map_or(0, size)
    }

    /// With bytes of its own: those of an answer count as not read for as long as anybody has them.
    fn apart(mut self) -> Self {
        self.body = Bytes::copy_from_slice(&self.body);
        self
    }

    fn response(&self, replayed: bool) -> Response<Body> {
        let frames = Whole {
            data: Some(self.body.clone()).filter(|body| !body.is_empty()),
            trailers: self.trailers.clone(),
        };
        let mut response = Response::new(Body::new(frames));
        *response.headers_mut() = self.headers.clone();
        if replayed {
            response.headers_mut().insert(REPLAYED_HEADER, http::HeaderValue::from_static("true"));
        }
        response
    }
}

/// Answers repeats.
#[derive(Clone)]
pub struct IdempotencyLayer {
    store: Arc<Store>,
    firsts: Arc<Semaphore>,
    request_bytes_max: usize,
}

impl IdempotencyLayer {
    /// A request with a key has `request_bytes_max` at most.
    pub fn new(node: Node, request_bytes_max: usize) -> Self {
        let store = Store::new(node, ANSWERS_MAX, ANSWERS_BYTES_MAX);
        let firsts = Arc::new(Semaphore::new(FIRSTS_MAX));
        Self { store: Arc::new(store), firsts, request_bytes_max }
    }
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = IdempotencyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        IdempotencyService { layer: self.clone(), inner }
    }
}

/// See [`IdempotencyLayer`].
#[derive(Clone)]
pub struct IdempotencyService<S> {
    layer: IdempotencyLayer,
    inner: S,
}

impl<S> Service<Call> for IdempotencyService<S>
where
    S: Service<Call, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<S::Future, Answering>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let applies = call.rpc.changes && call.rpc.is_unary();
        let Some(key) = applies.then(|| key_of(&call.request)).flatten() else {
            return Either::Left(self.inner.call(call));
        };
        // the one that was made ready goes on with the request, its clone waits for the next
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        let layer = self.layer.clone();
        Either::Right(Box::pin(async move {
            Ok(layer.run(inner, key, call).await.unwrap_or_else(Status::into_http))
        }))
    }
}

/// The key of a request: what its header says, as it stands.
fn key_of<B>(request: &Request<B>) -> Option<Bytes> {
    let value = request.headers().get(&IDEMPOTENCY)?;
    Some(Bytes::copy_from_slice(value.as_bytes()))
}

impl IdempotencyLayer {
    async fn run<S>(
        self,
        inner: S,
        key: Bytes,
        Call { rpc, request, ahead }: Call,
    ) -> Result<Response<Body>, Status>
    where
        S: Service<Call, Response = Response<Body>, Error = Infallible, Future: Send> + Send + 'static,
    {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            let message = format!(
                "the `{IDEMPOTENCY_HEADER}` has {} bytes; 1 to {KEY_BYTES_MAX} are possible",
                key.len()
            );
            return Err(bad_argument(IDEMPOTENCY_HEADER, message));
        }
        let meant = ahead.meant;
        let (parts, body) = ahead.put_back(request).into_parts();
        let input = self.read(body).await?;
        let principal = parts.extensions.get::<Principal>().cloned();
        let key = Key { path: parts.uri.path().to_owned(), key, principal };
        let claim = loop {
            match self.store.claim(&key, &input) {
                Claim::First(claim) => break claim,
                Claim::Answered(answer) => return Ok(answer.response(true)),
                Claim::Other => return Err(other_input(&key)),
                // when the first is given up, the next to look runs
                Claim::Running(mut first) => {
                    let _ = first.changed().await;
                }
            }
        };
        let place = Arc::clone(&self.firsts).try_acquire_owned().map_err(|_| too_many_firsts())?;
        let request = Request::from_parts(parts, Body::from(input));
        let ahead = Ahead { head: Bytes::new(), meant };
        let first = async move {
            let ran = tokio::time::timeout(KEPT, run_first(inner, Call { rpc, request, ahead }, claim)).await;
            drop(place);
            ran.unwrap_or_else(|_| Err(given_up()))
        };
        // what it causes is still part of the call's trace
        match tokio::spawn(first.in_current_span()).await {
            Ok(answered) => answered,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // the thread that serves is ending
                Err(_) => Err(given_up()),
            },
        }
    }

    async fn read(&self, body: Body) -> Result<Bytes, Status> {
        let limited = Limited::new(body, self.request_bytes_max);
        let collected = limited.collect().await.map_err(|error| match error.is::<LengthLimitError>() {
            true => {
                let message = format!("the request has more than {} bytes", self.request_bytes_max);
                failure(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", message).status()
            }
            false => Status::from_error(error),
        })?;
        Ok(collected.to_bytes())
    }
}

/// Runs the first request with a key, and keeps its answer.
async fn run_first<S>(mut inner: S, call: Call, claim: First) -> Result<Response<Body>, Status>
where
    S: Service<Call, Response = Response<Body>, Error = Infallible>,
{
    let Ok(response) = inner.call(call).await;
    let (parts, body) = response.into_parts();
    let collected = body.collect().await.map_err(|error| Status::from_error(error.into()))?;
    let trailers = collected.trailers().cloned();
    let answer = Answer { headers: parts.headers, body: collected.to_bytes(), trailers };
    let response = answer.response(false);
    if keeps(&answer) {
        claim.answer(answer.apart());
    }
    Ok(response)
}

/// `RESOURCE_EXHAUSTED`: nothing was done.
fn too_many_firsts() -> Status {
    let message = format!("{FIRSTS_MAX} requests with an `{IDEMPOTENCY_HEADER}` run already, the maximum");
    failure(Code::ResourceExhausted, "TOO_MANY_REQUESTS", message).status()
}

/// `ABORTED OUTCOME_UNKNOWN`: it was begun and has no answer.
fn given_up() -> Status {
    let message = format!("the request had no answer within {KEPT:?}, and what became of it is not known");
    failure(Code::Aborted, "OUTCOME_UNKNOWN", message).status()
}

/// `INVALID_ARGUMENT`: the key was used for another request.
fn other_input(key: &Key) -> Status {
    let message = format!(
        "the `{IDEMPOTENCY_HEADER}` `{}` was used for another request of {}",
        String::from_utf8_lossy(&key.key),
        key.path
    );
    failure(Code::InvalidArgument, "KEY_REUSED", message).field(IDEMPOTENCY_HEADER).status()
}

/// Whether a repeat shall get this answer: not one after which nothing was done and a retry is the remedy.
fn keeps(answer: &Answer) -> bool {
    let status =
        |headers: &HeaderMap| headers.get("grpc-status").and_then(|value| value.to_str().ok()?.parse().ok());
    let code = answer
        .trailers
        .as_ref()
        .and_then(status)
        .or_else(|| status(&answer.headers))
        .map_or(Code::Ok, Code::from_i32);
    !matches!(code, Code::Unavailable | Code::ResourceExhausted | Code::Unauthenticated)
}

#[cfg(test)]
mod tests;
