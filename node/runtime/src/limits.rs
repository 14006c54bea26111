//! Bounds: of one mailbox, and of the node's tables.

use crate::pid::INDEX_BITS;

/// Processes that a node can have at most: as many as a pid has places for.
pub const PROCESSES_MAX: usize = (1 << INDEX_BITS) - 1;

/// The bound of one mailbox; what arrives beyond it goes to the dead letters and its sender is told. Only what a sender
/// chose to send is refused: never a reply, an EXIT, a DOWN or a system message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MailboxLimit {
    /// Messages it may hold; 0 for any number.
    pub messages_max: u32,
    /// Bytes of payload that it may hold; 0 for any number.
    pub bytes_max: u64,
}

impl MailboxLimit {
    /// So many messages, of any size.
    pub const fn messages(max: u32) -> Self {
        Self { messages_max: max, bytes_max: 0 }
    }

    /// So many bytes of payload, in any number of messages.
    pub const fn bytes(max: u64) -> Self {
        Self { messages_max: 0, bytes_max: max }
    }
}

/// Bounds of a node. Each has a default that a small machine bears.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeLimits {
    /// Live processes, at most 2^24.
    pub processes_max: usize,
    /// Exit records kept; the oldest go first.
    pub exit_records_max: usize,
    /// Events kept per scheduler; the oldest go first.
    pub events_per_scheduler_max: usize,
    /// Dead letters kept; the oldest go first.
    pub dead_letters_max: usize,
    /// Bytes of the messages among them; the oldest go first, and one that is bigger is not kept.
    pub dead_letter_bytes_max: usize,
    /// Bytes that a message from outside may have.
    pub message_bytes_max: usize,
    /// Pending timers of `send_after` and `start_timer`.
    pub timers_max: usize,
    /// Requests from outside that wait for an answer.
    pub waiting_requests_max: usize,
    /// Threads for work that blocks.
    pub blocking_threads_max: usize,
    /// Pairs of processes whose traffic is counted, per scheduler.
    pub traffic_pairs_max: usize,
}

impl Default for NodeLimits {
    fn default() -> Self {
        Self {
            processes_max: 4_000_000,
            exit_records_max: 20_000,
            events_per_scheduler_max: 16_384,
            dead_letters_max: 10_000,
            dead_letter_bytes_max: 64 << 20,
            message_bytes_max: 2 << 20,
            timers_max: 1_000_000,
            waiting_requests_max: 262_144,
            blocking_threads_max: 64,
            traffic_pairs_max: 16_384,
        }
    }
}
