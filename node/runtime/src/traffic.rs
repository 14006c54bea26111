//! Who sent how many messages to whom: a bounded table, counted per run of messages from one sender, not per message.
//!
//! Invariants: at most `max` pairs, and counting costs the same however many there are. A pair has its place in one of
//! many small sets; where that is full it replaces the pair of the set that was quiet longest.

use crate::pid::Pid;
use parking_lot::Mutex;

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

#[derive(Clone, Copy)]
struct Pair {
    from: Pid,
    to: Pid,
    messages: u64,
    calls: u64,
    last_ms: u32,
}

/// One scheduler's table.
pub(crate) struct TrafficTable {
    sets: Mutex<Box<[Vec<Pair>]>>,
    /// Pairs in a set at most.
    ways: usize,
}

impl TrafficTable {
    /// A table of at most `max` pairs, which takes their memory as they come.
    pub(crate) fn new(max: usize) -> Self {
        const WAYS: usize = 8;
        let sets = (0..(max / WAYS).max(1)).map(|_| Vec::new()).collect();
        Self { sets: Mutex::new(sets), ways: max.min(WAYS) }
    }

    pub(crate) fn count(&self, to: Pid, runs: impl Iterator<Item = Run>, now_ms: u32) {
        let mut sets = self.sets.lock();
        for run in runs {
            let at = set_of(run.from, to, sets.len());
            let set = &mut sets[at];
            let (messages, calls) = (u64::from(run.messages), u64::from(run.calls));
            match set.iter_mut().find(|pair| pair.from == run.from && pair.to == to) {
                Some(pair) => {
                    pair.messages += messages;
                    pair.calls += calls;
                    pair.last_ms = now_ms;
                }
                None => add(set, self.ways, Pair { from: run.from, to, messages, calls, last_ms: now_ms }),
            }
        }
    }

    pub(crate) fn list(&self, wanted: impl Fn(Pid, Pid) -> bool) -> Vec<Traffic> {
        let sets = self.sets.lock();
        let found = sets.iter().flatten().filter(|pair| wanted(pair.from, pair.to));
        found
            .map(|pair| Traffic {
                from: pair.from,
                to: pair.to,
                count: pair.messages,
                calls: pair.calls,
                last_ms: pair.last_ms,
            })
            .collect()
    }
}

/// Adds a pair that the set does not have, in the place of the quietest one if it is full.
fn add(set: &mut Vec<Pair>, ways: usize, pair: Pair) {
    if set.len() < ways {
        set.push(pair);
    } else if let Some(quietest) = set.iter_mut().min_by_key(|pair| pair.last_ms) {
        *quietest = pair;
    }
}

/// The set in which a pair has its place. Serials count up, so a multiplication spreads them well enough; and a set
/// holds a few pairs whatever anybody chooses.
fn set_of(from: Pid, to: Pid, sets: usize) -> usize {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let of = |pid: Pid| pid.serial ^ u64::from(pid.node) << 40;
    let hash = (of(from).wrapping_mul(SPREAD).rotate_left(29) ^ of(to)).wrapping_mul(SPREAD);
    ((u128::from(hash) * sets as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(serial: u64) -> Run {
        Run { from: Pid::new(1, 1, serial), messages: 2, calls: 1 }
    }

    #[test]
    fn a_full_table_forgets_the_quiet_pairs_and_keeps_the_one_that_goes_on() {
        let table = TrafficTable::new(64);
        let to = Pid::new(1, 1, 1);
        for serial in 3..10_000u64 {
            table.count(to, [run(2), run(serial)].into_iter(), serial as u32);
        }
        let all = table.list(|_, _| true);
        assert!(all.len() <= 64, "{}", all.len());
        let busy = all.iter().find(|traffic| traffic.from == run(2).from).unwrap();
        assert_eq!((busy.count, busy.calls), (2 * 9_997, 9_997));
        assert!(all.iter().any(|traffic| traffic.from == run(9_999).from), "the newest is there");
    }

    #[test]
    fn a_table_of_no_pairs_stays_empty() {
        let table = TrafficTable::new(0);
        table.count(Pid::new(1, 1, 1), [run(2)].into_iter(), 1);
        assert_eq!(table.list(|_, _| true), []);
    }

    #[test]
    fn neighbours_are_spread_over_the_sets() {
        let mut sets = [0; 256];
        for serial in 0..25_600 {
            sets[set_of(Pid::new(1, 1, serial), Pid::new(1, 1, serial / 10), sets.len())] += 1;
        }
        assert!(sets.iter().all(|count| (50..200).contains(count)), "{sets:?}");
    }
}
