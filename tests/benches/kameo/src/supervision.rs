//! Supervisors and links.

use crate::{all_cores, start};
use bench_load::{Measured, milliseconds, per_second};
use kameo::Actor;
use kameo::actor::{ActorRef, Spawn as _};
use kameo::error::Infallible;
use kameo::mailbox;
use kameo::supervision::{RestartPolicy, SupervisionStrategy};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Tells of its start.
struct Worker;

impl Actor for Worker {
    type Args = Sender<ActorRef<Worker>>;
    type Error = Infallible;

    async fn on_start(started: Self::Args, myself: ActorRef<Self>) -> Result<Self, Infallible> {
        let _ = started.send(myself);
        Ok(Worker)
    }
}

struct Supervisor;

impl Actor for Supervisor {
    type Args = Self;
    type Error = Infallible;

    fn supervision_strategy() -> SupervisionStrategy {
        SupervisionStrategy::OneForOne
    }

    async fn on_start(supervisor: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(supervisor)
    }
}

/// The next worker to start, awaited as Arsenal's benchmark does.
fn next(started: &Receiver<ActorRef<Worker>>) -> ActorRef<Worker> {
    loop {
        if let Ok(worker) = started.try_recv() {
            return worker;
        }
        std::hint::spin_loop();
    }
}

/// Kills the worker of a fresh supervisor `count` times, each time once it is back.
fn kill(runtime: &Runtime, count: usize) {
    const INTENSITY: u32 = 1_000_000;
    const PERIOD: Duration = Duration::from_secs(5);
    let (starting, started) = channel();
    let supervisor = runtime.block_on(async {
        let supervisor = start(Supervisor);
        Worker::supervise(&supervisor, starting)
            .restart_policy(RestartPolicy::Permanent)
            .restart_limit(INTENSITY, PERIOD)
            .spawn_with_mailbox(mailbox::unbounded())
            .await;
        supervisor
    });
    for _ in 0..count {
        next(&started).kill();
    }
    next(&started);
    supervisor.kill();
}

pub(crate) fn restart_bursts() -> Measured {
    const KILLS: usize = 200;
    const ROUNDS: usize = 100;
    let runtime = all_cores();
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        kill(&runtime, KILLS);
    }
    per_second(KILLS * ROUNDS, begin, "restarts/s")
}

pub(crate) fn restart_sustained() -> Measured {
    const KILLS: usize = 20_000;
    let runtime = all_cores();
    let begin = Instant::now();
    kill(&runtime, KILLS);
    per_second(KILLS, begin, "restarts/s")
}

/// How many of the linked actors have ended.
static ENDED: AtomicUsize = AtomicUsize::new(0);

#[derive(Actor)]
struct Hub;

#[derive(Actor)]
struct Linked;

impl Drop for Linked {
    fn drop(&mut self) {
        ENDED.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn link_exit() -> Measured {
    const COUNT: usize = 100_000;
    let runtime = all_cores();
    let (hub, _linked) = runtime.block_on(async {
        let hub = start(Hub);
        let mut linked = Vec::with_capacity(COUNT);
        for _ in 0..COUNT {
            linked.push(Linked::spawn_link_with_mailbox(&hub, Linked, mailbox::unbounded()).await);
        }
        (hub, linked)
    });
    let begin = Instant::now();
    hub.kill();
    while ENDED.load(Ordering::Relaxed) < COUNT {
        std::thread::yield_now();
    }
    milliseconds(begin)
}
