//! Tasks, virtual time and seeded randomness of a simulated world, on one thread.
//!
//! A task belongs to a node. A killed node's tasks are dropped where they stand, as `kill -9` would; a paused node's
//! tasks are not polled, while time goes on for everyone, as `SIGSTOP` would.
//!
//! A timer goes off when nothing else can run, one at a time, and then alone makes its task ready. So no task finds its time
//! over and its message come in one poll, where `tokio::select!` (openraft's too) would draw lots that no seed decides.
//! In what order those go on that one step woke, the seed decides: tokio's watch channels wake in an order of their own.

use parking_lot::Mutex;
use rand::{Rng as _, RngCore as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

#[cfg(test)]
mod tests;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The node that what belongs to no node runs on: the network, clients, the script of a test.
pub const OUTSIDE: u64 = 0;

/// A simulated world. Clones are the same world.
#[derive(Clone)]
pub struct World {
    shared: Arc<Shared>,
}

struct Shared {
    ready: Mutex<Ready>,
    inner: Mutex<Inner>,
}

/// Tasks that would run.
#[derive(Default)]
struct Ready {
    in_turn: VecDeque<u64>,
    /// Those that the step just now woke.
    woken: Vec<u64>,
}

struct Inner {
    now_ns: u64,
    rng: StdRng,
    tasks: BTreeMap<u64, Task>,
    tasks_ever: u64,
    timers: BTreeMap<TimerKey, Timer>,
    timers_ever: u64,
    paused: BTreeMap<u64, Paused>,
    fingerprint: u64,
}

/// When a timer goes off, and its place among those that go off at the same moment.
type TimerKey = (u64, u64);

struct Timer {
    node: u64,
    waker: Waker,
}

/// What a paused node would do.
#[derive(Default)]
struct Paused {
    tasks: Vec<u64>,
    timers: BTreeMap<TimerKey, Timer>,
}

struct Task {
    node: u64,
    /// Absent while it is polled.
    work: Option<Work>,
    waker: Arc<TaskWaker>,
}

struct TaskWaker {
    id: u64,
    queued: AtomicBool,
    shared: Arc<Shared>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Relaxed) {
            self.shared.ready.lock().woken.push(self.id);
        }
    }
}

struct Current {
    shared: Arc<Shared>,
    node: u64,
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

fn with_current<T>(look: impl FnOnce(&Current) -> T) -> Option<T> {
    CURRENT.with_borrow(|current| current.as_ref().map(look))
}

/// Virtual time, where this thread polls a task of a world.
pub(crate) fn now_ns() -> Option<u64> {
    with_current(|current| current.shared.inner.lock().now_ns)
}

/// The next random number of this thread's world.
pub(crate) fn random() -> Option<u64> {
    with_current(|current| current.shared.inner.lock().rng.next_u64())
}

/// Starts a task of the node whose task is being polled; hands it back where there is no world.
pub(crate) fn spawn(work: Work) -> Result<(), Work> {
    let here = with_current(|current| (World { shared: Arc::clone(&current.shared) }, current.node));
    match here {
        Some((world, node)) => {
            world.spawn_on(node, work);
            Ok(())
        }
        None => Err(work),
    }
}

/// What becomes ready at a moment of this thread's world.
pub(crate) fn timer(at_ns: u64) -> Option<WorldTimer> {
    with_current(|current| WorldTimer { at_ns, key: None, shared: Arc::clone(&current.shared) })
}

/// Becomes ready at a moment of a world, for the task that polled it first.
pub(crate) struct WorldTimer {
    at_ns: u64,
    /// Absent until it is polled.
    key: Option<TimerKey>,
    shared: Arc<Shared>,
}

impl Inner {
    /// A timer that has not gone off.
    fn timer(&mut self, key: TimerKey) -> Option<&mut Timer> {
        let parked = self.paused.values_mut().find_map(|paused| paused.timers.get_mut(&key));
        parked.or_else(|| self.timers.get_mut(&key))
    }

    fn remove_timer(&mut self, key: TimerKey) -> Option<Timer> {
        let parked = self.paused.values_mut().find_map(|paused| paused.timers.remove(&key));
        parked.or_else(|| self.timers.remove(&key))
    }
}

impl Future for WorldTimer {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let shared = Arc::clone(&self.shared);
        let node = with_current(|current| current.node).unwrap_or(OUTSIDE);
        let mut inner = shared.inner.lock();
        let waker = context.waker().clone();
        let Some(key) = self.key else {
            inner.timers_ever += 1;
            let key = (self.at_ns, inner.timers_ever);
            inner.timers.insert(key, Timer { node, waker });
            self.key = Some(key);
            return Poll::Pending;
        };
        match inner.timer(key) {
            Some(timer) => {
                timer.waker = waker;
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }
}

impl Drop for WorldTimer {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let timer = self.shared.inner.lock().remove_timer(key);
            drop(timer);
        }
    }
}

impl World {
    /// A world at time 0.
    pub fn new(seed: u64) -> Self {
        let inner = Inner {
            now_ns: 0,
            rng: StdRng::seed_from_u64(seed),
            tasks: BTreeMap::new(),
            tasks_ever: 0,
            timers: BTreeMap::new(),
            timers_ever: 0,
            paused: BTreeMap::new(),
            fingerprint: seed,
        };
        Self { shared: Arc::new(Shared { ready: Mutex::default(), inner: Mutex::new(inner) }) }
    }

    /// Time since the world began.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.shared.inner.lock().now_ns)
    }

    /// A number from 0 up to `end`, which is not among them.
    pub fn below(&self, end: u64) -> u64 {
        self.shared.inner.lock().rng.gen_range(0..end.max(1))
    }

    /// True this often in a thousand.
    pub fn chance(&self, permille: u64) -> bool {
        permille > 0 && self.below(1000) < permille
    }

    /// A number that tells whether two runs were the same, step by step.
    pub fn fingerprint(&self) -> u64 {
        self.shared.inner.lock().fingerprint
    }

    /// Waits, in this world's time. For tasks of this world.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send + 'static {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let at_ns = self.shared.inner.lock().now_ns.saturating_add(nanoseconds);
        WorldTimer { at_ns, key: None, shared: Arc::clone(&self.shared) }
    }

    /// Starts a task of a node.
    pub fn spawn_on(&self, node: u64, work: impl Future<Output = ()> + Send + 'static) {
        let waker = {
            let mut inner = self.shared.inner.lock();
            inner.tasks_ever += 1;
            let id = inner.tasks_ever;
            let shared = Arc::clone(&self.shared);
            let waker = Arc::new(TaskWaker { id, queued: AtomicBool::new(false), shared });
            let task = Task { node, work: Some(Box::pin(work)), waker: Arc::clone(&waker) };
            inner.tasks.insert(id, task);
            waker
        };
        waker.wake();
    }

    /// Drops all tasks of a node where they stand.
    pub fn kill(&self, node: u64) {
        let gone: (Option<Paused>, Vec<Task>) = {
            let mut inner = self.shared.inner.lock();
            let paused = inner.paused.remove(&node);
            let (gone, rest) =
                std::mem::take(&mut inner.tasks).into_iter().partition(|(_, t)| t.node == node);
            inner.tasks = rest;
            (paused, BTreeMap::into_values(gone).collect())
        };
        // what a task drops may wake others, or look at the clock
        self.within(node, || drop(gone));
    }

    /// Drops all that is going on. A world whose tasks hold it would stay in memory for ever otherwise.
    pub fn end(&self) {
        let (tasks, timers) = {
            let mut inner = self.shared.inner.lock();
            (std::mem::take(&mut inner.tasks), std::mem::take(&mut inner.timers))
        };
        self.within(OUTSIDE, || drop((tasks, timers)));
        *self.shared.ready.lock() = Ready::default();
    }

    /// Polls none of a node's tasks until it is resumed.
    pub fn pause(&self, node: u64) {
        self.shared.inner.lock().paused.entry(node).or_default();
    }

    /// Lets a paused node go on.
    pub fn resume(&self, node: u64) {
        let parked = {
            let mut inner = self.shared.inner.lock();
            let mut parked = inner.paused.remove(&node).unwrap_or_default();
            inner.timers.append(&mut parked.timers);
            parked.tasks
        };
        self.shared.ready.lock().in_turn.extend(parked);
    }

    /// Runs until `done`, or until `limit` of the world's time has passed. Whether it was done.
    pub fn run_until(&self, limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        let end_ns = nanoseconds(self.now().saturating_add(limit));
        loop {
            if done() {
                return true;
            }
            if let Some(id) = self.next_ready() {
                self.poll(id);
            } else if !self.advance(end_ns) {
                return done();
            }
        }
    }

    /// Runs for this long.
    pub fn run_for(&self, duration: Duration) {
        self.run_until(duration, || false);
    }

    fn next_ready(&self) -> Option<u64> {
        let mut ready = self.shared.ready.lock();
        let mut woken = std::mem::take(&mut ready.woken);
        if woken.len() > 1 {
            woken.sort_unstable();
            woken.shuffle(&mut self.shared.inner.lock().rng);
        }
        ready.in_turn.extend(woken);
        ready.in_turn.pop_front()
    }

    fn poll(&self, id: u64) {
        let (node, mut work, waker) = {
            let mut inner = self.shared.inner.lock();
            let Some(task) = inner.tasks.get_mut(&id) else { return };
            let node = task.node;
            if let Some(parked) = inner.paused.get_mut(&node) {
                parked.tasks.push(id);
                return;
            }
            let step = inner.now_ns ^ id.rotate_left(32) ^ node.rotate_left(48);
            inner.fingerprint = (inner.fingerprint.rotate_left(5) ^ step).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let Some(task) = inner.tasks.get_mut(&id) else { return };
            let Some(work) = task.work.take() else { return };
            task.waker.queued.store(false, Relaxed);
            (node, work, Waker::from(Arc::clone(&task.waker)))
        };
        let ended = self.within(node, || work.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
        let rest = {
            let mut inner = self.shared.inner.lock();
            match inner.tasks.get_mut(&id) {
                Some(task) if !ended => {
                    task.work = Some(work);
                    None
                }
                _ => Some((work, inner.tasks.remove(&id))),
            }
        };
        // as it may drop what looks at this world
        self.within(node, || drop(rest));
    }

    /// Moves time to the next timer of a node that is not paused. Whether there was one before `end_ns`.
    fn advance(&self, end_ns: u64) -> bool {
        let waker = {
            let mut inner = self.shared.inner.lock();
            loop {
                match inner.timers.first_key_value().map(|(key, _)| *key) {
                    Some(key) if key.0 <= end_ns => {
                        inner.now_ns = inner.now_ns.max(key.0);
                        let Some(timer) = inner.timers.remove(&key) else { break None };
                        let Some(parked) = inner.paused.get_mut(&timer.node) else { break Some(timer.waker) };
                        parked.timers.insert(key, timer);
                    }
                    _ => {
                        inner.now_ns = inner.now_ns.max(end_ns);
                        break None;
                    }
                }
            }
        };
        waker.map(Waker::wake).is_some()
    }

    /// Does something as a task of a node would: time and randomness are this world's.
    pub fn within<T>(&self, node: u64, work: impl FnOnce() -> T) -> T {
        let current = Current { shared: Arc::clone(&self.shared), node };
        let before = CURRENT.replace(Some(current));
        let output = work();
        CURRENT.set(before);
        output
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
