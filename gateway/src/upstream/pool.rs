//! Many nodes as one upstream: the less loaded of two taken by chance, those that fail left alone for a while, and calls
//! made again where that does no harm.
//!
//! A call is made again when it never left, or when it was idempotent and came to nothing: no connection, a connection
//! that broke, UNAVAILABLE. For that an idempotent call's answer is read whole before it is passed on, up to
//! [`PoolConfig::replay_bytes_max`]; streams pass through, and are made again only while nothing was sent. Which methods
//! are idempotent is told by whoever embeds the gateway; [`Gateway::idempotent`](crate::Gateway::idempotent) reads it
//! from the descriptors.
//!
//! Calls under one `idempotency-key` go to one node, as long as the nodes stay the same: whoever was asked first knows the
//! answer, whichever gateway the repeat comes through.

mod circuit;
mod health;
mod node;
mod replay;
mod retry;
mod tally;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use arsenal_metrics::Text;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, request::Parts};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::sync::{Notify, watch};
use tower::BoxError;

pub use circuit::CircuitLimits;

use super::{Answer, Unsent, Upstream, dice::Dice};
use crate::{code::Code, failure::GRPC_STATUS, metadata};
use node::{Load, Node};
use retry::{Budget, Failed};
use tally::{Attempted, Tally};

/// Names what a node keeps the answer of a call under.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// How a [`Pool`] works.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// How often a call is made at most.
    pub attempts_max: u32,
    /// How many calls that may have been done may be made again at once; one in five is earned back. Of those whose
    /// connection broke it is at least as many as were under way together of late, so that a node may die; what never left
    /// is not counted.
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
            health_interval: Duration::from_secs(2),
            health_timeout: Duration::from_secs(2),
        }
    }
}

/// No node takes calls at the moment.
#[derive(Debug, thiserror::Error)]
#[error("{}", match .0 { 0 => "no node is known".to_owned(), all => format!("all {all} nodes are left alone since they failed") })]
struct NoneAdmits(usize);

/// See the module.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// The nodes at one moment.
type Nodes = Arc<[Arc<Node>]>;

struct Shared {
    nodes: watch::Sender<Nodes>,
    config: PoolConfig,
    /// The gRPC paths whose repetition does no harm; unary ones only.
    idempotent: RwLock<HashSet<String>>,
    budget: Mutex<Budget>,
    /// Calls that may be made again and have no answer yet.
    under_way: AtomicUsize,
    dice: Dice,
    /// Told when a node fails.
    failed: Notify,
    tally: Tally,
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

/// One attempt.
enum Attempt {
    Answered(Response<Body>),
    /// How it failed, and what is told if it is not made again.
    Failed(Failed, Result<Response<Body>, BoxError>),
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("nodes", &self.shared.nodes().len()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Calls go to `nodes`; those to the gRPC paths `idempotent` may be made again.
    pub fn new(nodes: Vec<Arc<dyn Upstream>>, idempotent: HashSet<String>, config: PoolConfig) -> Self {
        let node =
            |(place, upstream): (usize, _)| Arc::new(Node::new(place.to_string(), upstream, config.circuit));
        let nodes = watch::Sender::new(nodes.into_iter().enumerate().map(node).collect());
        let (budget, failed) = (Mutex::new(Budget::new(config.budget)), Notify::new());
        let idempotent = RwLock::new(idempotent);
        let (dice, tally) = (Dice::new(), Tally::default());
        let under_way = AtomicUsize::new(0);
        let shared = Shared { nodes, idempotent, budget, under_way, dice, failed, tally, config };
        Self { shared: Arc::new(shared) }
    }

    /// Calls go to the nodes of these names from now on. Those that are there already keep what is known of them, others
    /// are made; calls to those that are gone end as they began.
    pub fn set(&self, names: &[String], make: impl Fn(&str) -> Arc<dyn Upstream>) {
        let shared = &self.shared;
        shared.nodes.send_if_modified(|nodes| {
            if nodes.iter().map(|node| &node.name).eq(names) {
                return false;
            }
            let node = |name: &String| {
                let there = nodes.iter().find(|node| node.name == *name).cloned();
                there.unwrap_or_else(|| Arc::new(Node::new(name.clone(), make(name), shared.config.circuit)))
            };
            let next: Nodes = names.iter().map(node).collect();
            tracing::info!(nodes = ?names, "the nodes that are called have changed");
            *nodes = next;
            true
        });
    }

    /// Calls to these gRPC paths may be made again from now on, and to no others.
    pub fn set_idempotent(&self, paths: HashSet<String>) {
        *self.shared.idempotent.write().unwrap_or_else(PoisonError::into_inner) = paths;
    }

    /// Waits until a node fails, if none has since this was asked last.
    pub async fn failed(&self) {
        self.shared.failed.notified().await;
    }

    /// Writes what is counted of its nodes in Prometheus' form.
    pub fn write_metrics(&self, text: &mut Text) {
        self.shared.tally.write(&self.shared.nodes(), text);
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

/// Whether a node may be taken.
type Fits<'f> = &'f dyn Fn(&&Arc<Node>) -> bool;

impl Shared {
    fn nodes(&self) -> Nodes {
        self.nodes.borrow().clone()
    }

    fn is_idempotent(&self, path: &str) -> bool {
        self.idempotent.read().unwrap_or_else(PoisonError::into_inner).contains(path)
    }

    async fn call(self: Arc<Self>, request: Request<Body>) -> Result<Response<Body>, BoxError> {
        let idempotent = self.is_idempotent(request.uri().path());
        let (parts, body) = request.into_parts();
        // a body of a known size is there already
        let keeps = body.size_hint().exact().is_some_and(|size| size <= self.config.replay_bytes_max as u64);
        if !keeps {
            let node = self.choose(&[], parts.headers.get(IDEMPOTENCY_KEY))?;
            return match self.attempt(&node, Request::from_parts(parts, body), false).await {
                Attempt::Answered(response) => Ok(response),
                Attempt::Failed(_, told) => told,
            };
        }
        let body = body.collect().await?.to_bytes();
        let (started, mut tried) = (Instant::now(), Vec::<Arc<Node>>::new());
        let _under_way = UnderWay::begin(&self.under_way);
        loop {
            let node = self.choose(&tried, parts.headers.get(IDEMPOTENCY_KEY))?;
            if tried.iter().any(|tried| Arc::ptr_eq(tried, &node)) {
                tokio::time::sleep(self.pause(tried.len())).await;
            }
            tried.push(node.clone());
            let request = copy(&parts, &body, started);
            let (failed, told) = match self.attempt(&node, request, idempotent).await {
                Attempt::Answered(response) => return Ok(response),
                Attempt::Failed(failed, told) => (failed, told),
            };
            let attempts = u32::try_from(tried.len()).unwrap_or(u32::MAX);
            let call =
                retry::Call { idempotent, attempts, under_way: self.under_way.load(Ordering::Relaxed) };
            let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
            let again = retry::again(failed, call, self.config.attempts_max, &mut budget);
            drop(budget);
            self.tally.decide(again);
            if !again {
                return told;
            }
        }
    }

    async fn attempt(&self, node: &Arc<Node>, request: Request<Body>, whole: bool) -> Attempt {
        let attempted = Attempted::begin(&node.attempts);
        let attempt = self.attempt_untold(node, request, whole).await;
        match &attempt {
            Attempt::Answered(_) => attempted.answered(),
            Attempt::Failed(how, _) => attempted.failed(*how),
        }
        attempt
    }

    async fn attempt_untold(&self, node: &Arc<Node>, request: Request<Body>, whole: bool) -> Attempt {
        node.circuit().begin(Instant::now());
        let load = Load::of(node);
        let response = match node.upstream.call(request).await {
            Ok(response) => response,
            Err(error) => {
                self.fail(node, &*error);
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
                self.fail(node, &error);
                Attempt::Failed(Failed::Broken, Err(error.into()))
            }
        }
    }

    /// An answer, whatever it says: the node is there.
    fn succeed(&self, node: &Node) {
        node.circuit().succeed();
        let under_way = self.under_way.load(Ordering::Relaxed);
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).earn(under_way);
    }

    fn fail(&self, node: &Node, error: &(dyn std::error::Error + 'static)) {
        let opened = node.circuit().fail(Instant::now(), self.dice.fraction());
        if opened {
            let causes = std::iter::successors(error.source(), |error| error.source());
            // some tell their cause themselves
            let error = causes.map(ToString::to_string).fold(error.to_string(), |text, cause| {
                if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
            });
            tracing::warn!(node = node.name, error, "a node fails, and is left alone for a while");
        }
        self.failed.notify_one();
    }

    /// The less loaded of two taken by chance, or the one that keeps the answers under a key; best of those that say that
    /// they serve and were not tried yet.
    fn choose(&self, tried: &[Arc<Node>], key: Option<&HeaderValue>) -> Result<Arc<Node>, NoneAdmits> {
        let (nodes, now) = (self.nodes(), Instant::now());
        let admitting: Vec<&Arc<Node>> = nodes.iter().filter(|node| node.circuit().admits(now)).collect();
        let fresh = |node: &&Arc<Node>| !tried.iter().any(|tried| Arc::ptr_eq(tried, node));
        let serving = |node: &&Arc<Node>| node.serving.load(Ordering::Relaxed);
        let best: [Fits<'_>; 3] = [&|node| fresh(node) && serving(node), &fresh, &|_| true];
        let candidates = best.into_iter().find_map(|fits| {
            let fitting: Vec<&Arc<Node>> = admitting.iter().copied().filter(fits).collect();
            (!fitting.is_empty()).then_some(fitting)
        });
        let candidates = candidates.ok_or(NoneAdmits(nodes.len()))?;
        if let Some(keeper) = key.and_then(|key| candidates.iter().max_by_key(|node| node.weight(key))) {
            return Ok(Arc::clone(keeper));
        }
        let first = self.dice.below(candidates.len());
        let second = (first + 1 + self.dice.below(candidates.len().saturating_sub(1))) % candidates.len();
        let load = |place: usize| candidates[place].under_way.load(Ordering::Relaxed);
        Ok(candidates[if load(second) < load(first) { second } else { first }].clone())
    }

    fn pause(&self, attempts: usize) -> Duration {
        let doubled = self.config.backoff.saturating_mul(1 << attempts.saturating_sub(1).min(10));
        doubled.mul_f64(0.5 + self.dice.fraction())
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
