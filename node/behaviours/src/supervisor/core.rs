//! The decision core of a supervisor: events and the time in, actions out.
//!
//! No process, no clock, no IO: the process that owns it, the dry run and the property tests drive the same code. Work
//! that takes turns (a child's start, a child's end) is a [`Plan`](plan::Plan): the core hands out one action that must
//! be answered, [`Action::Start`] or [`Action::Stop`], and is *busy* until the answer comes.
//!
//! Invariants: while busy it takes answers alone; a child that runs is never started; every request is answered before
//! the core is idle again.

mod action;
mod children;
mod convert;
mod flags;
mod manage;
mod pause;
mod plan;
mod replace;
mod restart;
mod window;

pub use action::{Action, Event, Occurrence, StopChild};
pub use children::{Args, Child, ChildCounts, ChildState, Children, Place};
pub use window::RestartWindow;

use super::error::SupervisorError;
use super::history::History;
use super::model::{ModelChild, SupervisorModel};
use super::request::{SupervisorReply, SupervisorRequest};
use super::spec::{ChildSpec, Strategy, SupervisorFlags, SupervisorSpec};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::{Reason, Term};
use plan::{Finish, OnFailure, Plan, Task};
use std::sync::Arc;
use std::time::Duration;

/// A supervisor's state and decisions.
#[derive(Clone, Debug)]
pub struct SupervisorCore {
    flags: SupervisorFlags,
    /// What instances are started from, under `simple_one_for_one`.
    template: Option<Arc<ChildSpec>>,
    children: Children,
    window: RestartWindow,
    history: History,
    /// Whether what ends is owed instead of restarted.
    paused: bool,
    restarts_total: u64,
    plan: Plan,
}

impl SupervisorCore {
    /// A supervisor that has started nothing yet. The spec is taken to be checked.
    pub fn new(spec: SupervisorSpec) -> Self {
        let simple = spec.flags.strategy == Strategy::SimpleOneForOne;
        let mut children = Children::new(spec.flags.strategy);
        let mut specs = spec.children.into_iter().map(Arc::new);
        let template = if simple { specs.next() } else { None };
        for spec in specs {
            children.push(Child::new(spec, Args::OfSpec));
        }
        Self {
            flags: spec.flags,
            template,
            children,
            window: RestartWindow::default(),
            history: History::default(),
            paused: false,
            restarts_total: 0,
            plan: Plan::default(),
        }
    }

    /// The supervisor that a model describes, idle.
    pub fn from_model(model: SupervisorModel) -> Self {
        let mut core = Self::new(SupervisorSpec { flags: model.flags, children: Vec::new() });
        core.template = model.template.map(Arc::new);
        for ModelChild { spec, state, incarnation } in model.children {
            let mut child = match &core.template {
                Some(template) => Child::new(Arc::clone(template), Args::Own(spec.args)),
                None => Child::new(Arc::new(spec), Args::OfSpec),
            };
            // To be put into a state that runs counts as a start.
            child.incarnation = incarnation.saturating_sub(u32::from(state.pid().is_some()));
            let place = core.children.push(child);
            core.children.set_state(place, state);
        }
        core.window.restore(model.restarts);
        core.history = model.history;
        core.paused = model.paused;
        core
    }

    /// All that decides what happens next.
    pub fn model(&self, now: Duration) -> SupervisorModel {
        let children = self.children.iter().map(|(_, child)| {
            let mut spec = (*child.spec).clone();
            if self.is_simple() {
                spec.id = self.known_as(child);
                spec.args = child.start_args();
            }
            ModelChild { spec, state: child.state, incarnation: child.incarnation }
        });
        SupervisorModel {
            flags: self.flags,
            template: self.template.as_deref().cloned(),
            children: children.collect(),
            paused: self.paused,
            restarts: self.window.times().collect(),
            history: self.history.clone(),
            now,
        }
    }

    /// The flags.
    pub fn flags(&self) -> &SupervisorFlags {
        &self.flags
    }

    /// What instances are started from, under `simple_one_for_one`.
    pub fn template(&self) -> Option<&ChildSpec> {
        self.template.as_deref()
    }

    /// The children.
    pub fn children(&self) -> &Children {
        &self.children
    }

    /// What failed.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Whether an answer is awaited: until then it takes no other event.
    pub fn is_busy(&self) -> bool {
        self.plan.is_waiting()
    }

    /// Restarts that count at `now`.
    pub fn restarts_used(&self, now: Duration) -> usize {
        self.window.used(now, self.flags.period)
    }

    /// Whether the supervisor has, or lately had, a child with this pid.
    pub fn knows(&self, pid: Pid) -> bool {
        self.children.by_pid(pid).is_some()
    }

    /// Takes one event and says what is to be done, in order.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        debug_assert_eq!(
            self.is_busy(),
            matches!(event, Event::Started(_) | Event::Stopped { .. }),
            "{event:?}"
        );
        let mut actions = Vec::new();
        match event {
            Event::Begin => self.begin(),
            Event::Exited { pid, reason } => self.exited(pid, reason, now, &mut actions),
            Event::Request(request) => self.request(*request, now, &mut actions),
            Event::TryAgain(place) => self.try_again(place, now, &mut actions),
            Event::Unpaused => self.unpaused(&mut actions),
            Event::Terminate(reason) => self.terminate(reason),
            Event::Started(result) => self.started(result, &mut actions),
            Event::Stopped { place, reason } => self.stopped(place, reason, &mut actions),
        }
        self.advance(&mut actions);
        actions
    }

    fn begin(&mut self) {
        let starts = self.children.places().map(Task::Start).collect();
        self.plan = Plan::new(starts, OnFailure::GiveUp);
        self.plan.then(Finish::Acknowledge);
    }

    /// Stops all children, last started first, and ends.
    fn terminate(&mut self, reason: Reason) {
        self.plan = Plan::new(self.stop_all(), OnFailure::GiveUp);
        self.plan.then(Finish::Exit(reason));
    }

    fn stop_all(&self) -> std::collections::VecDeque<Task> {
        if self.is_simple() {
            [Task::StopTogether(self.children.places().collect())].into()
        } else {
            self.children.places().rev().map(Task::Stop).collect()
        }
    }

    fn request(&mut self, request: SupervisorRequest, now: Duration, actions: &mut Vec<Action>) {
        use SupervisorRequest as Request;
        let outcome = match request {
            Request::WhichChildren { before, limit } => Ok(Some(self.which_children(before, limit))),
            Request::CountChildren => Ok(Some(self.count_children())),
            Request::GetChildSpec(child) => self.child_spec(&child).map(Some),
            Request::StartChild(spec) => self.start_child(*spec).map(|()| None),
            Request::AddDynamicChild(instance) => self.add_dynamic_child(*instance).map(|()| None),
            Request::StartChildTerm(term) => self.start_child_term(term).map(|()| None),
            Request::TerminateChild(child) => self.terminate_child(&child).map(|()| None),
            Request::TerminateProcess(pid) => self.terminate_process(pid).map(|()| None),
            Request::RestartChild(child) => self.restart_child(&child).map(|()| None),
            Request::DeleteChild(child) => self.delete_child(&child, actions).map(Some),
            Request::ReplaceChildSpec { child, spec, etag, restart } => {
                self.replace_child_spec(&child, *spec, etag, restart).map(|()| None)
            }
            Request::GetFlags => Ok(Some(self.get_flags(now))),
            Request::SetFlags { changes, etag } => self.set_flags(changes, etag, now, actions).map(Some),
            Request::Convert(strategy) => self.convert(strategy, now, actions).map(Some),
            Request::Pause => Ok(Some(self.pause(actions))),
            Request::Resume { .. } => Ok(self.resume(actions)),
            Request::Restart { keep_history, instances, dry_run } => {
                Ok(self.restart_all(keep_history, instances, dry_run))
            }
            Request::Stop(reason) => {
                self.stop(reason);
                Ok(None)
            }
            Request::GetModel => Ok(Some(SupervisorReply::Model(Box::new(self.model(now))))),
        };
        match outcome {
            Ok(Some(reply)) => actions.push(Action::Reply(Ok(reply))),
            // The plan answers.
            Ok(None) => {}
            Err(error) => actions.push(Action::Reply(Err(error))),
        }
    }

    fn is_simple(&self) -> bool {
        self.flags.strategy == Strategy::SimpleOneForOne
    }

    /// A child's id; an instance has none.
    fn shown_id(&self, child: &Child) -> Term {
        if self.is_simple() { Term::UNDEFINED } else { child.spec.id.clone() }
    }

    /// What requests name a child by: its id, or an instance's pid.
    fn known_as(&self, child: &Child) -> Term {
        if self.is_simple() {
            child.state.last_pid().map_or(Term::UNDEFINED, Term::Pid)
        } else {
            child.spec.id.clone()
        }
    }

    fn find(&self, child: &Term) -> Result<Place, SupervisorError> {
        let place = if self.is_simple() {
            child.as_pid().and_then(|pid| self.children.by_pid(pid))
        } else {
            self.children.by_id(child)
        };
        place.ok_or_else(|| SupervisorError::NotFound(child.clone()))
    }
}

#[cfg(test)]
mod tests;
