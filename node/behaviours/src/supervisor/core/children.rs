//! The children of a supervisor in start order, found by place, id or pid, each in logarithmic time or better.
//!
//! Invariants: a place is never reused, and a later place was started later; a pid leads to the child that runs under
//! it, or to the one that is down and last ran under it; the counts agree with the children.

use super::super::spec::{ChildKind, ChildSpec, Instance, Strategy, id_text};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::Term;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A child's place in the start order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place(pub u64);

/// What a child does now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChildState {
    /// Its init runs.
    Starting,
    /// It runs.
    Running(Pid),
    /// It is down and stays so: terminated on request, ended in order, or its init answered `ignore`.
    Stopped,
    /// Its restart failed and is tried again; it ran under this pid before.
    Restarting(Option<Pid>),
    /// It ended while the supervisor was paused; it ran under this pid before.
    Owed(Option<Pid>),
}

impl ChildState {
    /// Its pid while it runs.
    pub fn pid(self) -> Option<Pid> {
        match self {
            Self::Running(pid) => Some(pid),
            _ => None,
        }
    }

    /// Its pid, or the one it ran under before a restart that is still to come.
    pub fn last_pid(self) -> Option<Pid> {
        match self {
            Self::Running(pid) => Some(pid),
            Self::Restarting(pid) | Self::Owed(pid) => pid,
            Self::Starting | Self::Stopped => None,
        }
    }

    /// Whether it runs or will again of itself.
    pub fn is_due(self) -> bool {
        !matches!(self, Self::Stopped)
    }
}

/// Where the arguments of a start come from.
#[derive(Clone, PartialEq, Debug)]
pub enum Args {
    /// From its spec.
    OfSpec,
    /// From the template, and these.
    Extra(Term),
    /// From here alone.
    Own(Term),
}

/// A child.
#[derive(Clone, Debug)]
pub struct Child {
    /// What it is started from; instances share their template.
    pub spec: Arc<ChildSpec>,
    /// What its init is given.
    pub args: Args,
    /// What an instance has of its own besides.
    pub own: Option<Box<Instance>>,
    /// What it does now.
    pub state: ChildState,
    /// How often it has started.
    pub incarnation: u32,
}

impl Child {
    pub(super) fn new(spec: Arc<ChildSpec>, args: Args) -> Self {
        Self { spec, args, own: None, state: ChildState::Stopped, incarnation: 0 }
    }

    /// An instance of `template`.
    pub(super) fn instance(template: &Arc<ChildSpec>, instance: Instance) -> Self {
        let args = if instance.args.is_null() { Args::OfSpec } else { Args::Extra(instance.args.clone()) };
        let own = instance.is_special().then(|| Box::new(instance));
        Self { own, ..Self::new(Arc::clone(template), args) }.of_template(template)
    }

    /// The same, started from this template henceforth.
    fn of_template(mut self, template: &Arc<ChildSpec>) -> Self {
        self.spec = match &self.own {
            Some(own) => Arc::new(template.of_instance(own)),
            None => Arc::clone(template),
        };
        self
    }

    /// What its next start gives the module.
    pub fn start_args(&self) -> Term {
        match &self.args {
            Args::OfSpec => self.spec.args.clone(),
            Args::Extra(extra) => self.spec.args_with(extra),
            Args::Own(args) => args.clone(),
        }
    }
}

/// How many children there are of which sort.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ChildCounts {
    /// Specifications: one under `simple_one_for_one`.
    pub specs: usize,
    /// Children that run.
    pub active: usize,
    /// Children that are supervisors.
    pub supervisors: usize,
    /// Children that are not.
    pub workers: usize,
}

/// The children.
#[derive(Clone, Debug, Default)]
pub struct Children {
    by_place: BTreeMap<Place, Child>,
    /// Empty for instances, which have no id. Only looked up, never walked.
    by_id: HashMap<Box<str>, Place>,
    by_pid: HashMap<Pid, Place>,
    next: u64,
    /// Whether they are instances of one template.
    instances: bool,
    active: usize,
    supervisors: usize,
    /// Significant ones that run or will again.
    significant_due: usize,
    changes: u64,
}

impl Children {
    pub(super) fn new(strategy: Strategy) -> Self {
        Self { instances: strategy == Strategy::SimpleOneForOne, ..Self::default() }
    }

    /// How many there are, running or not.
    pub fn len(&self) -> usize {
        self.by_place.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_place.is_empty()
    }

    /// Grows with every change: two equal readings saw the same children in the same states.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn significant_due(&self) -> usize {
        self.significant_due
    }

    /// Children by kind and state; `specs` is theirs.
    pub fn counts(&self) -> ChildCounts {
        let specs = if self.instances { 1 } else { self.len() };
        let workers = self.len() - self.supervisors;
        ChildCounts { specs, active: self.active, supervisors: self.supervisors, workers }
    }

    /// The child at a place.
    pub fn get(&self, place: Place) -> Option<&Child> {
        self.by_place.get(&place)
    }

    /// Where the child with this id is; instances have none.
    pub fn by_id(&self, id: &Term) -> Option<Place> {
        self.by_id.get(&*id_text(id)).copied()
    }

    /// Where the child is that runs, or last ran, under this pid.
    pub fn by_pid(&self, pid: Pid) -> Option<Place> {
        self.by_pid.get(&pid).copied()
    }

    /// Where the child is that runs under this pid now.
    pub fn running(&self, pid: Pid) -> Option<Place> {
        self.by_pid(pid).filter(|place| self.get(*place).is_some_and(|child| child.state.pid() == Some(pid)))
    }

    /// All, in start order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (Place, &Child)> {
        self.by_place.iter().map(|(place, child)| (*place, child))
    }

    /// Those started before `before`, latest first: OTP's order.
    pub fn before(&self, before: Option<Place>) -> impl Iterator<Item = (Place, &Child)> {
        let end = before.unwrap_or(Place(u64::MAX));
        self.by_place.range(..end).rev().map(|(place, child)| (*place, child))
    }

    /// The places from `from` on, in start order.
    pub(super) fn places_from(&self, from: Place) -> impl DoubleEndedIterator<Item = Place> {
        self.by_place.range(from..).map(|(place, _)| *place)
    }

    pub(super) fn places(&self) -> impl DoubleEndedIterator<Item = Place> {
        self.places_from(Place(0))
    }

    /// Adds a child behind all others.
    pub(super) fn push(&mut self, child: Child) -> Place {
        let place = Place(self.next);
        self.next += 1;
        if !self.instances {
            self.by_id.insert(id_text(&child.spec.id), place);
        }
        self.count(&child, true);
        self.by_place.insert(place, child);
        place
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Child> {
        let child = self.by_place.remove(&place)?;
        self.count(&child, false);
        if !self.instances {
            self.by_id.remove(&*id_text(&child.spec.id));
        }
        if let Some(pid) = child.state.last_pid() {
            self.by_pid.remove(&pid);
        }
        Some(child)
    }

    pub(super) fn set_state(&mut self, place: Place, state: ChildState) {
        let Some(child) = self.by_place.get_mut(&place) else { return };
        if child.state.last_pid() != state.last_pid() {
            if let Some(pid) = child.state.last_pid() {
                self.by_pid.remove(&pid);
            }
            if let Some(pid) = state.last_pid() {
                self.by_pid.insert(pid, place);
            }
        }
        let old = std::mem::replace(&mut child.state, state);
        child.incarnation += u32::from(state.pid().is_some());
        let significant = child.spec.significant;
        self.active = self.active + usize::from(state.pid().is_some()) - usize::from(old.pid().is_some());
        if significant {
            self.significant_due =
                self.significant_due + usize::from(state.is_due()) - usize::from(old.is_due());
        }
        self.changes += 1;
    }

    /// Another spec in the same place; the id stays.
    pub(super) fn set_spec(&mut self, place: Place, spec: &Arc<ChildSpec>) {
        if let Some(child) = self.by_place.remove(&place) {
            self.count(&child, false);
            let child = child.of_template(spec);
            self.count(&child, true);
            self.by_place.insert(place, child);
        }
    }

    /// Makes children with ids of instances, or the reverse; `spec` gives each its new spec and args.
    pub(super) fn convert(
        &mut self,
        instances: bool,
        mut spec: impl FnMut(Place, &Child) -> (Arc<ChildSpec>, Args),
    ) {
        self.instances = instances;
        self.by_id.clear();
        for (place, child) in &mut self.by_place {
            (child.spec, child.args) = spec(*place, child);
            child.own = None;
            if !instances {
                self.by_id.insert(id_text(&child.spec.id), *place);
            }
        }
        self.changes += 1;
    }

    fn count(&mut self, child: &Child, added: bool) {
        let step = |count: &mut usize, holds: bool| match (holds, added) {
            (true, true) => *count += 1,
            (true, false) => *count -= 1,
            (false, _) => {}
        };
        step(&mut self.supervisors, child.spec.kind == ChildKind::Supervisor);
        step(&mut self.active, child.state.pid().is_some());
        step(&mut self.significant_due, child.spec.significant && child.state.is_due());
        self.changes += 1;
    }
}
