//! ractor's side of the benchmark, on tokio with a worker a core. `bench-ractor NAME` prints one JSON line; exit status
//! 77 for a name that it does not have: a name is given at the spawn alone, and a monitor is one for each pair.

mod lifetimes;
mod messages;
mod supervision;
mod tables;

use bench_load::Measured;
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn all_cores() -> Runtime {
    Builder::new_multi_thread().enable_time().build().expect("threads")
}

fn find(name: &str) -> Option<fn() -> Measured> {
    Some(match name {
        "spawn" => lifetimes::spawn,
        "spawn_monitored" => lifetimes::spawn_monitored,
        "idle_mem" => lifetimes::idle_mem,
        "skynet" => lifetimes::skynet,
        "pingpong" => messages::pingpong,
        "pingpong_1s" => messages::pingpong_one_thread,
        "send" => messages::send,
        "call" => messages::call,
        "fan_in" => messages::fan_in,
        "ring" => messages::ring,
        "supervisor_restart" => supervision::restart_bursts,
        "supervisor_restart_sustained" => supervision::restart_sustained,
        "link_exit" => supervision::link_exit,
        "monitor_down_procs" => supervision::monitor_down_procs,
        "registry_whereis" => tables::whereis,
        "pg_join" => tables::pg_join,
        "pg_members" => tables::pg_members,
        _ => return None,
    })
}

fn main() -> ExitCode {
    bench_load::run("ractor", find)
}
