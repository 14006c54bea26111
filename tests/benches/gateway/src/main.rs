//! The gateway's benchmark. `bench-gateway PEER SIZE CONCURRENCY` loads one server and prints one JSON line;
//! `bench-gateway alone` times what needs no socket; `bench-gateway memory REQUESTS` follows the resident set.

use arsenal_gateway::config::Transcoder;
use bench_gateway::messages::Size;
use bench_gateway::servers::{self, SERVER, UPSTREAM};
use bench_gateway::{alone, echo, memory};
use bench_load::{Load, Posted, Waiting, rest, rest_multiplexed};
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The thread that loads: the program's first, which bears its name.
const CLIENT: &str = "bench-gateway";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if run(&arguments).is_some() {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "usage: bench-gateway PEER SIZE CONCURRENCY | alone [BENCH PEER] | memory REQUESTS\n\
         PEER is axum, embedded, dynamic, tonic, hop, hop_h2, wire or wire_h2; SIZE is small, medium or large"
    );
    ExitCode::from(2)
}

/// Nothing if the arguments are not understood.
fn run(arguments: &[&str]) -> Option<()> {
    match *arguments {
        ["alone"] => alone::print(None),
        ["alone", bench, peer] => alone::print(Some((bench, peer))),
        ["memory", requests] => memory::print(requests.parse().ok()?),
        [peer, size, concurrency] => load(peer, Size::named(size)?, concurrency.parse().ok()?)?,
        _ => return None,
    }
    Some(())
}

/// Nothing if there is no such peer.
fn load(peer: &str, size: Size, concurrency: usize) -> Option<()> {
    let posted = |server, waiting| {
        let request = Posted::new(server, size.path(), &size.json());
        rest(&request, size.expected(), concurrency, waiting)
    };
    let load = match peer {
        "axum" => posted(servers::axum_echo(), Waiting::Awake),
        "embedded" => posted(servers::embedded(Transcoder::Plan), Waiting::Awake),
        "dynamic" => posted(servers::embedded(Transcoder::Reference), Waiting::Awake),
        // three threads: on two cores a client that stays awake would take one from the others
        "wire" => posted(servers::standalone(), Waiting::Asleep),
        "wire_h2" => rest_multiplexed(
            servers::standalone_http2(),
            size.path(),
            &size.json(),
            size.expected(),
            concurrency,
        ),
        "hop" => posted(servers::hop(size), Waiting::Asleep),
        "hop_h2" => rest_multiplexed(
            servers::hop_http2(size),
            size.path(),
            &size.json(),
            size.expected(),
            concurrency,
        ),
        "tonic" => echo::calls(servers::tonic_echo(SERVER), size, &servers::wire(size), concurrency),
        _ => return None,
    };
    print(peer, size, concurrency, &load);
    Some(())
}

fn print(peer: &str, size: Size, concurrency: usize, load: &Load) {
    let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
    let line = serde_json::json!({
        "peer": peer,
        "bench": format!("{}_{concurrency}", size.name()),
        "value": load.rate,
        "unit": "requests/s",
        "p50_us": microseconds(load.p50),
        "p99_us": microseconds(load.p99),
        "server_cpu_us": microseconds(load.processor_time(SERVER)),
        "upstream_cpu_us": microseconds(load.processor_time(UPSTREAM)),
        "client_cpu_us": microseconds(load.processor_time(CLIENT)),
    });
    println!("{line}");
}
