//! Requests about single children, with OTP's answers: list, count, start, terminate, restart, delete.

use super::{
    Action, Args, Child, ChildState, Finish, Occurrence, OnFailure, Place, Plan, SupervisorCore, Task,
};
use crate::supervisor::error::SupervisorError;
use crate::supervisor::request::{ChildInfo, ChildrenPage, SupervisorReply};
use crate::supervisor::spec::{ChildSpec, Instance};
use arsenal_runtime::pid::Pid;
use arsenal_runtime::term::Term;
use std::sync::Arc;

impl SupervisorCore {
    pub(super) fn which_children(&self, before: Option<Place>, limit: Option<usize>) -> SupervisorReply {
        let limit = limit.unwrap_or(usize::MAX);
        let mut rest = self.children.before(before);
        let mut last = None;
        let children: Vec<_> = rest
            .by_ref()
            .take(limit)
            .map(|(place, child)| {
                last = Some(place);
                self.child_info(child)
            })
            .collect();
        let next = last.filter(|_| rest.next().is_some());
        SupervisorReply::Children(ChildrenPage { children, next, as_of: self.children.changes() })
    }

    /// All children in start order.
    pub(super) fn all_children(&self) -> Vec<ChildInfo> {
        self.children.iter().map(|(_, child)| self.child_info(child)).collect()
    }

    pub(super) fn child_info(&self, child: &Child) -> ChildInfo {
        ChildInfo {
            id: self.shown_id(child),
            state: child.state,
            kind: child.spec.kind,
            module: Arc::clone(&child.spec.module),
            modules: child.spec.modules.clone(),
            restart: child.spec.restart,
            shutdown: child.spec.shutdown,
            significant: child.spec.significant,
            incarnation: child.incarnation,
        }
    }

    pub(super) fn count_children(&self) -> SupervisorReply {
        SupervisorReply::Counts(self.children.counts())
    }

    pub(super) fn child_spec(&self, child: &Term) -> Result<SupervisorReply, SupervisorError> {
        let spec = match &self.template {
            Some(template) if template.id == *child => template,
            _ => {
                let place = self.find(child)?;
                let found = self.children.get(place).map(|child| &child.spec);
                found.ok_or_else(|| SupervisorError::NotFound(child.clone()))?
            }
        };
        Ok(SupervisorReply::ChildSpec(Box::new((**spec).clone())))
    }

    pub(super) fn start_child_term(&mut self, term: Term) -> Result<(), SupervisorError> {
        if self.is_simple() {
            self.add_dynamic_child(Instance::with_args(term))
        } else {
            self.start_child(ChildSpec::from_term(&term)?)
        }
    }

    pub(super) fn start_child(&mut self, spec: ChildSpec) -> Result<(), SupervisorError> {
        if self.is_simple() {
            return Err(SupervisorError::SimpleOneForOne);
        }
        spec.check(self.flags.auto_shutdown)?;
        if let Some(child) = self.children.by_id(&spec.id).and_then(|place| self.children.get(place)) {
            return Err(match child.state {
                ChildState::Running(pid) => SupervisorError::AlreadyStarted(pid),
                _ => SupervisorError::AlreadyPresent(spec.id),
            });
        }
        self.add(Child::new(Arc::new(spec), Args::OfSpec))
    }

    pub(super) fn add_dynamic_child(&mut self, instance: Instance) -> Result<(), SupervisorError> {
        let Some(template) = &self.template else {
            return Err(SupervisorError::NotSimpleOneForOne(self.flags.strategy));
        };
        let child = Child::instance(template, instance);
        self.add(child)
    }

    fn add(&mut self, child: Child) -> Result<(), SupervisorError> {
        if let Some(max) = self.flags.children_max.filter(|max| self.children.len() >= *max) {
            return Err(SupervisorError::MaxChildren(max));
        }
        let place = self.children.push(child);
        self.start_one(place, OnFailure::Remove);
        Ok(())
    }

    fn start_one(&mut self, place: Place, on_failure: OnFailure) {
        self.plan = Plan::new([Task::Start(place)].into(), on_failure);
        self.plan.then(Finish::ReplyStarted(place));
    }

    pub(super) fn terminate_child(&mut self, child: &Term) -> Result<(), SupervisorError> {
        if self.is_simple() && child.as_pid().is_none() {
            return Err(SupervisorError::SimpleOneForOne);
        }
        let place = self.find(child)?;
        self.terminate_place(place);
        Ok(())
    }

    pub(super) fn terminate_process(&mut self, pid: Pid) -> Result<(), SupervisorError> {
        let place = self.children.by_pid(pid).ok_or_else(|| SupervisorError::NotFound(pid.into()))?;
        self.terminate_place(place);
        Ok(())
    }

    fn terminate_place(&mut self, place: Place) {
        self.plan = Plan::new([Task::Stop(place)].into(), OnFailure::GiveUp);
        self.plan.then(Finish::Reply(Ok(SupervisorReply::Done)));
    }

    pub(super) fn restart_child(&mut self, child: &Term) -> Result<(), SupervisorError> {
        let place = self.find_down(child)?;
        self.start_one(place, OnFailure::Reply);
        Ok(())
    }

    pub(super) fn delete_child(
        &mut self,
        child: &Term,
        actions: &mut Vec<Action>,
    ) -> Result<SupervisorReply, SupervisorError> {
        let place = self.find_down(child)?;
        self.children.remove(place);
        actions.push(Action::Publish(Occurrence::Deleted { id: child.clone() }));
        Ok(SupervisorReply::Done)
    }

    /// The child with this id, which neither runs nor is about to.
    fn find_down(&self, child: &Term) -> Result<Place, SupervisorError> {
        if self.is_simple() {
            return Err(SupervisorError::SimpleOneForOne);
        }
        let place = self.find(child)?;
        match self.children.get(place).map(|child| child.state) {
            Some(ChildState::Running(pid)) => Err(SupervisorError::Running(pid)),
            Some(ChildState::Restarting(_) | ChildState::Starting) => Err(SupervisorError::Restarting),
            Some(ChildState::Stopped | ChildState::Owed(_)) => Ok(place),
            None => Err(SupervisorError::NotFound(child.clone())),
        }
    }
}
