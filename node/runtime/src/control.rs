//! What a client does in a process's name, or to it: links, monitors, flags, labels; and, in files of their own,
//! scheduling, timers, and what is done with a mailbox that clients read.
//!
//! Each is applied to the signal state of the process that acts, after all that has arrived there.

mod mailbox;
mod scheduling;
mod timers;

use crate::message::Signal;
use crate::node::Node;
use crate::pid::{OwnedId, Pid};
use crate::priority::Priority;
use crate::process::ProcessRef;
use crate::remote::{Address, Parcel};
use crate::term::Term;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Why a control had no effect.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ControlError {
    /// The process is not alive.
    #[error("process {0} is not alive")]
    NoProcess(Pid),
    /// There is no such scheduler.
    #[error("there is no scheduler {scheduler}; the node has schedulers 1 to {schedulers}")]
    NoScheduler {
        /// The one named, from 1.
        scheduler: u32,
        /// How many there are.
        schedulers: usize,
    },
    /// It is pinned to another one.
    #[error("process {process} is pinned to scheduler {scheduler}")]
    Pinned {
        /// The process.
        process: Pid,
        /// The scheduler, from 1.
        scheduler: u32,
    },
    /// Too many timers.
    #[error("the node has {0} timers pending, its maximum")]
    TooManyTimers(usize),
}

impl Node {
    fn live(&self, pid: Pid) -> Result<ProcessRef, ControlError> {
        self.process(pid).ok_or(ControlError::NoProcess(pid))
    }

    /// `link/1` by `from`. A dead `to` sends `from` an exit signal `noproc`.
    ///
    /// # Errors
    /// If `from` is not alive.
    pub fn link(&self, from: Pid, to: Pid) -> Result<(), ControlError> {
        if self.is_remote(from) && !self.is_remote(to) {
            self.link_from_afar(from, to);
            return Ok(());
        }
        let process = self.live(from)?;
        self.with_core(&process.0, |core, outbox| {
            if from != to && core.add_link(to) {
                outbox.send(self, to, Signal::Link { from });
            }
        });
        Ok(())
    }

    /// `unlink/1` by `from`.
    ///
    /// # Errors
    /// If `from` is not alive.
    pub fn unlink(&self, from: Pid, to: Pid) -> Result<(), ControlError> {
        if self.is_remote(from) && !self.is_remote(to) {
            self.unlink_from_afar(from, to);
            return Ok(());
        }
        let process = self.live(from)?;
        self.with_core(&process.0, |core, outbox| {
            if let Some((to, signal)) = core.unlink(from, to) {
                outbox.send(self, to, signal);
            }
        });
        Ok(())
    }

    /// `monitor/2` by `watcher`, of a pid or of a local name (which is what DOWN will name). A name that nobody holds
    /// fires at once with `noproc`.
    ///
    /// # Errors
    /// If `watcher` is not alive.
    pub fn monitor(
        &self,
        watcher: Pid,
        of: Option<Pid>,
        name: Option<&str>,
    ) -> Result<OwnedId, ControlError> {
        let object = name.map(|name| {
            let node = self.name();
            Box::new(Term::map([("name", Term::str(name)), ("node", Term::str(Arc::clone(node)))]))
        });
        // a name that nobody holds: a pid that is never alive stands for it
        let target = of.unwrap_or(Pid::new(self.id(), self.incarnation(), 0));
        if self.is_remote(watcher) && !self.is_remote(target) {
            return Ok(self.monitor_from_afar(watcher, target, object));
        }
        let process = self.live(watcher)?;
        let reference = self.new_ref();
        self.with_core(&process.0, |core, outbox| {
            // as in OTP a process that monitors itself gets a reference of nothing: no DOWN could ever reach it
            if of == Some(watcher) {
                return;
            }
            core.add_monitor(reference, target);
            outbox.send(self, target, Signal::Monitor { watcher, reference, name: object });
        });
        Ok(self.owned(b'm', reference.number()))
    }

    /// `monitor/2` by `watcher` of `{Name, Node}`: of whoever has that local name on another node.
    ///
    /// # Errors
    /// If `watcher` is not alive.
    pub fn monitor_name_on(&self, watcher: Pid, node: u32, name: &str) -> Result<OwnedId, ControlError> {
        let process = self.live(watcher)?;
        let reference = self.new_ref();
        let object = Term::map([("name", Term::str(name)), ("node", Term::str(format!("n{node}")))]);
        let to = Address::Name { node, name: name.into() };
        self.with_core(&process.0, |core, outbox| {
            core.add_monitor(reference, to.stand_in());
            core.extras_mut().remote_names.insert(reference, object.clone());
            let signal = Signal::Monitor { watcher, reference, name: Some(Box::new(object)) };
            outbox.leave(self, Parcel::new(to, signal));
        });
        Ok(self.owned(b'm', reference.number()))
    }

    /// `demonitor/2` by `watcher`, of a process or a group. `flush` removes a DOWN that waits in the mailbox. Tells
    /// whether the monitor was still there (`info`).
    ///
    /// # Errors
    /// If `watcher` is not alive.
    pub fn demonitor(&self, watcher: Pid, monitor: OwnedId, flush: bool) -> Result<bool, ControlError> {
        let process = self.live(watcher)?;
        let Some(reference) = monitor.reference() else { return Ok(false) };
        if self.watchers().unwatch(reference) {
            return Ok(true);
        }
        Ok(self.with_core(&process.0, |core, outbox| {
            let told = core.demonitor(watcher, reference);
            let was_there = told.is_some();
            core.forget_watched_name(reference);
            if let Some((to, signal)) = told {
                outbox.send(self, to, signal);
            }
            if flush {
                core.inner.remove_down(reference);
            }
            was_there
        }))
    }

    /// The process that holds this monitor, if it is one of a process on this node.
    pub fn monitor_owner(&self, monitor: OwnedId) -> Option<Pid> {
        let reference = monitor.reference()?;
        let mut owner = None;
        self.table().visit(0, |process| {
            if process.core.lock().monitors().any(|(held, _)| held == reference) {
                owner = Some(process.pid);
            }
            owner.is_none()
        });
        owner.or_else(|| self.watchers().owner(reference))
    }

    /// `process_flag(trap_exit, value)`; gives the old value.
    ///
    /// # Errors
    /// If the process is not alive.
    pub fn set_trap_exit(&self, pid: Pid, value: bool) -> Result<bool, ControlError> {
        let process = self.live(pid)?;
        Ok(self.with_core(&process.0, |_, _| process.0.set_trap_exit(value)))
    }

    /// `process_flag(priority, value)`; gives the old value. From its next turn on.
    ///
    /// # Errors
    /// If the process is not alive.
    pub fn set_priority(&self, pid: Pid, priority: Priority) -> Result<Priority, ControlError> {
        let process = self.live(pid)?;
        Ok(Priority::from_u8(process.0.priority.swap(priority as u8, Relaxed)))
    }

    /// `group_leader/2`; gives the old one.
    ///
    /// # Errors
    /// If the process is not alive.
    pub fn set_group_leader(&self, pid: Pid, leader: Option<Pid>) -> Result<Option<Pid>, ControlError> {
        let process = self.live(pid)?;
        Ok(self
            .with_core(&process.0, |core, _| std::mem::replace(&mut core.extras_mut().group_leader, leader)))
    }

    /// Sets labels; an empty value removes one. Gives what it has then.
    ///
    /// # Errors
    /// If the process is not alive.
    pub fn update_labels(
        &self,
        pid: Pid,
        changes: impl IntoIterator<Item = (Arc<str>, Option<Arc<str>>)>,
    ) -> Result<BTreeMap<Arc<str>, Arc<str>>, ControlError> {
        let process = self.live(pid)?;
        Ok(self.with_core(&process.0, |core, _| {
            let labels = &mut core.extras_mut().labels;
            for (key, value) in changes {
                match value {
                    Some(value) => labels.insert(key, value),
                    None => labels.remove(&key),
                };
            }
            labels.clone()
        }))
    }

    /// Replaces labels by these.
    ///
    /// # Errors
    /// If the process is not alive.
    pub fn replace_labels(&self, pid: Pid, labels: BTreeMap<Arc<str>, Arc<str>>) -> Result<(), ControlError> {
        let process = self.live(pid)?;
        self.with_core(&process.0, |core, _| core.extras_mut().labels = labels);
        Ok(())
    }
}
