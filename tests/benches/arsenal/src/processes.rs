//! Spawning, sending, calling.

use crate::bodies::{
    Caller, Counter, Echo, Empty, Flood, Idle, Ponger, Ring, Skynet, Spawner, spawn as start,
};
use crate::{Measured, node, per_second};
use arsenal_runtime::{Message, Node, Pid, ProcessRef, Term};
use std::sync::mpsc::channel;
use std::time::Instant;

fn tell(node: &Node, to: &ProcessRef, payload: Term) {
    node.send_to(to, Message::info(Pid::NONE, payload));
}

fn wait_until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::yield_now();
    }
}

/// A million empty processes, spawned by a process and ended.
pub fn spawn() -> Measured {
    const COUNT: usize = 1_000_000;
    let node = node(0);
    let (done, finished) = channel();
    let _ = start(&node, Empty);
    let begin = Instant::now();
    start(&node, Spawner { count: COUNT, monitored: false, downs: 0, done });
    finished.recv().expect("the spawner tells");
    wait_until(|| node.process_count() == 0);
    per_second(COUNT, begin.elapsed().as_secs_f64(), "procs/s")
}

pub fn spawn_monitored() -> Measured {
    const COUNT: usize = 1_000_000;
    let node = node(0);
    let (done, finished) = channel();
    let begin = Instant::now();
    start(&node, Spawner { count: COUNT, monitored: true, downs: 0, done });
    finished.recv().expect("the spawner tells");
    per_second(COUNT, begin.elapsed().as_secs_f64(), "procs/s")
}

fn resident() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("statm has numbers");
    pages * 4096.0
}

/// Bytes an idle gen_server, handles held.
pub fn idle_mem() -> Measured {
    const COUNT: usize = 1_000_000;
    let node = node(0);
    let before = resident();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let pids: Vec<ProcessRef> = runtime.block_on(async {
        let mut handles = Vec::with_capacity(COUNT);
        for _ in 0..COUNT {
            let started = node.start_process("counter", &Term::Null, Default::default(), None).await;
            match started {
                Ok(arsenal_runtime::Started::Running(pid)) => handles.extend(node.process(pid)),
                other => panic!("not started: {other:?}"),
            }
        }
        handles
    });
    let bytes = (resident() - before) / COUNT as f64;
    assert_eq!(pids.len(), COUNT);
    let _ = Idle;
    Measured { value: bytes, unit: "bytes" }
}

pub fn pingpong(schedulers: usize, pinned: Option<(u32, u32)>) -> Measured {
    const COUNT: usize = 2_000_000;
    let node = node(schedulers);
    let (done, finished) = channel();
    let b = start(&node, Ponger { left: COUNT, partner: None, done: None });
    let a = start(&node, Ponger { left: COUNT, partner: Some(b.clone()), done: Some(done) });
    if let Some((first, second)) = pinned {
        node.pin(a.pid(), first).expect("a scheduler");
        node.pin(b.pid(), second).expect("a scheduler");
    }
    let begin = Instant::now();
    tell(&node, &a, Term::Int(1));
    finished.recv().expect("the ponger tells");
    per_second(COUNT, begin.elapsed().as_secs_f64(), "round trips/s")
}

/// One way, one sender to one receiver.
pub fn send() -> Measured {
    const COUNT: usize = 5_000_000;
    let node = node(0);
    let (done, finished) = channel();
    let to = start(&node, Counter { left: COUNT, done });
    let begin = Instant::now();
    start(&node, Flood { count: COUNT, to });
    finished.recv().expect("the counter tells");
    per_second(COUNT, begin.elapsed().as_secs_f64(), "messages/s")
}

pub fn call() -> Measured {
    const COUNT: usize = 1_000_000;
    let node = node(0);
    let (done, finished) = channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let server = runtime.block_on(async {
        match node.start_process("echo", &Term::Null, Default::default(), None).await {
            Ok(arsenal_runtime::Started::Running(pid)) => node.process(pid),
            _ => None,
        }
    });
    let server = server.unwrap_or_else(|| start(&node, Echo));
    let begin = Instant::now();
    start(&node, Caller { left: COUNT, server, done });
    finished.recv().expect("the caller tells");
    per_second(COUNT, begin.elapsed().as_secs_f64(), "calls/s")
}

pub fn fan_in() -> Measured {
    const SENDERS: usize = 100;
    const EACH: usize = 20_000;
    let node = node(0);
    let (done, finished) = channel();
    let to = start(&node, Counter { left: SENDERS * EACH, done });
    let begin = Instant::now();
    for _ in 0..SENDERS {
        start(&node, Flood { count: EACH, to: to.clone() });
    }
    finished.recv().expect("the counter tells");
    per_second(SENDERS * EACH, begin.elapsed().as_secs_f64(), "messages/s")
}

pub fn ring() -> Measured {
    const PROCESSES: usize = 1_000;
    const ROUNDS: i64 = 1_000;
    let node = node(0);
    let (done, finished) = channel();
    let first = start(&node, Ring { next: None, done: Some(done) });
    let mut next = first.clone();
    for _ in 1..PROCESSES {
        next = start(&node, Ring { next: Some(next), done: None });
    }
    tell(&node, &first, Term::Pid(next.pid()));
    let begin = Instant::now();
    tell(&node, &first, Term::Int(ROUNDS));
    finished.recv().expect("the first tells");
    per_second(PROCESSES * ROUNDS as usize, begin.elapsed().as_secs_f64(), "hops/s")
}

pub fn skynet() -> Measured {
    let node = node(0);
    let (done, finished) = channel();
    let begin = Instant::now();
    start(&node, Skynet { size: 1_000_000, number: 0, parent: None, left: 10, sum: 0, done: Some(done) });
    finished.recv().expect("the root tells");
    Measured { value: begin.elapsed().as_secs_f64() * 1e3, unit: "ms" }
}
