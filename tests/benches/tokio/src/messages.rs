//! Messages between tasks.

use crate::all_cores;
use bench_load::{Measured, current_thread, per_second};
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;

/// Messages sent before a sender yields.
const BATCH: usize = 1_000;

async fn pong(count: usize, to: UnboundedSender<i64>, mut from: UnboundedReceiver<i64>) {
    for _ in 0..count {
        let Some(ball) = from.recv().await else { return };
        if to.send(ball).is_err() {
            return;
        }
    }
}

fn pingpong_on(runtime: &Runtime) -> Measured {
    const COUNT: usize = 2_000_000;
    let (to_a, from_b) = mpsc::unbounded_channel();
    let (to_b, from_a) = mpsc::unbounded_channel();
    to_a.send(1).expect("open");
    let begin = Instant::now();
    runtime.block_on(async {
        tokio::spawn(pong(COUNT, to_a, from_a));
        tokio::spawn(pong(COUNT, to_b, from_b)).await.expect("it ends");
    });
    per_second(COUNT, begin, "round trips/s")
}

pub(crate) fn pingpong() -> Measured {
    pingpong_on(&all_cores())
}

pub(crate) fn pingpong_one_thread() -> Measured {
    pingpong_on(&current_thread())
}

/// Sends `count` messages, and yields now and then so that the queue stays short.
async fn flood(count: usize, to: UnboundedSender<i64>) {
    for _ in 0..count / BATCH {
        for _ in 0..BATCH {
            to.send(1).expect("the receiver lives");
        }
        tokio::task::yield_now().await;
    }
}

fn flooded(senders: usize, each: usize) -> Measured {
    let runtime = all_cores();
    let begin = Instant::now();
    runtime.block_on(async {
        let (to, mut messages) = mpsc::unbounded_channel();
        let counter = tokio::spawn(async move {
            for _ in 0..senders * each {
                messages.recv().await.expect("a sender lives");
            }
        });
        for _ in 0..senders {
            tokio::spawn(flood(each, to.clone()));
        }
        counter.await.expect("it ends");
    });
    per_second(senders * each, begin, "messages/s")
}

pub(crate) fn send() -> Measured {
    flooded(1, 5_000_000)
}

pub(crate) fn fan_in() -> Measured {
    flooded(100, 20_000)
}

pub(crate) fn call() -> Measured {
    const COUNT: usize = 1_000_000;
    let runtime = all_cores();
    let begin = Instant::now();
    runtime.block_on(async {
        let (server, mut requests) = mpsc::unbounded_channel::<(i64, oneshot::Sender<i64>)>();
        tokio::spawn(async move {
            while let Some((number, reply)) = requests.recv().await {
                let _ = reply.send(number);
            }
        });
        let caller = tokio::spawn(async move {
            for _ in 0..COUNT {
                let (reply, answer) = oneshot::channel();
                server.send((1, reply)).expect("the server lives");
                answer.await.expect("the server answers");
            }
        });
        caller.await.expect("it ends");
    });
    per_second(COUNT, begin, "calls/s")
}

async fn pass(to: UnboundedSender<i64>, mut from: UnboundedReceiver<i64>) {
    while let Some(left) = from.recv().await {
        if to.send(left).is_err() {
            return;
        }
    }
}

pub(crate) fn ring() -> Measured {
    const TASKS: usize = 1_000;
    const ROUNDS: i64 = 1_000;
    let runtime = all_cores();
    let (first, mut from) = mpsc::unbounded_channel();
    for _ in 1..TASKS {
        let (to, next) = mpsc::unbounded_channel();
        runtime.spawn(pass(to, std::mem::replace(&mut from, next)));
    }
    let begin = Instant::now();
    let owner = runtime.spawn(async move {
        first.send(ROUNDS - 1).expect("the ring is closed");
        loop {
            match from.recv().await {
                Some(0) | None => return,
                Some(left) => first.send(left - 1).expect("the ring is closed"),
            }
        }
    });
    runtime.block_on(owner).expect("it ends");
    per_second(TASKS * ROUNDS as usize, begin, "hops/s")
}
