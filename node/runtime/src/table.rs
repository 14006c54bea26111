//! The process table: from a pid to the process, and all processes in order.
//!
//! Invariants: an index is given to one live process at a time and its generation grows with every use, so a pid is
//! never reused; an index whose generations are used up is retired. Buckets double in size and never move, so a reader
//! takes one lock, that of the slot.

use crate::pid::{INDEX_BITS, Pid};
use crate::process::Process;
use crate::shards::Shards;
use parking_lot::RwLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Indexes that are used once before any is used again: a node that starts few processes has short pids.
const FRESH: usize = 100_000;
const FIRST_BITS: u32 = 10;
const BUCKETS: usize = (INDEX_BITS - FIRST_BITS + 1) as usize;
const GENERATION_MAX: u64 = (1 << (63 - INDEX_BITS)) - 1;

type Slot = RwLock<Option<Arc<Process>>>;

pub(crate) struct Table {
    buckets: [OnceLock<Box<[Slot]>>; BUCKETS],
    /// Serials for reuse: an index with its next generation.
    free: Shards<Vec<u64>>,
    next: AtomicUsize,
    count: AtomicUsize,
    max: usize,
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
        Self {
            buckets: [const { OnceLock::new() }; BUCKETS],
            free: Shards::new(shards),
            next: AtomicUsize::new(1),
            count: AtomicUsize::new(0),
            max: max.min((1 << INDEX_BITS) - 1),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count.load(Relaxed)
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
        let mine = if self.next.load(Relaxed) < FRESH { None } else { self.free.mine().pop() };
        if let Some(serial) =
            mine.or_else(|| self.fresh()).or_else(|| self.free.each().find_map(|mut free| free.pop()))
        {
            self.count.fetch_add(1, Relaxed);
            return Some(serial);
        }
        None
    }

    /// An index that was never used. Other threads' free serials are looked at first, so that the table does not grow
    /// where one thread starts what another one ends.
    fn fresh(&self) -> Option<u64> {
        const LOOK: usize = 1_024;
        let next = self.next.load(Relaxed);
        if next.is_multiple_of(LOOK)
            && let Some(serial) = self.free.each().find_map(|mut free| free.pop())
        {
            return Some(serial);
        }
        let index =
            self.next.fetch_update(Relaxed, Relaxed, |next| (next <= self.max).then_some(next + 1)).ok()?;
        let (bucket, _) = place(index);
        self.buckets[bucket].get_or_init(|| {
            let len = if bucket == 0 { 1 << FIRST_BITS } else { 1 << (bucket as u32 + FIRST_BITS - 1) };
            (0..len).map(|_| RwLock::new(None)).collect()
        });
        Some(index as u64)
    }

    /// Gives back a reserved serial, or that of a process that ended.
    pub(crate) fn release(&self, pid: Pid) {
        let Some(slot) = self.slot(pid.index()) else { return };
        let process = slot.write().take();
        self.count.fetch_sub(1, Relaxed);
        if pid.serial >> INDEX_BITS < GENERATION_MAX {
            self.free.mine().push(pid.serial + (1 << INDEX_BITS));
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
