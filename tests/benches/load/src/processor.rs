//! How long the threads of this program were on a processor, as Linux counts it in nanoseconds.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// The time of the threads that bear a name, by that name.
pub(crate) type ThreadTimes = HashMap<String, Duration>;

/// Until now.
pub(crate) fn thread_times() -> ThreadTimes {
    let mut times = ThreadTimes::new();
    for thread in fs::read_dir("/proc/self/task").expect("/proc is mounted").flatten() {
        let read = |file| fs::read_to_string(thread.path().join(file));
        // a thread may end while its folder is looked at
        let (Ok(name), Ok(schedule)) = (read("comm"), read("schedstat")) else { continue };
        *times.entry(name.trim_end().to_owned()).or_default() += on_processor(&schedule);
    }
    times
}

/// How long the calling thread was on a processor until now.
pub fn this_thread_time() -> Duration {
    on_processor(&fs::read_to_string("/proc/thread-self/schedstat").expect("/proc is mounted"))
}

fn on_processor(schedule: &str) -> Duration {
    let nanoseconds = schedule.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok());
    Duration::from_nanos(nanoseconds.expect("schedstat has numbers"))
}

/// Since `before`.
pub(crate) fn since(before: &ThreadTimes) -> ThreadTimes {
    let mut times = thread_times();
    for (name, time) in &mut times {
        *time = time.saturating_sub(before.get(name).copied().unwrap_or_default());
    }
    times
}
