//! The inner queue of a mailbox: messages in the order in which they will be handled, and the surgery on them.
//!
//! Invariant: `scanned` messages at the front were looked at and not admitted by the current receive; a new receive
//! starts over, except one for the reference that was just made: no message older than a reference carries it.

use crate::body::Filter;
use crate::message::{Kind, Message};
use crate::pid::{Pid, Ref};
use std::collections::{HashSet, VecDeque};

#[derive(Default)]
pub(crate) struct Queue {
    messages: VecDeque<Message>,
    scanned: usize,
    /// How many of them are system messages.
    systems: usize,
    /// The reference that none of the first `scanned` messages carries.
    fresh: Option<Ref>,
}

impl Queue {
    /// Capacity below which an empty queue is not worth a free.
    const SPARE: usize = 16;

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Appends a message, with its number and the time of its arrival: written where it lies, since a message is moved
    /// in words that a fresh write into one of them would hold up.
    #[inline]
    pub(crate) fn push(&mut self, message: Message, number: u32, arrived_ms: u32) {
        self.systems += usize::from(message.kind == Kind::System);
        self.messages.push_back(message);
        if let Some(message) = self.messages.back_mut() {
            (message.number, message.arrived_ms) = (number, arrived_ms);
        }
    }

    /// The next message.
    pub(crate) fn first(&self) -> Option<&Message> {
        self.messages.front()
    }

    /// Takes the next message, whatever it is: as [`Queue::take`] for any.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<Message> {
        self.fresh = None;
        let message = self.messages.pop_front()?;
        self.systems -= usize::from(message.kind == Kind::System);
        Some(message)
    }

    /// So many messages are about to come. A few find room as they come: one at a time is what most processes get.
    pub(crate) fn reserve(&mut self, more: usize) {
        if more > Self::SPARE {
            self.messages.reserve(more);
        }
    }

    /// A new receive looks at every message again.
    pub(crate) fn rescan(&mut self) {
        self.scanned = 0;
        self.fresh = None;
    }

    /// The running turn made `reference`: what waits here already is older. Only in a turn, in which nothing is taken.
    pub(crate) fn mark(&mut self, reference: Ref) {
        self.scanned = self.messages.len();
        self.fresh = Some(reference);
    }

    /// A new receive with this filter: as [`Queue::rescan`], but one for a fresh reference skips what is older, so that
    /// a call from a process with a long queue costs no more than from one with a short.
    pub(crate) fn rescan_for(&mut self, filter: &Filter) {
        if !self.is_fresh(filter) {
            self.rescan();
        }
    }

    fn is_fresh(&self, filter: &Filter) -> bool {
        matches!(filter, Filter::Reference(reference) if self.fresh == Some(*reference))
    }

    /// Takes the first message that `filter` admits; of a process that is suspended, the first that one handles all the
    /// same (sys:suspend/1): a system message, or the trapped exit of its parent, who is `Pid::NONE` for a plain one.
    pub(crate) fn take(&mut self, filter: &Filter, suspended: Option<Pid>) -> Option<Message> {
        if suspended.is_some() || !self.is_fresh(filter) {
            // what is scanned from now on is scanned for another receive
            self.fresh = None;
        }
        if suspended.is_none() && matches!(filter, Filter::Any) {
            let message = self.messages.pop_front();
            return self.taken(message);
        }
        let admits = |message: &Message| match (suspended, message.kind) {
            (None, _) => filter.admits(message),
            (Some(_), Kind::System) => true,
            (Some(parent), Kind::Exit) => parent != Pid::NONE && message.from == parent,
            (Some(_), _) => false,
        };
        let found = self.messages.iter().skip(self.scanned).position(admits);
        match found {
            Some(offset) => {
                let at = self.scanned + offset;
                self.scanned = at;
                let message = self.messages.remove(at);
                self.taken(message)
            }
            None => {
                self.scanned = self.messages.len();
                None
            }
        }
    }

    fn taken(&mut self, message: Option<Message>) -> Option<Message> {
        if self.systems > 0 && message.as_ref().is_some_and(|message| message.kind == Kind::System) {
            self.systems -= 1;
        }
        message
    }

    /// Takes the first system message, whatever the receive admits.
    pub(crate) fn take_system(&mut self) -> Option<Message> {
        if self.systems == 0 {
            return None;
        }
        let at = self.messages.iter().position(|message| message.kind == Kind::System)?;
        if at < self.scanned {
            self.scanned -= 1;
        }
        let message = self.messages.remove(at);
        self.taken(message)
    }

    pub(crate) fn remove_down(&mut self, reference: Ref) {
        self.remove_where(|m| m.kind == Kind::Down && m.reference == Some(reference));
    }

    pub(crate) fn remove_reply(&mut self, reference: Ref) {
        self.remove_where(|m| m.reference == Some(reference) && matches!(m.kind, Kind::Reply | Kind::Down));
    }

    fn remove_where(&mut self, doomed: impl Fn(&Message) -> bool) {
        if self.messages.iter().any(&doomed) {
            self.messages.retain(|message| !doomed(message));
            self.scanned = 0;
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter()
    }

    /// Removes up to `max` of those for which `doomed` is true, oldest first.
    pub(crate) fn extract(&mut self, max: usize, mut doomed: impl FnMut(&Message) -> bool) -> Vec<Message> {
        let mut taken = Vec::new();
        let mut kept = VecDeque::with_capacity(self.messages.len());
        for message in self.messages.drain(..) {
            if taken.len() < max && doomed(&message) {
                taken.push(message);
            } else {
                kept.push_back(message);
            }
        }
        self.messages = kept;
        self.systems = self.messages.iter().filter(|message| message.kind == Kind::System).count();
        self.scanned = 0;
        taken
    }

    /// Puts the messages into the order of `ranks`, stably: `ranks[i]` is the rank of message `i`. `false`, and nothing
    /// changed, if there is not one rank a message.
    pub(crate) fn reorder<R: Ord>(&mut self, ranks: Vec<R>) -> bool {
        if ranks.len() != self.messages.len() {
            return false;
        }
        let mut ranked: Vec<_> = ranks.into_iter().zip(self.messages.drain(..)).collect();
        ranked.sort_by(|a, b| a.0.cmp(&b.0));
        self.messages.extend(ranked.into_iter().map(|(_, message)| message));
        self.scanned = 0;
        true
    }

    /// Replaces payloads, position by position.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Message> {
        self.messages.iter_mut()
    }

    /// What it costs to keep; a payload that several of its messages share counts once.
    pub(crate) fn bytes(&self) -> usize {
        let mut seen = HashSet::new();
        let of = |message: &Message| match message.payload.shared_address() {
            Some(address) if !seen.insert(address) => size_of::<Message>(),
            _ => message.size_bytes(),
        };
        self.spare_bytes() + self.messages.iter().map(of).sum::<usize>()
    }

    /// Bytes of unused capacity.
    pub(crate) fn spare_bytes(&self) -> usize {
        (self.messages.capacity() - self.messages.len()) * size_of::<Message>()
    }

    pub(crate) fn shrink(&mut self) {
        self.messages.shrink_to_fit();
    }

    /// Whether it is empty and [`Queue::relax`] would find nothing to give back.
    pub(crate) fn is_slim(&self) -> bool {
        self.messages.is_empty() && self.messages.capacity() <= Self::SPARE
    }

    /// Gives back what a burst left, so that an idle process owns no spare capacity worth speaking of.
    pub(crate) fn relax(&mut self) {
        if self.messages.is_empty() && self.messages.capacity() > Self::SPARE {
            self.messages = VecDeque::new();
        }
    }

    pub(crate) fn drain_all(&mut self) -> impl Iterator<Item = Message> + '_ {
        self.scanned = 0;
        self.systems = 0;
        self.messages.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::term::Term;
    use proptest::prelude::*;

    fn filled(values: &[i64]) -> Queue {
        let mut queue = Queue::default();
        for value in values {
            queue.push(Message::info(Pid::NONE, Term::Int(*value)), 0, 0);
        }
        queue
    }

    fn values(queue: &Queue) -> Vec<i64> {
        queue.iter().filter_map(|message| message.payload.as_int()).collect()
    }

    #[test]
    fn a_receive_for_a_fresh_reference_skips_what_is_older_and_misses_nothing_after_another_receive() {
        let reference = Ref::from_number(7).unwrap();
        let reply = || Message::of(Kind::Reply, Pid::NONE, Term::OK).with_reference(reference);
        let filter = Filter::Reference(reference);
        let mut queue = filled(&[1, 2]);
        queue.mark(reference);
        queue.push(reply(), 0, 0);
        queue.rescan_for(&filter);
        assert_eq!(queue.scanned, 2);
        assert!(queue.take(&filter, None).is_some());

        queue.mark(reference);
        queue.push(reply(), 0, 0);
        assert!(queue.take(&Filter::Nothing, None).is_none());
        queue.rescan_for(&filter);
        assert!(queue.take(&filter, None).is_some());
        assert_eq!(values(&queue), [1, 2]);
    }

    #[test]
    fn a_suspended_process_handles_the_exit_of_its_parent_and_nobody_elses() {
        let [parent, other] = [1, 2].map(|serial| Pid { node: 1, incarnation: 1, serial });
        let mut queue = filled(&[1]);
        queue.push(Message::of(Kind::Exit, other, Term::OK), 0, 0);
        assert!(queue.take(&Filter::Any, Some(parent)).is_none());
        queue.push(Message::of(Kind::Exit, parent, Term::OK), 0, 0);
        assert!(queue.take(&Filter::Any, Some(Pid::NONE)).is_none(), "a plain process has no such parent");
        queue.rescan();
        assert!(queue.take(&Filter::Any, Some(parent)).is_some_and(|message| message.from == parent));
        assert_eq!(queue.len(), 2);
    }

    proptest! {
        #[test]
        fn a_reorder_is_stable_and_loses_nothing(input in prop::collection::vec(0i64..5, 0..30)) {
            let mut queue = filled(&input);
            let mut expected = input.clone();
            expected.sort();
            prop_assert!(queue.reorder(input));
            prop_assert_eq!(values(&queue), expected);
        }

        #[test]
        fn what_is_extracted_and_what_stays_make_up_the_queue(
            input in prop::collection::vec(0i64..5, 0..30), max in 0usize..10,
        ) {
            let mut queue = filled(&input);
            let taken = queue.extract(max, |message| message.payload.as_int() == Some(3));
            let threes = input.iter().filter(|v| **v == 3).count();
            prop_assert_eq!(taken.len(), threes.min(max));
            let mut left = max;
            let kept: Vec<i64> = input.iter().copied().filter(|v| {
                let goes = *v == 3 && left > 0;
                left -= usize::from(goes);
                !goes
            }).collect();
            prop_assert_eq!(values(&queue), kept);
        }

        #[test]
        fn a_selective_receive_takes_the_first_match_and_keeps_the_rest(
            input in prop::collection::vec(0i64..5, 0..30),
        ) {
            let mut queue = filled(&input);
            let filter = crate::body::Receive::matching(|m| m.payload.as_int() == Some(2)).filter;
            let mut taken = 0;
            while queue.take(&filter, None).is_some() {
                taken += 1;
            }
            prop_assert_eq!(taken, input.iter().filter(|v| **v == 2).count());
            let rest: Vec<i64> = input.into_iter().filter(|v| *v != 2).collect();
            prop_assert_eq!(values(&queue), rest);
        }
    }
}
