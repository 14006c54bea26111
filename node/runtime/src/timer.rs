//! Timers: messages that leave later, receive timeouts, leases.
//!
//! One ordered table and one thread of its own, so that busy schedulers cannot starve it; under a virtual clock nobody
//! waits and `Node::advance` fires what is due. A timer never fires early.
//! Receive timeouts are lazy: a process has at most one alarm here, and an alarm that comes too early is set again.

use crate::dead_letters::DeadLetterReason;
use crate::message::Message;
use crate::node::{Node, WeakNode};
use crate::pid::{OwnedId, Pid};
use crate::remote::Address;
use crossbeam_utils::sync::{Parker, Unparker};
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// Who a timer's message goes to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TimerTarget {
    /// This process; the timer ends with it.
    Process(Pid),
    /// Whoever has this name when the timer fires: the local one, else the global one; `NAME@global` is the global one,
    /// `NAME@n7` the local one of that node.
    Name(Arc<str>),
}

/// What is known of a pending timer.
#[derive(Clone, Debug)]
pub struct TimerInfo {
    /// Its id.
    pub id: OwnedId,
    /// Whom its message goes to.
    pub target: TimerTarget,
    /// The message.
    pub message: Message,
    /// When it fires, nanoseconds of the node's clock.
    pub due_ns: u64,
    /// How long that is from now.
    pub remaining: Duration,
}

pub(crate) enum Due {
    Message(TimerTarget, Message),
    /// A receive timeout may be due.
    Alarm(Pid),
    /// The lease of a hold on this process may have ended.
    Lease(Pid),
}

#[derive(Default)]
struct Pending {
    by_time: BTreeMap<(u64, u64), Due>,
    /// Due times of message timers, by number.
    times: HashMap<u64, u64>,
}

pub(crate) struct Timers {
    pending: Mutex<Pending>,
    /// When the thread wakes up next.
    next_ns: AtomicU64,
    unparker: Unparker,
    max: usize,
}

impl Timers {
    pub(crate) fn new(max: usize) -> (Self, Parker) {
        let parker = Parker::new();
        let unparker = parker.unparker().clone();
        let timers = Self { pending: Mutex::default(), next_ns: AtomicU64::new(u64::MAX), unparker, max };
        (timers, parker)
    }

    pub(crate) fn len(&self) -> usize {
        self.pending.lock().times.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.max
    }

    pub(crate) fn add(&self, due_ns: u64, number: u64, due: Due) {
        {
            let mut pending = self.pending.lock();
            if matches!(due, Due::Message(..)) {
                pending.times.insert(number, due_ns);
            }
            pending.by_time.insert((due_ns, number), due);
        }
        if due_ns < self.next_ns.load(SeqCst) {
            self.unparker.unpark();
        }
    }

    /// Removes a message timer.
    pub(crate) fn cancel(&self, number: u64) -> Option<(u64, TimerTarget, Message)> {
        let mut pending = self.pending.lock();
        let due_ns = pending.times.remove(&number)?;
        match pending.by_time.remove(&(due_ns, number))? {
            Due::Message(target, message) => Some((due_ns, target, message)),
            _ => None,
        }
    }

    /// A look at a message timer.
    pub(crate) fn get(&self, number: u64) -> Option<(u64, TimerTarget, Message)> {
        let pending = self.pending.lock();
        let due_ns = *pending.times.get(&number)?;
        match pending.by_time.get(&(due_ns, number))? {
            Due::Message(target, message) => Some((due_ns, target.clone(), message.clone())),
            _ => None,
        }
    }

    /// All message timers, by due time.
    pub(crate) fn list(&self) -> Vec<(u64, u64, TimerTarget, Message)> {
        let pending = self.pending.lock();
        let messages = pending.by_time.iter().filter_map(|((due_ns, number), due)| match due {
            Due::Message(target, message) => Some((*due_ns, *number, target.clone(), message.clone())),
            _ => None,
        });
        messages.collect()
    }

    /// Takes all message timers of a target: when each is due, its number, its message.
    pub(crate) fn take_of(&self, target: &TimerTarget) -> Vec<(u64, u64, Message)> {
        let mut pending = self.pending.lock();
        let is_of = |due: &Due| matches!(due, Due::Message(of, _) if of == target);
        let keys: Vec<_> =
            pending.by_time.iter().filter(|(_, due)| is_of(due)).map(|(key, _)| *key).collect();
        let mut taken = Vec::new();
        for key in keys {
            pending.times.remove(&key.1);
            if let Some(Due::Message(_, message)) = pending.by_time.remove(&key) {
                taken.push((key.0, key.1, message));
            }
        }
        taken
    }

    /// Takes the earliest of what is due by `now_ns`.
    pub(crate) fn pop_due(&self, now_ns: u64) -> Option<(u64, u64, Due)> {
        let mut pending = self.pending.lock();
        let entry = pending.by_time.first_entry().filter(|entry| entry.key().0 <= now_ns)?;
        let ((due_ns, number), due) = entry.remove_entry();
        pending.times.remove(&number);
        Some((due_ns, number, due))
    }

    pub(crate) fn next_due(&self) -> Option<u64> {
        self.pending.lock().by_time.first_key_value().map(|((due_ns, _), _)| *due_ns)
    }

    pub(crate) fn wake(&self) {
        self.unparker.unpark();
    }
}

/// The timer thread's loop; ends when the node does.
pub(crate) fn run(node: &WeakNode, parker: &Parker) {
    const LONGEST_SLEEP: Duration = Duration::from_secs(1);
    loop {
        let Some(node) = node.upgrade() else { return };
        if node.is_closed() {
            return;
        }
        fire_due(&node);
        let timers = node.timers();
        // published before the table is read again: whoever adds after that sees it and unparks
        timers.next_ns.store(0, SeqCst);
        let next = timers.next_due().unwrap_or(u64::MAX);
        timers.next_ns.store(next, SeqCst);
        if timers.next_due().unwrap_or(u64::MAX) < next {
            continue;
        }
        let wait = Duration::from_nanos(next.saturating_sub(node.now_ns())).min(LONGEST_SLEEP);
        drop(node);
        parker.park_timeout(wait);
    }
}

/// Fires what is due, in order.
pub(crate) fn fire_due(node: &Node) -> usize {
    let mut fired = 0;
    while let Some((_, _, due)) = node.timers().pop_due(node.now_ns()) {
        fired += 1;
        match due {
            // the timer has ended with its process
            Due::Message(TimerTarget::Process(pid), _) if node.is_local(pid) && !node.is_alive(pid) => {}
            Due::Message(TimerTarget::Process(pid), message) => node.fire_timer(pid, message),
            Due::Message(TimerTarget::Name(name), message) => match node.find(&name) {
                Some(Address::Pid(pid)) => node.fire_timer(pid, message),
                Some(elsewhere) => {
                    node.send_away(elsewhere, message);
                }
                None => node.lost(Pid::NONE, [message], DeadLetterReason::DeadProcess),
            },
            Due::Alarm(pid) => node.alarm(pid),
            Due::Lease(pid) => node.expire_holds(pid),
        }
    }
    fired
}
