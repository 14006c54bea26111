//! What the end of a child leads to: nothing, a restart by the strategy, a debt while paused, or the supervisor's own
//! end.

use super::{Action, ChildState, Finish, Occurrence, OnFailure, Place, Plan, SupervisorCore, Task};
use crate::supervisor::history::Failure;
use crate::supervisor::request::SupervisorReply;
use crate::supervisor::spec::{AutoShutdown, Restart, Strategy};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};
use std::collections::VecDeque;
use std::time::Duration;

impl SupervisorCore {
    pub(super) fn exited(&mut self, pid: Pid, reason: Reason, now: Duration, actions: &mut Vec<Action>) {
        // A stranger that was linked, or a child that was stopped: nothing to do.
        let Some(place) = self.children.running(pid) else { return };
        let Some(child) = self.children.get(place) else { return };
        let (id, failed) = (self.shown_id(child), self.known_as(child));
        let (restart, significant) = (child.spec.restart, child.spec.significant);
        actions.push(Action::Publish(Occurrence::Exited { id: id.clone(), pid, reason: reason.clone() }));
        let again = match restart {
            Restart::Permanent => true,
            Restart::Transient => !reason.is_orderly(),
            Restart::Temporary => false,
        };
        if again {
            self.history.record(Failure { at: now, child: failed, reason });
            self.children.set_state(place, ChildState::Restarting(Some(pid)));
            self.restart_or_owe(place, now, actions);
        } else {
            self.settle(place);
            self.consider_auto_shutdown(id, significant, actions);
        }
    }

    pub(super) fn try_again(&mut self, place: Place, now: Duration, actions: &mut Vec<Action>) {
        let state = self.children.get(place).map(|child| child.state);
        // It may have been terminated, or restarted with others, meanwhile.
        if let Some(ChildState::Restarting(_)) = state {
            self.restart_or_owe(place, now, actions);
        }
    }

    /// Restarts the child there, which is [`ChildState::Restarting`].
    fn restart_or_owe(&mut self, place: Place, now: Duration, actions: &mut Vec<Action>) {
        let Some(child) = self.children.get(place) else { return };
        let id = self.shown_id(child);
        if self.is_paused() {
            let last_pid = child.state.last_pid();
            self.children.set_state(place, ChildState::Owed(last_pid));
            return actions.push(Action::Publish(Occurrence::Owed { id }));
        }
        self.restarts_total += 1;
        let too_many = self.window.add(now, self.flags.intensity, self.flags.period);
        let restarts = self.window.used(now, self.flags.period);
        if too_many {
            self.settle(place);
            actions.push(Action::Publish(Occurrence::Escalated { id, restarts }));
            self.terminate(Term::SHUTDOWN);
        } else {
            actions.push(Action::Publish(Occurrence::Restarting { id, restarts }));
            self.plan = self.restart_plan(place);
        }
    }

    /// The strategy: what is stopped, last started first, and what is started, in start order.
    fn restart_plan(&mut self, place: Place) -> Plan {
        let first = match self.flags.strategy {
            Strategy::OneForOne | Strategy::SimpleOneForOne => {
                return Plan::new([Task::Start(place)].into(), OnFailure::TryAgainAndGoOn);
            }
            Strategy::RestForOne => place,
            Strategy::OneForAll => Place(0),
        };
        // It is one of the group now, to be started in its turn, whichever of the group fails first.
        self.children.set_state(place, ChildState::Stopped);
        self.group_plan(first, OnFailure::TryAgain)
    }

    /// Stops and starts all from this place on.
    fn group_plan(&self, first: Place, on_failure: OnFailure) -> Plan {
        let stops = self.children.places_from(first).rev().map(Task::Stop);
        let starts = self.children.places_from(first).map(Task::Start);
        Plan::new(stops.chain(starts).collect(), on_failure)
    }

    fn consider_auto_shutdown(&mut self, id: Term, significant: bool, actions: &mut Vec<Action>) {
        let ends = significant
            && match self.flags.auto_shutdown {
                AutoShutdown::Never => false,
                AutoShutdown::AnySignificant => true,
                AutoShutdown::AllSignificant => self.children.significant_due() == 0,
            };
        if ends {
            actions.push(Action::Publish(Occurrence::AutoShutdown { id }));
            self.terminate(Term::SHUTDOWN);
        }
    }

    /// Restarts what is owed by the strategy. It costs no intensity: the supervisor was told to wait.
    pub(super) fn restart_owed(&mut self, actions: &mut Vec<Action>) -> Vec<Place> {
        let owed: Vec<Place> = self.owed_places().collect();
        actions.push(Action::Publish(Occurrence::Resumed { owed: owed.len() }));
        let Some(first) = owed.first() else { return owed };
        self.plan = match self.flags.strategy {
            Strategy::OneForOne | Strategy::SimpleOneForOne => {
                let starts = owed.iter().copied().map(Task::Start).collect();
                Plan::new(starts, self.on_failed_restart(OnFailure::TryAgain))
            }
            Strategy::RestForOne => self.group_plan(*first, OnFailure::TryAgain),
            Strategy::OneForAll => self.group_plan(Place(0), OnFailure::TryAgain),
        };
        owed
    }

    /// What the failure of one of many starts does: where children stand alone the others go on.
    fn on_failed_restart(&self, of_group: OnFailure) -> OnFailure {
        match self.flags.strategy {
            Strategy::OneForOne | Strategy::SimpleOneForOne => OnFailure::TryAgainAndGoOn,
            Strategy::RestForOne | Strategy::OneForAll => of_group,
        }
    }

    pub(super) fn owed_places(&self) -> impl Iterator<Item = Place> {
        self.children
            .iter()
            .filter(|(_, child)| matches!(child.state, ChildState::Owed(_)))
            .map(|(place, _)| place)
    }

    /// Stops the whole tree and starts it again; a dry run only lists it.
    pub(super) fn restart_all(
        &mut self,
        keep_history: bool,
        instances: bool,
        dry_run: bool,
    ) -> Option<SupervisorReply> {
        let again = !self.is_simple() || instances;
        if dry_run {
            let children = if again { self.all_children() } else { Vec::new() };
            return Some(SupervisorReply::Restarted(children));
        }
        if !keep_history {
            self.window.clear();
            self.history.clear();
        }
        let mut tasks: VecDeque<Task> = match (self.is_simple(), again) {
            (true, true) => [Task::HaltTogether(self.children.places().collect())].into(),
            (true, false) => self.stop_all(),
            (false, _) => self.children.places().rev().map(Task::Halt).collect(),
        };
        if again {
            tasks.extend(self.children.places().map(Task::Start));
        }
        self.plan = Plan::new(tasks, self.on_failed_restart(OnFailure::TryAgainAndReply));
        self.plan.then(Finish::ReplyRestarted);
        None
    }

    pub(super) fn stop(&mut self, reason: Reason) {
        self.plan = Plan::new(self.stop_all(), OnFailure::GiveUp);
        self.plan.then(Finish::Reply(Ok(SupervisorReply::Done)));
        self.plan.then(Finish::Exit(reason));
    }
}
