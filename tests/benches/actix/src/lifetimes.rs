//! Actors started and ended.

use actix::{Actor, ActorContext as _, Addr, Context, Handler, Message, System};
use bench_load::{Measured, milliseconds, per_second, resident_bytes};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;
use tokio::sync::oneshot;

/// Actors started before the starter lets them run.
const BATCH: usize = 100;

/// Ends at once.
struct Empty(Rc<Cell<usize>>);

impl Actor for Empty {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.stop();
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

pub(crate) fn spawn() -> Measured {
    const COUNT: usize = 1_000_000;
    let system = System::new();
    let begin = Instant::now();
    system.block_on(async {
        let ended = Rc::new(Cell::new(0));
        for _ in 0..COUNT / BATCH {
            for _ in 0..BATCH {
                Empty(Rc::clone(&ended)).start();
            }
            tokio::task::yield_now().await;
        }
        while ended.get() < COUNT {
            tokio::task::yield_now().await;
        }
    });
    per_second(COUNT, begin, "procs/s")
}

/// A server that counts.
struct Tally(i64);

impl Actor for Tally {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype("()")]
struct Add(i64);

#[derive(Message)]
#[rtype("i64")]
struct Value;

impl Handler<Add> for Tally {
    type Result = ();

    fn handle(&mut self, Add(number): Add, _: &mut Self::Context) {
        self.0 += number;
    }
}

impl Handler<Value> for Tally {
    type Result = i64;

    fn handle(&mut self, _: Value, _: &mut Self::Context) -> i64 {
        self.0
    }
}

pub(crate) fn idle_mem() -> Measured {
    const COUNT: usize = 1_000_000;
    let system = System::new();
    let before = resident_bytes();
    let handles = system.block_on(async {
        let handles: Vec<Addr<Tally>> = (0..COUNT).map(|_| Tally(0).start()).collect();
        let mut sum = 0;
        for handle in &handles {
            handle.do_send(Add(1));
            sum += handle.send(Value).await.expect("it answers");
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
    parent: Option<Addr<Skynet>>,
    left: i64,
    sum: i64,
    done: Option<oneshot::Sender<i64>>,
}

#[derive(Message)]
#[rtype("()")]
struct Number(i64);

impl Skynet {
    fn say(&mut self, number: i64, context: &mut Context<Self>) {
        match &self.parent {
            Some(parent) => parent.do_send(Number(number)),
            None => drop(self.done.take().map(|done| done.send(number))),
        }
        context.stop();
    }
}

impl Actor for Skynet {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        if self.size == 1 {
            return self.say(self.number, context);
        }
        let myself = actix::AsyncContext::address(context);
        let size = self.size / FANOUT;
        for index in 0..FANOUT {
            let number = self.number + index * size;
            Skynet { size, number, parent: Some(myself.clone()), left: FANOUT, sum: 0, done: None }.start();
        }
    }
}

impl Handler<Number> for Skynet {
    type Result = ();

    fn handle(&mut self, Number(number): Number, context: &mut Self::Context) {
        self.sum += number;
        self.left -= 1;
        if self.left == 0 {
            self.say(self.sum, context);
        }
    }
}

pub(crate) fn skynet() -> Measured {
    let system = System::new();
    let begin = Instant::now();
    system.block_on(async {
        let (done, sum) = oneshot::channel();
        Skynet { size: 1_000_000, number: 0, parent: None, left: FANOUT, sum: 0, done: Some(done) }.start();
        assert_eq!(sum.await, Ok(499_999_500_000));
    });
    milliseconds(begin)
}
