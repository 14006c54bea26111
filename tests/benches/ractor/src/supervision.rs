//! Supervisors, written as ractor's users do (an actor that spawns a child anew when it hears of its end), links,
//! monitors.

use crate::all_cores;
use bench_load::{Measured, milliseconds, per_second};
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// Tells of its start.
struct Worker;

impl Actor for Worker {
    type Msg = ();
    type State = ();
    type Arguments = Sender<ActorRef<()>>;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        started: Self::Arguments,
    ) -> Result<(), ActorProcessingErr> {
        Ok(started.send(myself)?)
    }
}

struct Supervisor;

impl Actor for Supervisor {
    type Msg = ();
    type State = Sender<ActorRef<()>>;
    type Arguments = Sender<ActorRef<()>>;

    async fn pre_start(
        &self,
        myself: ActorRef<()>,
        started: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Worker::spawn_linked(None, Worker, started.clone(), myself.get_cell()).await?;
        Ok(started)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        started: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorTerminated(..) | SupervisionEvent::ActorFailed(..) = event {
            Worker::spawn_linked(None, Worker, started.clone(), myself.get_cell()).await?;
        }
        Ok(())
    }
}

/// The next worker to start, awaited as Arsenal's benchmark does.
fn next(started: &Receiver<ActorRef<()>>) -> ActorRef<()> {
    loop {
        if let Ok(worker) = started.try_recv() {
            return worker;
        }
        std::hint::spin_loop();
    }
}

/// Kills the worker of a fresh supervisor `count` times, each time once it is back.
fn kill(runtime: &tokio::runtime::Runtime, count: usize) {
    let (starting, started) = channel();
    let (supervisor, _) = runtime.block_on(Supervisor::spawn(None, Supervisor, starting)).expect("it starts");
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

/// How many of the idle actors have ended, or heard of an end.
static FIRED: AtomicUsize = AtomicUsize::new(0);

fn await_fired(count: usize) {
    while FIRED.load(Ordering::Relaxed) < count {
        std::thread::yield_now();
    }
}

struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        FIRED.fetch_add(1, Ordering::Relaxed);
    }
}

struct Idle;

impl Actor for Idle {
    type Msg = ();
    type State = Option<Ending>;
    type Arguments = Option<Ending>;

    async fn pre_start(
        &self,
        _: ActorRef<()>,
        ending: Self::State,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(ending)
    }
}

pub(crate) fn link_exit() -> Measured {
    const COUNT: usize = 100_000;
    let runtime = all_cores();
    let (hub, _children) = runtime.block_on(async {
        let (hub, _) = Idle::spawn(None, Idle, None).await.expect("it starts");
        let mut children = Vec::with_capacity(COUNT);
        for _ in 0..COUNT {
            let child =
                Idle::spawn_linked(None, Idle, Some(Ending), hub.get_cell()).await.expect("it starts");
            children.push(child.0);
        }
        (hub, children)
    });
    let begin = Instant::now();
    hub.kill();
    await_fired(COUNT);
    milliseconds(begin)
}

/// Counts the end of what it monitors.
struct Watcher;

impl Actor for Watcher {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorTerminated(..) = event {
            FIRED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

pub(crate) fn monitor_down_procs() -> Measured {
    const COUNT: usize = 100_000;
    let runtime = all_cores();
    let (target, _watchers) = runtime.block_on(async {
        let (target, _) = Idle::spawn(None, Idle, None).await.expect("it starts");
        let mut watchers = Vec::with_capacity(COUNT);
        for _ in 0..COUNT {
            let (watcher, _) = Watcher::spawn(None, Watcher, ()).await.expect("it starts");
            watcher.monitor(target.get_cell());
            watchers.push(watcher);
        }
        (target, watchers)
    });
    let begin = Instant::now();
    target.kill();
    await_fired(COUNT);
    milliseconds(begin)
}
