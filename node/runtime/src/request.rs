//! What comes from outside: messages, calls, system requests, exit signals. Everything is a signal; what needs an
//! answer waits under an alias.

use crate::alias::{Answer, Waiting};
use crate::dead_letters::DeadLetterReason;
use crate::message::{Kind, Message, Signal};
use crate::node::Node;
use crate::pid::Pid;
use crate::process::{Process, ProcessRef};
use crate::registry::RegistryError;
use crate::remote::{Address, Carried};
use crate::term::{Reason, Term};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Why a request from outside was not answered.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CallError {
    /// No such process, or none any more.
    #[error("process {0} is not alive")]
    NoProcess(Pid),
    /// It ended, or the request was taken out of its mailbox, before it answered.
    #[error("process {process} ended before it answered: {reason}")]
    Died {
        /// The process asked.
        process: Pid,
        /// Why it ended.
        reason: Reason,
    },
    /// No answer in time. A late one is dropped.
    #[error("process {process} did not answer within {timeout:?}")]
    Timeout {
        /// The process asked.
        process: Pid,
        /// How long was waited.
        timeout: Duration,
    },
    /// There is no way to its node: nothing was sent.
    #[error("process {0} is on a node that cannot be reached")]
    NoConnection(Pid),
    /// Its mailbox, or the way to it, is full.
    #[error("the mailbox of {0} is full")]
    MailboxFull(Pid),
    /// It is on another node, and a signal to one may not have so many bytes.
    #[error("the message has more bytes than one to process {0} of another node may have")]
    TooBig(Pid),
    /// The node has too many requests waiting.
    #[error("the node waits for {0} answers, its maximum")]
    TooManyRequests(usize),
    /// It lacks a hook.
    #[error("process {process} has no `{hook}` hook")]
    NoHook {
        /// The process asked.
        process: Pid,
        /// What it lacks.
        hook: String,
    },
    /// No quorum.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Whether a message reached a mailbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It did.
    Delivered,
    /// The process is dead.
    NoProcess,
    /// The mailbox, or the way to its node, is full; the message is among the dead letters.
    MailboxFull,
    /// It has more bytes than a message to another node may have; it is among the dead letters.
    TooBig,
    /// There is no way to its node.
    NoConnection,
}

impl Node {
    /// Sends a message. To a dead process it is lost, as in Erlang, and a dead letter.
    pub fn send(&self, to: Pid, message: Message) -> Sent {
        match self.process(to) {
            Some(process) => {
                let sent = self.send_if_alive(&process, message);
                sent.unwrap_or_else(|message| self.no_process(to, message))
            }
            None if self.is_remote(to) => match self.send_away(Address::Pid(to), message) {
                Carried::Sent | Carried::Crowded(_) => Sent::Delivered,
                Carried::Full(_) => Sent::MailboxFull,
                Carried::TooBig => Sent::TooBig,
                Carried::NoConnection => Sent::NoConnection,
            },
            None => self.no_process(to, message),
        }
    }

    /// Nobody has that pid any more; one of a former life of this node is dead for certain too.
    fn no_process(&self, to: Pid, message: Message) -> Sent {
        if message.kind.is_one_way() {
            self.lost(to, [message], DeadLetterReason::DeadProcess);
        }
        Sent::NoProcess
    }

    /// Sends a message to a process at hand; to one that has ended it is no dead letter, as the caller still knows what
    /// it had to say.
    pub fn send_to(&self, to: &ProcessRef, message: Message) -> Sent {
        self.send_if_alive(to, message).unwrap_or(Sent::NoProcess)
    }

    fn send_if_alive(&self, to: &ProcessRef, mut message: Message) -> Result<Sent, Message> {
        if to.0.is_dead() {
            return Err(message);
        }
        if let Some(observer) = self.turn_observer().get() {
            message.operation = observer.sending(self, message.operation);
        }
        let full = self.has_no_room(to, &message);
        self.send_to_process(&to.0, Signal::Message(message));
        Ok(if full { Sent::MailboxFull } else { Sent::Delivered })
    }

    /// `gen_server:call`: sends `request` and waits for the answer, for `timeout` at most. Dropping the future gives
    /// the call up.
    ///
    /// # Errors
    /// As [`CallError`] says.
    pub async fn call(
        &self,
        to: Pid,
        request: Term,
        timeout: Option<Duration>,
        operation: u64,
    ) -> Result<Term, CallError> {
        self.request(to, Message::of(Kind::Call, Pid::NONE, request).with_operation(operation), timeout).await
    }

    /// A system request (`sys`), handled between two turns.
    ///
    /// # Errors
    /// As [`CallError`] says; a hook that the process lacks is [`CallError::NoHook`].
    pub async fn system_request(
        &self,
        to: Pid,
        request: Term,
        timeout: Option<Duration>,
    ) -> Result<Term, CallError> {
        let reply = self.request(to, Message::of(Kind::System, Pid::NONE, request), timeout).await?;
        match reply.as_list() {
            Some([tag, error]) if tag.is("error") => match error.as_list() {
                Some([tag, hook]) if tag.is("no_hook") => {
                    let hook = hook.as_str().unwrap_or_default().to_owned();
                    Err(CallError::NoHook { process: to, hook })
                }
                _ => Err(CallError::Died { process: to, reason: error.clone() }),
            },
            _ => Ok(reply),
        }
    }

    /// Sends a message of any kind with a reply address of its own and waits for the answer.
    ///
    /// # Errors
    /// As [`CallError`] says.
    pub async fn request(
        &self,
        to: Pid,
        mut message: Message,
        timeout: Option<Duration>,
    ) -> Result<Term, CallError> {
        let process = self.process(to);
        if process.is_none() && !self.is_remote(to) {
            return Err(CallError::NoProcess(to));
        }
        let waiting = self.aliases().open(self, to);
        let mut waiting = waiting.ok_or(CallError::TooManyRequests(self.limits().waiting_requests_max))?;
        if message.from.is_none() {
            message.from = waiting.alias;
        }
        message.from = waiting.alias;
        message.reference = Some(waiting.reference);
        let sent = match process {
            Some(process) => self.send_to(&process, message),
            None => self.send(to, message),
        };
        match sent {
            Sent::Delivered => {}
            Sent::NoConnection => return Err(CallError::NoConnection(to)),
            Sent::NoProcess => return Err(CallError::NoProcess(to)),
            Sent::MailboxFull => return Err(CallError::MailboxFull(to)),
            Sent::TooBig => return Err(CallError::TooBig(to)),
        }
        self.answer_of(&mut waiting, to, timeout).await
    }

    /// `gen_server:call` of `{Name, Node}`: of whoever has that local name on a node. Gives who answered, and the answer.
    ///
    /// # Errors
    /// As [`CallError`] says, with the pid of nobody on that node.
    pub async fn call_on(
        &self,
        node: u32,
        name: &str,
        request: Term,
        timeout: Option<Duration>,
        operation: u64,
    ) -> Result<(Pid, Term), CallError> {
        let to = Address::Name { node, name: name.into() };
        let nobody = to.stand_in();
        if node == self.id() {
            let pid = self.whereis(name).ok_or(CallError::NoProcess(nobody))?;
            return self.call(pid, request, timeout, operation).await.map(|reply| (pid, reply));
        }
        let waiting = self.aliases().open(self, nobody);
        let mut waiting = waiting.ok_or(CallError::TooManyRequests(self.limits().waiting_requests_max))?;
        let message = Message::of(Kind::Call, waiting.alias, request).with_reference(waiting.reference);
        match self.send_away(to, message) {
            Carried::Sent | Carried::Crowded(_) => {}
            Carried::Full(_) => return Err(CallError::MailboxFull(nobody)),
            Carried::TooBig => return Err(CallError::TooBig(nobody)),
            Carried::NoConnection => return Err(CallError::NoConnection(nobody)),
        }
        let reply = self.answer_of(&mut waiting, nobody, timeout).await?;
        Ok((waiting.replier(), reply))
    }

    async fn answer_of(
        &self,
        waiting: &mut Waiting<'_>,
        to: Pid,
        timeout: Option<Duration>,
    ) -> Result<Term, CallError> {
        let answer = match timeout {
            Some(timeout) => self
                .sleep_or(timeout, waiting.answer())
                .await
                .ok_or(CallError::Timeout { process: to, timeout })?,
            None => waiting.answer().await,
        };
        match answer {
            Answer::Reply(reply) => Ok(reply),
            Answer::Down(reason) if reason.is("noproc") => Err(CallError::NoProcess(to)),
            Answer::Down(reason) => Err(CallError::Died { process: to, reason }),
        }
    }

    /// Waits until a process has ended; gives why. At once, with `noproc`, if it is not alive.
    pub async fn await_exit(&self, pid: Pid) -> Reason {
        let Some(waiting) = self.aliases().open(self, pid) else { return Term::Atom("system_limit") };
        let mut waiting = waiting;
        let monitor = Signal::Monitor { watcher: waiting.alias, reference: waiting.reference, name: None };
        self.send_signal(pid, monitor);
        match waiting.answer().await {
            Answer::Down(reason) => reason,
            Answer::Reply(_) => Term::NOPROC,
        }
    }

    /// `exit/2`, from `from` ([`Pid::NONE`] for nobody).
    pub fn exit(&self, from: Pid, to: Pid, reason: Reason) {
        self.exit_by(from, to, reason, 0);
    }

    /// As [`Node::exit`], caused by this operation: a process that ends of it has it in its exit record.
    pub fn exit_by(&self, from: Pid, to: Pid, reason: Reason, operation: u64) {
        let signal = if reason.is("kill") {
            Signal::Kill { from, reason: Term::KILLED }
        } else {
            Signal::Exit { from, reason }
        };
        self.end_by(to, signal, operation);
    }

    /// Asks a process to end in order: one with a behaviour runs its terminate callback (`sys:terminate`), a plain one
    /// gets an exit signal.
    pub fn shut_down(&self, to: Pid, reason: Reason) {
        let Some(process) = self.process(to) else { return };
        match process.0.code.description.behaviour {
            crate::module::Behaviour::Plain => self.exit(Pid::NONE, to, reason),
            _ => {
                let request = Term::tagged(crate::system::request::TERMINATE, reason);
                self.send_to(&process, Message::of(Kind::System, Pid::NONE, request));
            }
        }
    }

    /// Ends a process whatever it traps, at its next preemption point; those linked to it see `reason`.
    pub fn kill(&self, to: Pid, reason: Reason) {
        self.kill_by(to, reason, 0);
    }

    /// As [`Node::kill`], caused by this operation.
    pub fn kill_by(&self, to: Pid, reason: Reason, operation: u64) {
        self.end_by(to, Signal::Kill { from: Pid::NONE, reason }, operation);
    }

    fn end_by(&self, to: Pid, signal: Signal, operation: u64) {
        match self.process(to) {
            Some(process) if operation != 0 => self.with_core(&process.0, |core, outbox| {
                if core.exiting.is_some() {
                    return;
                }
                core.apply(&process.0, signal, self, outbox);
                if core.exiting.is_some() {
                    core.extras_mut().ending_operation = operation;
                }
            }),
            _ => self.send_signal(to, signal),
        }
    }

    /// The process has to look at its mailbox: a receive timeout may be due.
    pub(crate) fn alarm(&self, pid: Pid) {
        if let Some(process) = self.process(pid) {
            process.0.core.lock().alarm_ns = 0;
            process.0.set(crate::process::flag::TIMER_FIRED, true);
            self.nudge(&process.0);
        }
    }

    /// The result of a blocking piece of work.
    pub(crate) fn unblock(&self, pid: Pid, result: Term) {
        if let Some(process) = self.process(pid) {
            process.0.core.lock().ready = crate::core::Ready::Unblocked(result);
            self.nudge(&process.0);
        }
    }

    /// A client that waits for a session's messages is told that there are some.
    pub(crate) fn tell_session(&self, pid: Pid) {
        if let Some(session) = self.sessions().lock().get(&pid) {
            session.news.notify_waiters();
        }
    }

    /// Reductions that a process has used.
    pub fn reductions(&self, process: &ProcessRef) -> u64 {
        process.0.reductions.load(Relaxed)
    }

    /// Looks at and changes a process's signal state, what has arrived applied first.
    pub(crate) fn with_core<R>(
        &self,
        process: &Arc<Process>,
        work: impl FnOnce(&mut crate::core::Core, &mut crate::outbox::Outbox) -> R,
    ) -> R {
        self.with_outbox(|outbox| {
            let mut core = process.core.lock();
            let mut signals = Vec::new();
            process.inbound.lock().take_all(process, &mut signals);
            let arrived = !signals.is_empty();
            core.apply_all(process, &mut signals, self, outbox);
            let waited = core.inner.len();
            let result = work(&mut core, outbox);
            process.queue_len.store(core.inner.len() as u32, Relaxed);
            let look = arrived || core.exiting.is_some() || core.inner.len() > waited;
            drop(core);
            if look {
                self.nudge(process);
            }
            result
        })
    }
}
