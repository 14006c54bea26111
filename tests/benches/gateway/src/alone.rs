//! The time on a processor of what a gateway does, without sockets: of the transcoders alone, and of whole requests.

use crate::messages::Size;
use crate::requests::{ANSWERING, Answering};
use crate::transcoding::{Sample, WAYS, Way};
use bench_load::this_thread_time;
use std::hint::black_box;
use std::time::Duration;

/// How long each is repeated.
const MEASURED: Duration = Duration::from_secs(1);
/// Calls between two looks at the time.
const CALLS: u32 = 100;

/// Prints a line for each size and each way, or those alone whose bench and peer are named.
pub fn print(only: Option<(&str, &str)>) {
    for size in Size::ALL {
        let sample = Sample::new(size);
        for Way { peer, direction, transcode } in WAYS {
            print_time(only, peer, &format!("{}_{direction}", size.name()), || {
                drop(black_box(transcode(black_box(&sample))));
            });
        }
        let answering = Answering::new(size);
        for (peer, answer) in ANSWERING {
            print_time(only, peer, &format!("{}_request", size.name()), || answer(black_box(&answering)));
        }
    }
}

/// The time that one of many takes.
fn print_time(only: Option<(&str, &str)>, peer: &str, bench: &str, mut work: impl FnMut()) {
    if only.is_some_and(|only| only != (bench, peer)) {
        return;
    }
    let begin = this_thread_time();
    let (mut count, mut passed) = (0u32, Duration::ZERO);
    while passed < MEASURED {
        for _ in 0..CALLS {
            work();
        }
        count += CALLS;
        passed = this_thread_time() - begin;
    }
    let nanoseconds = passed.as_nanos() as f64 / f64::from(count);
    println!("{}", serde_json::json!({"peer": peer, "bench": bench, "value": nanoseconds, "unit": "ns"}));
}
