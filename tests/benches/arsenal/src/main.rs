//! Arsenal's side of the benchmark: `bench-arsenal NAME` prints one JSON line `{"peer","bench","value","unit"}`; exit
//! status 77 for a name that it does not have. Sizes are those of `README.md` beside this crate.

mod bodies;
#[cfg(feature = "link")]
mod distribution;
#[cfg(feature = "wire")]
mod lists;
mod processes;
mod supervision;
mod tables;
#[cfg(feature = "wire")]
mod wire;

use arsenal_runtime::{Node, NodeConfig};
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a benchmark measured.
pub struct Measured {
    pub value: f64,
    pub unit: &'static str,
}

pub fn per_second(count: usize, seconds: f64, unit: &'static str) -> Measured {
    Measured { value: count as f64 / seconds, unit }
}

pub fn node(schedulers: usize) -> Node {
    let limits = arsenal_runtime::limits::NodeLimits { processes_max: 4_000_000, ..Default::default() };
    let modules = arsenal_behaviours::modules::native_modules();
    match Node::start(NodeConfig { schedulers, limits, modules, ..NodeConfig::default() }) {
        Ok(node) => node,
        Err(error) => panic!("the node does not start: {error}"),
    }
}

fn main() -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        eprintln!("usage: bench-arsenal NAME");
        return ExitCode::from(2);
    };
    let measured = match name.as_str() {
        "spawn" => processes::spawn(),
        "spawn_monitored" => processes::spawn_monitored(),
        "idle_mem" => processes::idle_mem(),
        "pingpong" => processes::pingpong(0, None),
        "pingpong_1s" => processes::pingpong(1, None),
        "pingpong_cross" => processes::pingpong(2, Some((1, 2))),
        "send" => processes::send(),
        "call" => processes::call(),
        "fan_in" => processes::fan_in(),
        "ring" => processes::ring(),
        "skynet" => processes::skynet(),
        "supervisor_restart" => supervision::restart_bursts(),
        "supervisor_restart_sustained" => supervision::restart_sustained(),
        "link_exit" => supervision::link_exit(),
        "monitor_down" => supervision::monitor_down(),
        "monitor_down_procs" => supervision::monitor_down_procs(),
        "registry_register" => tables::register(),
        "registry_whereis" => tables::whereis(),
        "registry_unregister" => tables::unregister(),
        "global_register" => tables::global_register(),
        "global_whereis" => tables::global_whereis(),
        "pg_join" => tables::pg_join(),
        "pg_members" => tables::pg_members(),
        "process_info" => tables::process_info(),
        "list_filter" => tables::list_filter(),
        #[cfg(feature = "link")]
        distribution::OTHER => {
            distribution::other_node(&std::env::args().nth(2).expect("the address of the first node"));
            return ExitCode::SUCCESS;
        }
        #[cfg(feature = "link")]
        "node_send" => distribution::node_send(),
        #[cfg(feature = "link")]
        "node_send_big" => distribution::node_send_big(),
        #[cfg(feature = "link")]
        "node_round_trip_p50" => distribution::node_round_trip(0.5),
        #[cfg(feature = "link")]
        "node_round_trip_p99" => distribution::node_round_trip(0.99),
        #[cfg(feature = "link")]
        "node_round_trip_beside_big_p99" => distribution::node_round_trip_beside_big(0.99),
        #[cfg(feature = "wire")]
        "list_cel_compiled" => lists::compiled(),
        #[cfg(feature = "wire")]
        "list_cel_interpreted" => lists::interpreted(),
        #[cfg(feature = "wire")]
        "list_cel_signal_state" => lists::of_signal_state(),
        #[cfg(feature = "wire")]
        "grpc_unary" => wire::grpc_unary(),
        #[cfg(feature = "wire")]
        "rest_unary" => wire::rest_unary(),
        _ => return ExitCode::from(77),
    };
    let line = serde_json::json!({
        "peer": "arsenal", "bench": name, "value": measured.value, "unit": measured.unit,
    });
    println!("{line}");
    ExitCode::SUCCESS
}
