//! Supervisors, links, monitors.

use crate::bodies::{Idle, description};
use crate::{Measured, node, per_second};
use arsenal_behaviours::gen_server::{GenServer, GenServerModule, Init, Outcome};
use arsenal_runtime::{Context, Node, Pid, ProcessRef, ReplyTo, StartOptions, Started, Term};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

fn idle(node: &Node, options: StartOptions) -> ProcessRef {
    node.spawn(description(), Box::new(Idle), options).expect("room")
}

/// The supervised server. It does nothing; its init tells of its start.
struct Worker;

impl GenServer for Worker {
    fn handle_call(&mut self, request: &Term, _: ReplyTo, _: &mut Context<'_>) -> Outcome<Self> {
        Outcome::reply(request.clone())
    }
}

/// A node with the worker's module, and who has started.
fn node_with_worker() -> (Node, Receiver<Pid>) {
    let node = node(0);
    let (starting, started) = channel();
    let init = move |_: &Term, context: &mut Context<'_>| {
        starting.send(context.me()).expect("the killer listens");
        Init::ok(Worker)
    };
    node.add_module(Arc::new(GenServerModule::new("worker", init)));
    (node, started)
}

/// A one_for_one supervisor with one permanent worker.
fn supervisor(node: &Node) -> Pid {
    const INTENSITY: i64 = 1_000_000;
    let child = Term::map([("id", Term::from("w")), ("module", "worker".into())]);
    let spec = Term::map([
        ("strategy", Term::from("one_for_one")),
        ("intensity", Term::Int(INTENSITY)),
        ("period", Term::Int(5)),
        ("children", Term::list([child])),
    ]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    match runtime.block_on(node.start_process("supervisor", &spec, StartOptions::default(), None)) {
        Ok(Started::Running(pid)) => pid,
        other => panic!("no supervisor: {other:?}"),
    }
}

/// The next worker to start.
fn next(started: &Receiver<Pid>) -> Pid {
    loop {
        if let Ok(worker) = started.try_recv() {
            return worker;
        }
        std::hint::spin_loop();
    }
}

/// Kills the worker of a fresh supervisor `count` times, each time once it is back.
fn kill(node: &Node, started: &Receiver<Pid>, count: usize) {
    let supervisor = supervisor(node);
    for _ in 0..count {
        node.kill(next(started), Term::KILLED);
    }
    next(started);
    node.kill(supervisor, Term::KILLED);
}

pub fn restart_bursts() -> Measured {
    const KILLS: usize = 200;
    const ROUNDS: usize = 100;
    let (node, started) = node_with_worker();
    let begin = Instant::now();
    for _ in 0..ROUNDS {
        kill(&node, &started, KILLS);
    }
    per_second(KILLS * ROUNDS, begin.elapsed().as_secs_f64(), "restarts/s")
}

pub fn restart_sustained() -> Measured {
    const KILLS: usize = 20_000;
    let (node, started) = node_with_worker();
    let begin = Instant::now();
    kill(&node, &started, KILLS);
    per_second(KILLS, begin.elapsed().as_secs_f64(), "restarts/s")
}

pub fn link_exit() -> Measured {
    const COUNT: usize = 100_000;
    let node = node(0);
    let hub = idle(&node, StartOptions::default());
    for _ in 0..COUNT {
        idle(&node, StartOptions { parent: Some(hub.pid()), link: true, ..StartOptions::default() });
    }
    let begin = Instant::now();
    node.kill(hub.pid(), Term::KILLED);
    while node.process_count() > 0 {
        std::thread::yield_now();
    }
    Measured { value: begin.elapsed().as_secs_f64() * 1e3, unit: "ms" }
}

/// Counts DOWNs and tells at the last.
struct Watcher {
    left: usize,
    done: std::sync::mpsc::Sender<()>,
}

impl arsenal_runtime::Body for Watcher {
    fn step(
        &mut self,
        event: arsenal_runtime::Event,
        _context: &mut arsenal_runtime::Context<'_>,
    ) -> arsenal_runtime::Step {
        if let arsenal_runtime::Event::Message(_) = event {
            self.left -= 1;
            if self.left == 0 {
                let _ = self.done.send(());
            }
        }
        arsenal_runtime::Step::Wait(arsenal_runtime::Receive::any())
    }
}

pub fn monitor_down() -> Measured {
    const COUNT: usize = 100_000;
    let node = node(0);
    let (done, finished) = std::sync::mpsc::channel();
    let target = idle(&node, StartOptions::default());
    let watcher = Box::new(Watcher { left: COUNT, done });
    let watcher = node.spawn(description(), watcher, StartOptions::default()).expect("room");
    for _ in 0..COUNT {
        node.monitor(watcher.pid(), Some(target.pid()), None).expect("alive");
    }
    let begin = Instant::now();
    node.kill(target.pid(), Term::KILLED);
    finished.recv().expect("the watcher tells");
    Measured { value: begin.elapsed().as_secs_f64() * 1e3, unit: "ms" }
}

pub fn monitor_down_procs() -> Measured {
    const COUNT: usize = 100_000;
    let node = node(0);
    let (done, finished) = std::sync::mpsc::channel();
    let target = idle(&node, StartOptions::default());
    for _ in 0..COUNT {
        let watcher = Box::new(Watcher { left: 1, done: done.clone() });
        let watcher = node.spawn(description(), watcher, StartOptions::default()).expect("room");
        node.monitor(watcher.pid(), Some(target.pid()), None).expect("alive");
    }
    let begin = Instant::now();
    node.kill(target.pid(), Term::KILLED);
    for _ in 0..COUNT {
        finished.recv().expect("each watcher tells");
    }
    Measured { value: begin.elapsed().as_secs_f64() * 1e3, unit: "ms" }
}
