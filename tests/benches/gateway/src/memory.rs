//! The memory of an embedded gateway under load: requests of all sizes over kept connections, and what is resident at
//! each tenth of them.

use crate::messages::Size;
use crate::servers;
use arsenal_gateway::config::Transcoder;
use bench_load::{Posted, on_this_thread, resident_bytes, rest_all};

/// Connections, each with one request under way.
const CONNECTIONS: usize = 64;
/// Of so many requests one is medium, and of so many of those one is large.
const MEDIUM_EVERY: u64 = 10;
const LARGE_EVERY: u64 = 1_000;

/// Prints a line for each tenth of `requests`, and one for how much the last has over the second: in the first the
/// allocator finds out what it needs.
pub fn print(requests: u64) {
    let server = servers::embedded(Transcoder::Plan);
    let [small, medium, large] = Size::ALL.map(|size| Posted::new(server, size.path(), &size.json()));
    let choose = move |number: u64| match number {
        number if number.is_multiple_of(MEDIUM_EVERY * LARGE_EVERY) => large.clone(),
        number if number.is_multiple_of(MEDIUM_EVERY) => medium.clone(),
        _ => small.clone(),
    };
    let mut tenths = Vec::with_capacity(10);
    for tenth in 1..=10 {
        on_this_thread(rest_all(server, CONNECTIONS, requests / 10, choose.clone()));
        let resident = resident_bytes();
        tenths.push(resident);
        print_line(&format!("resident_at_{tenth}_of_10"), resident);
    }
    print_line("resident_growth", tenths[9] - tenths[1]);
}

fn print_line(bench: &str, bytes: f64) {
    println!("{}", serde_json::json!({"peer": "embedded", "bench": bench, "value": bytes, "unit": "bytes"}));
}
