//! Reading and changing the flags of a running supervisor.

use super::{Action, Occurrence, SupervisorCore};
use crate::supervisor::error::SupervisorError;
use crate::supervisor::request::{FlagChanges, FlagsReport, SupervisorReply};
use crate::supervisor::spec::{Strategy, SupervisorFlags};
use std::time::Duration;

impl SupervisorCore {
    pub(super) fn get_flags(&self, now: Duration) -> SupervisorReply {
        SupervisorReply::Flags(self.flags_report(now))
    }

    fn flags_report(&self, now: Duration) -> FlagsReport {
        let owed = self.owed_places().filter_map(|place| self.children.get(place));
        FlagsReport {
            flags: self.flags,
            etag: self.flags.etag(),
            paused: self.is_paused(),
            restarts_total: self.restarts_total,
            restarts_used: self.window.used(now, self.flags.period),
            owed: owed.map(|child| self.known_as(child)).collect(),
            template: self.template.as_deref().cloned().map(Box::new),
        }
    }

    pub(super) fn changed(
        &self,
        before: SupervisorFlags,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> SupervisorReply {
        let changed = before != self.flags;
        if changed {
            actions.push(Action::Publish(Occurrence::Changed));
        }
        SupervisorReply::Changed { changed, flags: self.flags_report(now) }
    }

    /// All or nothing: every flag is checked, alone and against the children, before the first one changes.
    pub(super) fn set_flags(
        &mut self,
        changes: FlagChanges,
        etag: Option<String>,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Result<SupervisorReply, SupervisorError> {
        let before = self.flags;
        check_etag(etag, before.etag())?;
        let after = changes.apply(before);
        let simple = |flags: SupervisorFlags| flags.strategy == Strategy::SimpleOneForOne;
        if simple(before) != simple(after) {
            return Err(SupervisorError::NeedsConversion { from: before.strategy, to: after.strategy });
        }
        after.check()?;
        if before.auto_shutdown != after.auto_shutdown {
            let specs = self.children.iter().map(|(_, child)| &child.spec);
            for spec in specs.chain(&self.template) {
                spec.check(after.auto_shutdown)?;
            }
        }
        self.flags = after;
        Ok(self.changed(before, now, actions))
    }
}

/// Refuses a stale etag; none given is none asked for.
pub(super) fn check_etag(given: Option<String>, current: String) -> Result<(), SupervisorError> {
    match given {
        Some(given) if given != current => Err(SupervisorError::StaleEtag { given, current }),
        _ => Ok(()),
    }
}
