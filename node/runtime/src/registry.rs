//! Global names and process groups as one replicated state machine: a pure `apply(command)`, and the trait behind which
//! one node alone or a cluster keeps it.
//!
//! Invariants: applying the same commands in the same order gives the same state everywhere; a name is held by one
//! process at a time and nobody is ever killed to resolve a conflict: the second registration fails.

mod state;

pub use state::{Applied, Change, Command, GlobalName, Group, GroupMembers, RegistryError, RegistryState};

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

/// Where the replicated registry is kept.
pub trait Registry: Send + Sync + 'static {
    /// Has `command` committed and applied; then calls `done`, at once or later.
    fn propose(&self, command: Command, done: Done);

    /// Reads the local view.
    fn read(&self, look: &mut dyn FnMut(&RegistryState));

    /// Calls `done` once the local view is as new as every write that was completed before this call.
    fn synchronize(&self, done: Box<dyn FnOnce(Result<(), RegistryError>) + Send>);
}

/// The registry of a node that is alone: a command is committed when it is applied.
#[derive(Default)]
pub struct LocalRegistry {
    state: RwLock<RegistryState>,
}

impl Registry for LocalRegistry {
    fn propose(&self, command: Command, done: Done) {
        let outcome = self.state.write().apply(&command);
        done(outcome);
    }

    fn read(&self, look: &mut dyn FnMut(&RegistryState)) {
        look(&self.state.read());
    }

    fn synchronize(&self, done: Box<dyn FnOnce(Result<(), RegistryError>) + Send>) {
        done(Ok(()));
    }
}
