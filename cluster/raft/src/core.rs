//! What the tasks of a node's part in the group share.

use crate::config::Config;
use crate::election::Patience;
use crate::errors::MembershipError;
use crate::feed::Copies;
use crate::gate::Gate;
use crate::network::Network;
use crate::seat::{Place, Voting};
use crate::types::{NodeId, Voter};
use crate::view::View;
use futures_util::future::{Either, select};
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// What the tasks of a node's part share.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) view: Arc<View>,
    pub(crate) gate: Gate,
    pub(crate) patience: Patience,
    pub(crate) network: Network,
    pub(crate) place: Place,
    /// Whom a view asks while it knows of no voter that answers.
    pub(crate) contacts: RwLock<BTreeMap<NodeId, Voter>>,
    /// What views are sent that lag behind.
    pub(crate) copies: Copies,
    /// This node takes nothing more as leader: another is to follow it.
    pub(crate) lets_go: AtomicBool,
}

impl Core {
    /// Who takes writes and reads, as far as this node knows: who leads, unless that is this node and it lets go.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let leader = match self.place.voting() {
            Some(voting) => voting.raft.server_metrics().borrow().current_leader,
            None => self.place.outlook.borrow().leader,
        };
        leader.filter(|leader| *leader != self.config.id || !self.lets_go.load(Relaxed))
    }

    /// Returns once this node knows of a leader other than `former`; gives the term of that one.
    pub(crate) async fn superseded(&self, former: NodeId) -> u64 {
        let is_other = |leader: Option<NodeId>| leader.is_some_and(|leader| leader != former);
        let term = match self.place.voting() {
            Some(voting) => {
                let mut metrics = voting.raft.server_metrics();
                let found = metrics.wait_for(|metrics| is_other(metrics.current_leader)).await;
                found.map(|metrics| metrics.vote.leader_id.term)
            }
            None => {
                let mut outlook = self.place.outlook.subscribe();
                outlook.wait_for(|outlook| is_other(outlook.leader)).await.map(|outlook| outlook.term)
            }
        };
        match term {
            Ok(term) => term,
            // nobody leads any more as far as a node knows that has stopped
            Err(_) => std::future::pending().await,
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
        match self.place.voting() {
            Some(voting) => {
                voting.raft.server_metrics().borrow().membership_config.membership().get_node(&id).cloned()
            }
            None => self.view.member(id).or_else(|| self.contacts.read().get(&id).cloned()),
        }
    }

    /// The log, or why there is none.
    pub(crate) fn voting(&self) -> Result<Arc<Voting>, MembershipError> {
        let none = || MembershipError("this node does not follow the log".to_owned());
        self.place.voting().ok_or_else(none)
    }
}
