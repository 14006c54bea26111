//! Sees from outside what the inside cannot: a disk that hangs stops openraft's core, which then neither steps down nor
//! says so, while its heartbeats go on.
//!
//! Whoever writes marks the time in a [`Pulse`]. A thread of its own, which no busy task can starve, looks at it and ends
//! the process by the callback it was given.

use crate::runtime::{Instant, Runtime};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// What ends the process, with the reason. It is called once, from whatever thread found the reason.
pub type End = Arc<dyn Fn(String) + Send + Sync>;

/// Since when something that must not take long has been going on.
#[derive(Debug)]
pub(crate) struct Pulse {
    what: &'static str,
    since: Mutex<Option<Instant>>,
}

/// It goes on until this is dropped.
pub(crate) struct Busy<'a>(&'a Pulse);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        *self.0.since.lock() = None;
    }
}

impl Pulse {
    pub(crate) fn new(what: &'static str) -> Arc<Self> {
        Arc::new(Self { what, since: Mutex::default() })
    }

    pub(crate) fn begin(&self) -> Busy<'_> {
        *self.since.lock() = Some(Runtime::now());
        Busy(self)
    }

    /// Why the process must end, if it must.
    pub(crate) fn verdict(&self, limit: Duration) -> Option<String> {
        let age = (*self.since.lock())?.age();
        (age > limit).then(|| {
            format!(
                "{} has been taking {} ms; the limit is {} ms",
                self.what,
                age.as_millis(),
                limit.as_millis()
            )
        })
    }
}

/// What calls `end` the first time alone.
pub(crate) fn once(end: End) -> End {
    let called = AtomicBool::new(false);
    Arc::new(move |reason| {
        if !called.swap(true, Relaxed) {
            end(reason);
        }
    })
}

/// Watches a pulse until its owner is gone, and ends the process if it stays busy for longer than `limit`.
pub(crate) fn watch(pulse: &Arc<Pulse>, limit: Duration, end: End) -> std::io::Result<()> {
    let pulse = Arc::downgrade(pulse);
    let verdict = move || pulse.upgrade().map(|pulse| pulse.verdict(limit));
    let pause = limit / 4;
    if Runtime::is_simulated() {
        Runtime::detach(async move {
            while let Some(verdict) = verdict() {
                if let Some(reason) = verdict {
                    return end(reason);
                }
                <Runtime as openraft::AsyncRuntime>::sleep(pause).await;
            }
        });
        return Ok(());
    }
    let thread = std::thread::Builder::new().name("raft-watchdog".to_owned());
    thread.spawn(move || {
        while let Some(verdict) = verdict() {
            if let Some(reason) = verdict {
                return end(reason);
            }
            std::thread::sleep(pause);
        }
    })?;
    Ok(())
}
