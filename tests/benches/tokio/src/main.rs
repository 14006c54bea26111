//! What one writes without a framework: plain tasks with unbounded mpsc channels, oneshot for replies, JoinSet to see
//! tasks end. `bench-tokio NAME` prints one JSON line; exit status 77 for a name that it does not have: tasks have no
//! links, supervisors or names.

mod messages;
mod tasks;

use bench_load::Measured;
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A worker a core.
fn all_cores() -> Runtime {
    Builder::new_multi_thread().build().expect("threads")
}

fn find(name: &str) -> Option<fn() -> Measured> {
    Some(match name {
        "spawn" => tasks::spawn,
        "spawn_monitored" => tasks::spawn_monitored,
        "idle_mem" => tasks::idle_mem,
        "skynet" => tasks::skynet,
        "pingpong" => messages::pingpong,
        "pingpong_1s" => messages::pingpong_one_thread,
        "send" => messages::send,
        "call" => messages::call,
        "fan_in" => messages::fan_in,
        "ring" => messages::ring,
        _ => return None,
    })
}

fn main() -> ExitCode {
    bench_load::run("tokio", find)
}
