//! Acting for a process whose mailbox clients read, as those of a session: receiving, sending, answering, its lease.

use super::ControlError;
use crate::body::Filter;
use crate::message::{Kind, Message, ReplyTo, Signal};
use crate::node::Node;
use crate::pid::{OwnedId, Pid};
use crate::process::{ProcessRef, flag};
use crate::term::Term;
use std::sync::Arc;
use std::time::Duration;

impl Node {
    /// Marks a process as one whose mailbox clients read.
    pub fn open_mailbox(&self, pid: Pid) -> Arc<tokio::sync::Notify> {
        if let Some(process) = self.process(pid) {
            process.0.set(flag::SESSION, true);
        }
        let news = Arc::clone(&self.sessions().lock().entry(pid).or_default().news);
        if !self.is_alive(pid) {
            // its end, which takes the note away, may have been before this one was made
            self.sessions().lock().remove(&pid);
        }
        news
    }

    /// Processes whose mailbox clients read, in order.
    pub fn open_mailboxes(&self) -> Vec<Pid> {
        let mut pids: Vec<Pid> = self.sessions().lock().keys().copied().collect();
        pids.sort_unstable();
        pids
    }

    /// Notes whose session a process is, whose mailbox is open.
    pub fn set_session_owner(&self, pid: Pid, owner: &str) {
        if let Some(session) = self.sessions().lock().get_mut(&pid) {
            session.owner = owner.into();
        }
    }

    /// Whose session a process is; empty where nobody's was noted.
    pub fn session_owner(&self, pid: Pid) -> Arc<str> {
        self.sessions().lock().get(&pid).map(|session| Arc::clone(&session.owner)).unwrap_or_default()
    }

    /// Takes up to `max` messages that `filter` admits, oldest first: a receive by that process. Calls among them are
    /// open until they are answered with [`Node::reply_as`].
    ///
    /// # Errors
    /// If the process is not alive.
    pub fn receive_as(&self, pid: Pid, filter: &Filter, max: usize) -> Result<Vec<Message>, ControlError> {
        let process = self.live(pid)?;
        Ok(self.with_core(&process.0, |core, _| {
            let messages = core.inner.extract(max, |message| filter.admits(message));
            for message in &messages {
                core.note_taken(&process.0, message, self);
            }
            for call in messages.iter().filter(|message| message.kind == Kind::Call) {
                if let Some(call) = call.reply_to() {
                    core.open_call(call);
                }
            }
            messages
        }))
    }

    /// Sends a message as that process: a call made this way is answered into its mailbox.
    ///
    /// # Errors
    /// If the process is not alive.
    pub fn send_as(&self, from: Pid, to: Pid, mut message: Message) -> Result<(), ControlError> {
        let process = self.live(from)?;
        message.from = from;
        self.with_core(&process.0, |core, outbox| {
            if let (Kind::Call, Some(reference)) = (message.kind, message.reference) {
                core.expect_reply(reference, to);
            }
            outbox.send(self, to, Signal::Message(message));
        });
        Ok(())
    }

    /// Who waits for the answer to a call that the process received.
    pub fn caller_of(&self, pid: Pid, reference: OwnedId) -> Option<Pid> {
        let process = self.process(pid)?;
        let core = process.0.core.lock();
        let call = core.open_calls().iter().find(|call| Some(call.reference) == reference.reference());
        call.map(|call| call.to)
    }

    /// Answers a call that the process received; `false` if it is not open.
    ///
    /// # Errors
    /// If the process is not alive.
    pub fn reply_as(&self, pid: Pid, reference: OwnedId, reply: Term) -> Result<bool, ControlError> {
        let process = self.live(pid)?;
        Ok(self.with_core(&process.0, |core, outbox| {
            let open =
                core.open_calls().iter().find(|call| Some(call.reference) == reference.reference()).copied();
            if let Some(ReplyTo { to, reference }) = open {
                core.close_call(ReplyTo { to, reference });
                let message = Message::of(Kind::Reply, pid, reply).with_reference(reference);
                outbox.send(self, to, Signal::Message(message));
            }
            open.is_some()
        }))
    }

    /// Lets a process wait longer: until `timeout` from now exactly, or, where none is given, at least as long from now
    /// as it said itself. That is how a session's lease is renewed. Gives when it ends, in nanoseconds of the node's
    /// clock; nothing for a process that waits for ever.
    ///
    /// # Errors
    /// If the process is not alive.
    pub fn renew_receive(&self, pid: Pid, timeout: Option<Duration>) -> Result<Option<u64>, ControlError> {
        let process = self.live(pid)?;
        let until = |timeout: Duration| {
            let ns = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            self.now_ns().saturating_add(ns).max(1)
        };
        let deadline = self.with_core(&process.0, |core, _| {
            let own = until(core.receive.timeout?);
            core.deadline_ns = timeout.map_or(own.max(core.deadline_ns), until);
            Some(core.deadline_ns)
        });
        if deadline.is_some() {
            // the alarm is set when it goes idle again
            self.nudge(&process.0);
        }
        Ok(deadline)
    }

    /// When a process's waiting ends; nothing if it waits for ever or not at all.
    pub fn receive_deadline(&self, process: &ProcessRef) -> Option<u64> {
        Some(process.0.core.lock().deadline_ns).filter(|deadline| *deadline != 0)
    }

    /// How long a process waits for a message each time.
    pub fn receive_timeout(&self, process: &ProcessRef) -> Option<Duration> {
        process.0.core.lock().receive.timeout
    }
}
