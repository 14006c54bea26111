//! What the tasks of one voter share, and what they know of who leads.

use crate::config::Config;
use crate::gate::Gate;
use crate::log::Reader as LogReader;
use crate::machine::View;
use crate::network::Network;
use crate::types::{NodeId, Types, Voter};
use futures_util::future::{Either, select};
use openraft::Raft;
use std::pin::pin;
use std::sync::Arc;

/// What the tasks of a voter share.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) raft: Raft<Types>,
    pub(crate) view: Arc<View>,
    pub(crate) gate: Gate,
    pub(crate) network: Network,
    pub(crate) log: LogReader,
}

impl Core {
    /// Who leads, as far as this voter knows.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.raft.server_metrics().borrow().current_leader
    }

    /// Returns once this voter knows of a leader other than `former`.
    pub(crate) async fn superseded(&self, former: NodeId) {
        let is_other = |leader: Option<NodeId>| leader.is_some_and(|leader| leader != former);
        let mut metrics = self.raft.server_metrics();
        if metrics.wait_for(|metrics| is_other(metrics.current_leader)).await.is_err() {
            // nobody leads any more as far as a voter knows that has stopped
            std::future::pending().await
        }
    }

    /// What `future` gives, unless somebody else than `leader` leads before that: one that was cut off never answers.
    pub(crate) async fn while_leads<T>(
        &self,
        leader: NodeId,
        future: impl Future<Output = T> + Send,
    ) -> Option<T> {
        match select(pin!(future), pin!(self.superseded(leader))).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(_) => None,
        }
    }

    /// How a member is reached.
    pub(crate) fn voter(&self, id: NodeId) -> Option<Voter> {
        self.raft.server_metrics().borrow().membership_config.membership().get_node(&id).cloned()
    }
}
