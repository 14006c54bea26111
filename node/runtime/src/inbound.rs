//! Where signals arrive at a process, and whether it sleeps, waits in a run queue or runs.
//!
//! Invariants: the schedule word changes with this lock held, so that "something arrived" and "it has to be woken" are
//! one step and no wake-up is lost: who appends sees whether the process is idle, and a process goes idle only while
//! nothing waits here. The word may be read without the lock. While the process is not in a slice its body lies here,
//! or in the signal state if somebody looked at it there; never in both.

use crate::body::Body;
use crate::message::{Kind, Message, Signal};
use crate::process::{Process, schedule};
use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Relaxed, Release};

/// A body, while its owner has it.
pub(crate) type BodySlot = Option<Box<dyn Body>>;

#[derive(Default)]
pub(crate) struct Inbound {
    /// What arrived last.
    signals: Vec<Signal>,
    /// What arrived before, of a process that is flooded.
    #[expect(clippy::box_collection, reason = "a word of each process, where few ever have one")]
    backlog: Option<Box<VecDeque<Vec<Signal>>>>,
    waiting: Waiting,
    /// Most messages that the mailbox may hold; 0 is no bound, neither of messages nor of bytes.
    pub(crate) messages_max: u32,
    /// The process is dead; nothing is accepted any more.
    closed: bool,
    body: BodySlot,
}

/// What a slice needs of what has arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Need {
    /// All: it may look for a message that is far behind.
    All,
    /// Some messages: it will take the next, whatever it is.
    Some,
    /// Nothing, unless something must not wait: it has messages enough. What stays here is seen by those who send more.
    Pressing,
}

/// How many signals wait.
#[derive(Clone, Copy, Default)]
struct Waiting {
    messages: u32,
    /// Those that are no message, or a system message: they must not wait until what is before them was handled.
    pressing: u32,
}

impl Waiting {
    #[inline]
    fn count(&mut self, signal: &Signal) {
        match signal {
            Signal::Message(message) => {
                self.messages += 1;
                self.pressing += u32::from(message.kind == Kind::System);
            }
            _ => self.pressing += 1,
        }
    }

    /// Counts what arrives at `now_ms`.
    #[inline]
    fn arrives(&mut self, signal: &mut Signal, now_ms: u32) {
        if let Signal::Message(message) = signal {
            message.arrived_ms = now_ms;
        }
        self.count(signal);
    }
}

/// Most signals in a block of the backlog, 8 kB. A long queue is a row of blocks, so that no growing queue is ever copied
/// with the lock held and what was read is given back at once.
pub(crate) const BLOCK: usize = 113;

impl Inbound {
    pub(crate) fn new(messages_max: u32) -> Self {
        Self { messages_max, ..Self::default() }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Messages that no turn has seen yet.
    pub(crate) fn messages(&self) -> usize {
        self.waiting.messages as usize
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.signals.is_empty() && self.backlog.is_none()
    }

    /// What waits here, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Signal> {
        self.backlog.iter().flat_map(|backlog| backlog.iter().flatten()).chain(&self.signals)
    }

    #[inline]
    pub(crate) fn push(&mut self, signal: Signal, now_ms: u32) {
        if self.signals.len() >= BLOCK {
            self.pile_up();
        }
        self.signals.push(signal);
        // stamped where it lies: it is moved in words that a fresh write into one of them would hold up
        if let Some(signal) = self.signals.last_mut() {
            self.waiting.arrives(signal, now_ms);
        }
    }

    #[cold]
    fn pile_up(&mut self) {
        // the next one begins small: what follows a lone signal is most often a batch, which brings its own
        let full = std::mem::take(&mut self.signals);
        self.backlog.get_or_insert_default().push_back(full);
    }

    pub(crate) fn append(&mut self, signals: &mut Vec<Signal>, now_ms: u32) {
        signals.iter_mut().for_each(|signal| self.waiting.arrives(signal, now_ms));
        if signals.len() == 1 && self.signals.capacity() == 0 && self.backlog.is_none() {
            // as of an exit, which goes to many that may never get another: no more memory than it takes
            self.signals.reserve_exact(1);
            self.signals.append(signals);
        } else if self.is_empty() {
            std::mem::swap(&mut self.signals, signals);
        } else if self.signals.len() + signals.len() <= BLOCK {
            self.signals.append(signals);
        } else {
            let former = std::mem::replace(&mut self.signals, std::mem::take(signals));
            if !former.is_empty() {
                self.backlog.get_or_insert_default().push_back(former);
            }
        }
    }

    /// Puts signals that were taken back before all that arrived since.
    pub(crate) fn put_back(&mut self, signals: impl Iterator<Item = Signal>) {
        let former: Vec<_> = signals.collect();
        former.iter().for_each(|signal| self.waiting.count(signal));
        self.backlog.get_or_insert_default().push_front(former);
    }

    /// Moves all that has arrived into `signals`, which is empty.
    fn take(&mut self, signals: &mut Vec<Signal>) {
        self.waiting = Waiting::default();
        if let Some(backlog) = self.backlog.take() {
            signals.extend(backlog.into_iter().flatten());
            signals.append(&mut self.signals);
            return;
        }
        match self.signals.len() {
            0 => {}
            // each keeps its own buffer
            1 => {
                if let Some(signal) = self.signals.pop() {
                    signals.push(signal);
                }
            }
            _ => std::mem::swap(&mut self.signals, signals),
        }
    }

    /// The message that has arrived, if it is alone. Not of a bounded mailbox: see [`Inbound::hand_over`].
    #[inline]
    pub(crate) fn take_lone(&mut self) -> Option<Message> {
        if self.signals.len() != 1
            || self.waiting.messages != 1
            || self.waiting.pressing != 0
            || self.messages_max != 0
        {
            return None;
        }
        self.waiting.messages = 0;
        match self.signals.pop() {
            Some(Signal::Message(message)) => Some(message),
            _ => None,
        }
    }

    /// Moves the oldest signals into `signals`, a block or some more, or everything if there is anything but messages.
    fn take_some(&mut self, signals: &mut Vec<Signal>) {
        let Some(backlog) = self.backlog.as_mut().filter(|_| self.waiting.pressing == 0) else {
            return self.take(signals);
        };
        while signals.len() < BLOCK
            && let Some(mut block) = backlog.pop_front()
        {
            self.waiting.messages -= block.len() as u32;
            if signals.is_empty() {
                *signals = block;
            } else {
                signals.append(&mut block);
            }
        }
        if backlog.is_empty() {
            self.backlog = None;
        }
    }

    /// Notes that something arrived for `process`; whether the caller has to put it into a run queue.
    #[inline]
    pub(crate) fn wake(&mut self, process: &Process) -> bool {
        match process.schedule.load(Relaxed) {
            schedule::IDLE => {
                process.schedule.store(schedule::QUEUED, Release);
                true
            }
            schedule::RUNNING => {
                process.schedule.store(schedule::NOTIFIED, Release);
                false
            }
            _ => false,
        }
    }

    /// A slice begins or goes on, with the signal state locked: takes what is needed of what has arrived; gives how many
    /// messages are left.
    #[inline]
    pub(crate) fn run(&mut self, process: &Process, need: Need, signals: &mut Vec<Signal>) -> usize {
        process.schedule.store(schedule::RUNNING, Release);
        let before = self.messages();
        match need {
            Need::Some => self.take_some(signals),
            Need::Pressing if self.waiting.pressing == 0 => {}
            Need::All | Need::Pressing => self.take(signals),
        }
        self.hand_over(process, before);
        self.messages()
    }

    /// Somebody looks, with the signal state locked: takes all that has arrived.
    pub(crate) fn take_all(&mut self, process: &Process, signals: &mut Vec<Signal>) {
        let before = self.messages();
        self.take(signals);
        self.hand_over(process, before);
    }

    /// There were so many messages. Those that are gone count for the bound from here on as part of the inner queue, whose
    /// length is told anew once they are in it: a sender in between must not find room that is none.
    #[inline]
    fn hand_over(&self, process: &Process, before: usize) {
        if self.messages_max != 0 {
            process.queue_len.fetch_add((before - self.messages()) as u32, Relaxed);
        }
    }

    /// The body, for a slice or for somebody who looks at it with the signal state locked.
    pub(crate) fn take_body(&mut self) -> BodySlot {
        self.body.take()
    }

    /// The slice ends, if nothing arrived meanwhile; whether it does.
    #[inline]
    pub(crate) fn rest(&mut self, process: &Process, body: &mut BodySlot) -> bool {
        if !self.is_empty() || process.schedule.load(Relaxed) != schedule::RUNNING {
            return false;
        }
        self.body = body.take();
        process.schedule.store(schedule::IDLE, Release);
        true
    }

    /// The slice ends though there is more to do.
    pub(crate) fn requeue(&mut self, process: &Process, body: BodySlot) {
        self.body = body;
        process.schedule.store(schedule::QUEUED, Release);
    }

    /// Nothing is accepted from here on; gives what was not read.
    pub(crate) fn close(&mut self) -> Vec<Signal> {
        self.closed = true;
        let mut unread = Vec::new();
        self.take(&mut unread);
        unread
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pid::Pid;
    use crate::term::Term;
    use proptest::prelude::*;

    /// What happens to the queue, with so many signals each; every tenth signal is no message.
    #[derive(Clone, Copy, Debug)]
    enum Action {
        Push,
        Append(usize),
        Take,
        TakeSome,
        TakeAndPutBack,
    }

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            Just(Action::Push),
            (1..2 * BLOCK).prop_map(Action::Append),
            Just(Action::Take),
            Just(Action::TakeSome),
            Just(Action::TakeAndPutBack),
        ]
    }

    fn signal(number: u64) -> Signal {
        let from = Pid::new(1, 1, number);
        if number.is_multiple_of(10) {
            Signal::Link { from }
        } else {
            Signal::Message(Message::info(from, Term::Null))
        }
    }

    fn number(signal: &Signal) -> u64 {
        match signal {
            Signal::Message(message) => message.from.serial,
            Signal::Link { from } => from.serial,
            other => panic!("never sent: {other:?}"),
        }
    }

    fn messages(numbers: impl IntoIterator<Item = u64>) -> usize {
        numbers.into_iter().filter(|number| !number.is_multiple_of(10)).count()
    }

    proptest! {
        #[test]
        fn signals_leave_in_the_order_in_which_they_came_and_messages_are_counted(
            actions in prop::collection::vec(action(), 0..60),
        ) {
            let (mut inbound, mut next, mut first) = (Inbound::default(), 1, 1);
            for action in actions {
                let mut taken = Vec::new();
                match action {
                    Action::Push => {
                        inbound.push(signal(next), 0);
                        next += 1;
                    }
                    Action::Append(count) => {
                        let mut batch = (next..next + count as u64).map(signal).collect();
                        inbound.append(&mut batch, 0);
                        prop_assert!(batch.is_empty());
                        next += count as u64;
                    }
                    Action::Take => inbound.take(&mut taken),
                    Action::TakeSome => {
                        inbound.take_some(&mut taken);
                        // nothing but messages may stay behind what was taken
                        let waiting = (first..next).skip(taken.len());
                        prop_assert_eq!(messages(waiting.clone()), waiting.count());
                    }
                    Action::TakeAndPutBack => {
                        inbound.take(&mut taken);
                        inbound.put_back(taken.drain(..));
                    }
                }
                for signal in &taken {
                    prop_assert_eq!(number(signal), first);
                    first += 1;
                }
                prop_assert!(inbound.iter().map(number).eq(first..next));
                prop_assert_eq!(inbound.messages(), messages(first..next));
            }
        }

        #[test]
        fn a_message_is_alone_only_if_nothing_else_has_arrived(count in 0u64..4) {
            let mut inbound = Inbound::default();
            (1..=count).for_each(|number| inbound.push(signal(number), 0));
            let lone = inbound.take_lone();
            prop_assert_eq!(lone.is_some(), count == 1);
            prop_assert_eq!(inbound.messages(), if count == 1 { 0 } else { messages(1..=count) });
        }
    }
}
