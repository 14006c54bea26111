//! Actors started and ended.

use crate::all_cores;
use bench_load::{Measured, milliseconds, per_second, resident_bytes};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

/// Actors spawned before the spawner handles what it got.
const BATCH: usize = 100;

/// How many of the actors that are counted have ended.
static ENDED: AtomicUsize = AtomicUsize::new(0);

/// Counts the end of the actor whose state it is.
struct Ending;

impl Drop for Ending {
    fn drop(&mut self) {
        ENDED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Ends at once.
struct Empty;

impl Actor for Empty {
    type Msg = ();
    type State = Ending;
    type Arguments = ();

    async fn pre_start(&self, myself: ActorRef<()>, (): ()) -> Result<Ending, ActorProcessingErr> {
        myself.stop(None);
        Ok(Ending)
    }
}

pub(crate) fn spawn() -> Measured {
    const COUNT: usize = 1_000_000;
    let runtime = all_cores();
    let begin = Instant::now();
    runtime.spawn(async {
        for _ in 0..COUNT / BATCH {
            for _ in 0..BATCH {
                Empty::spawn(None, Empty, ()).await.expect("it starts");
            }
            tokio::task::yield_now().await;
        }
    });
    while ENDED.load(Ordering::Relaxed) < COUNT {
        std::thread::yield_now();
    }
    per_second(COUNT, begin, "procs/s")
}

/// Spawns actors that are linked to it, ractor's way to hear of their end.
struct Spawner;

struct Spawned {
    to_spawn: usize,
    to_end: usize,
    done: Sender<()>,
}

impl Actor for Spawner {
    type Msg = ();
    type State = Spawned;
    type Arguments = Spawned;

    async fn pre_start(&self, myself: ActorRef<()>, state: Spawned) -> Result<Spawned, ActorProcessingErr> {
        myself.cast(())?;
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<()>,
        (): (),
        state: &mut Spawned,
    ) -> Result<(), ActorProcessingErr> {
        for _ in 0..BATCH {
            Empty::spawn_linked(None, Empty, (), myself.get_cell()).await?;
        }
        state.to_spawn -= BATCH;
        if state.to_spawn > 0 {
            myself.cast(())?;
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<()>,
        event: SupervisionEvent,
        state: &mut Spawned,
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorTerminated(..) = event {
            state.to_end -= 1;
            if state.to_end == 0 {
                state.done.send(())?;
            }
        }
        Ok(())
    }
}

pub(crate) fn spawn_monitored() -> Measured {
    const COUNT: usize = 1_000_000;
    let runtime = all_cores();
    let (done, finished) = channel();
    let begin = Instant::now();
    runtime.spawn(Spawner::spawn(None, Spawner, Spawned { to_spawn: COUNT, to_end: COUNT, done }));
    finished.recv().expect("the spawner tells");
    per_second(COUNT, begin, "procs/s")
}

/// A server that counts.
struct Tally;

enum Request {
    Add(i64),
    Value(RpcReplyPort<i64>),
}

impl Actor for Tally {
    type Msg = Request;
    type State = i64;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Request>, (): ()) -> Result<i64, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Request>,
        request: Request,
        value: &mut i64,
    ) -> Result<(), ActorProcessingErr> {
        match request {
            Request::Add(number) => *value += number,
            Request::Value(reply) => reply.send(*value)?,
        }
        Ok(())
    }
}

pub(crate) fn idle_mem() -> Measured {
    const COUNT: usize = 1_000_000;
    let runtime = all_cores();
    let before = resident_bytes();
    let handles = runtime.block_on(async {
        let mut handles = Vec::with_capacity(COUNT);
        for _ in 0..COUNT {
            handles.push(Tally::spawn(None, Tally, ()).await.expect("it starts").0);
        }
        let mut sum = 0;
        for handle in &handles {
            handle.cast(Request::Add(1)).expect("it lives");
            sum += handle.call(Request::Value, None).await.expect("it lives").expect("it answers");
        }
        assert_eq!(sum, COUNT as i64);
        handles
    });
    let value = (resident_bytes() - before) / handles.len() as f64;
    Measured { value, unit: "bytes" }
}

const FANOUT: i64 = 10;

/// A node of the tree: sums its ten children, or says its number.
struct Skynet;

struct Branch {
    size: i64,
    number: i64,
    parent: Option<ActorRef<i64>>,
    left: i64,
    sum: i64,
    done: Sender<i64>,
}

impl Branch {
    fn say(&self, myself: &ActorRef<i64>, number: i64) -> Result<(), ActorProcessingErr> {
        match &self.parent {
            Some(parent) => parent.cast(number)?,
            None => self.done.send(number)?,
        }
        myself.stop(None);
        Ok(())
    }
}

/// Spawns a node; boxed, for the type of its future would contain itself.
fn grow(branch: Branch) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        Skynet::spawn(None, Skynet, branch).await.expect("it starts");
    })
}

impl Actor for Skynet {
    type Msg = i64;
    type State = Branch;
    type Arguments = Branch;

    async fn pre_start(&self, _: ActorRef<i64>, branch: Branch) -> Result<Branch, ActorProcessingErr> {
        Ok(branch)
    }

    async fn post_start(&self, myself: ActorRef<i64>, branch: &mut Branch) -> Result<(), ActorProcessingErr> {
        if branch.size == 1 {
            return branch.say(&myself, branch.number);
        }
        let size = branch.size / FANOUT;
        for index in 0..FANOUT {
            grow(Branch {
                size,
                number: branch.number + index * size,
                parent: Some(myself.clone()),
                left: FANOUT,
                sum: 0,
                done: branch.done.clone(),
            })
            .await;
        }
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<i64>,
        number: i64,
        branch: &mut Branch,
    ) -> Result<(), ActorProcessingErr> {
        branch.sum += number;
        branch.left -= 1;
        if branch.left == 0 {
            return branch.say(&myself, branch.sum);
        }
        Ok(())
    }
}

pub(crate) fn skynet() -> Measured {
    let runtime = all_cores();
    let (done, finished) = channel();
    let begin = Instant::now();
    runtime.spawn(grow(Branch { size: 1_000_000, number: 0, parent: None, left: FANOUT, sum: 0, done }));
    assert_eq!(finished.recv(), Ok(499_999_500_000));
    milliseconds(begin)
}
