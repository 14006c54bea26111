//! The dry run: the supervisor's own core on a virtual clock, where children start and stop at once.
//!
//! It touches no process. What it prints is what the live tree does when the same failures are injected, as far as no
//! init fails and no child takes its time.

use super::core::{Action, ChildState, Event, Occurrence, SupervisorCore};
use super::error::SupervisorError;
use super::model::SupervisorModel;
use super::request::{FlagChanges, SupervisorRequest};
use super::spec::Strategy;
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};
use std::collections::VecDeque;
use std::time::Duration;

/// A failure to inject.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedFailure {
    /// When, counted from the moment of the model.
    pub after: Duration,
    /// Which child: its id, or the pid that an instance has in the model.
    pub child: Term,
    /// Why it ends.
    pub reason: Reason,
}

/// What happens in a dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimelineEvent {
    /// The injected failure.
    Failed,
    /// The failure found no running child of that id, and did nothing.
    NotRunning,
    /// Its failure is answered with a restart.
    Restarting,
    /// It was stopped by the supervisor.
    Stopped,
    /// It runs again.
    Started,
    /// Its restart waits for a resume.
    Owed,
    /// One restart too many: the supervisor stops its children and ends.
    Escalated,
    /// A significant child's end: the supervisor stops its children and ends.
    AutoShutdown,
}

impl TimelineEvent {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::NotRunning => "not_running",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
            Self::Started => "started",
            Self::Owed => "owed",
            Self::Escalated => "escalated",
            Self::AutoShutdown => "auto_shutdown",
        }
    }
}

/// A line of a dry run.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineEntry {
    /// When, counted from the moment of the model.
    pub after: Duration,
    /// What.
    pub event: TimelineEvent,
    /// To which child.
    pub child: Term,
    /// The reason of an end.
    pub reason: Option<Reason>,
    /// Which start of the child this was, counted from the moment of the model: its incarnation in the model and more.
    pub incarnation: Option<u32>,
    /// Restarts within the period.
    pub restarts: Option<usize>,
}

/// What a dry run comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// What happened, in order.
    pub entries: Vec<TimelineEntry>,
    /// The reason with which the supervisor ended, if it did.
    pub ended: Option<Reason>,
}

/// Runs the failures through the supervisor's own decisions, with its flags or others.
///
/// # Errors
/// Flags that the supervisor would refuse.
pub fn simulate(
    model: SupervisorModel,
    changes: FlagChanges,
    failures: &[TimedFailure],
) -> Result<Timeline, SupervisorError> {
    let mut simulation = Simulation::new(model, changes)?;
    let mut failures: Vec<_> = failures.iter().collect();
    failures.sort_by_key(|failure| failure.after);
    for failure in failures {
        if simulation.ended.is_none() {
            simulation.inject(failure);
        }
    }
    Ok(Timeline { entries: simulation.entries, ended: simulation.ended })
}

/// A supervisor whose children are only numbers.
#[derive(Clone, Debug)]
pub(super) struct Simulation {
    core: SupervisorCore,
    /// The moment of the model, on the node's clock.
    origin: Duration,
    /// Starts so far, for pids that no process has.
    starts: u64,
    pub(super) entries: Vec<TimelineEntry>,
    pub(super) ended: Option<Reason>,
    /// Events that the core's actions lead to.
    pending: VecDeque<Event>,
    after: Duration,
    incarnations: std::collections::HashMap<String, u32>,
}

impl Simulation {
    pub(super) fn new(model: SupervisorModel, changes: FlagChanges) -> Result<Self, SupervisorError> {
        let origin = model.now;
        let incarnations = model.children.iter().map(|c| (c.spec.id.to_string(), c.incarnation)).collect();
        let mut simulation = Self {
            core: SupervisorCore::from_model(model),
            origin,
            starts: 0,
            entries: Vec::new(),
            ended: None,
            pending: VecDeque::new(),
            after: Duration::ZERO,
            incarnations,
        };
        simulation.ask(SupervisorRequest::SetFlags { changes, etag: None })?;
        if simulation.core.flags().strategy == Strategy::SimpleOneForOne {
            // Instances stand alone just so, and can be told apart by the pids that they have now.
            simulation.ask(SupervisorRequest::Convert(Strategy::OneForOne))?;
        }
        Ok(simulation)
    }

    fn ask(&mut self, request: SupervisorRequest) -> Result<(), SupervisorError> {
        for action in self.core.step(Event::Request(Box::new(request)), self.origin) {
            if let Action::Reply(Err(error)) = action {
                return Err(error);
            }
        }
        Ok(())
    }

    pub(super) fn inject(&mut self, failure: &TimedFailure) {
        self.after = failure.after;
        let place = self.core.children().by_id(&failure.child);
        let child = place.and_then(|place| self.core.children().get(place));
        let Some(pid) = child.and_then(|child| child.state.pid()) else {
            return self.note(TimelineEvent::NotRunning, failure.child.clone(), None);
        };
        self.pending.push_back(Event::Exited { pid, reason: failure.reason.clone() });
        while let Some(event) = self.pending.pop_front() {
            for action in self.core.step(event, self.origin + self.after) {
                self.perform(action);
            }
        }
        let state = place.and_then(|place| self.core.children().get(place)).map(|child| child.state);
        if let Some(ChildState::Owed(_)) = state {
            self.note(TimelineEvent::Owed, failure.child.clone(), None);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start { .. } => {
                self.starts += 1;
                let pid = Pid::new(u32::MAX, u32::MAX, self.starts);
                self.pending.push_front(Event::Started(Ok(Some(pid))));
            }
            Action::Stop(children) => {
                for child in children.into_iter().rev() {
                    let reason = Term::SHUTDOWN;
                    self.pending.push_front(Event::Stopped { place: child.place, reason });
                }
            }
            Action::Publish(occurrence) => self.observe(occurrence),
            Action::Exit(reason) => self.ended = Some(reason),
            Action::TryAgain(place) => self.pending.push_back(Event::TryAgain(place)),
            Action::Reply(_) | Action::Lease(..) | Action::Acknowledge => {}
        }
    }

    fn observe(&mut self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Exited { id, reason, .. } => self.note(TimelineEvent::Failed, id, Some(reason)),
            Occurrence::Stopped { id, reason, .. } => self.note(TimelineEvent::Stopped, id, Some(reason)),
            Occurrence::Started { id, .. } => {
                let incarnation = self.incarnations.entry(id.to_string()).or_default();
                *incarnation += 1;
                let incarnation = Some(*incarnation);
                self.note(TimelineEvent::Started, id, None);
                if let Some(entry) = self.entries.last_mut() {
                    entry.incarnation = incarnation;
                }
            }
            Occurrence::Restarting { id, restarts } => {
                self.note_restarts(TimelineEvent::Restarting, id, restarts)
            }
            Occurrence::Escalated { id, restarts } => {
                self.note_restarts(TimelineEvent::Escalated, id, restarts)
            }
            Occurrence::AutoShutdown { id } => self.note(TimelineEvent::AutoShutdown, id, None),
            Occurrence::StartFailed { .. }
            | Occurrence::Deleted { .. }
            | Occurrence::Owed { .. }
            | Occurrence::Changed
            | Occurrence::Paused
            | Occurrence::Resumed { .. } => {}
        }
    }

    fn note_restarts(&mut self, event: TimelineEvent, child: Term, restarts: usize) {
        self.note(event, child, None);
        if let Some(entry) = self.entries.last_mut() {
            entry.restarts = Some(restarts);
        }
    }

    fn note(&mut self, event: TimelineEvent, child: Term, reason: Option<Reason>) {
        let after = self.after;
        self.entries.push(TimelineEntry { after, event, child, reason, incarnation: None, restarts: None });
    }
}

#[cfg(test)]
mod tests;
