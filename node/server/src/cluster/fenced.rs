//! The replicated state as a node may use it: a node whose session has run out changes nothing, since its names may be
//! another's already. It may read: what it reads is confirmed by a quorum, or says of itself that it may be old.

use arsenal_membership::Nodes;
use arsenal_names::Replica;
use arsenal_raft::{Group, Observer, ProposeError, ReadError};
use arsenal_runtime::registry::{Applied, Command, RegistryError, RegistryState};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use std::sync::Arc;

/// A replica that a session stands before.
pub(super) struct Fenced {
    group: Group,
    nodes: Arc<dyn Nodes>,
}

impl Fenced {
    pub(super) fn new(group: Group, nodes: Arc<dyn Nodes>) -> Self {
        Self { group, nodes }
    }
}

impl Replica for Fenced {
    fn propose(
        &self,
        command: Command,
    ) -> BoxFuture<'static, Result<Result<Applied, RegistryError>, ProposeError>> {
        // the end of a process frees what it had, and harms nobody
        if !self.nodes.is_in_session() && !matches!(command, Command::ProcessesDown { .. }) {
            let reason = "the session of this node with the voters has run out".to_owned();
            return ready(Err(ProposeError::Unavailable(reason))).boxed();
        }
        Replica::propose(&self.group, command)
    }

    fn accepts(&self, command: &Command) -> Result<(), ProposeError> {
        Replica::accepts(&self.group, command)
    }

    fn synchronize(&self) -> BoxFuture<'static, Result<(), ReadError>> {
        Replica::synchronize(&self.group)
    }

    fn look(&self, look: &mut dyn FnMut(&RegistryState)) {
        Replica::look(&self.group, look);
    }

    fn observe(&self, observer: Observer) {
        Replica::observe(&self.group, observer);
    }
}
