//! A node of a pool: where its calls go, and what is known of it.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use super::{
    super::Upstream,
    circuit::{Circuit, CircuitLimits},
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
            circuit: Mutex::new(Circuit::new(circuit)),
        }
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
