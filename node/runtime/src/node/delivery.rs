//! How signals enter a node from outside its turns, and what becomes of those that nobody takes.

use super::Node;
use crate::dead_letters::DeadLetterReason;
use crate::message::{Kind, Message, ReplyTo, Signal};
use crate::outbox::{Outbox, deliver_one};
use crate::pid::Pid;
use crate::process::Process;
use crate::term::Term;
use crate::traffic::Run;
use std::sync::Arc;

impl Node {
    /// Sends one signal from outside.
    pub(crate) fn send_signal(&self, to: Pid, signal: Signal) {
        match self.process(to) {
            Some(process) => self.send_to_process(&process.0, signal),
            None if to.is_alias() && self.is_local(to) => self.0.aliases.deliver(self, to, signal),
            None => self.with_outbox(|outbox| outbox.elsewhere(self, to, signal)),
        }
    }

    pub(crate) fn send_to_process(&self, process: &Arc<Process>, signal: Signal) {
        match deliver_one(self, process, signal) {
            Ok(accepted) if accepted.wakes => self.0.schedulers.inject(Arc::clone(process)),
            Ok(_) => {}
            Err(signal) => self.with_outbox(|outbox| outbox.bounce(self, process.pid, signal)),
        }
    }

    /// Runs `work` with an outbox of this thread; what it sends leaves afterwards.
    pub(crate) fn with_outbox<R>(&self, work: impl FnOnce(&mut Outbox) -> R) -> R {
        let mut outbox = Outbox::default();
        let result = work(&mut outbox);
        outbox.flush(self);
        self.schedule_ready(&mut outbox);
        result
    }

    pub(crate) fn schedule_ready(&self, outbox: &mut Outbox) {
        for process in outbox.ready.drain(..) {
            self.0.schedulers.inject(process);
        }
    }

    /// Has a process look at itself.
    pub(crate) fn nudge(&self, process: &Arc<Process>) {
        if process.inbound.lock().wake(process) {
            self.0.schedulers.inject(Arc::clone(process));
        }
    }

    pub(crate) fn count_traffic(&self, scheduler: usize, to: Pid, runs: impl Iterator<Item = Run>) {
        self.0.traffic[scheduler].count(to, runs, self.coarse_ms());
    }

    pub(crate) fn mailbox_overflow(&self, to: &Process, messages: Vec<Message>) {
        let count = messages.len() as u64;
        let is_call = |message: &&Message| message.kind == Kind::Call;
        let callers: Vec<_> = messages.iter().filter(is_call).filter_map(Message::reply_to).collect();
        self.lost(to.pid, messages, DeadLetterReason::Limit);
        to.core.lock().extras_mut().dropped += count;
        // whoever waits for an answer to one of them hears at once that there will be none
        for ReplyTo { to: caller, reference } in callers {
            let reason = Term::Atom("queue_full");
            let down = Signal::Down { reference, from: to.pid, object: Term::Pid(to.pid), reason };
            self.send_signal(caller, down);
        }
    }

    /// Keeps messages that no code will handle.
    pub(crate) fn lost(
        &self,
        to: Pid,
        messages: impl IntoIterator<Item = Message>,
        reason: DeadLetterReason,
    ) {
        self.0.dead_letters.add(to, messages, reason, self.now_ns(), 0);
    }
}
