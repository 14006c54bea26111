//! The blocking pool: threads for native code that must block (OTP's dirty schedulers).
//!
//! Invariant: at most `max` threads; beyond that work waits in order, one piece a process.

use crate::node::{Node, WeakNode};
use crate::pid::Pid;
use crate::term::Term;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

type Work = Box<dyn FnOnce() -> Term + Send>;

#[derive(Default)]
struct Queue {
    work: VecDeque<(Pid, Work)>,
    idle: usize,
    threads: usize,
}

pub(crate) struct BlockingPool {
    queue: Arc<(Mutex<Queue>, Condvar)>,
    max: usize,
}

impl BlockingPool {
    pub(crate) fn new(max: usize) -> Self {
        Self { queue: Arc::default(), max: max.max(1) }
    }

    /// Runs `work` for `pid`; its result wakes the process.
    pub(crate) fn run(&self, node: &Node, pid: Pid, work: Work) {
        let mut queue = self.queue.0.lock();
        queue.work.push_back((pid, work));
        if queue.idle == 0 && queue.threads < self.max {
            queue.threads += 1;
            let (shared, node) = (Arc::clone(&self.queue), node.downgrade());
            let thread = std::thread::Builder::new().name("arsenal-blocking".into());
            if thread.spawn(move || work_loop(&shared, &node)).is_err() {
                queue.threads -= 1;
            }
        } else {
            self.queue.1.notify_one();
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.queue.0.lock().threads
    }
}

fn work_loop(shared: &(Mutex<Queue>, Condvar), node: &WeakNode) {
    const IDLE: Duration = Duration::from_secs(10);
    loop {
        let next = {
            let mut queue = shared.0.lock();
            if queue.work.is_empty() {
                queue.idle += 1;
                shared.1.wait_for(&mut queue, IDLE);
                queue.idle -= 1;
            }
            let next = queue.work.pop_front();
            if next.is_none() {
                queue.threads -= 1;
            }
            next
        };
        let Some((pid, work)) = next else { return };
        let result =
            catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Term::tagged("error", "panic".into()));
        let Some(node) = node.upgrade() else { return };
        node.unblock(pid, result);
    }
}
