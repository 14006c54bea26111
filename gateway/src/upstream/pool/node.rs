//! A node of a pool: where its calls go, and what is known of it.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use http::HeaderValue;

use super::{
    super::Upstream,
    circuit::{Circuit, CircuitLimits},
    tally::Attempts,
};

pub(super) struct Node {
    /// What the log calls it; no two of a pool have one.
    pub(super) name: String,
    pub(super) upstream: Arc<dyn Upstream>,
    pub(super) under_way: AtomicUsize,
    /// What it says of itself.
    pub(super) serving: AtomicBool,
    /// Whether its health is asked for.
    pub(super) watched: AtomicBool,
    pub(super) attempts: Arc<Attempts>,
    circuit: Mutex<Circuit>,
}

impl Node {
    pub(super) fn new(name: String, upstream: Arc<dyn Upstream>, circuit: CircuitLimits) -> Self {
        Self {
            name,
            upstream,
            under_way: AtomicUsize::new(0),
            serving: AtomicBool::new(true),
            watched: AtomicBool::new(false),
            attempts: Arc::default(),
            circuit: Mutex::new(Circuit::new(circuit)),
        }
    }

    /// How much it is the node for a key (rendezvous hashing): the same at every gateway, and of no other node's doing.
    pub(super) fn weight(&self, key: &HeaderValue) -> u64 {
        // without keys of its own, so that all gateways of a build agree
        let mut hasher = DefaultHasher::new();
        (key.as_bytes(), &self.name).hash(&mut hasher);
        hasher.finish()
    }

    pub(super) fn circuit(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a call under way until it is dropped.
pub(super) struct Load(Arc<Node>);

impl Load {
    pub(super) fn of(node: &Arc<Node>) -> Self {
        node.under_way.fetch_add(1, Ordering::Relaxed);
        Self(node.clone())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
