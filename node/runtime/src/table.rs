//! The process table: from a pid to the process, and all processes in order.
//!
//! Invariants: an index is given to one live process at a time and its generation grows with every use, so a pid is
//! never reused; an index whose generations are used up is retired. Buckets double in size and never move, so a reader
//! takes one lock, that of the slot.

use crate::limits::PROCESSES_MAX;
use crate::pid::{INDEX_BITS, Pid};
use crate::process::Process;
use crate::shards::Shards;
use crossbeam_utils::CachePadded;
use parking_lot::{MutexGuard, RwLock};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::{Arc, OnceLock};

/// Indexes that are used once before any is used again: a node that starts few processes has short pids.
const FRESH: usize = 100_000;
/// Fresh indexes that a thread takes at a time.
const BLOCK: usize = 16;
/// Serials for reuse that a thread without any takes from another at most.
const BATCH: usize = 256;
const FIRST_BITS: u32 = 10;
const BUCKETS: usize = (INDEX_BITS - FIRST_BITS + 1) as usize;
const GENERATION_MAX: u64 = (1 << (63 - INDEX_BITS)) - 1;

type Slot = RwLock<Option<Arc<Process>>>;

pub(crate) struct Table {
    buckets: [OnceLock<Box<[Slot]>>; BUCKETS],
    stocks: Shards<Stock>,
    /// Of each stock.
    counts: Box<[CachePadded<Counts>]>,
    /// The first index that no thread has taken yet.
    next: CachePadded<AtomicUsize>,
    max: usize,
}

/// What a thread has to give out.
#[derive(Default)]
struct Stock {
    /// Serials for reuse: an index with its next generation.
    free: Vec<u64>,
    /// Indexes that were never used.
    fresh: Range<usize>,
}

/// How often a thread has given a serial out, and got one back; changed under the lock of its stock.
#[derive(Default)]
struct Counts {
    given: AtomicU64,
    returned: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.store(counter.load(Relaxed) + 1, Release);
}

/// Bucket and offset of an index: the first bucket holds 2^10 slots, each later one as many as all before it.
const fn place(index: usize) -> (usize, usize) {
    if index < 1 << FIRST_BITS {
        return (0, index);
    }
    let bits = usize::BITS - 1 - index.leading_zeros();
    ((bits - FIRST_BITS + 1) as usize, index - (1 << bits))
}

impl Table {
    pub(crate) fn new(max: usize, shards: usize) -> Self {
        let stocks: Shards<Stock> = Shards::new(shards);
        Self {
            buckets: [const { OnceLock::new() }; BUCKETS],
            counts: (0..stocks.len()).map(|_| CachePadded::default()).collect(),
            stocks,
            next: CachePadded::new(AtomicUsize::new(1)),
            max: max.min(PROCESSES_MAX),
        }
    }

    /// How many serials are given out. Of a table that changes meanwhile it may be too many, never too few: what has
    /// come back is counted first, so that nothing is counted as gone that was not counted as given.
    pub(crate) fn len(&self) -> usize {
        let returned: u64 = self.counts.iter().map(|counts| counts.returned.load(Acquire)).sum();
        let given: u64 = self.counts.iter().map(|counts| counts.given.load(Acquire)).sum();
        given.saturating_sub(returned) as usize
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    fn slot(&self, index: usize) -> Option<&Slot> {
        let (bucket, offset) = place(index);
        self.buckets.get(bucket)?.get()?.get(offset)
    }

    /// Reserves a serial; nothing if the table is full.
    pub(crate) fn reserve(&self) -> Option<u64> {
        let serial = {
            let mut stock = self.stocks.mine();
            let serial = self.take(&mut stock);
            if serial.is_some() {
                count(&self.counts[self.stocks.my_number()].given);
            }
            serial
        };
        serial.or_else(|| self.take_last())
    }

    fn take(&self, stock: &mut Stock) -> Option<u64> {
        let next = self.next.load(Relaxed);
        if next >= FRESH {
            if let Some(serial) = stock.free.pop() {
                return Some(serial);
            }
            // before the table grows, so that it does not where one thread starts what another ends
            if stock.fresh.is_empty()
                && let Some(mut other) = self.stocks.idle_others().find(|other| !other.free.is_empty())
            {
                let kept = (other.free.len() / 2).max(other.free.len().saturating_sub(BATCH));
                stock.free.extend(other.free.drain(kept..));
                return stock.free.pop();
            }
        }
        if stock.fresh.is_empty() {
            stock.fresh = self.fresh_block().unwrap_or_default();
        }
        stock.fresh.next().map(|index| index as u64).or_else(|| stock.free.pop())
    }

    /// Indexes that were never used, with their slots.
    fn fresh_block(&self) -> Option<Range<usize>> {
        let end = self.max + 1;
        let grown = |next: usize| (next < end).then(|| (next + BLOCK).min(end));
        let from = self.next.fetch_update(Relaxed, Relaxed, grown).ok()?;
        let block = from..(from + BLOCK).min(end);
        // a block that crosses the border of two buckets needs both
        for (bucket, _) in [place(block.start), place(block.end - 1)] {
            self.buckets[bucket].get_or_init(|| {
                let len = if bucket == 0 { 1 << FIRST_BITS } else { 1 << (bucket as u32 + FIRST_BITS - 1) };
                (0..len).map(|_| RwLock::new(None)).collect()
            });
        }
        Some(block)
    }

    /// One of those that other threads have left, when there are no others.
    fn take_last(&self) -> Option<u64> {
        let left = |mut stock: MutexGuard<'_, Stock>| {
            stock.free.pop().or_else(|| stock.fresh.next().map(|index| index as u64))
        };
        let serial = self.stocks.each().find_map(left)?;
        let _mine = self.stocks.mine();
        count(&self.counts[self.stocks.my_number()].given);
        Some(serial)
    }

    /// Gives back a reserved serial, or that of a process that ended.
    pub(crate) fn release(&self, pid: Pid) {
        let Some(slot) = self.slot(pid.index()) else { return };
        let process = slot.write().take();
        {
            let mut stock = self.stocks.mine();
            count(&self.counts[self.stocks.my_number()].returned);
            if pid.serial >> INDEX_BITS < GENERATION_MAX {
                stock.free.push(pid.serial + (1 << INDEX_BITS));
            }
        }
        drop(process);
    }

    pub(crate) fn insert(&self, process: &Arc<Process>) {
        if let Some(slot) = self.slot(process.pid.index()) {
            *slot.write() = Some(Arc::clone(process));
        }
    }

    /// The process with this pid. The caller has checked that the pid is of this life of this node.
    pub(crate) fn get(&self, pid: Pid) -> Option<Arc<Process>> {
        let slot = self.slot(pid.index())?;
        slot.read().as_ref().filter(|process| process.pid.serial == pid.serial).cloned()
    }

    /// Live processes whose index is at least `from`, in index order, until `visit` answers `false`; gives the index
    /// to go on from, if any is left. A process that lives throughout is visited exactly once.
    pub(crate) fn visit(&self, from: usize, mut visit: impl FnMut(&Arc<Process>) -> bool) -> Option<usize> {
        let end = self.next.load(Relaxed);
        for index in from.max(1)..end {
            let process = self.slot(index).and_then(|slot| slot.read().clone());
            if let Some(process) = process
                && !visit(&process)
            {
                return (index + 1 < end).then_some(index + 1);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_has_a_place_of_its_own() {
        let mut last = (0, usize::MAX);
        for index in 0..100_000 {
            let (bucket, offset) = place(index);
            let follows = if bucket == last.0 {
                offset == last.1.wrapping_add(1)
            } else {
                offset == 0 && bucket == last.0 + 1
            };
            assert!(follows, "{index}");
            last = (bucket, offset);
        }
        assert!(place((1 << INDEX_BITS) - 1).0 < BUCKETS);
    }

    #[test]
    fn a_serial_is_never_given_twice() {
        let table = Table::new(10, 1);
        let mut given = std::collections::BTreeSet::new();
        for _ in 0..1_000 {
            let serial = table.reserve().unwrap();
            assert!(given.insert(serial));
            table.release(Pid::new(1, 1, serial));
        }
        assert!(given.iter().all(|serial| Pid::new(1, 1, *serial).index() <= 10));
    }

    #[test]
    fn a_full_table_refuses() {
        let table = Table::new(2, 2);
        assert!(table.reserve().is_some());
        assert!(table.reserve().is_some());
        assert!(table.reserve().is_none());
    }
}
