//! A slice of a process: fetch signals, run turns, rest; again, until there is nothing to do or the reductions are used
//! up.
//!
//! Invariants: signals are fetched with the signal state locked, so that they are applied in the order in which they
//! arrived whoever applies them; a process rests only while nothing waits in its inbound queue.

use crate::core::Core;
use crate::inbound::BodySlot;
use crate::lock::Guard;
use crate::node::Node;
use crate::pid::Pid;
use crate::process::{Process, flag};
use crate::scheduler::Scheduler;
use crate::system;
use crate::term::{Reason, Term};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Reductions a slice may use; a turn is one, and what the body burns on top.
pub(crate) const SLICE: u32 = 2_000;

/// Capacity above which a fetch buffer is not worth keeping.
const SCRATCH_MAX: usize = 4_096;

/// What a slice has used so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Used {
    pub(crate) turns: u32,
    pub(crate) reductions: u32,
    /// Reductions among them that were [toll](crate::crowd::toll).
    pub(crate) toll: u32,
}

/// Where turns stop.
pub(crate) enum Outcome<'a> {
    /// Nothing to do, and nothing in the signal state changed by that.
    Rests,
    /// Nothing to do.
    Idle(Guard<'a, Core>),
    /// Reductions used up, or the body gave way.
    Requeue(Guard<'a, Core>),
    Ended(Guard<'a, Core>, Reason, Option<Arc<str>>),
}

/// How a slice ends.
enum End {
    /// Nothing to do.
    Rests,
    Requeue,
    Dead,
}

impl Scheduler {
    /// Runs `process` for one slice.
    pub(crate) fn run_slice(&mut self, node: &Node, process: Arc<Process>) {
        let counters = &node.schedulers().shared[usize::from(self.id)].counters;
        counters.current.store(process.pid.serial, Relaxed);
        counters.stuck.store(false, Relaxed);
        process.home.store(self.id, Relaxed);
        let mut used = Used::default();
        let mut body = None;
        loop {
            let before = used;
            let end = self.run_process(node, &process, &mut body, &mut used);
            // counted before others may run it
            process.count(used.turns - before.turns, used.reductions - before.reductions);
            match end {
                End::Rests if !process.inbound.lock().rest(&process, &mut body) => {}
                End::Requeue => {
                    process.inbound.lock().requeue(&process, body);
                    self.enqueue(node, process);
                    break;
                }
                End::Rests => {
                    self.outbox.recent.put(process);
                    break;
                }
                End::Dead => break,
            }
        }
        counters.add(used.turns, used.reductions);
        self.note_toll(used.toll);
        counters.current.store(0, Relaxed);
        self.enqueue_ready(node);
    }

    /// Applies what was fetched and runs turns until there is nothing to do.
    fn run_process(
        &mut self,
        node: &Node,
        process: &Arc<Process>,
        body: &mut BodySlot,
        used: &mut Used,
    ) -> End {
        let mut core = process.core.lock();
        let lone = {
            let mut inbound = process.inbound.lock();
            // out of the shared state for the slice, so that a turn needs no lock of its own
            if body.is_none() {
                *body = inbound.take_body().or_else(|| core.body.take());
            }
            let direct = used.reductions < SLICE && core.looks_out(process);
            let lone = if direct { inbound.take_lone() } else { None };
            self.left = inbound.run(process, core.need(process), &mut self.scratch);
            lone
        };
        // the short way of a message past the inner queue, in which nothing waits
        let event = lone.and_then(|message| core.meet(process, message, node, &mut self.outbox));
        self.apply(node, process, &mut core);
        let mut outcome = match event {
            None => self.turns(node, process, body, core, used),
            Some(event) => match self.turn(node, process, body, core, event, used) {
                // looked at where it lies: most turns end so, and an outcome is not worth moving
                ControlFlow::Break(Outcome::Rests) => return End::Rests,
                ControlFlow::Continue(core) => self.turns(node, process, body, core, used),
                ControlFlow::Break(outcome) => outcome,
            },
        };
        loop {
            outcome = match outcome {
                Outcome::Rests => return End::Rests,
                Outcome::Ended(core, reason, error) => {
                    crate::death::finish(node, process, core, reason, error, &mut self.outbox);
                    drop(body.take());
                    self.outbox.flush(node);
                    return End::Dead;
                }
                Outcome::Idle(mut core) | Outcome::Requeue(mut core)
                    if system::outgrew(body.as_deref(), &core) =>
                {
                    node.record("process.outgrew", process.pid, Pid::NONE, Term::Null, 0);
                    core.exiting = Some(Term::KILLED);
                    self.turns(node, process, body, core, used)
                }
                Outcome::Requeue(core) => {
                    process.queue_len.store(core.inner.len() as u32, Relaxed);
                    return End::Requeue;
                }
                Outcome::Idle(mut core) => {
                    process.queue_len.store(core.inner.len() as u32, Relaxed);
                    self.settle(node, process, &mut core);
                    drop(core);
                    self.outbox.flush(node);
                    return End::Rests;
                }
            }
        }
    }

    /// Before a process goes idle: spare capacity back, alarm set, waiting clients told.
    fn settle(&mut self, node: &Node, process: &Arc<Process>, core: &mut Core) {
        core.inner.relax();
        if core.deadline_ns != 0 && (core.alarm_ns == 0 || core.deadline_ns < core.alarm_ns) {
            core.alarm_ns = core.deadline_ns;
            node.set_alarm(process.pid, core.deadline_ns);
        }
        if process.has(flag::SESSION) && core.inner.len() > 0 {
            node.tell_session(process.pid);
        }
    }

    /// Applies what has arrived since.
    pub(crate) fn fetch(&mut self, node: &Node, process: &Arc<Process>, core: &mut Core) {
        self.left = process.inbound.lock().run(process, core.need(process), &mut self.scratch);
        self.apply(node, process, core);
    }

    /// Applies what was fetched.
    fn apply(&mut self, node: &Node, process: &Arc<Process>, core: &mut Core) {
        if !self.scratch.is_empty() {
            let mut signals = std::mem::take(&mut self.scratch);
            core.apply_all(process, &mut signals, node, &mut self.outbox);
            if signals.capacity() <= SCRATCH_MAX {
                self.scratch = signals;
            }
        }
        if self.left > 0 {
            core.note_waiting(self.left);
        }
        if let Some(counts) = self.outbox.take_traffic() {
            node.count_traffic(usize::from(self.id), process.pid, counts);
        }
    }
}
