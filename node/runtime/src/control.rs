//! What a client does in a process's name, or to it: links, monitors, flags, scheduling, timers, receiving.
//!
//! Each is applied to the signal state of the process that acts, after all that has arrived there.

use crate::body::Filter;
use crate::message::{Kind, Message, ReplyTo, Signal};
use crate::node::Node;
use crate::pid::{OwnedId, Pid};
use crate::priority::Priority;
use crate::process::{ProcessRef, UNPINNED, flag};
use crate::remote::{Address, Parcel};
use crate::term::Term;
use crate::timer::{Due, TimerInfo, TimerTarget};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

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

    // Scheduling. Schedulers are numbered from 1, as on BEAM.

    fn scheduler_index(&self, scheduler: u32) -> Result<u16, ControlError> {
        let schedulers = self.schedulers().len();
        let index = scheduler.checked_sub(1).filter(|index| (*index as usize) < schedulers);
        index
            .and_then(|index| u16::try_from(index).ok())
            .ok_or(ControlError::NoScheduler { scheduler, schedulers })
    }

    /// Moves a process to another scheduler's run queue, once.
    ///
    /// # Errors
    /// A dead process, an unknown scheduler, one pinned elsewhere.
    pub fn migrate(&self, pid: Pid, scheduler: u32) -> Result<(), ControlError> {
        let process = self.live(pid)?;
        let index = self.scheduler_index(scheduler)?;
        let pinned = process.0.pinned.load(Relaxed);
        if pinned != UNPINNED && pinned != index {
            return Err(ControlError::Pinned { process: pid, scheduler: u32::from(pinned) + 1 });
        }
        process.0.home.store(index, Relaxed);
        process.0.moving.store(true, Relaxed);
        self.nudge(&process.0);
        Ok(())
    }

    /// From its next turn on only that scheduler runs the process.
    ///
    /// # Errors
    /// A dead process, an unknown scheduler.
    pub fn pin(&self, pid: Pid, scheduler: u32) -> Result<(), ControlError> {
        let process = self.live(pid)?;
        let index = self.scheduler_index(scheduler)?;
        process.0.pinned.store(index, Relaxed);
        self.nudge(&process.0);
        Ok(())
    }

    /// Undoes [`Node::pin`]; whether it was pinned.
    ///
    /// # Errors
    /// If the process is not alive.
    pub fn unpin(&self, pid: Pid) -> Result<bool, ControlError> {
        let process = self.live(pid)?;
        Ok(process.0.pinned.swap(UNPINNED, Relaxed) != UNPINNED)
    }

    // Timers.

    pub(crate) fn add_timer(&self, target: TimerTarget, mut message: Message, after: Duration) -> OwnedId {
        let number = self.new_ref().number();
        let id = self.owned(b't', number);
        if message.kind == Kind::Timeout {
            message.reference = id.reference();
        }
        let due = self.now_ns().saturating_add(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX));
        self.timers().add(due, number, Due::Message(target, message));
        id
    }

    /// `send_after` and `start_timer` (a message of [`Kind::Timeout`]) from outside.
    ///
    /// # Errors
    /// If too many are pending.
    pub fn start_timer(
        &self,
        target: TimerTarget,
        message: Message,
        after: Duration,
    ) -> Result<OwnedId, ControlError> {
        if self.timers().is_full() {
            return Err(ControlError::TooManyTimers(self.limits().timers_max));
        }
        Ok(self.add_timer(target, message, after))
    }

    fn timer_info(
        &self,
        id: OwnedId,
        (due_ns, target, message): (u64, TimerTarget, Message),
    ) -> Option<TimerInfo> {
        if let TimerTarget::Process(pid) = target
            && self.is_local(pid)
            && !self.is_alive(pid)
        {
            return None;
        }
        let remaining = Duration::from_nanos(due_ns.saturating_sub(self.now_ns()));
        Some(TimerInfo { id, target, message, due_ns, remaining })
    }

    /// Cancels a timer; what it was and how long was left, or nothing if it has fired, ended or never was.
    pub fn cancel_timer(&self, id: OwnedId) -> Option<TimerInfo> {
        let timer = self.timers().cancel(id.number())?;
        self.timer_info(id, timer)
    }

    /// `read_timer`.
    pub fn timer(&self, id: OwnedId) -> Option<TimerInfo> {
        let timer = self.timers().get(id.number())?;
        self.timer_info(id, timer)
    }

    /// Pending timers, by due time.
    pub fn pending_timers(&self) -> Vec<TimerInfo> {
        let timers = self.timers().list().into_iter();
        timers
            .filter_map(|(due, number, target, message)| {
                self.timer_info(self.owned(b't', number), (due, target, message))
            })
            .collect()
    }

    /// Pending timers of `send_after` and `start_timer`.
    pub fn timer_count(&self) -> usize {
        self.timers().len()
    }

    pub(crate) fn fire_timer(&self, to: Pid, message: Message) {
        self.send_signal(to, Signal::Message(message));
    }

    pub(crate) fn set_alarm(&self, pid: Pid, due_ns: u64) {
        self.timers().add(due_ns, self.new_ref().number(), Due::Alarm(pid));
    }

    // Acting for a session's process.

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

    /// Replaces labels by these.
    ///
    /// # Errors
    /// If the process is not alive.
    pub fn replace_labels(&self, pid: Pid, labels: BTreeMap<Arc<str>, Arc<str>>) -> Result<(), ControlError> {
        let process = self.live(pid)?;
        self.with_core(&process.0, |core, _| core.extras_mut().labels = labels);
        Ok(())
    }

    /// Whether no turn of the process is running, so that what holds it holds it already and all that it used is
    /// counted.
    pub fn is_between_turns(&self, process: &ProcessRef) -> bool {
        let serial = process.pid().serial;
        let runs =
            self.schedulers().shared.iter().any(|shared| shared.counters.current.load(Relaxed) == serial);
        !runs && self.between_turns(process, |_| ()).is_some()
    }
}
