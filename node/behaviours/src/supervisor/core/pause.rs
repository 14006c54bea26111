//! Pauses: while the supervisor is held, children that end are owed instead of restarted.
//!
//! Who holds it, and until when, is no matter of the core: holds are the runtime's, and the process tells of the first
//! and of the last one's end.

use super::{Action, Finish, Occurrence, SupervisorCore};
use crate::supervisor::request::SupervisorReply;

impl SupervisorCore {
    /// Whether restarts wait for a resume.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    pub(super) fn pause(&mut self, actions: &mut Vec<Action>) -> SupervisorReply {
        if !self.paused {
            self.paused = true;
            actions.push(Action::Publish(Occurrence::Paused));
        }
        SupervisorReply::Done
    }

    /// Restarts what is owed, and answers after that.
    pub(super) fn resume(&mut self, actions: &mut Vec<Action>) -> Option<SupervisorReply> {
        if !self.paused {
            return Some(SupervisorReply::Resumed { resumed: false, restarted: Vec::new() });
        }
        self.paused = false;
        let owed = self.restart_owed(actions);
        self.plan.then(Finish::ReplyResumed(owed));
        None
    }

    /// The last hold has ended though nobody asked here: its lease, its holder, or whoever released it.
    pub(super) fn unpaused(&mut self, actions: &mut Vec<Action>) {
        if self.paused {
            self.paused = false;
            self.restart_owed(actions);
        }
    }
}
