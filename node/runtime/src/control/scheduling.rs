//! Where a process runs. Schedulers are numbered from 1, as on BEAM.

use super::ControlError;
use crate::node::Node;
use crate::pid::Pid;
use crate::process::{ProcessRef, UNPINNED};
use std::sync::atomic::Ordering::Relaxed;

impl Node {
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

    /// Whether no turn of the process is running, so that what holds it holds it already and all that it used is
    /// counted.
    pub fn is_between_turns(&self, process: &ProcessRef) -> bool {
        let serial = process.pid().serial;
        let runs =
            self.schedulers().shared.iter().any(|shared| shared.counters.current.load(Relaxed) == serial);
        !runs && self.between_turns(process, |_| ()).is_some()
    }
}
