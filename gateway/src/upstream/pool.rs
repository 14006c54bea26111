//! Many nodes as one upstream: the less loaded of two taken by chance, those that fail left alone for a while, and calls
//! made again where that does no harm.
//!
//! A call is made again when it never left, or when it was idempotent and came to nothing: a connection that broke,
//! UNAVAILABLE, or a node that tells nothing any more, not even its health, while another serves. For that an idempotent
//! call's answer is read whole before it is passed on, up to [`PoolConfig::replay_bytes_max`], and of all calls together up
//! to [`PoolConfig::replays_bytes_max`]: what is more passes through as it comes. So do streams, which are made again where
//! the node's [`Unsent`](super::Unsent) gives the request back. Which methods are idempotent is told by whoever embeds the
//! gateway; [`Gateway::idempotent`](crate::Gateway::idempotent) reads it from the descriptors.
//!
//! Calls under one `idempotency-key` go to one node, as long as the nodes stay the same: whoever was asked first knows the
//! answer, whichever gateway the repeat comes through.

mod attempt;
mod call;
mod choice;
mod circuit;
mod health;
mod node;
mod replay;
mod retry;
mod tally;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arsenal_metrics::Text;
use axum::body::Body;
use http::Request;
use tokio::sync::{Notify, watch};

pub use circuit::CircuitLimits;

use super::{Answer, Upstream, dice::Dice};
use crate::held::Account;
use node::{Load, Node};
use retry::Budget;
use tally::Tally;

/// How a [`Pool`] works.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// How often a call is made at most that may have been done; one that never left is tried on each node.
    pub attempts_max: u32,
    /// How many calls that may have been done may be made again at once; one in five is earned back. Of those whose
    /// connection broke it is at least as many as were under way together of late, so that a node may die; what never left
    /// is not counted.
    pub budget: u32,
    /// The bytes of a request, and of an answer, that are kept for making a call again.
    pub replay_bytes_max: usize,
    /// The bytes of all answers together that are kept for that, before there is room for them among those that wait for
    /// their clients. Who finds none there is not asked for again if his answer breaks off.
    pub replays_bytes_max: usize,
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
            replays_bytes_max: 64 << 20,
            backoff: Duration::from_millis(25),
            circuit: CircuitLimits::default(),
            health_interval: Duration::from_secs(2),
            health_timeout: Duration::from_secs(2),
        }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// The nodes at one moment.
type Nodes = Arc<[Arc<Node>]>;

/// What may be set anew. Each call looks at it, so that one look has both.
struct State {
    nodes: Nodes,
    /// Whether one of them takes extensions: a request that may be sent again is copied with them.
    extensions: bool,
    idempotent: Paths,
}

fn take_extensions(nodes: &Nodes) -> bool {
    nodes.iter().any(|node| node.upstream.takes_extensions())
}

/// gRPC paths whose repetition does no harm; unary ones only.
type Paths = HashSet<String, foldhash::fast::RandomState>;

struct Shared {
    state: watch::Sender<State>,
    config: PoolConfig,
    budget: Budget,
    /// Calls that may be made again and have no answer yet.
    under_way: AtomicUsize,
    dice: Dice,
    /// What the answers that are read before they are passed on take.
    replays: Account,
    /// Told when a node fails.
    failed: Notify,
    tally: Tally,
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
        let nodes = nodes.into_iter().enumerate().map(node).collect();
        let (extensions, idempotent) = (take_extensions(&nodes), idempotent.into_iter().collect());
        let state = watch::Sender::new(State { nodes, extensions, idempotent });
        let (budget, failed) = (Budget::new(config.budget), Notify::new());
        let (dice, tally) = (Dice::new(), Tally::default());
        let (under_way, replays) = (AtomicUsize::new(0), Account::default());
        replays.allow(config.replays_bytes_max);
        let shared = Shared { state, budget, under_way, dice, replays, failed, tally, config };
        Self { shared: Arc::new(shared) }
    }

    /// Calls go to the nodes of these names from now on. Those that are there already keep what is known of them, others
    /// are made; calls to those that are gone end as they began.
    pub fn set(&self, names: &[String], make: impl Fn(&str) -> Arc<dyn Upstream>) {
        let shared = &self.shared;
        shared.state.send_if_modified(|State { nodes, extensions, .. }| {
            if nodes.iter().map(|node| &node.name).eq(names) {
                return false;
            }
            let node = |name: &String| {
                let there = nodes.iter().find(|node| node.name == *name).cloned();
                there.unwrap_or_else(|| Arc::new(Node::new(name.clone(), make(name), shared.config.circuit)))
            };
            let next: Nodes = names.iter().map(node).collect();
            tracing::info!(nodes = ?names, "the nodes that are called have changed");
            (*extensions, *nodes) = (take_extensions(&next), next);
            true
        });
    }

    /// Calls to these gRPC paths may be made again from now on, and to no others.
    pub fn set_idempotent(&self, paths: HashSet<String>) {
        self.shared.state.send_modify(|state| state.idempotent = paths.into_iter().collect());
    }

    /// Waits until a node fails, if none has since this was asked last.
    pub async fn failed(&self) {
        self.shared.failed.notified().await;
    }

    /// The nodes that are left alone since they failed, each with the reason.
    pub fn failures(&self) -> Vec<(String, String)> {
        let nodes = self.shared.nodes();
        nodes.iter().filter_map(|node| Some((node.name.clone(), node.failure()?))).collect()
    }

    /// Writes what is counted of its nodes in Prometheus' form.
    pub fn write_metrics(&self, text: &mut Text) {
        self.shared.tally.write(&self.shared.nodes(), text);
    }

    /// Asks each node for its health, again and again: without it one that hangs is found by its callers' deadlines and by
    /// pings alone. To be spawned beside the gateway; ends when it is dropped.
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
    fn nodes(&self) -> Nodes {
        self.state.borrow().nodes.clone()
    }

    /// An answer, whatever it says: the node is there.
    fn succeed(&self, node: &Node) {
        node.succeed();
        self.budget.earn(self.under_way.load(Ordering::Relaxed));
    }

    fn fail(&self, node: &Node, error: &(dyn std::error::Error + 'static)) {
        let opened = node.fail(self.dice.fraction());
        if opened {
            let causes = std::iter::successors(error.source(), |error| error.source());
            // some tell their cause themselves
            let error = causes.map(ToString::to_string).fold(error.to_string(), |text, cause| {
                if text.ends_with(&cause) { text } else { format!("{text}: {cause}") }
            });
            tracing::warn!(node = node.name, error, "a node fails, and is left alone for a while");
            node.note(error);
        }
        self.failed.notify_one();
    }

    fn pause(&self, attempts: usize) -> Duration {
        let doubled = self.config.backoff.saturating_mul(1 << attempts.saturating_sub(1).min(10));
        doubled.mul_f64(0.5 + self.dice.fraction())
    }
}
