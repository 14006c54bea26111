//! What the tasks of a node's part in the group share.

use crate::config::Config;
use crate::election::Patience;
use crate::errors::MembershipError;
use crate::feed::Copies;
use crate::gate::Gate;
use crate::network::Network;
use crate::seat::{Outlook, Place, Voting};
use crate::types::{NodeId, Voter};
use crate::view::View;
use futures_util::future::{Either, select};
use openraft::metrics::RaftServerMetrics;
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
    /// Held by who has another node lead, one at a time.
    pub(crate) handing_over: tokio::sync::Mutex<()>,
}

/// One node's time as leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leadership {
    pub(crate) leader: NodeId,
    pub(crate) term: u64,
}

impl Leadership {
    fn of_metrics(metrics: &RaftServerMetrics<NodeId, Voter>) -> Option<Self> {
        let term = metrics.vote.leader_id.term;
        metrics.current_leader.map(|leader| Self { leader, term })
    }

    fn of_outlook(outlook: &Outlook) -> Option<Self> {
        let term = outlook.term;
        outlook.leader.map(|leader| Self { leader, term })
    }
}

impl Core {
    /// Whose time it is to take writes and reads, as far as this node knows: the leader's, unless that is this node and it
    /// lets go.
    pub(crate) fn leader(&self) -> Option<Leadership> {
        let takes = |leader: &Leadership| leader.leader != self.config.id || !self.lets_go.load(Relaxed);
        self.leadership().filter(takes)
    }

    /// Who leads, as far as this node knows.
    pub(crate) fn leadership(&self) -> Option<Leadership> {
        match self.place.voting() {
            Some(voting) => Leadership::of_metrics(&voting.raft.server_metrics().borrow()),
            None => Leadership::of_outlook(&self.place.outlook.borrow()),
        }
    }

    /// Returns once this node knows of a leadership that is such a one.
    pub(crate) async fn leads(&self, is_such: impl Fn(Leadership) -> bool + Send + Sync) -> Leadership {
        let mut found = None;
        let mut looks = |leadership: Option<Leadership>| {
            found = leadership.filter(|leadership| is_such(*leadership));
            found.is_some()
        };
        // nobody leads any more as far as a node knows that has stopped
        let _ = match self.place.voting() {
            Some(voting) => {
                let mut metrics = voting.raft.server_metrics();
                let seen = metrics.wait_for(|metrics| looks(Leadership::of_metrics(metrics))).await;
                seen.map(drop)
            }
            None => {
                let mut outlook = self.place.outlook.subscribe();
                let seen = outlook.wait_for(|outlook| looks(Leadership::of_outlook(outlook))).await;
                seen.map(drop)
            }
        };
        match found {
            Some(leadership) => leadership,
            None => std::future::pending().await,
        }
    }

    /// Returns once this node knows of a later leadership than `former`, of another node or of the same once more; gives its
    /// term.
    pub(crate) async fn superseded(&self, former: Leadership) -> u64 {
        self.leads(|leadership| leadership.term > former.term).await.term
    }

    /// What `future` gives, unless this leadership is over before that: a leader that was cut off never answers, and one that
    /// was elected again may have forgotten the question.
    pub(crate) async fn while_leads<T>(
        &self,
        leadership: Leadership,
        future: impl Future<Output = T> + Send,
    ) -> Option<T> {
        match select(pin!(future), pin!(self.superseded(leadership))).await {
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
