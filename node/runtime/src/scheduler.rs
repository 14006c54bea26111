//! A scheduler: one thread a core, each with its own run queues (`schedulers.rs`); an idle one steals.
//!
//! A scheduler keeps what its own processes wake up, so that a pair that talks stays on one core; another one is woken
//! only when there is more than one process to run. Urgent processes (max, high) and pinned ones have queues of their
//! own; a low one is passed over seven times among normal ones, as on BEAM.

use crate::node::{Node, WeakNode};
use crate::outbox::Outbox;
use crate::priority::Priority;
use crate::process::{Process, UNPINNED};
use crate::schedulers::{Schedulers, Shared};
use crossbeam_deque::{Steal, Worker};
use crossbeam_queue::SegQueue;
use crossbeam_utils::CachePadded;
use crossbeam_utils::sync::Parker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

pub(crate) struct Scheduler {
    pub(crate) id: u16,
    local: Worker<Arc<Process>>,
    /// The process that runs next, where nothing else waits: through the queue it would cost a locked instruction.
    next: Option<Arc<Process>>,
    pub(crate) outbox: Outbox,
    pub(crate) scratch: Vec<crate::message::Signal>,
    /// Slices in a row in which a process outran a receiver.
    pub(crate) outran: usize,
    /// Messages that the running process had in its inbound queue after the last fetch.
    pub(crate) left: usize,
    pub(crate) answered: Vec<crate::message::ReplyTo>,
    parker: Parker,
    tick: u32,
    /// Times yet that it goes to sleep without offering its core to others first.
    without_yields: u32,
    /// Times in a row that it has slept for as long as it may.
    full_sleeps: u32,
}

/// Slices after which the shared queues are looked at before the own one.
const FAIRNESS: u32 = 31;
/// Processes of low priority passed over in one search; the next one runs though normal ones wait.
const PASSED_OVER_MAX: usize = 1_000;
/// Looks around before an idle scheduler goes to sleep.
const SPINS: u32 = 60;
/// Times it then offers its core to others: requests from outside come some microseconds apart, and to park and be woken
/// for each costs more than they do.
const YIELDS: u32 = 40;
/// Nanoseconds after which somebody else has had the core that was offered.
const TAKEN_NS: u64 = 50_000;
/// Times it sleeps without offering its core, once somebody else has taken it.
const SLEEPS_WITHOUT_YIELDS: u32 = 1_000;
/// How long a scheduler sleeps when nobody wakes it.
const SLEEP: Duration = Duration::from_millis(100);
/// Such sleeps after which the node's `idle` is called, and those after which it is called again: what one thread has
/// taken another may free.
const SLEEPS_TO_IDLE: u32 = 10;
const SLEEPS_BETWEEN_IDLE: u32 = 100;

pub(crate) fn build(count: usize) -> (Schedulers, Vec<Scheduler>) {
    let (mut shared, mut schedulers) = (Vec::new(), Vec::new());
    for id in 0..count.clamp(1, 1024) {
        let local = Worker::new_fifo();
        let parker = Parker::new();
        shared.push(Shared {
            injected: SegQueue::new(),
            pinned: SegQueue::new(),
            max: SegQueue::new(),
            high: SegQueue::new(),
            stealer: local.stealer(),
            unparker: parker.unparker().clone(),
            asleep: AtomicBool::new(false),
            counters: CachePadded::default(),
        });
        schedulers.push(Scheduler {
            id: id as u16,
            local,
            next: None,
            outbox: Outbox::default(),
            scratch: Vec::new(),
            left: 0,
            outran: 0,
            answered: Vec::new(),
            parker,
            tick: 0,
            without_yields: 0,
            full_sleeps: 0,
        });
    }
    let all = Schedulers {
        shared,
        asleep: AtomicUsize::new(0),
        searching: AtomicUsize::new(0),
        next: AtomicUsize::new(0),
    };
    (all, schedulers)
}

impl Scheduler {
    /// The thread's loop; ends when the node is closed.
    pub(crate) fn run(mut self, node: &WeakNode) {
        let Some(node) = node.upgrade() else { return };
        let mut phase = node.now_ns();
        let mut idle = false;
        loop {
            if let Some(process) = self.next(&node) {
                if idle {
                    phase = self.change_phase(&node, phase, false);
                    idle = false;
                    self.full_sleeps = 0;
                }
                self.run_slice(&node, process);
                self.give_way(&node);
                continue;
            }
            if !idle {
                phase = self.change_phase(&node, phase, true);
                idle = true;
            }
            if node.is_closed() {
                return;
            }
            self.sleep(&node);
        }
    }

    fn change_phase(&self, node: &Node, since: u64, idle: bool) -> u64 {
        let now = node.now_ns();
        let counters = &node.schedulers().shared[usize::from(self.id)].counters;
        node.tick_clock(now);
        let total = if idle { &counters.busy_ns } else { &counters.idle_ns };
        total.fetch_add(now.saturating_sub(since), Relaxed);
        counters.phase_ns.store(now, Relaxed);
        now
    }

    fn sleep(&mut self, node: &Node) {
        let all = node.schedulers();
        let own = &all.shared[usize::from(self.id)];
        let yields = if self.without_yields > 0 { 0 } else { YIELDS };
        self.without_yields = self.without_yields.saturating_sub(1);
        for round in 0..SPINS + yields {
            if round < SPINS {
                std::hint::spin_loop();
            } else if self.offer_core(node) {
                break;
            }
            if own.has_work() {
                return;
            }
        }
        own.asleep.store(true, SeqCst);
        all.asleep.fetch_add(1, SeqCst);
        // whoever puts work here after this look sees that we sleep
        if own.has_work() || self.worth_stealing(node) {
            all.wake(usize::from(self.id));
            self.parker.park_timeout(Duration::ZERO);
            return;
        }
        self.parker.park_timeout(SLEEP);
        // whoever wakes it says so first
        if own.asleep.swap(false, SeqCst) {
            all.asleep.fetch_sub(1, SeqCst);
            self.full_sleeps = self.full_sleeps.wrapping_add(1);
            if self.full_sleeps % SLEEPS_BETWEEN_IDLE == SLEEPS_TO_IDLE {
                node.idle();
            }
        }
    }

    /// Whoever else wants the core gets it; nobody does on an idle one, and a wake-up is saved. On a busy one the other
    /// keeps it for a whole time slice, whatever arrives here meanwhile, while one that is woken gets it back at once:
    /// so it is not offered again for a while, and `true` says to sleep.
    fn offer_core(&mut self, node: &Node) -> bool {
        let begin = node.now_ns();
        std::thread::yield_now();
        let taken = node.now_ns().saturating_sub(begin) > TAKEN_NS;
        if taken {
            self.without_yields = SLEEPS_WITHOUT_YIELDS;
        }
        taken
    }

    /// Puts processes that became runnable into the run queues.
    pub(crate) fn enqueue_ready(&mut self, node: &Node) {
        if self.outbox.ready.is_empty() {
            return;
        }
        if self.outbox.ready.len() == 1
            && self.next.is_none()
            && self.local.is_empty()
            && let Some(process) = self.outbox.ready.pop()
        {
            if self.is_mine(&process) {
                self.next = Some(process);
            } else {
                self.enqueue(node, process);
            }
            return;
        }
        let mut ready = std::mem::take(&mut self.outbox.ready);
        for process in ready.drain(..) {
            self.enqueue(node, process);
        }
        self.outbox.ready = ready;
        if self.local.len() > 1 {
            node.schedulers().wake_one();
        }
    }

    /// Whether any scheduler may run the process and nothing sets it before or behind others.
    fn is_mine(&self, process: &Process) -> bool {
        process.pinned.load(Relaxed) == UNPINNED
            && process.priority() == Priority::Normal
            && !process.moving.load(Relaxed)
    }

    pub(crate) fn enqueue(&mut self, node: &Node, process: Arc<Process>) {
        let all = node.schedulers();
        let pinned = process.pinned.load(Relaxed);
        if pinned != UNPINNED || process.priority() > Priority::Normal {
            let to = if pinned == UNPINNED { usize::from(self.id) } else { usize::from(pinned) % all.len() };
            return all.put(to, process);
        }
        if process.moving.load(Relaxed) {
            return all.put(usize::from(process.home.load(Relaxed)) % all.len(), process);
        }
        self.local.push(process);
    }

    /// The next process to run.
    pub(crate) fn next(&mut self, node: &Node) -> Option<Arc<Process>> {
        let all = node.schedulers();
        self.tick = self.tick.wrapping_add(1);
        let mut passed_over = 0;
        loop {
            let process = self.take(all)?;
            if let Some(process) = self.admit(node, process, passed_over > PASSED_OVER_MAX) {
                return Some(process);
            }
            passed_over += 1;
        }
    }

    fn take(&mut self, all: &Schedulers) -> Option<Arc<Process>> {
        let own = &all.shared[usize::from(self.id)];
        if !own.max.is_empty()
            && let Some(process) = own.max.pop()
        {
            return Some(process);
        }
        if !own.high.is_empty()
            && let Some(process) = own.high.pop()
        {
            return Some(process);
        }
        let shared_first = self.tick.is_multiple_of(FAIRNESS);
        if !shared_first && let Some(process) = self.own() {
            return Some(process);
        }
        if !own.pinned.is_empty()
            && let Some(process) = own.pinned.pop()
        {
            return Some(process);
        }
        if !own.injected.is_empty()
            && let Some(process) = own.injected.pop()
        {
            return Some(process);
        }
        if shared_first && let Some(process) = self.own() {
            return Some(process);
        }
        self.steal(all)
    }

    /// Processes in its own queue.
    pub(crate) fn queued(&self) -> usize {
        self.local.len() + usize::from(self.next.is_some())
    }

    /// Whether others have put a process into a queue of this scheduler.
    pub(crate) fn has_others(&self, node: &Node) -> bool {
        node.schedulers().shared[usize::from(self.id)].was_given_work()
    }

    fn own(&mut self) -> Option<Arc<Process>> {
        self.next.take().or_else(|| self.local.pop())
    }

    /// Whether the process may run here and now; if not it has gone where it may.
    fn admit(&mut self, node: &Node, process: Arc<Process>, desperate: bool) -> Option<Arc<Process>> {
        let pinned = process.pinned.load(Relaxed);
        let elsewhere = if pinned == UNPINNED {
            let home = process.home.load(Relaxed);
            (process.moving.load(Relaxed) && home != self.id).then_some(home)
        } else {
            (pinned != self.id).then_some(pinned)
        };
        if let Some(to) = elsewhere.filter(|to| usize::from(*to) < node.schedulers().len()) {
            node.schedulers().put(usize::from(to), process);
            return None;
        }
        if process.priority() == Priority::Low && !desperate {
            const LOW_SHARE: u8 = 8;
            let passed = process.passed_over.load(Relaxed) + 1;
            if passed < LOW_SHARE && node.schedulers().shared[usize::from(self.id)].has_work() {
                process.passed_over.store(passed, Relaxed);
                if pinned == UNPINNED {
                    self.local.push(process);
                } else {
                    node.schedulers().shared[usize::from(self.id)].pinned.push(process);
                }
                return None;
            }
            process.passed_over.store(0, Relaxed);
        }
        process.moving.store(false, Relaxed);
        Some(process)
    }

    fn worth_stealing(&self, node: &Node) -> bool {
        let others =
            node.schedulers().shared.iter().enumerate().filter(|(id, _)| *id != usize::from(self.id));
        others.into_iter().any(|(_, shared)| shared.stealer.len() > 1 || shared.injected.len() > 1)
    }

    /// Takes work from another scheduler that has more than it runs next.
    fn steal(&mut self, all: &Schedulers) -> Option<Arc<Process>> {
        if all.len() == 1 {
            return None;
        }
        all.searching.fetch_add(1, SeqCst);
        let found = self.steal_from_others(all);
        all.searching.fetch_sub(1, SeqCst);
        if found.is_some() {
            let counters = &all.shared[usize::from(self.id)].counters;
            counters.steals.fetch_add(1, Relaxed);
        }
        found
    }

    fn steal_from_others(&mut self, all: &Schedulers) -> Option<Arc<Process>> {
        let count = all.len();
        for offset in 1..count {
            let victim = &all.shared[(usize::from(self.id) + offset) % count];
            let long_slice = victim.counters.stuck.load(Relaxed);
            if victim.stealer.len() > 1 || (long_slice && !victim.stealer.is_empty()) {
                loop {
                    match victim.stealer.steal_batch_and_pop(&self.local) {
                        Steal::Success(process) => return Some(process),
                        Steal::Empty => break,
                        Steal::Retry => {}
                    }
                }
            }
            if (victim.injected.len() > 1 || long_slice)
                && let Some(process) = victim.injected.pop()
            {
                return Some(process);
            }
        }
        None
    }
}
