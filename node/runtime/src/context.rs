//! What a body may do while it handles an event: everything that OTP's `self()` may.
//!
//! Sends leave in batches at the end of the turn, in order. Nothing here blocks; what needs an answer gives a reference
//! to wait for with [`Receive::reply`](crate::body::Receive::reply).

use crate::message::{Kind, Message, ReplyTo, Signal};
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pid::{OwnedId, Pid, Ref};
use crate::process::{Process, ProcessRef};
use crate::start::{StartError, StartOptions};
use crate::term::{Reason, Term};
use crate::timer::TimerTarget;
use std::sync::Arc;
use std::time::Duration;

/// What bringing a process to life costs: who does nothing else gives way after some hundreds, so that those run, and
/// end, before their successors take fresh memory.
const SPAWN_REDUCTIONS: u32 = 10;

/// A running process's view of itself and its node.
pub struct Context<'a> {
    pub(crate) process: &'a Arc<Process>,
    pub(crate) node: &'a Node,
    pub(crate) outbox: &'a mut Outbox,
    /// Reductions used in this turn beyond the one for the turn itself.
    pub(crate) burned: u32,
    /// How many more make it give way.
    pub(crate) budget: u32,
    /// The operation that caused this turn.
    pub(crate) operation: u64,
    /// The calls that this turn has answered already.
    pub(crate) answered: &'a mut Vec<ReplyTo>,
}

impl Context<'_> {
    /// This process's pid.
    pub fn me(&self) -> Pid {
        self.process.pid
    }

    /// A handle to this process, quicker to send to than its pid.
    pub fn myself(&self) -> ProcessRef {
        ProcessRef(Arc::clone(self.process))
    }

    /// The node that runs it.
    pub fn node(&self) -> &Node {
        self.node
    }

    /// Who started it.
    pub fn parent(&self) -> Option<Pid> {
        self.process.parent.some()
    }

    /// Its key, or its local name: who it is across restarts.
    pub fn name(&self) -> Option<Arc<str>> {
        self.process.core.lock().name.clone()
    }

    /// Its id under its supervisor.
    pub fn child_id(&self) -> Option<Term> {
        self.process.core.lock().extras().and_then(|extras| extras.child_id.clone())
    }

    /// The number of the operation that caused this turn, 0 for none.
    pub fn operation(&self) -> u64 {
        self.operation
    }

    // Answering the starter.

    /// Tells the starter that init is done: `{ok, Pid}`.
    pub fn started(&mut self) {
        let me = self.me();
        let monitor = {
            let mut core = self.process.core.lock();
            let monitor = core.extras().is_some_and(|extras| extras.start_monitor.is_some());
            let monitor = if monitor { core.extras_mut().start_monitor.take() } else { None };
            if let Some((watcher, reference)) = monitor {
                core.add_watcher(watcher, reference, None);
            }
            monitor
        };
        if let Some((watcher, reference)) = monitor {
            if self.node.is_remote(watcher) {
                self.node.tell_watcher(watcher, reference, me, None, self.outbox);
            }
            self.node.adopt(watcher, None, |_, of| of.add_monitor(reference, me));
        }
        self.acknowledge(Term::tagged("ok", self.me().into()));
    }

    /// Tells the starter `ignore`; the body then exits `normal`.
    pub fn ignore(&mut self) {
        self.acknowledge(Term::Atom("ignore"));
    }

    /// Tells the starter `{error, Reason}`; the body then exits.
    pub fn start_failed(&mut self, reason: Reason) {
        self.acknowledge(Term::tagged("error", reason));
    }

    fn acknowledge(&mut self, result: Term) {
        let ack = self.process.core.lock().ack.take();
        if let Some(ack) = ack {
            self.reply(ack, result);
        }
    }

    // Sending.

    /// Sends an ordinary message. A dead or unknown receiver drops it, as in Erlang.
    pub fn send(&mut self, to: Pid, payload: Term) {
        self.send_message(to, Message::info(self.me(), payload));
    }

    /// Sends an ordinary message to a process whose handle is at hand.
    pub fn send_to(&mut self, to: &ProcessRef, payload: Term) {
        let message = Message::info(self.me(), payload).with_operation(self.operation);
        self.outbox.push(self.node, &to.0, Signal::Message(message));
    }

    /// `gen_server:cast/2`.
    pub fn cast(&mut self, to: Pid, request: Term) {
        self.send_message(to, Message::of(Kind::Cast, self.me(), request));
    }

    /// Sends a message of any kind.
    pub fn send_message(&mut self, to: Pid, message: Message) {
        let operation = if message.operation == 0 { self.operation } else { message.operation };
        self.outbox.send(self.node, to, Signal::Message(message.with_operation(operation)));
    }

    /// Sends a `gen_server` request and gives the reference to wait for: the answer is a
    /// [`Kind::Reply`], a [`Kind::Down`] if the server ends first or is not there.
    /// Give up on it with [`Context::abandon`].
    pub fn request(&mut self, to: Pid, request: Term) -> Ref {
        let reference = self.node.new_ref();
        self.process.core.lock().expect_fresh_reply(reference, to);
        let message = Message::of(Kind::Call, self.me(), request).with_reference(reference);
        self.send_message(to, message);
        reference
    }

    /// As [`Context::request`], to a process whose handle is at hand.
    pub fn request_to(&mut self, to: &ProcessRef, request: Term) -> Ref {
        let reference = self.node.new_ref();
        self.process.core.lock().expect_fresh_reply(reference, to.0.pid);
        let message = Message::of(Kind::Call, self.me(), request).with_reference(reference);
        self.outbox.push(self.node, &to.0, Signal::Message(message.with_operation(self.operation)));
        reference
    }

    /// Gives up on a request: a late reply is dropped, the server no longer tracks it.
    pub fn abandon(&mut self, reference: Ref) {
        let server = self.process.core.lock().forget_reply(reference);
        if let Some(server) = server {
            self.outbox.send(self.node, server, Signal::Demonitor { watcher: self.me(), reference });
        }
    }

    /// Answers a call.
    pub fn reply(&mut self, to: ReplyTo, reply: Term) {
        self.answered.push(to);
        let message = Message::of(Kind::Reply, self.me(), reply).with_reference(to.reference);
        self.outbox.send(self.node, to.to, Signal::Message(message));
    }

    /// Says what the record of this process's end will tell as its error: that `callback` failed with `reason`, and what
    /// it had in hand. Of an end in order nothing is told, and of a crash what was said of it first.
    pub fn report_crash(&mut self, callback: &str, message: Option<&Term>, reason: &Reason) {
        if !reason.is_orderly() {
            let report = crate::crash::report(self.process, Some(callback), message, reason);
            self.process.core.lock().extras_mut().crash.get_or_insert(report);
        }
    }

    // Exit signals, links and monitors.

    /// `exit/2`: sends an exit signal. To itself it is handled like any other, when the turn is over.
    pub fn exit(&mut self, to: Pid, reason: Reason) {
        let from = self.me();
        let signal = if reason.is("kill") {
            Signal::Kill { from, reason: Term::KILLED }
        } else {
            Signal::Exit { from, reason }
        };
        self.outbox.send(self.node, to, signal);
    }

    /// `link/1`. If `to` is not alive an exit signal `noproc` follows.
    pub fn link(&mut self, to: Pid) {
        if to != self.me() && self.process.core.lock().add_link(to) {
            self.outbox.send(self.node, to, Signal::Link { from: self.me() });
        }
    }

    /// `unlink/1`.
    pub fn unlink(&mut self, to: Pid) {
        let told = self.process.core.lock().unlink(self.me(), to);
        if let Some((to, signal)) = told {
            self.outbox.send(self.node, to, signal);
        }
    }

    /// `monitor/2` of a process. One that is not alive fires at once with `noproc`; of itself it never fires.
    pub fn monitor(&mut self, to: Pid) -> Ref {
        let reference = self.node.new_ref();
        if to == self.me() {
            return reference;
        }
        {
            let mut core = self.process.core.lock();
            core.inner.mark(reference);
            core.add_monitor(reference, to);
        }
        self.outbox.send(self.node, to, Signal::Monitor { watcher: self.me(), reference, name: None });
        reference
    }

    /// `demonitor/2` with `flush`: no DOWN of it is seen after this.
    pub fn demonitor(&mut self, reference: Ref) -> bool {
        let told = {
            let mut core = self.process.core.lock();
            core.inner.remove_down(reference);
            core.demonitor(self.me(), reference)
        };
        let was_there = told.is_some();
        if let Some((to, signal)) = told {
            self.outbox.send(self.node, to, signal);
        }
        was_there
    }

    /// `process_flag(trap_exit, value)`; gives the old value.
    pub fn trap_exit(&mut self, value: bool) -> bool {
        self.process.set_trap_exit(value)
    }

    // Starting others.

    /// Starts a process of `module`; the answer to the reference is `["ok", pid]`, `"ignore"` or `["error", reason]`.
    /// `options.ack` is overwritten; parent defaults to this process. Gives the pid too, so that it can be killed when
    /// it takes too long.
    ///
    /// # Errors
    /// Where nothing was started at all.
    pub fn start(
        &mut self,
        module: &str,
        args: &Term,
        mut options: StartOptions,
    ) -> Result<(Ref, Pid), StartError> {
        let reference = self.node.new_ref();
        options.parent = options.parent.or(Some(self.me()));
        options.ack = Some(ReplyTo { to: self.me(), reference });
        if options.operation == 0 {
            options.operation = self.operation;
        }
        self.burn(SPAWN_REDUCTIONS);
        let started = self.node.start_in(module, args, options, self.outbox, Some(self.process))?;
        self.process.core.lock().expect_fresh_reply(reference, started);
        Ok((reference, started))
    }

    /// Spawns a body under a description, with no handshake. Parent defaults to this process.
    ///
    /// # Errors
    /// Where it cannot live: a taken name, a full table.
    pub fn spawn(
        &mut self,
        description: &Arc<crate::module::Description>,
        body: Box<dyn crate::body::Body>,
        mut options: StartOptions,
    ) -> Result<ProcessRef, StartError> {
        options.parent = options.parent.or(Some(self.me()));
        self.burn(SPAWN_REDUCTIONS);
        self.node.spawn_in(description, body, options, self.outbox, Some(self.process))
    }

    // Time.

    /// `send_after`: sends `message` to `to` after this long, whether or not this process lives.
    pub fn send_after(&mut self, to: Pid, payload: Term, after: Duration) -> OwnedId {
        let message = Message::info(self.me(), payload).with_operation(self.operation);
        self.node.add_timer(TimerTarget::Process(to), message, after)
    }

    /// `start_timer` to itself: a [`Kind::Timeout`] with the timer's reference and this payload.
    pub fn start_timer(&mut self, payload: Term, after: Duration) -> OwnedId {
        let message = Message::of(Kind::Timeout, self.me(), payload);
        self.node.add_timer(TimerTarget::Process(self.me()), message, after)
    }

    /// Cancels a timer; gives the time that was left, or nothing if it had fired or never was.
    pub fn cancel_timer(&mut self, timer: OwnedId) -> Option<Duration> {
        self.node.cancel_timer(timer).map(|timer| timer.remaining)
    }

    // The process dictionary.

    /// `put/2`: sets an entry of the process dictionary and gives the old value.
    pub fn put(&mut self, key: Arc<str>, value: Term) -> Option<Term> {
        self.process.core.lock().extras_mut().dictionary.insert(key, value)
    }

    /// `get/1`.
    pub fn get(&self, key: &str) -> Option<Term> {
        self.process.core.lock().extras().and_then(|extras| extras.dictionary.get(key).cloned())
    }

    /// `erase/1`.
    pub fn erase(&mut self, key: &str) -> Option<Term> {
        self.process.core.lock().extras_mut().dictionary.remove(key)
    }

    // Giving way.

    /// Counts this many reductions as used.
    pub fn burn(&mut self, reductions: u32) {
        self.burned = self.burned.saturating_add(reductions);
    }

    /// Whether the body should give way now: its time is up, or it is to die, to pause or to be looked at.
    pub fn should_yield(&self) -> bool {
        self.burned.saturating_add(self.outbox.toll) >= self.budget || self.process.wants_attention()
    }
}
