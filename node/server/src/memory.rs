//! Memory that was used goes back to the system, and not too soon.
//!
//! The allocator gives freed pages back when the thread that owned them allocates again. A thread that has become idle does
//! not, and what a hundred thousand processes had taken would stay resident for as long as nobody calls.

use parking_lot::{Condvar, Mutex};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How often a thread that serves requests looks whether it is idle.
pub(crate) const TICK: Duration = Duration::from_millis(500);
/// Of a tick, what an idle thread may have been busy.
const IDLE_BUSY_MAX: Duration = Duration::from_millis(5);
/// Idle ticks in a row after which memory is given back, and then again: another thread may have freed since what this
/// one had taken.
const IDLE_TICKS: u32 = 2;
const IDLE_TICKS_AGAIN: u32 = 20;
/// How long an idle thread waits for the others of its runtime to be there too.
const MEETING_MAX: Duration = Duration::from_millis(10);

/// Milliseconds for which freed pages are kept, as the allocator's next major version does. With its 10 ms, each large
/// message under load has pages that the system has to zero anew, which costs a third of its whole way through a node.
const KEPT_MS: std::ffi::c_long = 1_000;

/// `mi_option_purge_delay` of mimalloc 2, for which its bindings have no name.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Has freed memory kept for reuse a little longer. Without effect where the program has another allocator, and where
/// `MIMALLOC_PURGE_DELAY` says how long.
pub(crate) fn keep_for_reuse() {
    #[expect(unsafe_code, reason = "the allocator has no safe call for it")]
    // SAFETY: it sets a number that the allocator reads when it frees pages
    unsafe {
        libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEPT_MS);
    }
}

/// Gives back what this thread has freed. It costs a look at each page that the thread owns, milliseconds for a gigabyte:
/// for threads that have nothing else to do. Without effect where the program has another allocator.
pub(crate) fn give_back() {
    #[expect(unsafe_code, reason = "the allocator has no safe call for it")]
    // SAFETY: `mi_collect` has no preconditions: it works on the calling thread's own heap, and on shared parts under
    // their locks
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}

/// Gives back what the threads of this runtime have freed, whenever all of them are idle.
pub(crate) async fn give_back_when_idle() -> Infallible {
    let metrics = Handle::current().metrics();
    let workers = metrics.num_workers();
    let busy_until_now =
        || (0..workers).map(|worker| metrics.worker_total_busy_duration(worker)).sum::<Duration>();
    let (mut busy, mut idle_ticks) = (busy_until_now(), 0);
    loop {
        tokio::time::sleep(TICK).await;
        let now_busy = busy_until_now();
        idle_ticks = if now_busy.saturating_sub(busy) <= IDLE_BUSY_MAX { idle_ticks + 1 } else { 0 };
        busy = now_busy;
        if idle_ticks % IDLE_TICKS_AGAIN == IDLE_TICKS {
            match workers {
                1 => give_back(),
                _ => on_each_worker(workers, MEETING_MAX, give_back),
            }
        }
    }
}

/// Has each thread of this runtime do some work: one that takes it waits until all have, as long as that is to be expected of
/// idle ones, so that none takes it twice.
fn on_each_worker(workers: usize, patience: Duration, work: impl Fn() + Send + Sync + 'static) {
    let meeting = Arc::new((Mutex::new(0), Condvar::new(), work));
    for _ in 0..workers {
        let meeting = Arc::clone(&meeting);
        tokio::spawn(async move {
            let (come, all_there, work) = &*meeting;
            let mut come = come.lock();
            *come += 1;
            if *come == workers {
                all_there.notify_all();
            }
            all_there.wait_while_for(&mut come, |come| *come < workers, patience);
            drop(come);
            work();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn what_is_to_be_done_on_each_thread_is_done_on_each() {
        const WORKERS: usize = 4;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).build().unwrap();
        let (done, mut doing) = tokio::sync::mpsc::unbounded_channel();
        let threads = runtime.block_on(async {
            tokio::spawn(async move {
                let work = move || done.send(std::thread::current().id()).unwrap();
                on_each_worker(WORKERS, Duration::from_secs(60), work);
            });
            let mut threads = HashSet::new();
            while let Some(thread) = doing.recv().await {
                threads.insert(thread);
            }
            threads
        });
        assert_eq!(threads.len(), WORKERS);
    }
}
