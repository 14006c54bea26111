//! What a link may hold and how long it waits.

use std::time::Duration;

/// Settings of the links of a node. Both ends of a link should have the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkConfig {
    /// Bytes after which a batch of small signals is closed, and the length of a fragment of a big one.
    pub batch_bytes: usize,
    /// Bytes on their way in one lane that the other side has not acknowledged.
    pub lane_window_bytes: usize,
    /// Bytes of fragments on their way in all lanes: what a small signal may have to wait behind.
    pub fragment_window_bytes: usize,
    /// Bytes waiting for one node from which on their senders wait.
    pub crowded_bytes: usize,
    /// Bytes waiting for one node beyond which messages are refused.
    pub queued_bytes_max: usize,
    /// Bytes of one signal at most.
    pub signal_bytes_max: usize,
    /// How long to wait for a link to open.
    pub dial_timeout: Duration,
    /// How long after a cut the link may still go on.
    pub resume_timeout: Duration,
    /// Pause between two tries to open a cut link again.
    pub redial_pause: Duration,
    /// After so long without a word to the other side it is told that this one is there.
    pub heartbeat: Duration,
    /// After so long without a word from the other side the link is cut.
    pub silence_max: Duration,
    /// How long an acknowledgement waits for others at most.
    pub ack_delay: Duration,
    /// How long one reduction of toll (what a local sender would pay for a crowded mailbox) holds credits back.
    pub toll_pause: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            batch_bytes: 64 << 10,
            lane_window_bytes: 1 << 20,
            fragment_window_bytes: 512 << 10,
            crowded_bytes: 1 << 20,
            queued_bytes_max: 256 << 20,
            signal_bytes_max: 128 << 20,
            dial_timeout: Duration::from_secs(2),
            resume_timeout: Duration::from_secs(2),
            redial_pause: Duration::from_millis(50),
            heartbeat: Duration::from_millis(250),
            silence_max: Duration::from_secs(1),
            ack_delay: Duration::from_millis(20),
            toll_pause: Duration::from_nanos(500),
        }
    }
}
