//! actix's supervisor, which starts an actor again in its place: its address stays, nothing is spawned.

use actix::{
    Actor, ActorContext as _, Addr, Arbiter, Context, Handler, Message, Supervised, Supervisor, System,
};
use bench_load::{Measured, per_second};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

/// Tells of its start.
struct Worker(Sender<()>);

impl Actor for Worker {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        let _ = self.0.send(());
    }
}

impl Supervised for Worker {}

#[derive(Message)]
#[rtype("()")]
struct Kill;

impl Handler<Kill> for Worker {
    type Result = ();

    fn handle(&mut self, _: Kill, context: &mut Self::Context) {
        context.stop();
    }
}

/// Waits for the next start, as Arsenal's benchmark does.
fn await_start(started: &Receiver<()>) {
    while started.try_recv().is_err() {
        std::hint::spin_loop();
    }
}

/// Kills the worker of a fresh supervisor `count` times, each time once it is back.
fn kill(arbiter: &Arbiter, count: usize) {
    let (starting, started) = channel();
    let worker: Addr<Worker> = Supervisor::start_in_arbiter(&arbiter.handle(), |_| Worker(starting));
    for _ in 0..count {
        await_start(&started);
        worker.do_send(Kill);
    }
    await_start(&started);
}

fn restarts(kills: usize, rounds: usize) -> Measured {
    let _system = System::new();
    let arbiter = Arbiter::new();
    let begin = Instant::now();
    for _ in 0..rounds {
        kill(&arbiter, kills);
    }
    per_second(kills * rounds, begin, "restarts/s")
}

pub(crate) fn restart_bursts() -> Measured {
    restarts(200, 100)
}

pub(crate) fn restart_sustained() -> Measured {
    restarts(20_000, 1)
}
