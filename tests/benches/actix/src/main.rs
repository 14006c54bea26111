//! actix's side of the benchmark: actors of one arbiter, for actix has an arbiter a thread and is at its best on one.
//! `bench-actix NAME` prints one JSON line; exit status 77 for a name that it does not have: it has no links, monitors,
//! names or groups.

mod lifetimes;
mod messages;
mod supervision;

use bench_load::Measured;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn find(name: &str) -> Option<fn() -> Measured> {
    Some(match name {
        "spawn" => lifetimes::spawn,
        "idle_mem" => lifetimes::idle_mem,
        "skynet" => lifetimes::skynet,
        // one arbiter is one scheduler
        "pingpong" | "pingpong_1s" => messages::pingpong,
        "send" => messages::send,
        "call" => messages::call,
        "fan_in" => messages::fan_in,
        "ring" => messages::ring,
        "supervisor_restart" => supervision::restart_bursts,
        "supervisor_restart_sustained" => supervision::restart_sustained,
        _ => return None,
    })
}

fn main() -> ExitCode {
    bench_load::run("actix", find)
}
