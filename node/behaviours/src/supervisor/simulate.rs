//! The dry run: the supervisor's own core on a virtual clock, where children start and stop at once.
//!
//! It touches no process. What it prints is what the live tree does when the same failures are injected, as far as no
//! init fails and no child takes its time.

use super::core::{Action, Event, Occurrence, SupervisorCore};
use super::error::SupervisorError;
use super::model::SupervisorModel;
use super::request::{ChildInfo, FlagChanges, Outcome, SupervisorReply, SupervisorRequest};
use super::spec::{Strategy, SupervisorFlags, id_text};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};
use std::collections::{HashMap, VecDeque};
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
    /// How many of its next starts fail.
    pub failed_starts: u32,
}

/// What happens in a dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimelineEvent {
    /// The injected failure.
    Failed,
    /// The failure found the child without a process, and did nothing.
    NotRunning,
    /// Its failure is answered with a restart.
    Restarting,
    /// Its start failed and is tried again.
    RestartFailed,
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
            Self::RestartFailed => "restart_failed",
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
    /// Restarts within the period, after this.
    pub restarts: usize,
}

/// How the supervisor ends up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It runs.
    Running,
    /// Too many restarts: it ended.
    Escalated,
    /// Significant children ended, and it with them.
    AutoShutdown,
}

/// What a dry run comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline {
    /// What happened, in order.
    pub entries: Vec<TimelineEntry>,
    /// How the supervisor ends up.
    pub ending: Ending,
    /// The children then, latest started first; their pids are no processes.
    pub children: Vec<ChildInfo>,
    /// The flags that were used.
    pub flags: SupervisorFlags,
    /// Failures that fell on a child without a process.
    pub failures_ignored: usize,
}

/// Runs the failures through the supervisor's own decisions, with its flags or others, and with the restarts that it
/// has counted only if the history is kept.
///
/// # Errors
/// Flags that the supervisor would refuse; [`SupervisorError::NotFound`] for a failure of a child that it does not have.
pub fn simulate(
    mut model: SupervisorModel,
    changes: FlagChanges,
    keep_history: bool,
    failures: &[TimedFailure],
) -> Result<Timeline, SupervisorError> {
    if !keep_history {
        model.restarts.clear();
    }
    let mut simulation = Simulation::new(model, changes)?;
    if let Some(unknown) = failures.iter().find(|failure| !simulation.has(&failure.child)) {
        return Err(SupervisorError::NotFound(unknown.child.clone()));
    }
    let mut failures: Vec<_> = failures.iter().collect();
    failures.sort_by_key(|failure| failure.after);
    for failure in failures {
        if simulation.ending == Ending::Running {
            simulation.inject(failure);
        }
    }
    Ok(simulation.timeline())
}

/// A supervisor whose children are only numbers.
#[derive(Clone, Debug)]
pub(super) struct Simulation {
    core: SupervisorCore,
    flags: SupervisorFlags,
    /// The moment of the model, on the node's clock.
    origin: Duration,
    /// Starts so far, for pids that no process has.
    starts: u64,
    /// Starts that are to fail, by child.
    failing: HashMap<Box<str>, u32>,
    pub(super) entries: Vec<TimelineEntry>,
    pub(super) ending: Ending,
    /// Events that the core's actions lead to.
    pending: VecDeque<Event>,
    after: Duration,
}

impl Simulation {
    pub(super) fn new(model: SupervisorModel, changes: FlagChanges) -> Result<Self, SupervisorError> {
        let origin = model.now;
        let core = SupervisorCore::from_model(model);
        let mut simulation = Self {
            flags: *core.flags(),
            core,
            origin,
            starts: 0,
            failing: HashMap::new(),
            entries: Vec::new(),
            ending: Ending::Running,
            pending: VecDeque::new(),
            after: Duration::ZERO,
        };
        simulation.ask(SupervisorRequest::SetFlags { changes, etag: None })?;
        simulation.flags = *simulation.core.flags();
        if simulation.flags.strategy == Strategy::SimpleOneForOne {
            // Instances stand alone just so, and can be told apart by the pids that they have now.
            simulation.ask(SupervisorRequest::Convert(Strategy::OneForOne))?;
        }
        Ok(simulation)
    }

    fn ask(&mut self, request: SupervisorRequest) -> Outcome {
        let now = self.origin + self.after;
        let actions = self.core.step(Event::Request(Box::new(request)), now);
        let reply = actions.into_iter().find_map(|action| match action {
            Action::Reply(outcome) => Some(outcome),
            _ => None,
        });
        reply.unwrap_or(Ok(SupervisorReply::Done))
    }

    fn has(&self, child: &Term) -> bool {
        self.core.children().by_id(child).is_some()
    }

    fn timeline(mut self) -> Timeline {
        let children = match self.ask(SupervisorRequest::WhichChildren { before: None, limit: None }) {
            Ok(SupervisorReply::Children(page)) => page.children,
            _ => Vec::new(),
        };
        let failures_ignored = self.count(0, TimelineEvent::NotRunning);
        let Self { entries, ending, flags, .. } = self;
        Timeline { entries, ending, children, flags, failures_ignored }
    }

    /// How often it happened since there were so many entries.
    pub(super) fn count(&self, since: usize, event: TimelineEvent) -> usize {
        self.entries[since..].iter().filter(|entry| entry.event == event).count()
    }

    pub(super) fn inject(&mut self, failure: &TimedFailure) {
        self.after = failure.after;
        let place = self.core.children().by_id(&failure.child);
        let child = place.and_then(|place| self.core.children().get(place));
        let Some(pid) = child.and_then(|child| child.state.pid()) else {
            return self.note(TimelineEvent::NotRunning, failure.child.clone(), None);
        };
        if failure.failed_starts > 0 {
            self.failing.insert(id_text(&failure.child), failure.failed_starts);
        }
        self.pending.push_back(Event::Exited { pid, reason: failure.reason.clone() });
        while let Some(event) = self.pending.pop_front() {
            for action in self.core.step(event, self.origin + self.after) {
                self.perform(action);
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Start { spec, .. } => {
                let started = self.start(&spec.id);
                self.pending.push_front(Event::Started(started));
            }
            Action::Stop(children) => {
                for child in children.into_iter().rev() {
                    let reason = Term::SHUTDOWN;
                    self.pending.push_front(Event::Stopped { place: child.place, reason });
                }
            }
            Action::Publish(occurrence) => self.observe(occurrence),
            Action::TryAgain(place) => self.pending.push_back(Event::TryAgain(place)),
            Action::Exit(_) | Action::Reply(_) | Action::Acknowledge => {}
        }
    }

    fn start(&mut self, id: &Term) -> Result<Option<Pid>, Reason> {
        if let Some(left) = self.failing.get_mut(&*id_text(id)).filter(|left| **left > 0) {
            *left -= 1;
            return Err(Term::Atom("failed_start"));
        }
        self.starts += 1;
        Ok(Some(Pid::new(u32::MAX, u32::MAX, self.starts)))
    }

    fn observe(&mut self, occurrence: Occurrence) {
        match occurrence {
            Occurrence::Exited { id, reason, .. } => self.note(TimelineEvent::Failed, id, Some(reason)),
            Occurrence::Stopped { id, reason, .. } => self.note(TimelineEvent::Stopped, id, Some(reason)),
            Occurrence::StartFailed { id, reason } => {
                self.note(TimelineEvent::RestartFailed, id, Some(reason))
            }
            Occurrence::Started { id, .. } => self.note(TimelineEvent::Started, id, None),
            Occurrence::Restarting { id, .. } => self.note(TimelineEvent::Restarting, id, None),
            Occurrence::Owed { id } => self.note(TimelineEvent::Owed, id, None),
            Occurrence::Escalated { id, .. } => {
                self.ending = Ending::Escalated;
                self.note(TimelineEvent::Escalated, id, None);
            }
            Occurrence::AutoShutdown { id } => {
                self.ending = Ending::AutoShutdown;
                self.note(TimelineEvent::AutoShutdown, id, None);
            }
            Occurrence::Deleted { .. }
            | Occurrence::Changed
            | Occurrence::Paused
            | Occurrence::Resumed { .. } => {}
        }
    }

    fn note(&mut self, event: TimelineEvent, child: Term, reason: Option<Reason>) {
        let restarts = self.core.restarts_used(self.origin + self.after);
        self.entries.push(TimelineEntry { after: self.after, event, child, reason, restarts });
    }
}

#[cfg(test)]
mod tests;
