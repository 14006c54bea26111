//! What is counted while calls are served, by gateway and node alike, and how Prometheus reads it.
//!
//! Counting takes no lock and allocates nothing: whoever serves calls finds the [`Calls`] of each kind once, at start, and
//! then adds to atomics. Which kinds there are is decided by whoever owns them, never by what a request says, so that the
//! number of series is bounded. No metric has its name here.

mod calls;
mod histogram;
mod text;

pub use calls::{Calls, Timed};
pub use histogram::Histogram;
pub use text::{CONTENT_TYPE, Family, Kind, Label, Text};
