//! What waits for one node: put in by the schedulers' threads, taken out by the link.
//!
//! Lane = hash(sender), so that all that one process sends to a node keeps its order, whether it names the receiver by pid
//! or by name; of what nobody sent, hash(receiver). Small signals are written into a batch at once; a big one is written
//! apart and leaves in fragments between the batches of others, while later signals of its sender to the same receiver
//! wait behind it.
//!
//! Invariants: a signal is taken or refused under the lane's lock, so that none gets in between the loss of a connection
//! and the moment in which everybody has been told of it; what waits is bounded in bytes, for messages strictly, and for
//! all else by what one turn of each process can add, since who sends is held back. Big signals, and what waits behind
//! them, are counted apart from small ones: who sends the ones is not held back for the others.

use crate::config::LinkConfig;
use crate::frame::LANES;
use arsenal_runtime::Pid;
use arsenal_runtime::remote::{Address, Carried, Parcel};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};

/// Big signals of one lane that are on their way in fragments at a time; the others wait for their turn.
const BULKS_AT_ONCE: usize = 4;

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

/// A part of a big signal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) signal: u32,
    pub(crate) last: bool,
    pub(crate) bytes: Bytes,
}

#[derive(Default)]
struct Lane {
    refusing: bool,
    /// The batch that is being written.
    batch: Vec<u8>,
    closed: VecDeque<Vec<u8>>,
    /// Batches closed, and taken, so far.
    closed_count: u64,
    taken_count: u64,
    bulks: VecDeque<Bulk>,
    next_bulk: u32,
}

/// A big signal, and what its sender sent to the same receiver since.
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
fn lane_of(from: Pid, to: &Address) -> usize {
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
        let too_big = size > self.limits.signal_bytes_max;
        let is_full = || self.queued_bytes().saturating_add(size) > self.limits.queued_bytes_max;
        if too_big || (parcel.may_be_refused() && is_full()) {
            let number = if big { BIG } else { SMALL };
            self.queue(number).awaited.store(true, SeqCst);
            return if parcel.may_be_refused() { Carried::Full(number) } else { Carried::NoConnection };
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
            Some(bytes) => (BIG, lane.put_big(from, to, bytes)),
            None => lane.put_small(parcel, self.limits.batch_bytes),
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
        let mut lane = self.lanes[lane].lock();
        let batch = match lane.closed.pop_front() {
            Some(batch) => batch,
            None if lane.batch.is_empty() => return None,
            None => {
                lane.closed_count += 1;
                // as large as the last one: a flood goes on, and a lone message takes little
                let next = if lane.batch.len() > self.limits.batch_bytes / 4 { lane.batch.len() } else { 0 };
                std::mem::replace(&mut lane.batch, Vec::with_capacity(next))
            }
        };
        lane.taken_count += 1;
        drop(lane);
        self.queue(SMALL).bytes.fetch_sub(batch.len(), SeqCst);
        Some(batch.into())
    }

    /// Takes the next part of a big signal of a lane.
    pub(crate) fn take_part(&self, lane: usize) -> Option<Part> {
        let mut lane = self.lanes[lane].lock();
        let taken = lane.taken_count;
        let at = lane.bulks.iter().take(BULKS_AT_ONCE).position(|bulk| bulk.after <= taken)?;
        let mut bulk = lane.bulks.remove(at)?;
        let end = bulk.bytes.len().min(bulk.offset + self.limits.batch_bytes);
        let last = end == bulk.bytes.len();
        let part = Part { signal: bulk.number, last, bytes: bulk.bytes.slice(bulk.offset..end) };
        bulk.offset = end;
        let mut left = part.bytes.len();
        if last {
            let released = lane.release(bulk.from, &bulk.to, bulk.behind);
            self.queue(SMALL).bytes.fetch_add(released, SeqCst);
            left += released;
        } else {
            // those that have begun take turns
            let turn = lane.bulks.len().min(BULKS_AT_ONCE - 1);
            lane.bulks.insert(turn, bulk);
        }
        drop(lane);
        self.queue(BIG).bytes.fetch_sub(left, SeqCst);
        Some(part)
    }

    /// Whether a lane has a batch to take.
    pub(crate) fn has_batch(&self, lane: usize) -> bool {
        let lane = self.lanes[lane].lock();
        !lane.batch.is_empty() || !lane.closed.is_empty()
    }

    /// Whether a lane has a part of a big signal to take.
    pub(crate) fn has_part(&self, lane: usize) -> bool {
        let lane = self.lanes[lane].lock();
        lane.bulks.iter().take(BULKS_AT_ONCE).any(|bulk| bulk.after <= lane.taken_count)
    }

    /// The connection is lost: what waits is given up, and nothing is taken until [`Outgoing::accept`].
    pub(crate) fn refuse(&self) {
        for lane in &self.lanes {
            let former = std::mem::replace(&mut *lane.lock(), Lane { refusing: true, ..Lane::default() });
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

impl Lane {
    /// Tells in which queue how many bytes wait more.
    fn put_small(&mut self, parcel: &Parcel, batch_bytes: usize) -> (u8, usize) {
        if !self.bulks.is_empty()
            && let Some(bulk) = self.bulk_of(parcel.from(), parcel.to())
        {
            return (BIG, bulk.put_behind(parcel, batch_bytes));
        }
        let before = self.batch.len();
        parcel.encode(&mut self.batch);
        let added = self.batch.len() - before;
        if self.batch.len() >= batch_bytes {
            self.close_batch();
        }
        (SMALL, added)
    }

    fn put_big(&mut self, from: Pid, to: &Address, bytes: Bytes) -> usize {
        let added = bytes.len();
        match self.bulk_of(from, to) {
            Some(bulk) => bulk.behind.push_back(Behind::Big(bytes)),
            None => self.begin_bulk(from, to.clone(), bytes, VecDeque::new()),
        }
        added
    }

    /// The last bulk that what `from` sends to `to` has to wait behind.
    fn bulk_of(&mut self, from: Pid, to: &Address) -> Option<&mut Bulk> {
        // a name may be the same process's that the bulk is for
        let by_name =
            |bulk: &Bulk| matches!((&bulk.to, to), (Address::Name { .. }, _) | (_, Address::Name { .. }));
        self.bulks.iter_mut().rev().find(|bulk| bulk.from == from && (bulk.to == *to || by_name(bulk)))
    }

    fn begin_bulk(&mut self, from: Pid, to: Address, bytes: Bytes, behind: VecDeque<Behind>) {
        self.close_batch();
        let number = self.next_bulk;
        self.next_bulk = self.next_bulk.wrapping_add(1);
        self.bulks.push_back(Bulk { number, from, to, bytes, offset: 0, after: self.closed_count, behind });
    }

    fn close_batch(&mut self) {
        if !self.batch.is_empty() {
            self.closed_count += 1;
            let next = Vec::with_capacity(self.batch.capacity());
            self.closed.push_back(std::mem::replace(&mut self.batch, next));
        }
    }

    /// A big signal has left: so may what waited behind it. Tells how many bytes of small ones that is.
    fn release(&mut self, from: Pid, to: &Address, mut behind: VecDeque<Behind>) -> usize {
        let mut released = 0;
        while let Some(next) = behind.pop_front() {
            match next {
                Behind::Batch(batch) => {
                    released += batch.len();
                    self.batch.extend_from_slice(&batch);
                }
                Behind::Big(bytes) => {
                    self.begin_bulk(from, to.clone(), bytes, behind);
                    break;
                }
            }
        }
        released
    }

    /// The bytes that wait, in the queue of the small and in that of the big.
    fn bytes(&self) -> (usize, usize) {
        let behind = |behind: &Behind| match behind {
            Behind::Batch(batch) => batch.len(),
            Behind::Big(bytes) => bytes.len(),
        };
        let bulk =
            |bulk: &Bulk| bulk.bytes.len() - bulk.offset + bulk.behind.iter().map(behind).sum::<usize>();
        let small = self.batch.len() + self.closed.iter().map(Vec::len).sum::<usize>();
        (small, self.bulks.iter().map(bulk).sum())
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use arsenal_runtime::codec::Reader;
    use arsenal_runtime::{Message, Term};

    const SENDER: Pid = Pid::new(1, 1, 7);

    fn outgoing() -> Outgoing {
        let limits = LinkConfig {
            batch_bytes: 1_000,
            crowded_bytes: 4_000,
            queued_bytes_max: 20_000,
            signal_bytes_max: 50_000,
            ..LinkConfig::default()
        };
        Outgoing::new(limits)
    }

    fn message(number: i64, size: usize) -> Parcel {
        let payload = [Term::Int(number), Term::Bytes(Bytes::from(vec![0; size]).into())];
        Parcel::message(Pid::new(2, 1, 1), Message::info(SENDER, payload.into()))
    }

    fn numbers(bytes: &Bytes) -> Vec<String> {
        let mut from = Reader::of_shared(bytes);
        let parcels = std::iter::from_fn(|| (!from.is_empty()).then(|| Parcel::decode(&mut from).unwrap()));
        parcels.map(|parcel| format!("{parcel:?}")).collect()
    }

    fn lane() -> usize {
        lane_of(SENDER, &Address::Pid(Pid::new(2, 1, 1)))
    }

    #[test]
    fn what_follows_a_big_signal_of_a_pair_leaves_after_its_last_part() {
        let outgoing = outgoing();
        for (number, size) in [(0, 10), (1, 2_500), (2, 10), (3, 1_500), (4, 10)] {
            outgoing.put(&message(number, size));
        }
        assert!(outgoing.take_part(lane()).is_none(), "the batch before it goes first");
        assert_eq!(numbers(&outgoing.take_batch(lane()).unwrap()).len(), 1);
        for expected_parts in [3, 2] {
            assert!(outgoing.take_batch(lane()).is_none());
            let parts: Vec<Part> = (0..expected_parts).map(|_| outgoing.take_part(lane()).unwrap()).collect();
            let lasts: Vec<bool> = parts.iter().map(|part| part.last).collect();
            assert_eq!(lasts.iter().filter(|last| **last).count(), 1);
            assert_eq!(lasts.last(), Some(&true));
            assert!(outgoing.take_part(lane()).is_none(), "the batch behind it goes next");
            assert_eq!(numbers(&outgoing.take_batch(lane()).unwrap()).len(), 1);
        }
        assert!(outgoing.is_empty());
    }

    #[test]
    fn messages_are_refused_beyond_the_bound_and_room_is_told_once() {
        let outgoing = outgoing();
        let outcomes: Vec<Carried> = (0..100).map(|number| outgoing.put(&message(number, 300))).collect();
        let (sent, crowded) = (Carried::Sent, Carried::Crowded(SMALL));
        assert_eq!(outcomes[0], sent);
        assert!(outcomes.contains(&crowded) && outcomes.ends_with(&[Carried::Full(SMALL)]));
        assert!(outgoing.most_queued_bytes() <= 20_000);
        assert_eq!(outgoing.room_came().next(), None);
        while outgoing.take_batch(lane()).is_some() {}
        assert_eq!(outgoing.room_came().collect::<Vec<u8>>(), [SMALL]);
        assert_eq!(outgoing.room_came().next(), None);
        assert_eq!(outgoing.put(&message(0, 60_000)), Carried::Full(BIG), "no signal is that big");
    }

    #[test]
    fn a_big_signal_holds_back_its_sender_and_what_follows_it_and_nobody_else() {
        let outgoing = outgoing();
        let from = |serial: u64| {
            let message = Message::info(Pid::new(1, 1, serial), Term::Int(0));
            Parcel::message(Pid::new(2, 1, 1), message)
        };
        assert_eq!(outgoing.put(&message(0, 10_000)), Carried::Crowded(BIG));
        assert_eq!(outgoing.put(&message(1, 10)), Carried::Crowded(BIG), "it waits behind the big one");
        for serial in 100..120 {
            assert_eq!(outgoing.put(&from(serial)), Carried::Sent);
        }
        assert!(outgoing.has_room(SMALL) && !outgoing.has_room(BIG));
        (0..LANES).for_each(|lane| while outgoing.take_batch(lane).is_some() {});
        while outgoing.take_part(lane()).is_some() {}
        assert_eq!(outgoing.room_came().collect::<Vec<u8>>(), [BIG]);
        assert!(!outgoing.is_empty(), "what followed it is small now");
        assert!(outgoing.take_batch(lane()).is_some() && outgoing.is_empty());
    }

    #[test]
    fn nothing_is_taken_between_a_loss_and_the_moment_in_which_all_were_told() {
        let outgoing = outgoing();
        (0..5).for_each(|number| {
            outgoing.put(&message(number, 700));
        });
        outgoing.refuse();
        assert!(outgoing.is_empty());
        assert_eq!(outgoing.put(&message(0, 1)), Carried::NoConnection);
        outgoing.accept();
        assert_eq!(outgoing.put(&message(0, 1)), Carried::Sent);
    }

    #[test]
    fn what_one_process_sends_has_one_lane_whoever_it_is_for() {
        let named = Address::Name { node: 2, name: "name".into() };
        assert_eq!(lane_of(SENDER, &named), lane());
        let lanes: std::collections::BTreeSet<usize> =
            (0..100).map(|serial| lane_of(Pid::new(1, 1, serial), &named)).collect();
        assert_eq!(lanes.len(), LANES);
    }
}
