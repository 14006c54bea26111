//! Who sent how many messages to whom: a bounded table, counted per run of messages from one sender, not per message.
//!
//! Invariant: at most `max` pairs; a new pair replaces the one that was quiet longest of a few looked at.

use crate::pid::Pid;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Messages from one process to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Traffic {
    /// The sender.
    pub from: Pid,
    /// The receiver.
    pub to: Pid,
    /// How many.
    pub count: u64,
    /// When the last was counted, in milliseconds of the node's clock.
    pub last_ms: u32,
}

#[derive(Default)]
pub(crate) struct TrafficTable {
    pairs: Mutex<HashMap<(Pid, Pid), (u64, u32)>>,
}

impl TrafficTable {
    pub(crate) fn count(&self, to: Pid, counts: impl Iterator<Item = (Pid, u32)>, now_ms: u32, max: usize) {
        const LOOKED_AT: usize = 8;
        let mut pairs = self.pairs.lock();
        for (from, count) in counts {
            if let Some(entry) = pairs.get_mut(&(from, to)) {
                *entry = (entry.0 + u64::from(count), now_ms);
                continue;
            }
            if pairs.len() >= max {
                let quietest = pairs.iter().take(LOOKED_AT).min_by_key(|(_, (_, last))| *last).map(|(pair, _)| *pair);
                if let Some(pair) = quietest {
                    pairs.remove(&pair);
                }
            }
            pairs.insert((from, to), (u64::from(count), now_ms));
        }
    }

    pub(crate) fn list(&self, wanted: impl Fn(Pid, Pid) -> bool) -> Vec<Traffic> {
        let pairs = self.pairs.lock();
        let found = pairs.iter().filter(|((from, to), _)| wanted(*from, *to));
        found.map(|((from, to), (count, last_ms))| Traffic { from: *from, to: *to, count: *count, last_ms: *last_ms }).collect()
    }
}
