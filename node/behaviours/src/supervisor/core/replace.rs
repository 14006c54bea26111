//! Another spec in the place of the old one, while the child runs or not.

use super::flags::check_etag;
use super::{Finish, OnFailure, Place, Plan, SupervisorCore, Task};
use crate::supervisor::error::SupervisorError;
use crate::supervisor::spec::{ChildSpec, SpecError};
use arsenal_runtime::term::Term;
use std::sync::Arc;

impl SupervisorCore {
    pub(super) fn replace_child_spec(
        &mut self,
        child: &Term,
        spec: ChildSpec,
        etag: Option<String>,
        restart: bool,
    ) -> Result<(), SupervisorError> {
        if spec.id != *child {
            let refused = SpecError::Invalid { field: "id", atom: "invalid_id", value: spec.id };
            return Err(refused.into());
        }
        spec.check(self.flags.auto_shutdown)?;
        match &self.template {
            Some(template) if template.id == *child => {
                check_etag(etag, template.etag())?;
                self.replace_template(Arc::new(spec), restart);
                Ok(())
            }
            Some(_) => Err(SupervisorError::SimpleOneForOne),
            None => {
                let place = self.find(child)?;
                let old = self.children.get(place).map(|child| child.spec.etag()).unwrap_or_default();
                check_etag(etag, old)?;
                let renew = Task::Renew(place, Arc::new(spec));
                // It is stopped by its old shutdown value.
                let tasks =
                    if restart { vec![Task::Halt(place), renew, Task::Start(place)] } else { vec![renew] };
                self.plan = Plan::new(tasks.into(), OnFailure::Reply);
                self.plan.then(Finish::ReplyReplaced(Some(place)));
                Ok(())
            }
        }
    }

    /// All instances are started from the new template henceforth, each with its own extra args.
    fn replace_template(&mut self, template: Arc<ChildSpec>, restart: bool) {
        let places: Vec<Place> = self.children.places().collect();
        let mut tasks = std::collections::VecDeque::new();
        if restart {
            tasks.push_back(Task::HaltTogether(places.clone()));
        }
        tasks.extend(places.iter().map(|place| Task::Renew(*place, Arc::clone(&template))));
        if restart {
            tasks.extend(places.into_iter().map(Task::Start));
        }
        self.template = Some(template);
        self.plan = Plan::new(tasks, OnFailure::TryAgainAndGoOn);
        self.plan.then(Finish::ReplyReplaced(None));
    }
}
