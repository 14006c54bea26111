//! Global names and process groups as one replicated state machine: a pure `apply(command)`, and the trait behind which
//! one node alone or a cluster keeps it.
//!
//! Invariants: applying the same commands in the same order gives the same state everywhere; a name is held by one
//! process at a time and nobody is ever killed to resolve a conflict: the second registration fails.

mod command;
mod groups;
mod index;
mod names;
mod state;
#[cfg(test)]
mod tests;

pub use command::{Applied, Change, Command, RegistryError};
pub use groups::{Group, GroupMembers};
pub use names::GlobalName;
pub use state::RegistryState;

use crate::pid::Pid;
use parking_lot::RwLock;
use std::sync::Arc;

/// The scope of a group that names none, as `pg`'s.
pub const SCOPE_DEFAULT: &str = "pg";

/// What a group of a scope is known by here: its name alone in the default scope, `SCOPE/NAME` in another. No name has
/// a `/`, so two groups never share one.
pub fn group_key(scope: &str, group: &str) -> Arc<str> {
    if scope.is_empty() || scope == SCOPE_DEFAULT { group.into() } else { format!("{scope}/{group}").into() }
}

/// Scope and name of a group, from what it is known by.
pub fn split_group_key(key: &str) -> (&str, &str) {
    key.split_once('/').unwrap_or((SCOPE_DEFAULT, key))
}

/// What follows a command: its outcome, once it is committed.
pub type Done = Box<dyn FnOnce(Result<Applied, RegistryError>) + Send>;

/// What has become of the local view.
#[derive(Debug)]
pub enum Committed<'a> {
    /// A command was applied, whoever proposed it.
    Applied {
        /// The command.
        command: &'a Command,
        /// What it did.
        applied: &'a Applied,
    },
    /// The view was so far behind that it was replaced, and the commands between are not known.
    Replaced {
        /// As it was.
        before: &'a RegistryState,
        /// As it is.
        after: &'a RegistryState,
    },
}

/// Who is told what has become of the local view.
pub type Observer = Arc<dyn Fn(&Committed<'_>) + Send + Sync>;

/// Where the replicated registry is kept.
pub trait Registry: Send + Sync + 'static {
    /// Has `command` committed and applied; then calls `done`, at once or later.
    fn propose(&self, command: Command, done: Done);

    /// Whether a command of this kind can be proposed now at all, before anything is prepared for it.
    ///
    /// # Errors
    /// [`RegistryError::MixedVersions`] if some node of the cluster could not read it.
    fn accepts(&self, _command: &Command) -> Result<(), RegistryError> {
        Ok(())
    }

    /// Has the names and memberships of a process that has ended dropped. Nobody asks for it twice: it is tried until it
    /// is done.
    fn release(&self, pid: Pid);

    /// Reads the local view.
    fn read(&self, look: &mut dyn FnMut(&RegistryState));

    /// Calls `done` once the local view is as new as every write that was completed before this call.
    fn synchronize(&self, done: Box<dyn FnOnce(Result<(), RegistryError>) + Send>);

    /// Has `observer` told of all that becomes of the local view from now on, before whoever proposed it is told. Commands
    /// that did not overlap come in their order. It must not block.
    fn observe(&self, observer: Observer);
}

/// The registry of a node that is alone: a command is committed when it is applied.
#[derive(Default)]
pub struct LocalRegistry {
    state: RwLock<RegistryState>,
    observers: RwLock<Vec<Observer>>,
}

impl LocalRegistry {
    fn commit(&self, command: &Command) -> Result<Applied, RegistryError> {
        let applied = self.state.write().apply(command)?;
        // an observer may propose
        let observers = self.observers.read().clone();
        observers.iter().for_each(|observer| observer(&Committed::Applied { command, applied: &applied }));
        Ok(applied)
    }
}

impl Registry for LocalRegistry {
    fn propose(&self, command: Command, done: Done) {
        done(self.commit(&command));
    }

    fn release(&self, pid: Pid) {
        // it is never refused
        let _ = self.commit(&Command::ProcessesDown { pids: vec![pid] });
    }

    fn read(&self, look: &mut dyn FnMut(&RegistryState)) {
        look(&self.state.read());
    }

    fn synchronize(&self, done: Box<dyn FnOnce(Result<(), RegistryError>) + Send>) {
        done(Ok(()));
    }

    fn observe(&self, observer: Observer) {
        self.observers.write().push(observer);
    }
}
