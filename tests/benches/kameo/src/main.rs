//! kameo's side of the benchmark, on tokio with a worker a core and unbounded mailboxes: the bounded ones that it takes
//! by default pay for a semaphore with each message. `bench-kameo NAME` prints one JSON line; exit status 77 for a name that it
//! does not have: it has links and no monitors, names and no groups.

mod lifetimes;
mod messages;
mod supervision;
mod tables;

use bench_load::Measured;
use kameo::actor::{Actor, ActorRef, Spawn as _};
use kameo::mailbox;
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn all_cores() -> Runtime {
    Builder::new_multi_thread().enable_time().build().expect("threads")
}

/// Starts an actor with an unbounded mailbox.
fn start<A: Actor<Args = A>>(actor: A) -> ActorRef<A> {
    A::spawn_with_mailbox(actor, mailbox::unbounded())
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
        "registry_register" => tables::register,
        "registry_whereis" => tables::whereis,
        "registry_unregister" => tables::unregister,
        _ => return None,
    })
}

fn main() -> ExitCode {
    bench_load::run("kameo", find)
}
