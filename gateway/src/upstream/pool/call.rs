//! One call through a pool: its attempts on one node and another, until one of them is answered or there is no use in more.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use smallvec::SmallVec;
use tower::BoxError;

use super::{Load, Node, Shared, attempt::Attempt, choice::is_among, replay, retry, retry::Failed};
use crate::{
    code::Code,
    failure::GRPC_STATUS,
    metadata,
    upstream::{BrokeOff, Unreadable, Unsent},
};

/// Names what a node keeps the answer of a call under.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A call, and what became of it so far.
struct Call<'p> {
    shared: &'p Shared,
    idempotent: bool,
    key: Option<HeaderValue>,
    started: Instant,
    tried: SmallVec<[Arc<Node>; 2]>,
    /// How often it may have been done.
    asked: u32,
}

/// How an attempt ends.
enum Outcome {
    Answered(Response<Body>),
    /// How it failed, and what is told if it is not made again.
    Failed(Failed, Result<Response<Body>, BoxError>),
    /// Nothing is known of the node, and nothing is to be gained by another: the request broke off, or the answer is none.
    Left(BoxError),
    /// It was given up to be made again, since its node is silent.
    GivenUp,
}

/// Counts a call under way until it is dropped.
struct UnderWay<'c>(&'c AtomicUsize);

impl<'c> UnderWay<'c> {
    fn begin(count: &'c AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(super) async fn call(&self, mut request: Request<Body>) -> Result<Response<Body>, BoxError> {
        // a body of a known size is there already
        let size = request.body().size_hint().exact();
        let keeps = size.is_some_and(|size| size <= self.config.replay_bytes_max as u64);
        let (idempotent, extensions) = {
            let state = self.state.borrow();
            (keeps && state.idempotent.contains(request.uri().path()), state.extensions)
        };
        if !extensions {
            request.extensions_mut().clear();
        }
        let call = Call {
            shared: self,
            idempotent,
            key: request.headers().get(IDEMPOTENCY_KEY).cloned(),
            started: Instant::now(),
            tried: SmallVec::new(),
            asked: 0,
        };
        let node = self.choose(&[], call.key.as_ref())?;
        if !keeps {
            return call.repeat(node, request, None).await;
        }
        let (parts, body) = request.into_parts();
        let body = whole(body).await?;
        let _under_way = UnderWay::begin(&self.under_way);
        call.repeat(node, Request::from_parts(parts, Body::from(body.clone())), Some(body)).await
    }

    /// `whole` has the answer read before it counts as one.
    async fn attempt(&self, node: &Arc<Node>, request: Request<Body>, whole: bool, now: Instant) -> Outcome {
        let (mut attempt, load) = (Attempt::begin(self, node, now), Load::of(node));
        let response = match node.upstream.call(request).await {
            Ok(response) => response,
            Err(error) if error.is::<BrokeOff>() || is_unreadable(&*error) => {
                attempt.leave();
                return Outcome::Left(error);
            }
            Err(error) => {
                let how = match error.downcast_ref::<Unsent>() {
                    Some(unsent) if unsent.is_busy() => Failed::Busy,
                    Some(_) => Failed::Unsent,
                    None => Failed::Broken,
                };
                match how {
                    Failed::Busy => attempt.refused(),
                    _ => attempt.failed(how, &*error),
                }
                return Outcome::Failed(how, Err(error));
            }
        };
        if is_unavailable(response.headers()) {
            attempt.unavailable();
            return Outcome::Failed(Failed::Unavailable, Ok(response));
        }
        if !whole {
            attempt.answered();
            return Outcome::Answered(response.map(|body| replay::counted(body, load)));
        }
        let (parts, body) = response.into_parts();
        let read = match replay::read(body, self.config.replay_bytes_max, &self.replays, load).await {
            Ok(read) => read,
            Err(error) => {
                let error: BoxError = error.into();
                if is_unreadable(&*error) {
                    attempt.leave();
                    return Outcome::Left(error);
                }
                attempt.failed(Failed::Broken, &*error);
                return Outcome::Failed(Failed::Broken, Err(error));
            }
        };
        let unavailable = read.trailers().is_some_and(is_unavailable);
        let response = Response::from_parts(parts, Body::new(read));
        if unavailable {
            attempt.unavailable();
            return Outcome::Failed(Failed::Unavailable, Ok(response));
        }
        attempt.answered();
        Outcome::Answered(response)
    }
}

impl Call<'_> {
    /// Attempts it on `node` first, and then as long as there is use in it. A body that was not `kept` is sent again only if
    /// an attempt gives it back.
    async fn repeat(
        mut self,
        node: Arc<Node>,
        request: Request<Body>,
        kept: Option<Bytes>,
    ) -> Result<Response<Body>, BoxError> {
        let (mut node, mut request, mut now) = (node, request, self.started);
        let mut deadline = None;
        loop {
            self.tried.push(node.clone());
            let spare = kept.as_ref().map(|body| copy(&request, body));
            let (told, spare) = match self.attempt(&node, request, now).await {
                Outcome::Answered(response) => return Ok(response),
                Outcome::Left(error) => return Err(error),
                Outcome::GivenUp => {
                    self.asked += 1;
                    (Err(Silent.into()), spare)
                }
                Outcome::Failed(failed, told) => {
                    let spare = spare.or_else(|| given_back(&told));
                    let again = spare.is_some() && self.again(failed);
                    self.shared.tally.decide(again);
                    if !again {
                        return told;
                    }
                    self.asked += u32::from(failed != Failed::Unsent);
                    (told, spare)
                }
            };
            let chosen = self.shared.choose(&self.tried, self.key.as_ref());
            let (Ok(next), Some(spare)) = (chosen, spare) else { return told };
            if is_among(&self.tried, &next) {
                tokio::time::sleep(self.shared.pause(self.tried.len())).await;
            }
            (node, request, now) = (next, spare, Instant::now());
            // that of the first attempt, which each later one has less of
            let deadline = *deadline.get_or_insert_with(|| metadata::grpc_deadline(request.headers()));
            if let Some(deadline) = deadline {
                let left = deadline.saturating_sub(now - self.started);
                metadata::put_timeout(request.headers_mut(), left);
            }
        }
    }

    /// An attempt on a node. One that may be made again is given up if the node falls silent while another serves.
    async fn attempt(&self, node: &Arc<Node>, request: Request<Body>, now: Instant) -> Outcome {
        let mut attempt = pin!(self.shared.attempt(node, request, self.idempotent, now));
        if !self.idempotent {
            return attempt.await;
        }
        loop {
            let silent = node.silent.notified();
            tokio::select! {
                biased;
                outcome = &mut attempt => return outcome,
                () = silent => {
                    if self.shared.has_better(&self.tried) && self.again(Failed::Broken) {
                        self.shared.tally.decide(true);
                        return Outcome::GivenUp;
                    }
                }
            }
        }
    }

    /// Whether it is made again behind an attempt that failed so; if so, it is paid for.
    fn again(&self, failed: Failed) -> bool {
        let shared = self.shared;
        let call = retry::Call {
            idempotent: self.idempotent,
            attempts: u32::try_from(self.tried.len()).unwrap_or(u32::MAX),
            asked: self.asked + u32::from(failed != Failed::Unsent),
            fresh: failed == Failed::Unsent && shared.has_fresh(&self.tried),
            under_way: shared.under_way.load(Ordering::Relaxed),
        };
        retry::again(failed, call, shared.config.attempts_max, &shared.budget)
    }
}

/// The node told nothing any more, and then there was no other.
#[derive(Debug, thiserror::Error)]
#[error("the node does not answer")]
struct Silent;

/// The bytes of a body, which are most often there in one piece.
async fn whole(mut body: Body) -> Result<Bytes, axum::Error> {
    let Some(first) = body.frame().await.transpose()? else { return Ok(Bytes::new()) };
    let first = first.into_data().unwrap_or_default();
    if body.is_end_stream() {
        return Ok(first);
    }
    let rest = body.collect().await?.to_bytes();
    Ok([first, rest].concat().into())
}

/// A request again, for the attempt behind the one that takes it.
fn copy(request: &Request<Body>, body: &Bytes) -> Request<Body> {
    let mut copy = Request::new(Body::from(body.clone()));
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.version_mut() = request.version();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

/// The request of an attempt that never left, which is still whole.
fn given_back(told: &Result<Response<Body>, BoxError>) -> Option<Request<Body>> {
    told.as_ref().err()?.downcast_ref::<Unsent>()?.take_request()
}

/// Whether an error is about what came, wherever in it that stands.
fn is_unreadable(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<Unreadable>())
}

fn is_unavailable(status: &HeaderMap) -> bool {
    let code = status.get(GRPC_STATUS).and_then(|code| code.to_str().ok()?.parse().ok());
    code == Some(Code::Unavailable.number())
}
