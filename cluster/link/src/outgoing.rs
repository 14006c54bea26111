//! What waits for one node: put in by the schedulers' threads, taken out by the link.
//!
//! Lane = hash(sender), so that all that one process sends to a node keeps its order, whether it names the receiver by pid
//! or by name; of what nobody sent, hash(receiver). Small signals are written into a batch at once; a big one is written
//! apart and leaves in fragments between the batches of others, while later signals of its sender wait behind it ([`lane`]).
//! This file counts what waits, and refuses.
//!
//! Invariants: a signal is taken or refused under the lane's lock, so that none gets in between the loss of a connection
//! and the moment in which everybody has been told of it; what waits is bounded in bytes: for messages, up to one that each
//! thread may be putting in just then, and for all else by what one turn of each process can add, since who sends is held
//! back. Big signals, and what waits behind them, are counted apart from small ones: who sends the ones is not held back
//! for the others.

mod lane;

pub(crate) use lane::Part;

use crate::config::LinkConfig;
use crate::frame::LANES;
use arsenal_runtime::remote::{Carried, Parcel};
use bytes::Bytes;
use lane::{Lane, Written, lane_of};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

#[cfg(test)]
mod tests;

/// The numbers of the two queues: small signals, and big ones with what waits behind them.
const SMALL: u8 = 0;
const BIG: u8 = 1;

pub(crate) struct Outgoing {
    lanes: [Mutex<Lane>; LANES],
    queues: [Queued; 2],
    most_queued_bytes: AtomicUsize,
    limits: LinkConfig,
}

/// What waits in all lanes together, of the small or of the big.
#[derive(Default)]
struct Queued {
    bytes: AtomicUsize,
    /// Somebody waits for room.
    awaited: AtomicBool,
}

impl Outgoing {
    pub(crate) fn new(limits: LinkConfig) -> Self {
        Self {
            lanes: Default::default(),
            queues: Default::default(),
            most_queued_bytes: AtomicUsize::new(0),
            limits,
        }
    }

    /// Takes a signal, or says why not.
    pub(crate) fn put(&self, parcel: &Parcel) -> Carried {
        let size = parcel.size_bytes();
        let big = size >= self.limits.batch_bytes;
        let is_full = || self.queued_bytes().saturating_add(size) > self.limits.queued_bytes_max;
        if size > self.limits.signal_bytes_max {
            return Carried::TooBig;
        }
        if parcel.may_be_refused() && is_full() {
            // what has to leave first: whoever waited for a queue that has room would be refused again at once
            let waiting = |number| self.queue(number).bytes.load(SeqCst);
            let number = if waiting(BIG) > waiting(SMALL) { BIG } else { SMALL };
            self.queue(number).awaited.store(true, SeqCst);
            return Carried::Full(number);
        }
        let apart = big.then(|| {
            // outside of the lock: it takes as long as thousands of small ones
            let mut bytes = Vec::with_capacity(size + 64);
            parcel.encode(&mut bytes);
            Bytes::from(bytes)
        });
        let (from, to) = (parcel.from(), parcel.to());
        let mut lane = self.lanes[lane_of(from, to)].lock();
        if lane.refusing {
            return Carried::NoConnection;
        }
        let (number, added) = match apart {
            Some(bytes) => {
                let added = bytes.len();
                lane.put_big(from, to, bytes);
                (BIG, added)
            }
            None => match lane.put_small(parcel, self.limits.batch_bytes) {
                Written::Batched(added) => (SMALL, added),
                Written::Behind(added) => (BIG, added),
            },
        };
        let queue = self.queue(number);
        // under the lock, so that who gives up what waits never subtracts what was not added
        let queued = queue.bytes.fetch_add(added, SeqCst) + added;
        drop(lane);
        if queued < self.limits.crowded_bytes {
            return Carried::Sent;
        }
        queue.awaited.store(true, SeqCst);
        self.most_queued_bytes.fetch_max(self.queued_bytes(), Relaxed);
        Carried::Crowded(number)
    }

    fn queue(&self, number: u8) -> &Queued {
        &self.queues[usize::from(number) % self.queues.len()]
    }

    fn queued_bytes(&self) -> usize {
        self.queues.iter().map(|queue| queue.bytes.load(SeqCst)).sum()
    }

    /// The most that ever waited, of what made somebody wait.
    pub(crate) fn most_queued_bytes(&self) -> usize {
        self.most_queued_bytes.load(Relaxed)
    }

    /// Whether little enough waits in a queue for senders to go on.
    pub(crate) fn has_room(&self, number: u8) -> bool {
        self.queue(number).bytes.load(SeqCst) < self.limits.crowded_bytes / 2
    }

    /// The queues with room again that somebody waits for; tells so once.
    pub(crate) fn room_came(&self) -> impl Iterator<Item = u8> + use<'_> {
        let came = |number: &u8| {
            let awaited = &self.queue(*number).awaited;
            awaited.load(Relaxed) && self.has_room(*number) && awaited.swap(false, SeqCst)
        };
        [SMALL, BIG].into_iter().filter(came)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queued_bytes() == 0
    }

    /// Takes the oldest batch of a lane.
    pub(crate) fn take_batch(&self, lane: usize) -> Option<Bytes> {
        let batch = self.lanes[lane].lock().take_batch(self.limits.batch_bytes)?;
        self.queue(SMALL).bytes.fetch_sub(batch.len(), SeqCst);
        Some(batch.into())
    }

    /// Takes the next part of a big signal of a lane.
    pub(crate) fn take_part(&self, lane: usize) -> Option<Part> {
        let mut lane = self.lanes[lane].lock();
        let (part, released) = lane.take_part(self.limits.batch_bytes)?;
        // under the lock, as in [`Outgoing::put`]
        self.queue(SMALL).bytes.fetch_add(released, SeqCst);
        drop(lane);
        self.queue(BIG).bytes.fetch_sub(part.bytes.len() + released, SeqCst);
        Some(part)
    }

    /// Whether a lane has a batch to take.
    pub(crate) fn has_batch(&self, lane: usize) -> bool {
        self.lanes[lane].lock().has_batch()
    }

    /// Whether a lane has a part of a big signal to take.
    pub(crate) fn has_part(&self, lane: usize) -> bool {
        self.lanes[lane].lock().has_part()
    }

    /// The connection is lost: what waits is given up, and nothing is taken until [`Outgoing::accept`].
    pub(crate) fn refuse(&self) {
        for lane in &self.lanes {
            let former = std::mem::replace(&mut *lane.lock(), Lane::refusing());
            let (small, big) = former.bytes();
            self.queue(SMALL).bytes.fetch_sub(small, SeqCst);
            self.queue(BIG).bytes.fetch_sub(big, SeqCst);
        }
    }

    /// Everybody has been told of the loss.
    pub(crate) fn accept(&self) {
        self.lanes.iter().for_each(|lane| lane.lock().refusing = false);
    }
}
