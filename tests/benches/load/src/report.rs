//! A measurement, and the line in which a program prints it.

use std::process::ExitCode;
use std::time::Instant;

/// The exit status of a program that does not have the benchmark it is asked for.
const UNKNOWN_BENCH: u8 = 77;

/// What a benchmark measured.
pub struct Measured {
    pub value: f64,
    pub unit: &'static str,
}

/// `count` things done since `begin`, a second.
pub fn per_second(count: usize, begin: Instant, unit: &'static str) -> Measured {
    Measured { value: count as f64 / begin.elapsed().as_secs_f64(), unit }
}

/// The time since `begin`.
pub fn milliseconds(begin: Instant) -> Measured {
    Measured { value: begin.elapsed().as_secs_f64() * 1e3, unit: "ms" }
}

/// The body of a program: runs the benchmark that the first argument names and prints its line.
pub fn run(peer: &str, find: impl FnOnce(&str) -> Option<fn() -> Measured>) -> ExitCode {
    let Some(name) = std::env::args().nth(1) else {
        eprintln!("usage: bench-{peer} NAME");
        return ExitCode::from(2);
    };
    let Some(bench) = find(&name) else { return ExitCode::from(UNKNOWN_BENCH) };
    let Measured { value, unit } = bench();
    println!("{}", serde_json::json!({"peer": peer, "bench": name, "value": value, "unit": unit}));
    ExitCode::SUCCESS
}
