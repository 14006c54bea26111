//! How a leader that is about to leave has another voter lead.
//!
//! It takes nothing more first, and waits until a follower has all of its log: one that lacks an entry wins no election, and
//! would depose this leader all the same. Then that one stands for election, again and again: of five voters it needs a
//! vote besides its own and this node's, and the other followers grant none before somewhat more than a heartbeat has passed
//! since the last they heard of this one.

use super::{Group, RETRY_PAUSE};
use crate::core::{Core, Leadership};
use crate::election::stand;
use crate::runtime::Runtime;
use crate::types::NodeId;
use openraft::AsyncRuntime as _;
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::MutexGuard;

/// While this lives its node takes nothing more as leader: what is proposed meanwhile waits for whoever leads next. There is one
/// at a time: two would choose a follower each, and the first to end would have the node take more under the hands of the other.
struct LettingGo<'a> {
    core: &'a Core,
    _only: MutexGuard<'a, ()>,
}

impl<'a> LettingGo<'a> {
    async fn begin(core: &'a Core) -> Self {
        let _only = core.handing_over.lock().await;
        core.lets_go.store(true, Relaxed);
        Self { core, _only }
    }
}

impl Drop for LettingGo<'_> {
    fn drop(&mut self) {
        self.core.lets_go.store(false, Relaxed);
    }
}

impl Group {
    /// The other voters, whoever has the most of the log first. On the leader; empty elsewhere.
    pub fn followers(&self) -> Vec<NodeId> {
        let Some(voting) = self.core.place.voting() else { return Vec::new() };
        let metrics = voting.raft.metrics().borrow().clone();
        let voters: BTreeSet<NodeId> = metrics.membership_config.voter_ids().collect();
        let matched = metrics.replication.into_iter().flatten();
        let matched = matched.filter(|(id, _)| *id != self.core.config.id && voters.contains(id));
        let mut followers: Vec<_> = matched.map(|(id, log_id)| (std::cmp::Reverse(log_id), id)).collect();
        followers.sort_unstable();
        followers.into_iter().map(|(_, id)| id).collect()
    }

    /// Stands for election now: how a leader that is about to leave is followed by a chosen one.
    pub async fn campaign(&self) {
        if let Some(voting) = self.core.place.voting() {
            stand(&self.core, &voting).await;
        }
    }

    /// Has another voter lead, if this one does: one that is `preferred` if there is any. `stand` has a voter stand for
    /// election, and gives whether it does. Gives whether somebody else leads within `limit`. A second one waits for the first,
    /// and has nothing to do if that succeeds.
    pub async fn hand_over<F: Future<Output = bool> + Send>(
        &self,
        limit: Duration,
        preferred: impl Fn(NodeId) -> bool + Sync,
        stand: impl Fn(NodeId) -> F + Sync,
    ) -> bool {
        let handing = async {
            let own = self.core.config.id;
            let _letting_go = LettingGo::begin(&self.core).await;
            let is_another = |leadership: Leadership| leadership.leader != own;
            if self.core.leadership().is_some_and(is_another) {
                return;
            }
            let mut followers = Vec::new();
            let answer_max = self.core.config.election_timeout;
            loop {
                let mut pause = RETRY_PAUSE;
                if followers.is_empty() {
                    // a leader that was deposed knows of none any more
                    followers = self.followers();
                    followers.sort_by_key(|id| !preferred(*id));
                }
                if let Some(chosen) = self.ready(&followers, answer_max).await {
                    let stands = Runtime::timeout(answer_max, stand(chosen)).await.unwrap_or(false);
                    followers.retain(|id| *id != chosen);
                    if stands {
                        // from now on nobody else does: two would take votes from each other, which need a part of it to come
                        // back
                        followers.insert(0, chosen);
                        pause = self.core.config.vote_lease();
                    } else {
                        followers.push(chosen);
                    }
                }
                if Runtime::timeout(pause, self.core.leads(is_another)).await.is_ok() {
                    return;
                }
            }
        };
        Runtime::timeout(limit, handing).await.is_ok()
    }

    /// The first of these that has all of this leader's log, once one has. Once nobody leads, the first of all.
    async fn ready(&self, followers: &[NodeId], limit: Duration) -> Option<NodeId> {
        let voting = self.core.place.voting()?;
        let ready = async {
            // done after what was handed to openraft before: until then the log may lack that
            voting.raft.with_raft_state(|_| ()).await.ok()?;
            let last = voting.log.last();
            let mut metrics = voting.raft.metrics();
            let mut ready = None;
            let seen = metrics.wait_for(|metrics| {
                ready = match &metrics.replication {
                    None => followers.first().copied(),
                    Some(replication) => {
                        followers.iter().copied().find(|id| replication.get(id).copied().flatten() >= last)
                    }
                };
                metrics.replication.is_none() || ready.is_some()
            });
            seen.await.ok()?;
            ready
        };
        Runtime::timeout(limit, ready).await.ok().flatten()
    }
}
