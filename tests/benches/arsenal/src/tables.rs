//! Names, groups, lists.

use crate::bodies::{Idle, spawn};
use crate::{Measured, node, per_second};
use arsenal_runtime::registry::Command;
use arsenal_runtime::{Node, ProcessRef, Term};
use std::sync::Arc;
use std::time::Instant;

fn processes(node: &Node, count: usize) -> Vec<ProcessRef> {
    (0..count).map(|_| spawn(node, Idle)).collect()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("name_{n}")).collect()
}

const LOCAL: usize = 100_000;
const GLOBAL: usize = 5_000;

fn named(node: &Node) -> (Vec<ProcessRef>, Vec<String>, f64) {
    let (all, names) = (processes(node, LOCAL), names(LOCAL));
    let begin = Instant::now();
    for (process, name) in all.iter().zip(&names) {
        node.register(name, process.pid(), Term::Null, 0).expect("free");
    }
    let seconds = begin.elapsed().as_secs_f64();
    (all, names, seconds)
}

pub fn register() -> Measured {
    let node = node(0);
    let (_, _, seconds) = named(&node);
    per_second(LOCAL, seconds, "ops/s")
}

pub fn whereis() -> Measured {
    let node = node(0);
    let (_, names, _) = named(&node);
    let begin = Instant::now();
    let found = names.iter().filter(|name| node.whereis(name).is_some()).count();
    assert_eq!(found, LOCAL);
    per_second(LOCAL, begin.elapsed().as_secs_f64(), "ops/s")
}

pub fn unregister() -> Measured {
    let node = node(0);
    let (_, names, _) = named(&node);
    let begin = Instant::now();
    for name in &names {
        node.unregister(name, None, 0).expect("registered");
    }
    per_second(LOCAL, begin.elapsed().as_secs_f64(), "ops/s")
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
}

fn globally_named(node: &Node) -> (Vec<String>, f64) {
    let (all, names) = (processes(node, GLOBAL), names(GLOBAL));
    let begin = Instant::now();
    block_on(async {
        for (process, name) in all.iter().zip(&names) {
            let command = Command::Register {
                name: name.as_str().into(),
                pid: process.pid(),
                replace: false,
                allow_multiple: false,
                metadata: Term::Null,
                at_ms: 0,
            };
            node.propose(command, 0).await.expect("free");
        }
    });
    let seconds = begin.elapsed().as_secs_f64();
    std::mem::forget(all);
    (names, seconds)
}

pub fn global_register() -> Measured {
    let node = node(0);
    let (_, seconds) = globally_named(&node);
    per_second(GLOBAL, seconds, "ops/s")
}

pub fn global_whereis() -> Measured {
    let node = node(0);
    let (names, _) = globally_named(&node);
    let begin = Instant::now();
    let found = names.iter().filter(|name| node.global_whereis(name).is_some()).count();
    assert_eq!(found, GLOBAL);
    per_second(GLOBAL, begin.elapsed().as_secs_f64(), "ops/s")
}

const JOINS: usize = 100_000;
const GROUPS: usize = 10_000;

fn joined(node: &Node) -> (Vec<Arc<str>>, f64) {
    let all = processes(node, JOINS);
    let groups: Vec<Arc<str>> = (0..GROUPS).map(|n| Arc::from(format!("group_{n}"))).collect();
    let begin = Instant::now();
    block_on(async {
        for (n, process) in all.iter().enumerate() {
            let group = Arc::clone(&groups[n % GROUPS]);
            node.propose(Command::Join { group, pids: vec![process.pid()] }, 0).await.expect("alive");
        }
    });
    (groups, begin.elapsed().as_secs_f64())
}

pub fn pg_join() -> Measured {
    let node = node(0);
    let (_, seconds) = joined(&node);
    per_second(JOINS, seconds, "ops/s")
}

pub fn pg_members() -> Measured {
    let node = node(0);
    let (groups, _) = joined(&node);
    let begin = Instant::now();
    let members: usize = groups.iter().map(|group| node.group_members(group).len()).sum();
    assert_eq!(members, JOINS);
    per_second(GROUPS, begin.elapsed().as_secs_f64(), "ops/s")
}

/// Seven items of each of 100,000.
pub fn process_info() -> Measured {
    let node = node(0);
    let all = processes(&node, LOCAL);
    let begin = Instant::now();
    let mut found = 0;
    for process in &all {
        let info = node.info(process.pid()).expect("alive");
        found += usize::from(info.links.is_empty() && info.header.queue_len == 0 && info.name.is_none());
    }
    assert_eq!(found, LOCAL);
    Measured { value: begin.elapsed().as_secs_f64() * 1e3, unit: "ms" }
}

/// 100,000 processes listed through a filter on their header.
pub fn list_filter() -> Measured {
    let node = node(0);
    let _all = processes(&node, LOCAL);
    let begin = Instant::now();
    let mut found = 0;
    node.visit_processes(0, |process| {
        let header = node.header(process);
        found += usize::from(&*header.code.name == "bench" && header.queue_len == 0);
        true
    });
    assert_eq!(found, LOCAL);
    Measured { value: begin.elapsed().as_secs_f64() * 1e3, unit: "ms" }
}
