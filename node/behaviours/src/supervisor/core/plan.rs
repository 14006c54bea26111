//! Work in progress: the starts and stops that an event led to, done one after the other.

use super::{Action, ChildState, Occurrence, Place, StopChild, SupervisorCore};
use crate::supervisor::error::SupervisorError;
use crate::supervisor::request::{Outcome, SupervisorReply};
use crate::supervisor::spec::{ChildSpec, Restart};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};
use std::collections::VecDeque;
use std::sync::Arc;

/// Tasks still to do, and what a failed start does to them.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    tasks: VecDeque<Task>,
    on_failure: OnFailure,
    waiting: Waiting,
}

#[derive(Clone, Debug, Default)]
enum Waiting {
    /// For nothing: the next task can begin.
    #[default]
    No,
    /// For the start of the child there, which ran under this pid before.
    Start(Place, Option<Pid>),
    /// For the end of so many children.
    Stop { left: usize, after: AfterStop },
}

#[derive(Clone, Debug)]
pub(super) enum Task {
    /// Stops the child, if it runs, and settles it.
    Stop(Place),
    /// Stops the child, if it runs, and keeps it even if it is temporary or an instance.
    Halt(Place),
    /// As [`Task::Stop`], all at the same time.
    StopTogether(Vec<Place>),
    /// As [`Task::Halt`], all at the same time.
    HaltTogether(Vec<Place>),
    /// Gives the child another spec.
    Renew(Place, Arc<ChildSpec>),
    /// Starts the child, if it is still there and does not run.
    Start(Place),
    /// Ends the plan.
    Finish(Finish),
}

/// How a plan ends.
#[derive(Clone, Debug)]
pub(super) enum Finish {
    Acknowledge,
    Reply(Outcome),
    /// With the pid and id of the child there.
    ReplyStarted(Place),
    /// With the etag and pid of the child there; of the template if nothing.
    ReplyReplaced(Option<Place>),
    /// With all children.
    ReplyRestarted,
    /// With these children, which were owed.
    ReplyResumed(Vec<Place>),
    Exit(Reason),
}

/// What becomes of a child that was stopped.
#[derive(Clone, Copy, Debug)]
enum AfterStop {
    /// Temporary ones and instances go.
    Settle,
    Keep,
}

/// What a failed start does.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum OnFailure {
    /// Everything started is stopped again and the supervisor ends: its own start.
    #[default]
    GiveUp,
    /// The child is not kept, and the answer says why.
    Remove,
    /// The child stays down, and the answer says why.
    Reply,
    /// The child is tried again when it is its turn, the rest of the plan is dropped: a group needs its order.
    TryAgain,
    /// The same, and the answer says why.
    TryAgainAndReply,
    /// The child is tried again, the rest of the plan goes on: the children stand alone.
    TryAgainAndGoOn,
}

impl Plan {
    pub(super) fn new(tasks: VecDeque<Task>, on_failure: OnFailure) -> Self {
        Self { tasks, on_failure, waiting: Waiting::No }
    }

    pub(super) fn then(&mut self, finish: Finish) {
        self.tasks.push_back(Task::Finish(finish));
    }

    pub(super) fn is_waiting(&self) -> bool {
        !matches!(self.waiting, Waiting::No)
    }
}

impl SupervisorCore {
    /// Does what can be done without an answer, up to the first action that needs one.
    pub(super) fn advance(&mut self, actions: &mut Vec<Action>) {
        while !self.plan.is_waiting() {
            let Some(task) = self.plan.tasks.pop_front() else { return };
            match task {
                Task::Stop(place) => self.begin_stop(&[place], AfterStop::Settle, actions),
                Task::Halt(place) => self.begin_stop(&[place], AfterStop::Keep, actions),
                Task::StopTogether(places) => self.begin_stop(&places, AfterStop::Settle, actions),
                Task::HaltTogether(places) => self.begin_stop(&places, AfterStop::Keep, actions),
                Task::Renew(place, spec) => self.renew(place, &spec, actions),
                Task::Start(place) => self.begin_start(place, actions),
                Task::Finish(finish) => self.finish(finish, actions),
            }
        }
    }

    fn renew(&mut self, place: Place, spec: &Arc<ChildSpec>, actions: &mut Vec<Action>) {
        self.children.set_spec(place, spec);
        actions.push(Action::Publish(Occurrence::Changed));
    }

    fn begin_start(&mut self, place: Place, actions: &mut Vec<Action>) {
        // A temporary child is gone after a group's stop.
        let Some(child) = self.children.get(place) else { return };
        if child.state.pid().is_some() {
            return;
        }
        actions.push(Action::Start {
            spec: Arc::clone(&child.spec),
            args: child.start_args(),
            incarnation: child.incarnation + 1,
        });
        self.plan.waiting = Waiting::Start(place, child.state.last_pid());
        self.children.set_state(place, ChildState::Starting);
    }

    pub(super) fn started(&mut self, result: Result<Option<Pid>, Reason>, actions: &mut Vec<Action>) {
        let Waiting::Start(place, last_pid) = std::mem::take(&mut self.plan.waiting) else { return };
        match result {
            Ok(Some(pid)) => {
                self.children.set_state(place, ChildState::Running(pid));
                if let Some(child) = self.children.get(place) {
                    let (id, incarnation) = (self.shown_id(child), child.incarnation);
                    actions.push(Action::Publish(Occurrence::Started { id, pid, incarnation }));
                }
            }
            Ok(None) => self.settle(place),
            Err(reason) => self.start_failed(place, last_pid, reason, actions),
        }
    }

    fn start_failed(
        &mut self,
        place: Place,
        last_pid: Option<Pid>,
        reason: Reason,
        actions: &mut Vec<Action>,
    ) {
        let Some(child) = self.children.get(place) else { return };
        let (id, spec_id) = (self.shown_id(child), child.spec.id.clone());
        actions.push(Action::Publish(Occurrence::StartFailed { id, reason: reason.clone() }));
        let refused = |child, reason| Action::Reply(Err(SupervisorError::StartFailed { child, reason }));
        match self.plan.on_failure {
            OnFailure::GiveUp => {
                self.children.set_state(place, ChildState::Stopped);
                let failed = [Term::Atom("failed_to_start_child"), spec_id, reason].into();
                self.terminate(Term::tagged("shutdown", failed));
            }
            OnFailure::Remove => {
                self.children.remove(place);
                self.plan = Plan::default();
                // OTP names the spec of a child that was to be added, and not that of an instance.
                actions.push(refused((!self.is_simple()).then_some(spec_id), reason));
            }
            OnFailure::Reply => {
                self.children.set_state(place, ChildState::Stopped);
                self.plan = Plan::default();
                actions.push(refused(None, reason));
            }
            OnFailure::TryAgain => {
                // Who has asked is answered all the same.
                self.plan.tasks.retain(|task| matches!(task, Task::Finish(_)));
                self.try_again_later(place, last_pid, actions);
            }
            OnFailure::TryAgainAndReply => {
                self.plan = Plan::default();
                self.try_again_later(place, last_pid, actions);
                actions.push(refused(Some(spec_id), reason));
            }
            OnFailure::TryAgainAndGoOn => self.try_again_later(place, last_pid, actions),
        }
    }

    fn try_again_later(&mut self, place: Place, last_pid: Option<Pid>, actions: &mut Vec<Action>) {
        self.children.set_state(place, ChildState::Restarting(last_pid));
        actions.push(Action::TryAgain(place));
    }

    fn begin_stop(&mut self, places: &[Place], after: AfterStop, actions: &mut Vec<Action>) {
        let mut stops = Vec::with_capacity(places.len());
        for place in places {
            match self.children.get(*place) {
                None => {}
                Some(child) => match child.state.pid() {
                    Some(pid) => stops.push(StopChild { place: *place, pid, shutdown: child.spec.shutdown }),
                    None => self.after_stop(*place, after),
                },
            }
        }
        if !stops.is_empty() {
            self.plan.waiting = Waiting::Stop { left: stops.len(), after };
            actions.push(Action::Stop(stops));
        }
    }

    pub(super) fn stopped(&mut self, place: Place, reason: Reason, actions: &mut Vec<Action>) {
        let Waiting::Stop { left, after } = &mut self.plan.waiting else { return };
        let after = *after;
        *left -= 1;
        if *left == 0 {
            self.plan.waiting = Waiting::No;
        }
        if let Some(child) = self.children.get(place)
            && let Some(pid) = child.state.pid()
        {
            actions.push(Action::Publish(Occurrence::Stopped { id: self.shown_id(child), pid, reason }));
        }
        self.after_stop(place, after);
    }

    fn after_stop(&mut self, place: Place, after: AfterStop) {
        match after {
            AfterStop::Settle => self.settle(place),
            AfterStop::Keep => self.children.set_state(place, ChildState::Stopped),
        }
    }

    /// What stays of a child that is down for good: nothing of a temporary one or an instance, else its spec.
    pub(super) fn settle(&mut self, place: Place) {
        let Some(child) = self.children.get(place) else { return };
        if self.is_simple() || child.spec.restart == Restart::Temporary {
            self.children.remove(place);
        } else {
            self.children.set_state(place, ChildState::Stopped);
        }
    }

    fn finish(&mut self, finish: Finish, actions: &mut Vec<Action>) {
        let reply = |reply| Action::Reply(Ok(reply));
        let pid = |place: Place| self.children.get(place).and_then(|child| child.state.pid());
        actions.push(match finish {
            Finish::Acknowledge => Action::Acknowledge,
            Finish::Reply(outcome) => Action::Reply(outcome),
            Finish::ReplyStarted(place) => {
                let id = self.children.get(place).map_or(Term::UNDEFINED, |child| self.shown_id(child));
                reply(SupervisorReply::Started { pid: pid(place), id })
            }
            Finish::ReplyReplaced(place) => {
                let spec = match place {
                    Some(place) => self.children.get(place).map(|child| &child.spec),
                    None => self.template.as_ref(),
                };
                let etag = spec.map_or_else(String::new, |spec| spec.etag());
                reply(SupervisorReply::Replaced { etag, pid: place.and_then(pid) })
            }
            Finish::ReplyRestarted => reply(SupervisorReply::Restarted(self.all_children())),
            Finish::ReplyResumed(places) => {
                let owed = places.into_iter().filter_map(|place| self.children.get(place));
                let restarted = owed.map(|child| self.child_info(child)).collect();
                reply(SupervisorReply::Resumed { resumed: true, restarted })
            }
            Finish::Exit(reason) => Action::Exit(reason),
        });
    }
}
