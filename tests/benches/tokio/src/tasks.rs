//! Tasks started and ended.

use crate::all_cores;
use bench_load::{Measured, milliseconds, per_second, resident_bytes};
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Tasks spawned before the spawner yields, as Arsenal's spawner does.
const BATCH: usize = 100;

pub(crate) fn spawn() -> Measured {
    const COUNT: usize = 1_000_000;
    let runtime = all_cores();
    let begin = Instant::now();
    let spawner = runtime.spawn(async {
        for _ in 0..COUNT / BATCH {
            for _ in 0..BATCH {
                tokio::spawn(async {});
            }
            tokio::task::yield_now().await;
        }
    });
    runtime.block_on(spawner).expect("it ends");
    while runtime.metrics().num_alive_tasks() > 0 {
        std::thread::yield_now();
    }
    per_second(COUNT, begin, "procs/s")
}

pub(crate) fn spawn_monitored() -> Measured {
    const COUNT: usize = 1_000_000;
    let runtime = all_cores();
    let begin = Instant::now();
    let spawner = runtime.spawn(async {
        let mut tasks = JoinSet::new();
        for _ in 0..COUNT / BATCH {
            for _ in 0..BATCH {
                tasks.spawn(async {});
            }
            while tasks.try_join_next().is_some() {}
            tokio::task::yield_now().await;
        }
        while tasks.join_next().await.is_some() {}
    });
    runtime.block_on(spawner).expect("it ends");
    per_second(COUNT, begin, "procs/s")
}

/// What an idle server waits for.
enum Request {
    Add(i64),
    Value(oneshot::Sender<i64>),
}

pub(crate) fn idle_mem() -> Measured {
    const COUNT: usize = 1_000_000;
    let runtime = all_cores();
    let before = resident_bytes();
    let mut handles = Vec::with_capacity(COUNT);
    for _ in 0..COUNT {
        let (handle, mut requests) = mpsc::unbounded_channel();
        handles.push(handle);
        runtime.spawn(async move {
            let mut value = 0;
            while let Some(request) = requests.recv().await {
                match request {
                    Request::Add(number) => value += number,
                    Request::Value(reply) => drop(reply.send(value)),
                }
            }
        });
    }
    let mut sum = 0;
    for handle in &handles {
        let (reply, value) = oneshot::channel();
        let sent = handle.send(Request::Add(1)).and_then(|()| handle.send(Request::Value(reply)));
        sent.expect("the server lives");
        sum += value.blocking_recv().expect("the server answers");
    }
    assert_eq!(sum, COUNT as i64);
    Measured { value: (resident_bytes() - before) / COUNT as f64, unit: "bytes" }
}

const FANOUT: i64 = 10;

/// A task that sums what its ten children say, or says its number.
fn node(size: i64, number: i64, parent: mpsc::UnboundedSender<i64>) {
    if size == 1 {
        tokio::spawn(async move { parent.send(number).expect("the parent waits") });
        return;
    }
    tokio::spawn(async move {
        let (child, mut numbers) = mpsc::unbounded_channel();
        let size = size / FANOUT;
        for index in 0..FANOUT {
            node(size, number + index * size, child.clone());
        }
        let mut sum = 0;
        for _ in 0..FANOUT {
            sum += numbers.recv().await.expect("each child says its number");
        }
        parent.send(sum).expect("the parent waits");
    });
}

pub(crate) fn skynet() -> Measured {
    let runtime = all_cores();
    let begin = Instant::now();
    let (root, mut sum) = mpsc::unbounded_channel();
    runtime.spawn(async move { node(1_000_000, 0, root) });
    assert_eq!(sum.blocking_recv(), Some(499_999_500_000));
    milliseconds(begin)
}
