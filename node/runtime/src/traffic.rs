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
    /// How many of those are calls.
    pub calls: u64,
    /// When the last was counted, in milliseconds of the node's clock.
    pub last_ms: u32,
}

/// Messages of one sender in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) from: Pid,
    pub(crate) messages: u32,
    pub(crate) calls: u32,
}

impl Run {
    /// Whether there is anything to count: requests from outside have no process behind them.
    pub(crate) fn counts(self) -> bool {
        self.messages > 0 && !self.from.is_none() && !self.from.is_alias()
    }
}

#[derive(Clone, Copy, Default)]
struct Pair {
    messages: u64,
    calls: u64,
    last_ms: u32,
}

#[derive(Default)]
pub(crate) struct TrafficTable {
    pairs: Mutex<HashMap<(Pid, Pid), Pair>>,
}

impl TrafficTable {
    pub(crate) fn count(&self, to: Pid, runs: impl Iterator<Item = Run>, now_ms: u32, max: usize) {
        const LOOKED_AT: usize = 8;
        let mut pairs = self.pairs.lock();
        for run in runs {
            let full = pairs.len() >= max && !pairs.contains_key(&(run.from, to));
            if full {
                let quietest =
                    pairs.iter().take(LOOKED_AT).min_by_key(|(_, pair)| pair.last_ms).map(|(key, _)| *key);
                if let Some(key) = quietest {
                    pairs.remove(&key);
                }
            }
            let pair = pairs.entry((run.from, to)).or_default();
            pair.messages += u64::from(run.messages);
            pair.calls += u64::from(run.calls);
            pair.last_ms = now_ms;
        }
    }

    pub(crate) fn list(&self, wanted: impl Fn(Pid, Pid) -> bool) -> Vec<Traffic> {
        let pairs = self.pairs.lock();
        let found = pairs.iter().filter(|((from, to), _)| wanted(*from, *to));
        found
            .map(|((from, to), pair)| Traffic {
                from: *from,
                to: *to,
                count: pair.messages,
                calls: pair.calls,
                last_ms: pair.last_ms,
            })
            .collect()
    }
}
