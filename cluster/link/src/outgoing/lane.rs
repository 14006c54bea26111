//! One lane of what waits for a node: small signals in batches, big ones apart, and behind a big one what its sender sent
//! since.
//!
//! Invariants: what one process sends leaves in the order in which it was put in, whomever it is for and however the
//! receiver is named, for a name may be the process that a pid of before is; what nobody sent does so for each receiver. No
//! batch is longer than two that are full, whatever waited.

use crate::frame::LANES;
use arsenal_runtime::Pid;
use arsenal_runtime::remote::{Address, Parcel};
use bytes::Bytes;
use std::collections::VecDeque;

/// Big signals of one lane that are on their way in fragments at a time; the others wait for their turn.
const BULKS_AT_ONCE: usize = 4;

/// A part of a big signal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) signal: u32,
    pub(crate) last: bool,
    pub(crate) bytes: Bytes,
}

/// Where a small signal went.
pub(super) enum Written {
    /// Into the lane's batch, so many bytes.
    Batched(usize),
    /// Behind a big one.
    Behind(usize),
}

#[derive(Default)]
pub(super) struct Lane {
    /// Nothing is taken in.
    pub(super) refusing: bool,
    /// The batch that is being written.
    batch: Vec<u8>,
    closed: VecDeque<Vec<u8>>,
    /// Batches closed, and taken, so far.
    closed_count: u64,
    taken_count: u64,
    bulks: VecDeque<Bulk>,
    next_bulk: u32,
}

/// A big signal, and what has to follow it.
struct Bulk {
    number: u32,
    from: Pid,
    to: Address,
    bytes: Bytes,
    offset: usize,
    /// It may begin once so many batches were taken.
    after: u64,
    behind: VecDeque<Behind>,
}

enum Behind {
    Batch(Vec<u8>),
    Big(Bytes),
}

/// The lane of what `from` sends to `to`.
pub(super) fn lane_of(from: Pid, to: &Address) -> usize {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let key = match (from.is_none(), to) {
        (false, _) => from.serial ^ u64::from(from.node) << 40,
        (true, Address::Pid(to)) => to.serial,
        (true, Address::Name { name, .. }) => {
            name.bytes().fold(0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(SPREAD))
        }
    };
    (key.wrapping_mul(SPREAD) >> 32) as usize % LANES
}

impl Lane {
    /// An empty one that takes nothing in.
    pub(super) fn refusing() -> Self {
        Self { refusing: true, ..Self::default() }
    }

    pub(super) fn put_small(&mut self, parcel: &Parcel, batch_bytes: usize) -> Written {
        if !self.bulks.is_empty()
            && let Some(bulk) = self.bulk_of(parcel.from(), parcel.to())
        {
            return Written::Behind(bulk.put_behind(parcel, batch_bytes));
        }
        let before = self.batch.len();
        parcel.encode(&mut self.batch);
        let added = self.batch.len() - before;
        if self.batch.len() >= batch_bytes {
            self.close_batch();
        }
        Written::Batched(added)
    }

    pub(super) fn put_big(&mut self, from: Pid, to: &Address, bytes: Bytes) {
        match self.bulk_of(from, to) {
            Some(bulk) => bulk.behind.push_back(Behind::Big(bytes)),
            None => self.begin_bulk(from, to.clone(), bytes, VecDeque::new()),
        }
    }

    /// The bulk that what `from` sends to `to` has to wait behind.
    fn bulk_of(&mut self, from: Pid, to: &Address) -> Option<&mut Bulk> {
        self.bulks.iter_mut().find(|bulk| bulk.from == from && (!from.is_none() || bulk.to == *to))
    }

    fn begin_bulk(&mut self, from: Pid, to: Address, bytes: Bytes, behind: VecDeque<Behind>) {
        self.close_batch();
        let number = self.next_bulk;
        self.next_bulk = self.next_bulk.wrapping_add(1);
        self.bulks.push_back(Bulk { number, from, to, bytes, offset: 0, after: self.closed_count, behind });
    }

    fn close_batch(&mut self) {
        if !self.batch.is_empty() {
            let next = Vec::with_capacity(self.batch.capacity());
            let batch = std::mem::replace(&mut self.batch, next);
            self.push_closed(batch);
        }
    }

    fn push_closed(&mut self, batch: Vec<u8>) {
        self.closed_count += 1;
        self.closed.push_back(batch);
    }

    /// Takes the oldest batch.
    pub(super) fn take_batch(&mut self, batch_bytes: usize) -> Option<Vec<u8>> {
        let batch = match self.closed.pop_front() {
            Some(batch) => batch,
            None if self.batch.is_empty() => return None,
            None => {
                self.closed_count += 1;
                // as large as the last one: a flood goes on, and a lone message takes little
                let next = if self.batch.len() > batch_bytes / 4 { self.batch.len() } else { 0 };
                std::mem::replace(&mut self.batch, Vec::with_capacity(next))
            }
        };
        self.taken_count += 1;
        Some(batch)
    }

    /// Takes the next part of a big signal. Tells too how many bytes of small ones waited behind it and do so no more.
    pub(super) fn take_part(&mut self, batch_bytes: usize) -> Option<(Part, usize)> {
        let taken = self.taken_count;
        let at = self.bulks.iter().take(BULKS_AT_ONCE).position(|bulk| bulk.after <= taken)?;
        let mut bulk = self.bulks.remove(at)?;
        let end = bulk.bytes.len().min(bulk.offset + batch_bytes);
        let last = end == bulk.bytes.len();
        let part = Part { signal: bulk.number, last, bytes: bulk.bytes.slice(bulk.offset..end) };
        bulk.offset = end;
        if last {
            return Some((part, self.release(bulk, batch_bytes)));
        }
        // those that have begun take turns
        let turn = self.bulks.len().min(BULKS_AT_ONCE - 1);
        self.bulks.insert(turn, bulk);
        Some((part, 0))
    }

    /// A big signal has left: so may what waited behind it, up to the next big one. Tells how many bytes of small ones
    /// that is.
    fn release(&mut self, bulk: Bulk, batch_bytes: usize) -> usize {
        let Bulk { from, to, mut behind, .. } = bulk;
        let mut released = 0;
        while let Some(next) = behind.pop_front() {
            match next {
                Behind::Batch(batch) => {
                    released += batch.len();
                    self.append(batch, batch_bytes);
                }
                Behind::Big(bytes) => {
                    self.begin_bulk(from, to, bytes, behind);
                    break;
                }
            }
        }
        released
    }

    /// Adds signals that are written already. Those that fill a batch stay one: glued together, what waited behind a big
    /// signal would make a frame that no line takes.
    fn append(&mut self, batch: Vec<u8>, batch_bytes: usize) {
        if batch.len() >= batch_bytes {
            self.close_batch();
            return self.push_closed(batch);
        }
        self.batch.extend_from_slice(&batch);
        if self.batch.len() >= batch_bytes {
            self.close_batch();
        }
    }

    pub(super) fn has_batch(&self) -> bool {
        !self.batch.is_empty() || !self.closed.is_empty()
    }

    /// Whether a part of a big signal may leave.
    pub(super) fn has_part(&self) -> bool {
        self.bulks.iter().take(BULKS_AT_ONCE).any(|bulk| bulk.after <= self.taken_count)
    }

    /// The bytes that wait: of small ones, and of big ones with what waits behind them.
    pub(super) fn bytes(&self) -> (usize, usize) {
        let small = self.batch.len() + self.closed.iter().map(Vec::len).sum::<usize>();
        (small, self.bulks.iter().map(Bulk::bytes).sum())
    }
}

impl Bulk {
    fn put_behind(&mut self, parcel: &Parcel, batch_bytes: usize) -> usize {
        if !matches!(self.behind.back(), Some(Behind::Batch(batch)) if batch.len() < batch_bytes) {
            self.behind.push_back(Behind::Batch(Vec::new()));
        }
        let Some(Behind::Batch(batch)) = self.behind.back_mut() else { return 0 };
        let before = batch.len();
        parcel.encode(batch);
        batch.len() - before
    }

    /// What waits of it and behind it.
    fn bytes(&self) -> usize {
        let behind = |behind: &Behind| match behind {
            Behind::Batch(batch) => batch.len(),
            Behind::Big(bytes) => bytes.len(),
        };
        self.bytes.len() - self.offset + self.behind.iter().map(behind).sum::<usize>()
    }
}
