//! The bytes of bodies that lie in memory until they are whole: bounded for all requests together.
//!
//! Each body has its limit, and each connection its streams; multiplied they are more than any machine has. So what a body
//! takes beyond a small size is taken from one account, and a request that finds it empty is refused, with the word that
//! it may come again. A small body takes nothing: it is not larger than its own headers may be.

use std::sync::atomic::Ordering;

use http::{HeaderValue, header};

use crate::{
    failure::{Failure, Reason},
    gateway::Compiled,
    metrics::Metrics,
};

/// What a body may have for nothing.
const FREE_BYTES: usize = 16 << 10;

/// What is taken at a time.
const STEP_BYTES: usize = 64 << 10;

/// What one body holds, until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// Where it is counted; nothing if it is nothing.
    of: Option<Metrics>,
    bytes: usize,
}

impl Held {
    /// Holds at least so many bytes from now on. What nobody else holds anything beside is never too much.
    pub(crate) fn grow(&mut self, bytes: usize, compiled: &Compiled) -> Result<(), Failure> {
        if bytes <= FREE_BYTES.max(self.bytes) {
            return Ok(());
        }
        let more = bytes.next_multiple_of(STEP_BYTES) - self.bytes;
        let (metrics, max) = (&compiled.config.metrics, compiled.config.limits.bodies_bytes_max);
        let before = metrics.held_bytes().fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > max && before > self.bytes {
            metrics.held_bytes().fetch_sub(more, Ordering::Relaxed);
            let message = format!("bodies of {before} bytes are being read, of at most {max} together");
            let mut failure = compiled.failure(Reason::Overloaded, message);
            failure.headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            return Err(failure);
        }
        self.of.get_or_insert_with(|| metrics.clone());
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(metrics) = &self.of {
            metrics.held_bytes().fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}
