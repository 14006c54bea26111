//! Timers: messages that are sent later, and the alarms of processes that wait for a time.

use super::ControlError;
use crate::message::{Kind, Message, Signal};
use crate::node::Node;
use crate::pid::{OwnedId, Pid};
use crate::timer::{Due, TimerInfo, TimerTarget};
use std::time::Duration;

impl Node {
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
}
