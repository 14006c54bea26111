//! What is allocated for a request: `bench-gateway-allocations` prints a line for each size, of each transcoder both
//! ways, and of a whole request without a socket, by whoever answers it. A program of its own, since counting slows what
//! is counted.

use bench_gateway::messages::Size;
use bench_gateway::requests::{ANSWERING, Answering};
use bench_gateway::transcoding::{Sample, WAYS, Way};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Requests of which the mean is taken, after one that fills what is kept.
const REQUESTS: usize = 100;

fn main() {
    for size in Size::ALL {
        let sample = Sample::new(size);
        for Way { peer, direction, transcode } in WAYS {
            print(peer, &format!("{}_{direction}", size.name()), || drop(black_box(transcode(&sample))));
        }
        let answering = Answering::new(size);
        for (peer, answer) in ANSWERING {
            print(peer, &format!("{}_request", size.name()), || answer(&answering));
        }
    }
}

/// Counts what `work` allocates.
fn print(peer: &str, bench: &str, mut work: impl FnMut()) {
    work();
    let region = Region::new(ALLOCATOR);
    for _ in 0..REQUESTS {
        work();
    }
    let change = region.change();
    let each = |count: usize| count as f64 / REQUESTS as f64;
    let line = serde_json::json!({
        "peer": peer,
        "bench": bench,
        "value": each(change.allocations + change.reallocations),
        "unit": "allocations",
        "bytes": each(change.bytes_allocated),
    });
    println!("{line}");
}
