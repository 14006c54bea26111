//! What drives a node: its threads, or, of a deterministic one, whoever steps it.

use super::{Node, NodeConfig, WeakNode};
use crate::clock::Clock;
use crate::timer;
use std::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

impl Node {
    /// Starts a node with its scheduler, timer and ticker threads.
    ///
    /// # Errors
    /// If the machine refuses a thread.
    pub fn start(config: NodeConfig) -> std::io::Result<Self> {
        let count = match config.schedulers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            count => count,
        };
        let (node, schedulers, parker) = Self::build(config, count);
        let spawn = |name: String, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name).spawn(work)?;
            node.0.threads.lock().push(thread);
            std::io::Result::Ok(())
        };
        for scheduler in schedulers {
            let weak = node.downgrade();
            spawn(format!("scheduler-{}", scheduler.id), Box::new(move || scheduler.run(&weak)))?;
        }
        let weak = node.downgrade();
        spawn("arsenal-timer".into(), Box::new(move || timer::run(&weak, &parker)))?;
        let weak = node.downgrade();
        spawn("arsenal-ticker".into(), Box::new(move || tick(&weak)))?;
        Ok(node)
    }

    /// A deterministic node: no threads, virtual time, one scheduler that runs when it is told to.
    pub fn deterministic(mut config: NodeConfig) -> Self {
        config.clock = Clock::virtual_clock();
        let (node, mut schedulers, _) = Self::build(config, 1);
        *node.0.stepped.lock() = schedulers.pop();
        node
    }

    /// Whether [`Node::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(SeqCst)
    }

    /// Ends the node's threads and waits for them. Processes are not told; stop them first.
    pub fn close(&self) {
        self.0.stopping.store(true, SeqCst);
        self.0.closed.store(true, SeqCst);
        self.0.schedulers.wake_all();
        self.0.timers.wake();
        let threads = std::mem::take(&mut *self.0.threads.lock());
        let me = std::thread::current().id();
        for thread in threads.into_iter().filter(|thread| thread.thread().id() != me) {
            // a thread that panicked has nothing left to wait for
            let _ = thread.join();
        }
    }

    /// Of a deterministic node: runs until no process has anything to do; gives how many slices that took.
    pub fn run_until_idle(&self) -> usize {
        let mut stepped = self.0.stepped.lock();
        let Some(scheduler) = stepped.as_mut() else { return 0 };
        let mut slices = 0;
        while let Some(process) = scheduler.next(self) {
            scheduler.run_slice(self, process);
            slices += 1;
        }
        slices
    }

    /// Of a deterministic node: moves time forward, firing timers at their due times and running what they wake.
    pub fn advance(&self, by: Duration) {
        self.run_until_idle();
        let until = self.now_ns() + u64::try_from(by.as_nanos()).unwrap_or(u64::MAX >> 1);
        while let Some(due) = self.0.timers.next_due().filter(|due| *due <= until) {
            self.0.clock.advance_to(due);
            timer::fire_due(self);
            self.run_until_idle();
        }
        self.0.clock.advance_to(until);
    }
}

/// The ticker: marks schedulers that have been in one slice since the last tick, and wakes sleepers for what waits
/// behind them.
fn tick(node: &WeakNode) {
    const TICK: Duration = Duration::from_millis(1);
    const SLOW: Duration = Duration::from_millis(20);
    let mut seen: Vec<u64> = Vec::new();
    loop {
        let Some(node) = node.upgrade() else { return };
        if node.is_closed() {
            return;
        }
        let schedulers = node.schedulers();
        node.tick_clock(node.now_ns());
        seen.resize(schedulers.len(), u64::MAX);
        for (shared, seen) in schedulers.shared.iter().zip(&mut seen) {
            let slices = shared.counters.slices.load(Relaxed);
            let runs = shared.counters.current.load(Relaxed) != 0;
            shared.counters.stuck.store(runs && slices == *seen, Relaxed);
            if slices != *seen {
                shared.counters.slice_since_ms.store(node.now_ms(), Relaxed);
            }
            *seen = slices;
        }
        schedulers.balance();
        let pause = if schedulers.all_asleep() { SLOW } else { TICK };
        drop(node);
        std::thread::sleep(pause);
    }
}
