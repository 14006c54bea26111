//! Sees from outside what the inside cannot: a disk that hangs stops openraft's core, which then neither steps down nor
//! says so, while its heartbeats go on.
//!
//! Whoever writes marks the time in a [`Pulse`]. A thread of its own, which no busy task can starve, looks at it and ends
//! the process by the callback it was given. What passes while that thread itself cannot look, since the whole process is
//! paused, is no fault of the disk and does not count.

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
}

/// How long something has been going on, as far as whoever looks now and then could see.
#[derive(Debug)]
struct Watch {
    /// Between two looks.
    pause: Duration,
    limit: Duration,
    /// Since when it was going on at the last look, and when that was.
    seen: Option<(Instant, Instant)>,
    counted: Duration,
}

impl Watch {
    fn new(limit: Duration) -> Self {
        Self { pause: limit / 4, limit, seen: None, counted: Duration::ZERO }
    }

    /// How long it has been going on, if that is too long.
    fn look(&mut self, since: Option<Instant>, now: Instant) -> Option<Duration> {
        let before = std::mem::replace(&mut self.seen, since.map(|since| (since, now)));
        let since = since?;
        self.counted = match before.filter(|(same, _)| *same == since) {
            // a look that is later than that was held up itself
            Some((_, looked)) => self.counted + (now - looked).min(self.pause * 2),
            None => (now - since).min(self.pause),
        };
        Some(self.counted).filter(|counted| *counted > self.limit)
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
    let mut watch = Watch::new(limit);
    let pause = watch.pause;
    // nothing once nobody can begin anything any more
    let mut verdict = move || {
        let pulse = pulse.upgrade()?;
        let too_long = watch.look(*pulse.since.lock(), Runtime::now());
        let (what, limit) = (pulse.what, limit.as_millis());
        let told =
            |age: Duration| format!("{what} has been taking {} ms; the limit is {limit} ms", age.as_millis());
        Some(too_long.map(told))
    };
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(8);

    /// Looks every two seconds, from half a second after `began` on.
    fn looks(began: Instant) -> impl Iterator<Item = Instant> {
        (0..).map(move |look| began + Duration::from_millis(500 + 2_000 * look))
    }

    #[test]
    fn a_write_that_goes_on_for_longer_than_the_limit_is_found_and_a_new_one_counts_anew() {
        let (mut watch, began) = (Watch::new(LIMIT), Runtime::now());
        let found: Vec<_> = looks(began).take(5).map(|now| watch.look(Some(began), now)).collect();
        assert_eq!(found[..4], [None; 4]);
        assert_eq!(found[4], Some(Duration::from_millis(8_500)));
        let next = began + Duration::from_secs(9);
        assert_eq!(watch.look(Some(next), next + Duration::from_secs(1)), None);
        assert_eq!(watch.look(None, next + Duration::from_secs(3)), None);
    }

    #[test]
    fn a_pause_of_the_whole_process_is_not_held_against_the_disk() {
        let (mut watch, began) = (Watch::new(LIMIT), Runtime::now());
        assert_eq!(watch.look(Some(began), began + Duration::from_secs(1)), None);
        let after = began + Duration::from_secs(3_600);
        assert_eq!(watch.look(Some(began), after), None);
        let hangs = looks(after).take(5).any(|now| watch.look(Some(began), now).is_some());
        assert!(hangs, "it hangs all the same, and is found to");
    }
}
