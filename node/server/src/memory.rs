//! Memory that was used goes back to the system.
//!
//! The allocator gives freed pages back when the thread that owned them allocates again. A thread that has become idle does
//! not, and what a hundred thousand processes had taken would stay resident for as long as nobody calls.

use std::convert::Infallible;
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

/// Gives back what the thread of this runtime has freed, whenever it is idle.
pub(crate) async fn give_back_when_idle() -> Infallible {
    let metrics = Handle::current().metrics();
    let (mut busy, mut idle_ticks) = (metrics.worker_total_busy_duration(0), 0);
    loop {
        tokio::time::sleep(TICK).await;
        let now_busy = metrics.worker_total_busy_duration(0);
        idle_ticks = if now_busy.saturating_sub(busy) <= IDLE_BUSY_MAX { idle_ticks + 1 } else { 0 };
        busy = now_busy;
        if idle_ticks % IDLE_TICKS_AGAIN == IDLE_TICKS {
            give_back();
        }
    }
}
