//! The runtime's registry over a replica of the state.
//!
//! Proposals and reads come from schedulers, which must not wait: each goes on in a task of its own. Many of them are one
//! log entry, since the voters take what waits as one batch; so joins need no gathering here.

use crate::releases::Releases;
use crate::replica::Replica;
use arsenal_raft::nodes::NodeCommand;
use arsenal_raft::{self as raft, Committed as Change, Outcome, ProposeError, ReadError};
use arsenal_runtime::Pid;
use arsenal_runtime::registry::{
    Applied, Command, Committed, Done, Observer, Registry, RegistryError, RegistryState,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Proposals and linearizable reads under way at most.
const REQUESTS_MAX: usize = 65_536;
/// After a release that did not succeed, the next try waits so long.
const RELEASE_PAUSE: Duration = Duration::from_millis(100);

/// Starts a task.
pub type Spawn = Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>;

/// The registry of a node of a cluster.
pub struct ReplicatedRegistry {
    shared: Arc<Shared>,
}

struct Shared {
    replica: Arc<dyn Replica>,
    spawn: Spawn,
    requests: Arc<Semaphore>,
    releases: Releases,
}

impl ReplicatedRegistry {
    /// A registry whose tasks `spawn` starts.
    pub fn new(replica: Arc<dyn Replica>, spawn: Spawn) -> Self {
        let requests = Arc::new(Semaphore::new(REQUESTS_MAX));
        Self { shared: Arc::new(Shared { replica, spawn, requests, releases: Releases::default() }) }
    }

    /// A registry whose tasks run on this tokio runtime.
    pub fn on(runtime: Handle, replica: Arc<dyn Replica>) -> Self {
        Self::new(replica, Arc::new(move |task| drop(runtime.spawn(task))))
    }
}

impl Shared {
    fn admit(&self) -> Result<OwnedSemaphorePermit, RegistryError> {
        let permit = Arc::clone(&self.requests).try_acquire_owned();
        permit.map_err(|_| RegistryError::Exhausted(format!("{REQUESTS_MAX} requests are under way")))
    }

    /// Releases whoever waits, until nobody does.
    async fn attend(self: Arc<Self>) {
        while let Some(pids) = self.releases.next() {
            match self.replica.propose(Command::ProcessesDown { pids: pids.clone() }).await {
                Ok(_) => self.releases.done(&pids),
                // a second time changes nothing, so that an unknown outcome is tried again like any other
                Err(_) => raft::sleep(RELEASE_PAUSE).await,
            }
        }
    }
}

impl Registry for ReplicatedRegistry {
    fn propose(&self, command: Command, done: Done) {
        let permit = match self.shared.admit() {
            Ok(permit) => permit,
            Err(error) => return done(Err(error)),
        };
        let outcome = self.shared.replica.propose(command);
        let task = async move {
            let outcome = outcome.await;
            drop(permit);
            done(outcome.unwrap_or_else(|error| Err(not_proposed(&error))));
        };
        (self.shared.spawn)(task.boxed());
    }

    fn accepts(&self, command: &Command) -> Result<(), RegistryError> {
        self.shared.replica.accepts(command).map_err(|error| not_proposed(&error))
    }

    fn release(&self, pid: Pid) {
        if self.shared.releases.add(pid) {
            (self.shared.spawn)(Arc::clone(&self.shared).attend().boxed());
        }
    }

    fn read(&self, look: &mut dyn FnMut(&RegistryState)) {
        self.shared.replica.look(look);
    }

    fn synchronize(&self, done: Box<dyn FnOnce(Result<(), RegistryError>) + Send>) {
        let permit = match self.shared.admit() {
            Ok(permit) => permit,
            Err(error) => return done(Err(error)),
        };
        let synchronized = self.shared.replica.synchronize();
        let task = async move {
            let outcome = synchronized.await;
            drop(permit);
            done(outcome.map_err(|ReadError(reason)| RegistryError::Unavailable(reason)));
        };
        (self.shared.spawn)(task.boxed());
    }

    fn observe(&self, observer: Observer) {
        self.shared.replica.observe(Arc::new(move |change| match change {
            Change::Applied { command, outcome } => {
                if let Some((command, applied)) = of_registry(command, outcome) {
                    observer(&Committed::Applied { command: &command, applied });
                }
            }
            Change::Replaced { before, after } => {
                observer(&Committed::Replaced { before: before.registry(), after: after.registry() });
            }
        }));
    }
}

/// What a change of the replicated state was to the registry, if it was anything: the end of a node's life is one, and so
/// is the beginning of the next.
fn of_registry<'a>(
    command: &'a raft::Command,
    outcome: &'a Outcome,
) -> Option<(Cow<'a, Command>, &'a Applied)> {
    match (command, outcome) {
        (raft::Command::Registry(command), Outcome::Registry(Ok(applied))) => {
            Some((Cow::Borrowed(command), applied))
        }
        (raft::Command::Node(command), Outcome::Node(Ok((node, Some(applied))))) => {
            let incarnation = match command {
                NodeCommand::Down { incarnation, .. } => *incarnation,
                NodeCommand::Open { incarnation, .. } => incarnation.saturating_sub(1),
                _ => return None,
            };
            Some((Cow::Owned(Command::NodeDown { node: *node, incarnation }), applied))
        }
        _ => None,
    }
}

/// Why a command has no outcome, in the registry's words.
fn not_proposed(error: &ProposeError) -> RegistryError {
    let words = error.to_string();
    match error {
        ProposeError::Unavailable(_) => RegistryError::Unavailable(words),
        ProposeError::MixedVersions { .. } => RegistryError::MixedVersions(words),
        ProposeError::Busy(_) | ProposeError::TooLarge { .. } | ProposeError::Unreadable(_) => {
            RegistryError::Exhausted(words)
        }
        ProposeError::Unknown => RegistryError::Unknown(words),
    }
}
