//! Conversion between strategies while the children run: to and from `simple_one_for_one`, whose instances have no id
//! and share one template.

use super::{Action, Args, Child, ChildState, Place, SupervisorCore};
use crate::supervisor::error::SupervisorError;
use crate::supervisor::request::SupervisorReply;
use crate::supervisor::spec::{ChildSpec, Strategy};
use arsenal_runtime::term::Term;
use std::sync::Arc;
use std::time::Duration;

impl SupervisorCore {
    pub(super) fn convert(
        &mut self,
        to: Strategy,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Result<SupervisorReply, SupervisorError> {
        let before = self.flags;
        if before.strategy != to {
            if self.is_simple() {
                self.instances_to_children();
            } else if to == Strategy::SimpleOneForOne {
                self.children_to_instances()?;
            }
            self.flags.strategy = to;
        }
        Ok(self.changed(before, now, actions))
    }

    /// Each instance becomes a child; its id is the pid it has now, the order that of starting.
    fn instances_to_children(&mut self) {
        let spec = |place: Place, child: &Child| {
            // One that has not run yet has only its place to be known by.
            let id =
                child.state.last_pid().map_or_else(|| Term::from(format!("place-{}", place.0)), Term::Pid);
            (Arc::new(ChildSpec { id, args: child.start_args(), ..(*child.spec).clone() }), Args::OfSpec)
        };
        self.children.convert(false, spec);
        self.template = None;
    }

    /// The spec that all share becomes the template; children that are down for good have no place there.
    fn children_to_instances(&mut self) -> Result<(), SupervisorError> {
        let template = Arc::new(self.common_template()?);
        let down: Vec<Place> = self
            .children
            .iter()
            .filter(|(_, child)| child.state == ChildState::Stopped)
            .map(|(place, _)| place)
            .collect();
        for place in down {
            self.children.remove(place);
        }
        let shared = Arc::clone(&template);
        self.children.convert(true, |_, child| (Arc::clone(&shared), Args::Own(child.start_args())));
        self.template = Some(template);
        Ok(())
    }

    /// The spec that all children share but for id and args, with the args that they share.
    fn common_template(&self) -> Result<ChildSpec, SupervisorError> {
        let specs: Vec<&ChildSpec> = self.children.iter().map(|(_, child)| &*child.spec).collect();
        // The spec that most have is the one that the odd ones differ from.
        let mut kinds: Vec<(&ChildSpec, usize)> = Vec::new();
        for spec in &specs {
            match kinds.iter_mut().find(|(kind, _)| kind.same_but_id_and_args(spec)) {
                Some((_, count)) => *count += 1,
                None => kinds.push((spec, 1)),
            }
        }
        let most = kinds.iter().map(|(_, count)| *count).max().unwrap_or_default();
        let Some((common, _)) = kinds.iter().find(|(_, count)| *count == most) else {
            return Err(SupervisorError::NoTemplate);
        };
        let odd = specs.iter().filter(|spec| !spec.same_but_id_and_args(common)).map(|spec| spec.id.clone());
        let odd: Vec<Term> = odd.collect();
        if !odd.is_empty() {
            return Err(SupervisorError::MixedChildren(odd));
        }
        let args = specs.iter().map(|spec| &spec.args).cloned().reduce(|a, b| common_args(&a, &b));
        Ok(ChildSpec { args: args.unwrap_or_default(), ..(*common).clone() })
    }
}

/// What two starts' args have in common: all of it, the equal members of two maps, or nothing.
fn common_args(a: &Term, b: &Term) -> Term {
    match (a.as_map(), b.as_map()) {
        _ if a == b => a.clone(),
        (Some(members), Some(_)) => {
            let equal = members.iter().filter(|(key, value)| b.get(key) == Some(value));
            Term::map(equal.map(|(key, value)| (Arc::clone(key), value.clone())))
        }
        _ => Term::Null,
    }
}
