//! What a registry needs of the replicated state: a voter has it of its own, a member without a vote by its session.

use arsenal_raft::{Command, Group, Observer, Outcome, ProposeError, ReadError};
use arsenal_runtime::registry::{self, Applied, RegistryError, RegistryState};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

/// The replicated state as one node has it.
pub trait Replica: Send + Sync + 'static {
    /// Has a command committed and applied to the view of this node, so that a look that follows sees it.
    fn propose(
        &self,
        command: registry::Command,
    ) -> BoxFuture<'static, Result<Result<Applied, RegistryError>, ProposeError>>;

    /// Whether a command of this kind may be proposed: whether all nodes can read it.
    ///
    /// # Errors
    /// [`ProposeError::MixedVersions`] if not.
    fn accepts(&self, command: &registry::Command) -> Result<(), ProposeError>;

    /// Ends once the view has every write that was completed anywhere before.
    fn synchronize(&self) -> BoxFuture<'static, Result<(), ReadError>>;

    /// Looks at the view.
    fn look(&self, look: &mut dyn FnMut(&RegistryState));

    /// Has `observer` told of all that becomes of the view from now on, in order, each before its proposer is told.
    fn observe(&self, observer: Observer);
}

impl Replica for Group {
    fn propose(
        &self,
        command: registry::Command,
    ) -> BoxFuture<'static, Result<Result<Applied, RegistryError>, ProposeError>> {
        let group = self.clone();
        async move {
            match group.propose(Command::Registry(command)).await? {
                Outcome::Registry(outcome) => Ok(outcome),
                // the voters answer each command in kind
                Outcome::Node(_) => Err(ProposeError::Unknown),
            }
        }
        .boxed()
    }

    fn accepts(&self, command: &registry::Command) -> Result<(), ProposeError> {
        Group::accepts(self, &Command::Registry(command.clone()))
    }

    fn synchronize(&self) -> BoxFuture<'static, Result<(), ReadError>> {
        let group = self.clone();
        async move { group.synchronize().await }.boxed()
    }

    fn look(&self, look: &mut dyn FnMut(&RegistryState)) {
        Group::look(self, |state| look(state.registry()));
    }

    fn observe(&self, observer: Observer) {
        Group::observe(self, observer);
    }
}
