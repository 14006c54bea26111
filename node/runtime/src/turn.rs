//! Turns: pick the next event, let the body handle it, send what it sent, follow what it says next; until there is
//! nothing to do or the reductions are used up.
//!
//! Invariants: the signal state is not locked while the body runs; what the body sent leaves before its next turn; a
//! kill or a pause takes effect between two turns.

use crate::body::{Event, Filter, Receive, Step};
use crate::context::Context;
use crate::core::{Core, Ready};
use crate::crash;
use crate::inbound::BodySlot;
use crate::lock::Guard;
use crate::message::Kind;
use crate::module::Behaviour;
use crate::node::Node;
use crate::pid::Pid;
use crate::process::{Process, flag, schedule};
use crate::scheduler::Scheduler;
use crate::slice::{Outcome, SLICE, Used};
use crate::system;
use crate::term::{Reason, Term};
use crate::turn_observer;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

impl Scheduler {
    /// Turns until there is nothing to do.
    pub(crate) fn turns<'a>(
        &mut self,
        node: &Node,
        process: &'a Arc<Process>,
        body: &mut BodySlot,
        mut core: Guard<'a, Core>,
        used: &mut Used,
    ) -> Outcome<'a> {
        loop {
            if let Some(reason) = core.exiting.take() {
                return Outcome::Ended(core, reason, None);
            }
            if process.has(flag::PAUSED | flag::LOOKED_AT | flag::HELD_BACK) {
                show(process, body, &mut core);
                if process.has(flag::PAUSED | flag::HELD_BACK) {
                    if process.is_relay() && !process.has(flag::HELD_BACK) {
                        let more = core.send_on(process, node, &mut self.outbox);
                        if core.exiting.is_some() {
                            continue;
                        }
                        if more {
                            return Outcome::Requeue(core);
                        }
                    }
                    return Outcome::Idle(core);
                }
            }
            if used.reductions >= SLICE && !self.goes_on(node, &core, used) {
                return Outcome::Requeue(core);
            }
            if self.left > 0 && !core.takes_any(process) {
                // what is taken now may be far behind
                self.fetch(node, process, &mut core);
            }
            let Some(event) = next_event(node, process, &mut core) else {
                if self.left > 0 {
                    self.fetch(node, process, &mut core);
                    continue;
                }
                // a message ends hibernation whether or not it is one that the process waits for
                let woken =
                    process.has(flag::HIBERNATED) && !process.has(flag::SUSPENDED) && core.inner.len() > 0;
                if woken && let Err(reason) = system::wake(process, body, &mut core) {
                    return Outcome::Ended(core, reason, None);
                }
                return Outcome::Idle(core);
            };
            match self.turn(node, process, body, core, event, used) {
                ControlFlow::Continue(locked) => core = locked,
                ControlFlow::Break(outcome) => return outcome,
            }
        }
    }

    /// One turn.
    pub(crate) fn turn<'a>(
        &mut self,
        node: &Node,
        process: &'a Arc<Process>,
        body: &mut BodySlot,
        mut core: Guard<'a, Core>,
        event: Event,
        used: &mut Used,
    ) -> ControlFlow<Outcome<'a>, Guard<'a, Core>> {
        used.turns += 1;
        used.reductions += 1;
        let mut operation = 0;
        if let Event::Message(message) = &event {
            operation = message.operation;
            if message.kind == Kind::System && !system::is_for_body(process, message) {
                let observed = turn_observer::begin(node, process, operation, message.kind);
                system::handle(node, process, body, &mut core, message, &mut self.outbox);
                if let Some(observed) = observed {
                    observed.end(None);
                }
                return ControlFlow::Continue(core);
            }
            if message.kind == Kind::Call
                && let Some(call) = message.reply_to()
            {
                core.open_call(call);
            }
        }
        if process.has(flag::HIBERNATED)
            && let Err(reason) = system::wake(process, body, &mut core)
        {
            return ControlFlow::Break(Outcome::Ended(core, reason, None));
        }
        process.queue_len.store(core.inner.len() as u32, Relaxed);
        let at_rest = core.is_at_rest();
        drop(core);
        let step = self.step(node, process, body, event, operation, used);
        if at_rest && step.is_none() && self.answered.is_empty() {
            // the signal state is what it was: whoever changed it meanwhile has notified the process
            return ControlFlow::Break(Outcome::Rests);
        }
        core = process.core.lock();
        for call in self.answered.drain(..) {
            core.close_call(call);
        }
        match step {
            None if core.is_at_rest() => return ControlFlow::Break(Outcome::Rests),
            None => core.wait_for_any(),
            Some(Ok(Step::Exit(reason))) => {
                if operation != 0 {
                    core.extras_mut().ending_operation = operation;
                }
                let report = crash::of_exit(process, &reason);
                return ControlFlow::Break(Outcome::Ended(core, reason, report));
            }
            Some(Ok(step)) => {
                let gives_way = matches!(step, Step::Yield);
                self.follow(node, process, body, &mut core, step);
                if gives_way && used.reductions >= SLICE {
                    if process.schedule.load(Relaxed) == schedule::NOTIFIED {
                        self.fetch(node, process, &mut core);
                    }
                    if core.exiting.is_none() {
                        return ControlFlow::Break(Outcome::Requeue(core));
                    }
                }
            }
            Some(Err(reason)) => {
                let report = crash::of_exit(process, &reason);
                return ControlFlow::Break(Outcome::Ended(core, reason, report));
            }
        }
        if process.schedule.load(Acquire) == schedule::NOTIFIED {
            self.fetch(node, process, &mut core);
        }
        ControlFlow::Continue(core)
    }

    /// Lets the body handle `event`. Nothing is given where it goes on to wait for whatever comes, as most do: that
    /// step is not worth moving.
    fn step(
        &mut self,
        node: &Node,
        process: &Arc<Process>,
        body: &mut BodySlot,
        event: Event,
        operation: u64,
        used: &mut Used,
    ) -> Option<Result<Step, Reason>> {
        let Some(body) = body.as_mut() else { return Some(Ok(Step::Exit(Term::Atom("undef")))) };
        let observed = match &event {
            Event::Message(message) => turn_observer::begin(node, process, operation, message.kind),
            _ => None,
        };
        let mut context = Context {
            process,
            node,
            outbox: &mut self.outbox,
            burned: 0,
            budget: SLICE.saturating_sub(used.reductions),
            operation,
            answered: &mut self.answered,
        };
        process.in_turn.store(true, Relaxed);
        context.outbox.in_turn = true;
        let mut step = None;
        // taken inside: what a closure owns is copied three times on its way into `catch_unwind`
        let mut event = Some(event);
        let handled = catch_unwind(AssertUnwindSafe(|| {
            let Some(event) = event.take() else { return };
            match body.step(event, &mut context) {
                Step::Wait(Receive { filter: Filter::Any, timeout: None }) => {}
                other => step = Some(Ok(other)),
            }
        }));
        let burned = context.burned;
        let toll = self.outbox.end_turn(node);
        if toll > 0
            && let Some(queue) = self.outbox.clogged.take()
        {
            node.hold_back(process, queue);
        }
        used.toll = used.toll.saturating_add(toll);
        used.reductions = used.reductions.saturating_add(burned).saturating_add(toll);
        process.in_turn.store(false, Relaxed);
        if let Err(panic) = handled {
            step = Some(Err(crash::reason_of(&*panic)));
        }
        if let Some(observed) = observed {
            observed.end(match &step {
                Some(Ok(Step::Exit(reason)) | Err(reason)) => Some(reason),
                _ => None,
            });
        }
        step
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
            look.take(core);
        }
        *body = core.body.take();
    }
}

/// What the body handles next, if anything.
#[inline]
fn next_event(node: &Node, process: &Process, core: &mut Core) -> Option<Event> {
    // what most turns are about: the next message, whatever it is
    if core.takes_next(process)
        && let Some(message) = core.inner.pop()
    {
        return Some(Event::Message(message));
    }
    chosen_event(node, process, core)
}

fn chosen_event(node: &Node, process: &Process, core: &mut Core) -> Option<Event> {
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
    // the exit of its parent ends a behaviour even then; one without a parent is its own
    let parent = || if plain { Pid::NONE } else { process.parent.some().unwrap_or(process.pid) };
    if let Some(message) = core.inner.take(&core.receive.filter, suspended.then(parent)) {
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
        let fired = process.has(flag::TIMER_FIRED) && process.set(flag::TIMER_FIRED, false);
        if fired {
            core.alarm_ns = 0;
        }
        // an alarm comes when it is due, so the clock need not be read for what is far off
        if (fired || !node.is_far_off(core.deadline_ns)) && node.now_ns() >= core.deadline_ns {
            core.deadline_ns = 0;
            return Some(Event::Timeout);
        }
    }
    None
}
