//! What other threads see of the schedulers: the queues into which they put processes, who sleeps and is to be woken,
//! and what each has done.
//!
//! Invariant: whoever puts a process into a queue looks afterwards whether its scheduler sleeps, and a scheduler that is
//! about to sleep says so before it looks into its queues a last time.

use crate::priority::Priority;
use crate::process::{Process, UNPINNED};
use crossbeam_deque::Stealer;
use crossbeam_queue::SegQueue;
use crossbeam_utils::CachePadded;
use crossbeam_utils::sync::Unparker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

/// What other threads see of a scheduler.
pub(crate) struct Shared {
    /// Processes put here by other threads.
    pub(crate) injected: SegQueue<Arc<Process>>,
    /// Processes that only this scheduler may run.
    pub(crate) pinned: SegQueue<Arc<Process>>,
    pub(crate) max: SegQueue<Arc<Process>>,
    pub(crate) high: SegQueue<Arc<Process>>,
    pub(crate) stealer: Stealer<Arc<Process>>,
    pub(crate) unparker: Unparker,
    pub(crate) asleep: AtomicBool,
    pub(crate) counters: CachePadded<Counters>,
}

/// A scheduler's counters; written by it alone.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) turns: AtomicU64,
    pub(crate) slices: AtomicU64,
    pub(crate) reductions: AtomicU64,
    pub(crate) steals: AtomicU64,
    pub(crate) busy_ns: AtomicU64,
    pub(crate) idle_ns: AtomicU64,
    /// Serial of the process that runs, 0 for none.
    pub(crate) current: AtomicU64,
    /// When the present busy or idle phase began.
    pub(crate) phase_ns: AtomicU64,
    /// The present slice has lasted longer than a tick; set by the ticker.
    pub(crate) stuck: AtomicBool,
    /// When the ticker first saw the present slice, in milliseconds of the node's clock.
    pub(crate) slice_since_ms: AtomicU32,
}

pub(crate) struct Schedulers {
    pub(crate) shared: Vec<Shared>,
    pub(crate) asleep: AtomicUsize,
    /// Schedulers that are looking for work to steal.
    pub(crate) searching: AtomicUsize,
    pub(crate) next: AtomicUsize,
}

impl Shared {
    /// Lengths of the run queues: max, high, normal and low together, pinned ones included.
    pub(crate) fn queue_lengths(&self) -> [usize; 3] {
        let normal = self.stealer.len() + self.injected.len() + self.pinned.len();
        [self.max.len(), self.high.len(), normal]
    }

    pub(crate) fn has_work(&self) -> bool {
        self.was_given_work() || !self.stealer.is_empty()
    }

    /// Whether anything waits that does not come from the scheduler's own queue.
    pub(crate) fn was_given_work(&self) -> bool {
        !self.injected.is_empty() || !self.pinned.is_empty() || !self.max.is_empty() || !self.high.is_empty()
    }
}

impl Schedulers {
    pub(crate) fn len(&self) -> usize {
        self.shared.len()
    }

    /// Puts a process into a run queue from a thread that is no scheduler.
    pub(crate) fn inject(&self, process: Arc<Process>) {
        let to = self.target_of(&process);
        self.put(to, process);
    }

    fn target_of(&self, process: &Process) -> usize {
        let pinned = process.pinned.load(Relaxed);
        if pinned != UNPINNED {
            return usize::from(pinned) % self.len();
        }
        let home = process.home.load(Relaxed);
        if home == UNPINNED {
            self.next.fetch_add(1, Relaxed) % self.len()
        } else {
            usize::from(home) % self.len()
        }
    }

    /// Puts a process into a queue of scheduler `to` and wakes it.
    pub(crate) fn put(&self, to: usize, process: Arc<Process>) {
        let shared = &self.shared[to];
        match process.priority() {
            Priority::Max => shared.max.push(process),
            Priority::High => shared.high.push(process),
            _ if process.pinned.load(Relaxed) != UNPINNED => shared.pinned.push(process),
            _ => shared.injected.push(process),
        }
        self.wake(to);
    }

    pub(crate) fn wake(&self, id: usize) {
        if self.shared[id].asleep.swap(false, SeqCst) {
            self.asleep.fetch_sub(1, SeqCst);
            self.shared[id].unparker.unpark();
        }
    }

    /// Wakes one sleeper, if nobody is looking for work already.
    pub(crate) fn wake_one(&self) {
        if self.asleep.load(Relaxed) == 0 || self.searching.load(SeqCst) > 0 {
            return;
        }
        if let Some(id) = self.shared.iter().position(|shared| shared.asleep.load(Relaxed)) {
            self.wake(id);
        }
    }

    pub(crate) fn wake_all(&self) {
        for shared in &self.shared {
            shared.asleep.store(false, SeqCst);
            shared.unparker.unpark();
        }
        self.asleep.store(0, SeqCst);
    }

    pub(crate) fn all_asleep(&self) -> bool {
        self.asleep.load(SeqCst) == self.len()
    }

    /// Wakes a sleeper where a process waits behind one that runs long. Called by the ticker.
    pub(crate) fn balance(&self) {
        let waiting =
            self.shared.iter().any(|shared| !shared.stealer.is_empty() || !shared.injected.is_empty());
        if waiting {
            self.wake_one();
        }
    }
}

impl Counters {
    /// Adds a slice. Only the scheduler itself calls this, so no locked instruction is needed.
    pub(crate) fn add(&self, turns: u32, reductions: u32) {
        let add = |counter: &AtomicU64, by: u64| counter.store(counter.load(Relaxed) + by, Relaxed);
        add(&self.turns, turns.into());
        add(&self.reductions, reductions.into());
        add(&self.slices, 1);
    }
}
