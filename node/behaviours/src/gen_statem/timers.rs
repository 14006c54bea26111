//! The timeouts of a state machine: which run, which are due at once, what they will say.
//!
//! Invariant: a kind is either running (a token that the owner knows) or due (time zero, waiting for the queue to
//! drain), never both; the last change of a kind in one transition is the one that counts.

use super::core::{Effect, Event, EventKind, TimeoutChange, TimeoutKind, TimerToken};
use arsenal_runtime::term::Term;
use std::time::Duration;

#[derive(Debug, Default)]
pub(super) struct Timeouts {
    running: Vec<Running>,
    /// Timeouts of zero, the first one next.
    due: Vec<(TimeoutKind, Term)>,
    last_token: TimerToken,
}

#[derive(Debug)]
struct Running {
    kind: TimeoutKind,
    token: TimerToken,
    content: Term,
}

impl Timeouts {
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty() && self.due.is_empty()
    }

    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    pub(super) fn pop_due(&mut self) -> Option<Event> {
        if self.due.is_empty() {
            return None;
        }
        let (kind, content) = self.due.remove(0);
        Some(Event { kind: EventKind::Timeout(kind), content })
    }

    /// The event of a timer that is over.
    pub(super) fn fired(&mut self, token: TimerToken) -> Option<Event> {
        let index = self.running.iter().position(|running| running.token == token)?;
        let Running { kind, content, .. } = self.running.remove(index);
        Some(Event { kind: EventKind::Timeout(kind), content })
    }

    pub(super) fn cancel(&mut self, kind: &TimeoutKind, effects: &mut Vec<Effect>) {
        self.due.retain(|(due, _)| due != kind);
        if let Some(index) = self.running.iter().position(|running| running.kind == *kind) {
            effects.push(Effect::Cancel(self.running.remove(index).token));
        }
    }

    /// Applies the changes of one transition; of each kind only the last.
    pub(super) fn change(&mut self, changes: Vec<(TimeoutKind, TimeoutChange)>, effects: &mut Vec<Effect>) {
        for index in 0..changes.len() {
            let (kind, change) = &changes[index];
            if changes[index + 1..].iter().any(|(later, _)| later == kind) {
                continue;
            }
            match change {
                TimeoutChange::Cancel | TimeoutChange::Set(None, _) => self.cancel(kind, effects),
                TimeoutChange::Set(Some(after), content) => {
                    self.cancel(kind, effects);
                    self.set(kind.clone(), *after, content.clone(), effects);
                }
                TimeoutChange::Update(content) => self.update(kind, content, effects),
            }
        }
    }

    fn set(&mut self, kind: TimeoutKind, after: Duration, content: Term, effects: &mut Vec<Effect>) {
        if after.is_zero() {
            self.due.push((kind, content));
            return;
        }
        self.last_token = self.last_token.wrapping_add(1);
        effects.push(Effect::Start(self.last_token, after));
        self.running.push(Running { kind, token: self.last_token, content });
    }

    fn update(&mut self, kind: &TimeoutKind, content: &Term, effects: &mut Vec<Effect>) {
        if let Some(running) = self.running.iter_mut().find(|running| running.kind == *kind) {
            running.content = content.clone();
        } else if let Some((_, due)) = self.due.iter_mut().find(|(due, _)| due == kind) {
            *due = content.clone();
        } else {
            self.set(kind.clone(), Duration::ZERO, content.clone(), effects);
        }
    }
}
