//! A node of a pool: where its calls go, and what is known of it.

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Instant,
};

use http::HeaderValue;
use tokio::sync::Notify;

use super::{
    super::Upstream,
    circuit::{Circuit, CircuitLimits},
    tally::{self, Attempts},
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
    pub(super) attempts: Attempts,
    /// Told each time that it did not tell its health in time, and answered nothing else meanwhile.
    pub(super) silent: Notify,
    circuit: Mutex<Circuit>,
    /// Why it was left alone the last time.
    why: Mutex<String>,
    /// Something is held against it in there. While nothing is, a call takes no lock and no look at the clock.
    troubled: AtomicBool,
}

impl Node {
    pub(super) fn new(name: String, upstream: Arc<dyn Upstream>, circuit: CircuitLimits) -> Self {
        Self {
            name,
            upstream,
            under_way: AtomicUsize::new(0),
            serving: AtomicBool::new(true),
            watched: AtomicBool::new(false),
            attempts: Attempts::default(),
            silent: Notify::new(),
            circuit: Mutex::new(Circuit::new(circuit)),
            why: Mutex::default(),
            troubled: AtomicBool::new(false),
        }
    }

    /// Whether nothing speaks against calling it.
    pub(super) fn is_well(&self) -> bool {
        self.serving.load(Ordering::Relaxed) && !self.is_troubled()
    }

    /// Whether it may be called.
    pub(super) fn admits(&self, now: Instant) -> bool {
        !self.is_troubled() || self.circuit().admits(now)
    }

    /// Whether it says that it serves, and answers.
    pub(super) fn is_preferred(&self, now: Instant) -> bool {
        let silent = self.is_troubled() && self.circuit().is_silent(now);
        self.serving.load(Ordering::Relaxed) && !silent
    }

    pub(super) fn is_closed(&self) -> bool {
        !self.is_troubled() || self.circuit().is_closed()
    }

    /// A call is made. Gives whether it is one that tries whether the node is back.
    pub(super) fn begin(&self, now: Instant) -> bool {
        self.is_troubled() && self.circuit().begin(now)
    }

    /// It answered.
    pub(super) fn succeed(&self) {
        if self.is_troubled() {
            let mut circuit = self.circuit();
            circuit.succeed();
            self.troubled.store(false, Ordering::Relaxed);
        }
    }

    /// It failed. Gives whether it is left alone from now on, where it was not before.
    pub(super) fn fail(&self, chance: f64) -> bool {
        self.trouble().fail(Instant::now(), chance)
    }

    /// A call was given up that had not been answered, which may have tried whether it is back, and after a long silence.
    pub(super) fn give_up(&self, tried: bool, silence: bool, chance: f64) {
        if !tried && !silence {
            return;
        }
        let (now, mut circuit) = (Instant::now(), self.trouble());
        match (tried, silence) {
            (true, true) => {
                circuit.fail(now, chance);
            }
            (true, false) => circuit.give_back(now),
            (false, _) => {}
        }
        if silence {
            circuit.fall_silent(now);
        }
    }

    /// Keeps why it is left alone from now on.
    pub(super) fn note(&self, why: String) {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Why it is left alone; none if it is not.
    pub(super) fn failure(&self) -> Option<String> {
        let why = || self.why.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (!self.is_closed()).then(why)
    }

    /// How many calls it has answered.
    pub(super) fn answers(&self) -> u64 {
        tally::answers(&self.attempts)
    }

    /// How much it is the node for a key (rendezvous hashing): the same at every gateway, and of no other node's doing.
    pub(super) fn weight(&self, key: &HeaderValue) -> u64 {
        // without keys of its own, so that all gateways of a build agree
        let mut hasher = DefaultHasher::new();
        (key.as_bytes(), &self.name).hash(&mut hasher);
        hasher.finish()
    }

    fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Relaxed)
    }

    /// Its circuit, in which something is about to be held against it.
    fn trouble(&self) -> MutexGuard<'_, Circuit> {
        let circuit = self.circuit();
        // under the lock, as is the word that all is well
        self.troubled.store(true, Ordering::Relaxed);
        circuit
    }

    fn circuit(&self) -> MutexGuard<'_, Circuit> {
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
