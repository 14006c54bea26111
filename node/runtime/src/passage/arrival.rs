//! Arriving: a process is made with the state that it had elsewhere, and held until all else has come.

use super::{Bonds, Cargo, Luggage, Passage, PassageError};
use crate::core::{Core, Ready};
use crate::message::Message;
use crate::node::Node;
use crate::pid::Pid;
use crate::process::{Process, ProcessRef, flag, stage};
use crate::start::{StartError, StartOptions};
use crate::term::Term;
use crate::timer::{Due, TimerTarget};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

impl Node {
    /// Makes a process that is to come from another node; it does nothing until [`Node::arrive`].
    ///
    /// # Errors
    /// As [`Node::start_restored`].
    pub fn admit(&self, cargo: &Cargo, operation: u64) -> Result<ProcessRef, StartError> {
        let options = StartOptions {
            key: cargo.key.clone(),
            parent: cargo.parent.some(),
            child_id: cargo.child_id.clone(),
            incarnation: cargo.incarnation,
            memory_bytes_max: cargo.memory_bytes_max,
            mailbox: cargo.mailbox,
            operation,
            ..StartOptions::default()
        };
        self.restored(&cargo.module, &cargo.state, options, |process| {
            let mut core = process.core.lock();
            core.ready = Ready::No;
            let coming = Passage::Coming { former: cargo.former, tail: Vec::new() };
            core.set_passage(process, Some(coming));
        })
    }

    /// Takes messages that a process left behind, of which the first is its message number `offset`; gives how many have
    /// come. What has come before is not taken twice.
    ///
    /// # Errors
    /// If it is not alive, or comes no more.
    pub fn take_tail(&self, pid: Pid, offset: usize, messages: Vec<Message>) -> Result<usize, PassageError> {
        let process = self.process(pid).ok_or(PassageError::NoProcess(pid))?;
        self.with_core(&process.0, |core, _| match core.passage_mut() {
            Some(Passage::Coming { tail, .. }) => {
                // behind a gap they would be in another order
                if let Some(known) = tail.len().checked_sub(offset) {
                    tail.extend(messages.into_iter().skip(known));
                }
                Ok(tail.len())
            }
            _ => Err(PassageError::NotComing(pid)),
        })
    }

    /// All has come: the process goes on here. A second time nothing happens.
    ///
    /// # Errors
    /// If it is not alive, or is here in a later epoch.
    pub fn arrive(&self, luggage: Luggage) -> Result<(), PassageError> {
        let pid = luggage.pid;
        let process = self.process(pid).ok_or(PassageError::NoProcess(pid))?;
        self.skip_refs(luggage.refs);
        if let Some(former) = luggage.former.last().filter(|former| self.is_remote(**former)) {
            self.remote().ties.note(former.node, &process.0);
        }
        let timers = self.with_core(&process.0, |core, _| {
            if process.0.stage.load(Relaxed) != stage::COMING {
                let epoch = core.bonds().map_or(0, |bonds| bonds.epoch);
                return match epoch == luggage.epoch {
                    true => Ok(Vec::new()),
                    false if epoch > 0 => {
                        Err(PassageError::StaleEpoch { process: pid, epoch, given: luggage.epoch })
                    }
                    false => Err(PassageError::NotComing(pid)),
                };
            }
            Ok(core.unpack(&process.0, luggage, self))
        })?;
        for (number, left_ns, message) in timers {
            let number = if self.timers().get(number).is_none() { number } else { self.new_ref().number() };
            let due = Due::Message(TimerTarget::Process(pid), message);
            self.timers().add(self.now_ns().saturating_add(left_ns), number, due);
        }
        self.nudge(&process.0);
        Ok(())
    }

    /// Nothing will come for this process: it is not needed. One that has arrived, or came from elsewhere, stays.
    pub fn turn_away(&self, pid: Pid, from: Pid) {
        let Some(process) = self.process(pid) else { return };
        self.with_core(&process.0, |core, _| {
            if matches!(core.passage(), Some(Passage::Coming { former, .. }) if *former == from) {
                core.exiting = Some(Term::Atom("noconnection"));
            }
        });
    }

    /// Whether something is to come for this process still.
    pub fn is_coming(&self, pid: Pid) -> bool {
        self.process(pid).is_some_and(|process| process.0.stage.load(Relaxed) == stage::COMING)
    }
}

/// A timer: its number where it was, what was left of it, and its message.
pub(super) type Timer = (u64, u64, Message);

impl Core {
    /// Makes the process what it was; gives its timers.
    fn unpack(&mut self, process: &Process, luggage: Luggage, node: &Node) -> Vec<Timer> {
        let former = luggage.former.last().copied().unwrap_or_default();
        let mut bonds = Bonds { epoch: luggage.epoch, former: luggage.former, ..Bonds::default() };
        for to in luggage.links {
            self.add_link(to);
            bonds.links.insert(to, former);
        }
        for (reference, of) in luggage.monitors {
            self.add_monitor(reference, of);
            bonds.monitors.insert(reference, former);
        }
        for (reference, server) in luggage.pending {
            self.expect_reply(reference, server);
            bonds.monitors.insert(reference, former);
        }
        luggage.open_calls.into_iter().for_each(|call| self.open_call(call));
        self.add_watcher(former, luggage.way, None);
        if let Some((own_ns, left_ns)) = luggage.receive_ns {
            self.receive.timeout = Some(Duration::from_nanos(own_ns));
            self.deadline_ns = node.now_ns().saturating_add(left_ns).max(1);
        }
        process.set(flag::TRAP_EXIT, luggage.trap_exit);
        process.priority.store(luggage.priority as u8, Relaxed);
        process.turns.store(luggage.turns, Relaxed);
        let tail = match self.passage_mut() {
            Some(Passage::Coming { tail, .. }) => std::mem::take(tail),
            _ => Vec::new(),
        };
        self.set_passage(process, None);
        let extras = self.extras_mut();
        extras.labels = luggage.labels;
        extras.dictionary = luggage.dictionary;
        extras.group_leader = luggage.group_leader;
        extras.remote_names = luggage.watched_names;
        extras.bonds = Some(Box::new(bonds));
        // what came by the new pid meanwhile was sent after all this
        let since: Vec<Message> = self.inner.drain_all().collect();
        self.received = 0;
        for message in &tail {
            self.weigh_in(message);
        }
        tail.into_iter().chain(since).for_each(|message| self.push(message, node));
        luggage.timers
    }
}
