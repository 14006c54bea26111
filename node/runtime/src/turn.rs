//! A slice of a process: fetch signals, pick the next event, let the body handle it, send what it sent; again, until
//! there is nothing to do or the reductions are used up.
//!
//! Invariants: the signal state is not locked while the body runs; what the body sent leaves before its next turn; a
//! kill or a pause takes effect between two turns.

use crate::body::{Body, Event, Filter, Receive, Step};
use crate::context::Context;
use crate::core::{Core, Ready};
use crate::message::Kind;
use crate::module::Behaviour;
use crate::node::Node;
use crate::pid::Pid;
use crate::process::{Process, flag, schedule};
use crate::scheduler::Scheduler;
use crate::system;
use crate::term::{Reason, Term};
use crate::turn_observer;
use parking_lot::MutexGuard;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// Reductions a slice may use; a turn is one, and what the body burns on top.
pub(crate) const SLICE: u32 = 2_000;

type BodySlot = Option<Box<dyn Body>>;

/// How a slice ended.
enum Outcome {
    /// Nothing to do.
    Idle,
    /// Reductions used up, or the body gave way.
    Requeue,
    Ended(Reason, Option<Arc<str>>),
}

impl Scheduler {
    /// Runs `process` for one slice.
    pub(crate) fn run_slice(&mut self, node: &Node, process: Arc<Process>) {
        let counters = &node.schedulers().shared[usize::from(self.id)].counters;
        counters.current.store(process.pid.serial, Relaxed);
        counters.stuck.store(false, Relaxed);
        let (turns, used) = self.run_process(node, &process);
        // written by the one scheduler that runs the slice, so no locked instruction is needed
        process.turns.store(process.turns.load(Relaxed).wrapping_add(turns), Relaxed);
        process.reductions.store(process.reductions.load(Relaxed) + u64::from(used), Relaxed);
        counters.add(turns, used);
        counters.current.store(0, Relaxed);
        self.enqueue_ready(node);
    }

    fn run_process(&mut self, node: &Node, process: &Arc<Process>) -> (u32, u32) {
        process.home.store(self.id, Relaxed);
        process.schedule.store(schedule::RUNNING, Release);
        let (mut turns, mut used) = (0, 0);
        loop {
            let mut core = process.core.lock();
            // out of the shared state for the slice, so that a turn needs no lock of its own
            let mut body = core.body.take();
            self.fetch(node, process, &mut core);
            let outcome;
            (core, outcome) = self.turns(node, process, &mut body, core, &mut turns, &mut used);
            process.queue_len.store(core.inner.len() as u32, Relaxed);
            if !matches!(outcome, Outcome::Ended(..)) && system::outgrew(body.as_deref(), &core) {
                node.record("process.outgrew", process.pid, Pid::NONE, Term::Null, 0);
                core.exiting = Some(Term::KILLED);
                core.body = body;
                continue;
            }
            match outcome {
                Outcome::Ended(reason, error) => {
                    crate::death::finish(node, process, core, reason, error, &mut self.outbox);
                    drop(body);
                    self.outbox.flush(node);
                    return (turns, used);
                }
                Outcome::Requeue => {
                    core.body = body;
                    drop(core);
                    process.schedule.store(schedule::QUEUED, Release);
                    self.enqueue(node, Arc::clone(process));
                    return (turns, used);
                }
                Outcome::Idle => {
                    self.settle(node, process, &mut core);
                    core.body = body;
                    drop(core);
                    self.outbox.flush(node);
                    let idle =
                        process.schedule.compare_exchange(schedule::RUNNING, schedule::IDLE, AcqRel, Acquire);
                    if idle.is_ok() {
                        return (turns, used);
                    }
                    // something arrived meanwhile
                    process.schedule.store(schedule::RUNNING, Release);
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

    /// Applies what has arrived.
    fn fetch(&mut self, node: &Node, process: &Arc<Process>, core: &mut Core) {
        std::mem::swap(&mut process.inbound.lock().signals, &mut self.scratch);
        if self.scratch.is_empty() {
            return;
        }
        let mut signals = std::mem::take(&mut self.scratch);
        core.apply_all(process, &mut signals, node, &mut self.outbox);
        if signals.capacity() <= SCRATCH_MAX {
            self.scratch = signals;
        }
        if let Some(counts) = self.outbox.take_traffic() {
            node.count_traffic(usize::from(self.id), process.pid, counts);
        }
    }

    fn turns<'a>(
        &mut self,
        node: &Node,
        process: &'a Arc<Process>,
        body: &mut BodySlot,
        mut core: MutexGuard<'a, Core>,
        turns: &mut u32,
        used: &mut u32,
    ) -> (MutexGuard<'a, Core>, Outcome) {
        loop {
            if let Some(reason) = core.exiting.take() {
                return (core, Outcome::Ended(reason, None));
            }
            if process.has(flag::PAUSED | flag::LOOKED_AT) {
                show(process, body, &mut core);
                if process.has(flag::PAUSED) {
                    return (core, Outcome::Idle);
                }
            }
            if *used >= SLICE {
                return (core, Outcome::Requeue);
            }
            let Some(event) = next_event(node, process, &mut core) else {
                // a message ends hibernation whether or not it is one that the process waits for
                let woken =
                    process.has(flag::HIBERNATED) && !process.has(flag::SUSPENDED) && core.inner.len() > 0;
                if woken && let Err(reason) = system::wake(process, body, &mut core) {
                    return (core, Outcome::Ended(reason, None));
                }
                return (core, Outcome::Idle);
            };
            *turns += 1;
            *used += 1;
            if let Event::Message(message) = &event
                && message.kind == Kind::System
                && !system::is_for_body(process, message)
            {
                let observed = turn_observer::begin(node, process, message.operation, message.kind);
                system::handle(node, process, body, &mut core, message, &mut self.outbox);
                if let Some(observed) = observed {
                    observed.end(None);
                }
                continue;
            }
            if process.has(flag::HIBERNATED)
                && let Err(reason) = system::wake(process, body, &mut core)
            {
                return (core, Outcome::Ended(reason, None));
            }
            let operation = match &event {
                Event::Message(message) => message.operation,
                _ => 0,
            };
            if let Event::Message(message) = &event
                && message.kind == Kind::Call
                && let Some(call) = message.reply_to()
            {
                core.open_call(call);
            }
            drop(core);
            let budget = SLICE - *used;
            let (step, burned) = self.step(node, process, body, event, operation, budget);
            *used = used.saturating_add(burned);
            self.outbox.flush(node);
            core = process.core.lock();
            for call in self.answered.drain(..) {
                core.close_call(call);
            }
            match step {
                Ok(Step::Exit(reason)) => {
                    if operation != 0 {
                        core.extras_mut().ending_operation = operation;
                    }
                    return (core, Outcome::Ended(reason, None));
                }
                Ok(step) => {
                    let gives_way = matches!(step, Step::Yield);
                    self.follow(node, process, body, &mut core, step);
                    if gives_way && *used >= SLICE {
                        if process.schedule.load(Relaxed) == schedule::NOTIFIED {
                            self.fetch(node, process, &mut core);
                        }
                        if core.exiting.is_none() {
                            return (core, Outcome::Requeue);
                        }
                    }
                }
                Err((reason, error)) => return (core, Outcome::Ended(reason, Some(error))),
            }
            if process.schedule.load(Acquire) == schedule::NOTIFIED {
                process.schedule.store(schedule::RUNNING, Release);
                self.fetch(node, process, &mut core);
            }
        }
    }

    fn step(
        &mut self,
        node: &Node,
        process: &Arc<Process>,
        body: &mut BodySlot,
        event: Event,
        operation: u64,
        budget: u32,
    ) -> (Result<Step, (Reason, Arc<str>)>, u32) {
        let mut context = Context {
            process,
            node,
            outbox: &mut self.outbox,
            burned: 0,
            budget,
            operation,
            answered: &mut self.answered,
        };
        let Some(body) = body.as_mut() else { return (Ok(Step::Exit(Term::Atom("undef"))), 0) };
        let observed = match &event {
            Event::Message(message) => turn_observer::begin(node, process, operation, message.kind),
            _ => None,
        };
        process.in_turn.store(true, Relaxed);
        let step = catch_unwind(AssertUnwindSafe(|| body.step(event, &mut context)));
        let burned = context.burned;
        process.in_turn.store(false, Relaxed);
        let step = step.map_err(|panic| crate::death::crash_of(&*panic));
        if let Some(observed) = observed {
            observed.end(match &step {
                Ok(Step::Exit(reason)) | Err((reason, _)) => Some(reason),
                Ok(_) => None,
            });
        }
        (step, burned)
    }

    /// Sets up what the body waits for.
    fn follow(
        &mut self,
        node: &Node,
        process: &Arc<Process>,
        body: &mut BodySlot,
        core: &mut Core,
        step: Step,
    ) {
        match step {
            Step::Wait(receive) => wait(node, core, receive),
            Step::Yield => core.ready = Ready::Resume,
            Step::Hibernate(receive) => {
                wait(node, core, receive);
                system::hibernate(process, body, core);
            }
            Step::Block(work) => {
                core.receive = Receive::none();
                core.deadline_ns = 0;
                process.set(flag::BLOCKING, true);
                node.blocking().run(node, process.pid, work);
            }
            Step::Exit(_) => {}
        }
    }
}

/// Capacity above which a fetch buffer is not worth keeping.
const SCRATCH_MAX: usize = 4_096;

fn wait(node: &Node, core: &mut Core, receive: Receive) {
    core.deadline_ns = match receive.timeout {
        Some(timeout) => {
            let ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            node.now_ns().saturating_add(ns).max(1)
        }
        None => 0,
    };
    core.inner.rescan_for(&receive.filter);
    core.receive = receive;
}

/// Shows the process to those who wait to see it between two turns.
fn show(process: &Process, body: &mut BodySlot, core: &mut Core) {
    if process.set(flag::LOOKED_AT, false) {
        core.body = body.take();
        for look in std::mem::take(&mut core.extras_mut().looks) {
            look(core);
        }
        *body = core.body.take();
    }
}

/// What the body handles next, if anything.
fn next_event(node: &Node, process: &Process, core: &mut Core) -> Option<Event> {
    match std::mem::take(&mut core.ready) {
        Ready::No => {}
        Ready::Start => return Some(Event::Start),
        Ready::Resume => return Some(Event::Resume),
        Ready::Unblocked(result) => {
            process.set(flag::BLOCKING, false);
            return Some(Event::Unblocked(result));
        }
    }
    let in_loop = matches!(core.receive.filter, Filter::Any);
    let plain = process.code.description.behaviour == Behaviour::Plain;
    // a behaviour in the middle of a callback is suspended once the callback is over
    let suspended = process.has(flag::SUSPENDED) && (in_loop || plain);
    if let Some(message) = core.inner.take(&core.receive.filter, suspended) {
        core.deadline_ns = 0;
        core.note_taken(process, &message, node);
        return Some(Event::Message(message));
    }
    if plain
        && !in_loop
        && !suspended
        && !process.has(flag::BLOCKING)
        && let Some(message) = core.inner.take_system()
    {
        return Some(Event::Message(message));
    }
    if core.deadline_ns != 0 && !suspended {
        if process.set(flag::TIMER_FIRED, false) {
            core.alarm_ns = 0;
        }
        if node.now_ns() >= core.deadline_ns {
            core.deadline_ns = 0;
            return Some(Event::Timeout);
        }
    }
    None
}
