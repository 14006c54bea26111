//! Pauses: while anybody holds one, children that end are owed instead of restarted.

use super::{Action, Finish, Occurrence, SupervisorCore};
use crate::supervisor::request::{PauseHold, SupervisorReply};
use arsenal_runtime::term::Term;
use std::sync::Arc;
use std::time::Duration;

impl SupervisorCore {
    /// Whether restarts wait for a resume.
    pub fn is_paused(&self) -> bool {
        !self.holds.is_empty()
    }

    /// Who pauses it.
    pub fn holds(&self) -> &[PauseHold] {
        &self.holds
    }

    /// A hold of this holder, renewed if it has one: the new lease counts from now.
    pub(super) fn pause(
        &mut self,
        hold: Term,
        holder: Arc<str>,
        lease: Option<Duration>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> SupervisorReply {
        if !self.is_paused() {
            actions.push(Action::Publish(Occurrence::Paused));
        }
        self.lease += 1;
        if let Some(lease) = lease {
            actions.push(Action::Lease(self.lease, lease));
        }
        let expires = lease.map(|lease| now + lease);
        let number = self.lease;
        let hold = match self.holds.iter_mut().find(|hold| hold.holder == holder) {
            Some(old) => {
                (old.expires, old.number) = (expires, number);
                old.clone()
            }
            None => {
                self.holds.push(PauseHold { hold, holder, since: now, expires, number });
                self.holds[self.holds.len() - 1].clone()
            }
        };
        SupervisorReply::Paused { hold, holds: self.holds.clone() }
    }

    /// Ends this holder's hold. After the last one what is owed is restarted, and the answer comes after that.
    pub(super) fn resume(&mut self, holder: &str, actions: &mut Vec<Action>) -> Option<SupervisorReply> {
        let held = self.holds.len();
        self.holds.retain(|hold| &*hold.holder != holder);
        let resumed = self.holds.len() < held;
        if !resumed || self.is_paused() {
            return Some(SupervisorReply::Resumed {
                resumed,
                restarted: Vec::new(),
                holds: self.holds.clone(),
            });
        }
        let owed = self.restart_owed(actions);
        self.plan.then(Finish::ReplyResumed(owed));
        None
    }

    /// The lease of a hold has ended, unless it was renewed or resumed meanwhile.
    pub(super) fn lease_ended(&mut self, number: u64, actions: &mut Vec<Action>) {
        let held = self.holds.len();
        self.holds.retain(|hold| hold.number != number);
        if self.holds.len() < held && !self.is_paused() {
            self.restart_owed(actions);
        }
    }
}
