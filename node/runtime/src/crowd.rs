//! What keeps a mailbox short into which others send more than its process reads. Nobody is refused and nobody waits
//! for long: a sender may always send, as in Erlang, and yet a hundred of them must not fill the memory in front of one
//! receiver just because each gets as much time as it does.
//!
//! Three things, from [a thousand](CROWD) waiting messages on: what is sent counts for more reductions, so that senders
//! give way sooner; the receiver's slice lasts longer; and a scheduler that has nothing to run but such senders lets the
//! receiver, which runs elsewhere, get ahead for some microseconds. Without the last one a flood of two million messages
//! from one core to another made the node 100 MB larger, and fresh memory cost more than the messages did.

use crate::core::Core;
use crate::node::Node;
use crate::scheduler::Scheduler;
use crate::slice::{SLICE, Used};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// So many waiting messages are a crowd.
const CROWD: usize = 1_000;
/// Crowds beyond which the toll does not grow.
const CROWDS_MAX: usize = 16;
/// What the slice of a process in front of which a crowd waits may use, unless the ticker sees that it lasts longer than
/// a tick.
const LONG_SLICE: u32 = 8 * SLICE;
/// Toll in one slice that shows that the process outruns a receiver.
const OUTRUNS: u32 = SLICE / 2;
/// Messages in front of the receiver down to which its senders let it get ahead.
const ENOUGH: usize = 8 * CROWD;
/// How long they do so after one slice at most: it may read slowly, or not at all.
const AHEAD: Duration = Duration::from_micros(50);
/// Pauses between two looks, which take the lock from those who send and read.
const LOOK_EVERY: u32 = 64;

/// The reductions that so many signals to a mailbox cost besides, in which `waiting` messages wait.
#[inline]
pub(crate) fn toll(signals: usize, waiting: usize) -> u32 {
    if waiting < CROWD {
        return 0;
    }
    (signals * (waiting / CROWD).min(CROWDS_MAX)) as u32
}

impl Scheduler {
    /// Whether a process that has used up its slice goes on for the sake of the crowd that waits for it.
    pub(crate) fn goes_on(&self, node: &Node, core: &Core, used: &Used) -> bool {
        let counters = &node.schedulers().shared[usize::from(self.id)].counters;
        used.reductions < LONG_SLICE && core.inner.len() + self.left >= CROWD && !counters.stuck.load(Relaxed)
    }

    /// A slice is over in which the process paid so much toll.
    pub(crate) fn note_toll(&mut self, toll: u32) {
        self.outran = if toll < OUTRUNS { 0 } else { self.outran.saturating_add(1) };
    }

    /// Where all that is to be run here outran somebody: lets the one that was outrun last get ahead.
    pub(crate) fn give_way(&mut self, node: &Node) {
        if self.outran == 0 {
            return;
        }
        let Some(receiver) = self.outbox.crowded.take() else { return };
        if self.outran <= self.queued() {
            return;
        }
        let began = Instant::now();
        while receiver.inbound.lock().messages() > ENOUGH && began.elapsed() < AHEAD && !self.has_others(node)
        {
            // no offer of the core: on a busy one that would be for a whole time slice
            (0..LOOK_EVERY).for_each(|_| std::hint::spin_loop());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toll_is_for_crowds_alone_and_has_an_end() {
        assert_eq!((toll(100, CROWD - 1), toll(100, CROWD), toll(1, 3 * CROWD)), (0, 100, 3));
        assert_eq!(toll(1, usize::MAX), CROWDS_MAX as u32);
    }
}
