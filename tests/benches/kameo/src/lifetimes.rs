//! Actors started and ended.

use crate::{all_cores, start};
use bench_load::{Measured, milliseconds, per_second, resident_bytes};
use kameo::Actor;
use kameo::actor::{ActorId, ActorRef, Spawn as _, WeakActorRef};
use kameo::error::{ActorStopReason, Infallible};
use kameo::mailbox;
use kameo::message::{Context, Message};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

/// Actors spawned before the spawner handles what it got.
const BATCH: usize = 100;

/// How many of the actors that are counted have ended.
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// Ends at once: nobody holds it.
#[derive(Actor)]
struct Empty;

impl Drop for Empty {
    fn drop(&mut self) {
        ENDED.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn spawn() -> Measured {
    const COUNT: usize = 1_000_000;
    let runtime = all_cores();
    let begin = Instant::now();
    runtime.spawn(async {
        for _ in 0..COUNT / BATCH {
            for _ in 0..BATCH {
                drop(start(Empty));
            }
            tokio::task::yield_now().await;
        }
    });
    while ENDED.load(Ordering::Relaxed) < COUNT {
        std::thread::yield_now();
    }
    per_second(COUNT, begin, "procs/s")
}

/// Spawns actors that are linked to it, kameo's way to hear of their end.
struct Spawner {
    to_spawn: usize,
    to_end: usize,
    done: Sender<()>,
}

impl Actor for Spawner {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(spawner: Self, myself: ActorRef<Self>) -> Result<Self, Infallible> {
        let _ = myself.tell(More).await;
        Ok(spawner)
    }

    async fn on_link_died(
        &mut self,
        _: WeakActorRef<Self>,
        _: ActorId,
        _: ActorStopReason,
    ) -> Result<ControlFlow<ActorStopReason>, Infallible> {
        self.to_end -= 1;
        if self.to_end == 0 {
            let _ = self.done.send(());
        }
        Ok(ControlFlow::Continue(()))
    }
}

struct More;

impl Message<More> for Spawner {
    type Reply = ();

    async fn handle(&mut self, _: More, context: &mut Context<Self, ()>) {
        for _ in 0..BATCH {
            drop(Empty::spawn_link_with_mailbox(context.actor_ref(), Empty, mailbox::unbounded()).await);
        }
        self.to_spawn -= BATCH;
        if self.to_spawn > 0 {
            let _ = context.actor_ref().tell(More).await;
        }
    }
}

pub(crate) fn spawn_monitored() -> Measured {
    const COUNT: usize = 1_000_000;
    let runtime = all_cores();
    let (done, finished) = channel();
    let begin = Instant::now();
    let _spawner = runtime.block_on(async { start(Spawner { to_spawn: COUNT, to_end: COUNT, done }) });
    finished.recv().expect("the spawner tells");
    per_second(COUNT, begin, "procs/s")
}

/// A server that counts.
#[derive(Actor)]
struct Tally {
    value: i64,
}

struct Add(i64);

struct Value;

impl Message<Add> for Tally {
    type Reply = ();

    async fn handle(&mut self, Add(number): Add, _: &mut Context<Self, ()>) {
        self.value += number;
    }
}

impl Message<Value> for Tally {
    type Reply = i64;

    async fn handle(&mut self, _: Value, _: &mut Context<Self, i64>) -> i64 {
        self.value
    }
}

pub(crate) fn idle_mem() -> Measured {
    const COUNT: usize = 1_000_000;
    let runtime = all_cores();
    let before = resident_bytes();
    let handles = runtime.block_on(async {
        let handles: Vec<ActorRef<Tally>> = (0..COUNT).map(|_| start(Tally { value: 0 })).collect();
        let mut sum = 0;
        for handle in &handles {
            handle.tell(Add(1)).await.expect("it lives");
            sum += handle.ask(Value).await.expect("it answers");
        }
        assert_eq!(sum, COUNT as i64);
        handles
    });
    let value = (resident_bytes() - before) / handles.len() as f64;
    Measured { value, unit: "bytes" }
}

const FANOUT: i64 = 10;

/// A node of the tree: sums its ten children, or says its number.
struct Skynet {
    size: i64,
    number: i64,
    parent: Option<ActorRef<Skynet>>,
    left: i64,
    sum: i64,
    done: Sender<i64>,
}

struct Number(i64);

impl Skynet {
    async fn say(&self, number: i64) {
        match &self.parent {
            Some(parent) => drop(parent.tell(Number(number)).await),
            None => drop(self.done.send(number)),
        }
    }
}

impl Actor for Skynet {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(node: Self, myself: ActorRef<Self>) -> Result<Self, Infallible> {
        if node.size == 1 {
            // it ends with this, for nobody holds it
            node.say(node.number).await;
            return Ok(node);
        }
        let size = node.size / FANOUT;
        for index in 0..FANOUT {
            start(Skynet {
                size,
                number: node.number + index * size,
                parent: Some(myself.clone()),
                left: FANOUT,
                sum: 0,
                done: node.done.clone(),
            });
        }
        Ok(node)
    }
}

impl Message<Number> for Skynet {
    type Reply = ();

    async fn handle(&mut self, Number(number): Number, context: &mut Context<Self, ()>) {
        self.sum += number;
        self.left -= 1;
        if self.left == 0 {
            self.say(self.sum).await;
            context.stop();
        }
    }
}

pub(crate) fn skynet() -> Measured {
    let runtime = all_cores();
    let (done, finished) = channel();
    let begin = Instant::now();
    runtime.spawn(async {
        start(Skynet { size: 1_000_000, number: 0, parent: None, left: FANOUT, sum: 0, done });
    });
    assert_eq!(finished.recv(), Ok(499_999_500_000));
    milliseconds(begin)
}
