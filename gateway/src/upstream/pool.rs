//! Many nodes as one upstream: the less loaded of two taken by chance, those that fail left alone for a while, and calls
//! made again where that does no harm.
//!
//! A call is made again when it never left, or when it was idempotent and came to nothing: no connection, a connection
//! that broke, UNAVAILABLE. For that an idempotent call's answer is read whole before it is passed on, up to
//! [`PoolConfig::replay_bytes_max`]; streams pass through, and are made again only while nothing was sent. Which methods
//! are idempotent is told by whoever embeds the gateway; [`Gateway::idempotent`](crate::Gateway::idempotent) reads it
//! from the descriptors.

mod circuit;
mod health;
mod replay;
mod retry;

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tower::BoxError;

pub use circuit::CircuitLimits;

use super::{Answer, Unsent, Upstream};
use crate::{code::Code, failure::GRPC_STATUS, metadata};
use circuit::Circuit;
use retry::{Budget, Failed};

/// How a [`Pool`] works.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// How often a call is made at most.
    pub attempts_max: u32,
    /// How many calls may be made again at once; one in five is earned back.
    pub budget: u32,
    /// The bytes of a request, and of an answer, that are kept for making a call again.
    pub replay_bytes_max: usize,
    /// How long the first pause is before a node is asked a second time; each is twice as long, and spread by chance.
    pub backoff: Duration,
    /// When a node that fails is left alone.
    pub circuit: CircuitLimits,
    /// How often each node's health is asked for.
    pub health_interval: Duration,
    /// How long it may take to tell.
    pub health_timeout: Duration,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            attempts_max: 3,
            budget: 100,
            replay_bytes_max: 4 << 20,
            backoff: Duration::from_millis(25),
            circuit: CircuitLimits::default(),
            health_interval: Duration::from_secs(5),
            health_timeout: Duration::from_secs(2),
        }
    }
}

/// No node takes calls at the moment.
#[derive(Debug, thiserror::Error)]
#[error("all {0} nodes are left alone since they failed")]
struct NoneAdmits(usize);

/// See the module.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    nodes: Box<[Node]>,
    config: PoolConfig,
    /// The gRPC paths whose repetition does no harm; unary ones only.
    idempotent: HashSet<String>,
    budget: Mutex<Budget>,
    dice: Dice,
}

struct Node {
    upstream: Arc<dyn Upstream>,
    under_way: AtomicUsize,
    /// What it says of itself.
    serving: AtomicBool,
    circuit: Mutex<Circuit>,
}

/// One attempt.
enum Attempt {
    Answered(Response<Body>),
    /// How it failed, and what is told if it is not made again.
    Failed(Failed, Result<Response<Body>, BoxError>),
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("nodes", &self.shared.nodes.len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Calls go to `nodes`; those to the gRPC paths `idempotent` may be made again.
    pub fn new(nodes: Vec<Arc<dyn Upstream>>, idempotent: HashSet<String>, config: PoolConfig) -> Self {
        let node = |upstream| Node {
            upstream,
            under_way: AtomicUsize::new(0),
            serving: AtomicBool::new(true),
            circuit: Mutex::new(Circuit::new(config.circuit)),
        };
        let (nodes, budget) = (nodes.into_iter().map(node).collect(), Mutex::new(Budget::new(config.budget)));
        Self { shared: Arc::new(Shared { nodes, idempotent, budget, dice: Dice::new(), config }) }
    }

    /// Asks each node for its health, again and again. To be spawned beside the gateway; ends when it is dropped.
    pub async fn watch(self) {
        health::watch(&self.shared).await;
    }
}

impl Upstream for Pool {
    fn call(&self, request: Request<Body>) -> Answer {
        let shared = self.shared.clone();
        Box::pin(async move { shared.call(request).await })
    }
}

impl Shared {
    async fn call(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let idempotent = self.idempotent.contains(request.uri().path());
        let (parts, body) = request.into_parts();
        // a body of a known size is there already
        let keeps = body.size_hint().exact().is_some_and(|size| size <= self.config.replay_bytes_max as u64);
        if !keeps {
            let node = self.choose(&[]).ok_or_else(|| NoneAdmits(self.nodes.len()))?;
            return match self.attempt(node, Request::from_parts(parts, body), false).await {
                Attempt::Answered(response) => Ok(response),
                Attempt::Failed(_, told) => told,
            };
        }
        let body = body.collect().await?.to_bytes();
        let (started, mut tried) = (Instant::now(), Vec::new());
        loop {
            let Some(node) = self.choose(&tried) else { return Err(NoneAdmits(self.nodes.len()).into()) };
            if tried.contains(&node) {
                tokio::time::sleep(self.pause(tried.len())).await;
            }
            tried.push(node);
            let request = copy(&parts, &body, started);
            let (failed, told) = match self.attempt(node, request, idempotent).await {
                Attempt::Answered(response) => return Ok(response),
                Attempt::Failed(failed, told) => (failed, told),
            };
            let attempts = u32::try_from(tried.len()).unwrap_or(u32::MAX);
            let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
            if !retry::again(failed, idempotent, attempts, self.config.attempts_max, &mut budget) {
                return told;
            }
        }
    }

    async fn attempt(self: &Arc<Self>, index: usize, request: Request<Body>, whole: bool) -> Attempt {
        let node = &self.nodes[index];
        node.circuit().begin(Instant::now());
        let load = Load::of(self, index);
        let response = match node.upstream.call(request).await {
            Ok(response) => response,
            Err(error) => {
                self.fail(node);
                let how = if error.is::<Unsent>() { Failed::Unsent } else { Failed::Broken };
                return Attempt::Failed(how, Err(error));
            }
        };
        if is_unavailable(response.headers()) {
            self.succeed(node);
            return Attempt::Failed(Failed::Unavailable, Ok(response));
        }
        if !whole {
            self.succeed(node);
            return Attempt::Answered(response.map(|body| replay::counted(body, load)));
        }
        let (parts, body) = response.into_parts();
        match replay::read(body, self.config.replay_bytes_max, load).await {
            Ok(read) => {
                self.succeed(node);
                let unavailable = read.trailers().is_some_and(is_unavailable);
                let response = Response::from_parts(parts, Body::new(read));
                match unavailable {
                    true => Attempt::Failed(Failed::Unavailable, Ok(response)),
                    false => Attempt::Answered(response),
                }
            }
            Err(error) => {
                self.fail(node);
                Attempt::Failed(Failed::Broken, Err(error.into()))
            }
        }
    }

    /// An answer, whatever it says: the node is there.
    fn succeed(&self, node: &Node) {
        node.circuit().succeed();
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).earn();
    }

    fn fail(&self, node: &Node) {
        node.circuit().fail(Instant::now(), self.dice.fraction());
    }

    /// The less loaded of two taken by chance, best of those that say that they serve and were not tried yet.
    fn choose(&self, tried: &[usize]) -> Option<usize> {
        let now = Instant::now();
        let admitting: Vec<usize> =
            (0..self.nodes.len()).filter(|&index| self.nodes[index].circuit().admits(now)).collect();
        let fresh = |index: &usize| !tried.contains(index);
        let serving = |index: &usize| self.nodes[*index].serving.load(Ordering::Relaxed);
        let best: [&dyn Fn(&usize) -> bool; 3] = [&|index| fresh(index) && serving(index), &fresh, &|_| true];
        let candidates = best.into_iter().find_map(|fits| {
            let fitting: Vec<usize> = admitting.iter().copied().filter(|index| fits(index)).collect();
            (!fitting.is_empty()).then_some(fitting)
        })?;
        let first = self.dice.below(candidates.len());
        let second = (first + 1 + self.dice.below(candidates.len().saturating_sub(1))) % candidates.len();
        let load = |place: usize| self.nodes[candidates[place]].under_way.load(Ordering::Relaxed);
        Some(candidates[if load(second) < load(first) { second } else { first }])
    }

    fn pause(&self, attempts: usize) -> Duration {
        let doubled = self.config.backoff.saturating_mul(1 << attempts.saturating_sub(1).min(10));
        doubled.mul_f64(0.5 + self.dice.fraction())
    }
}

impl Node {
    fn circuit(&self) -> std::sync::MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request anew, with what is left of its deadline.
fn copy(parts: &Parts, body: &Bytes, started: Instant) -> Request<Body> {
    let mut request = Request::from_parts(parts.clone(), Body::from(body.clone()));
    if let Some(left) = metadata::grpc_deadline(&parts.headers) {
        metadata::put_timeout(request.headers_mut(), left.saturating_sub(started.elapsed()));
    }
    request
}

fn is_unavailable(status: &http::HeaderMap) -> bool {
    let code = status.get(GRPC_STATUS).and_then(|code| code.to_str().ok()?.parse().ok());
    code == Some(Code::Unavailable.number())
}

/// Counts a call under way until it is dropped.
struct Load {
    shared: Arc<Shared>,
    node: usize,
}

impl Load {
    fn of(shared: &Arc<Shared>, node: usize) -> Self {
        shared.nodes[node].under_way.fetch_add(1, Ordering::Relaxed);
        Self { shared: shared.clone(), node }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.nodes[self.node].under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Chance enough to spread load by: splitmix64.
struct Dice(AtomicU64);

impl Dice {
    fn new() -> Self {
        Self(AtomicU64::new(RandomState::new().hash_one(std::process::id())))
    }

    fn next(&self) -> u64 {
        let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`; 0 if that is 0.
    fn below(&self, bound: usize) -> usize {
        (self.next() % (bound as u64).max(1)) as usize
    }

    /// From 0 to 1.
    fn fraction(&self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}
