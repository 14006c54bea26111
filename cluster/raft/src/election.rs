//! When a voter stands for election: once it has heard of no leader for so long that the others may vote for it.
//!
//! It asks first who would vote for it, and stands if a majority might win: one that was paused or cut off has a leader without
//! knowing, and by standing would depose it. What it is told binds nobody.
//!
//! openraft's own timer is off. It draws its time once for as long as the process lives, so that the same two voters meet each
//! time; and a voter that was behind in its log at some election waits the longer at the next, however much later that is.

use crate::core::Core;
use crate::runtime::{Instant, Runtime};
use crate::seat::Voting;
use crate::transport::{CallError, Kind};
use crate::types::{NodeId, Voter};
use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use openraft::{AsyncRuntime as _, ServerState};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// What a voter waits for before it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// A leader that it has heard of. Nobody is willing to vote for another before twice the election timeout has passed.
    Leader,
    /// The end of an election.
    Winner,
}

/// How long a voter waits yet.
#[derive(Debug)]
pub(crate) struct Patience {
    /// The election timeout.
    timeout: Duration,
    wait: Mutex<Wait>,
}

#[derive(Debug)]
struct Wait {
    awaited: Awaited,
    since: Instant,
    /// Differs from voter to voter and from try to try, so that as a rule one stands before the others do.
    lot: Duration,
}

impl Patience {
    pub(crate) fn new(timeout: Duration) -> Self {
        let wait = Wait { awaited: Awaited::Leader, since: Runtime::now(), lot: lot(timeout) };
        Self { timeout, wait: Mutex::new(wait) }
    }

    /// A leader lives.
    pub(crate) fn heard(&self) {
        let mut wait = self.wait.lock();
        (wait.awaited, wait.since) = (Awaited::Leader, Runtime::now());
    }

    /// Another has this voter's vote.
    pub(crate) fn voted(&self) {
        let mut wait = self.wait.lock();
        (wait.awaited, wait.since) = (Awaited::Winner, Runtime::now());
    }

    fn stood(&self) {
        let lot = lot(self.timeout);
        *self.wait.lock() = Wait { awaited: Awaited::Winner, since: Runtime::now(), lot };
    }

    /// Whether a vote for a candidate would be granted that asked now: there is no leader that was heard of lately.
    pub(crate) fn would_vote(&self) -> bool {
        let wait = self.wait.lock();
        wait.awaited == Awaited::Winner || wait.since.age() > self.timeout * 2
    }

    fn left(&self) -> Duration {
        let wait = self.wait.lock();
        let least = match wait.awaited {
            // half of it more than the others need: a leader's sign that comes late deposes nobody
            Awaited::Leader => self.timeout * 5 / 2,
            Awaited::Winner => self.timeout,
        };
        (least + wait.lot).saturating_sub(wait.since.age())
    }
}

/// Less than the election timeout.
fn lot(timeout: Duration) -> Duration {
    let part = Runtime::random() % 1_024;
    timeout.mul_f64(part as f64 / 1_024.0)
}

/// Has this node stand whenever it is time, until openraft stops.
pub(crate) async fn run(core: Arc<Core>, voting: Arc<Voting>) {
    let mut metrics = voting.raft.server_metrics();
    // whom should it wait for
    let mut hastens = true;
    core.patience.heard();
    loop {
        let (stands, alone) = {
            let seen = metrics.borrow_and_update();
            let voters = || seen.membership_config.voter_ids();
            let votes = voters().any(|voter| voter == core.config.id);
            (seen.state != ServerState::Leader && votes, voters().count() == 1)
        };
        if !stands {
            if metrics.changed().await.is_err() {
                return;
            }
            // it may lead no more
            core.patience.heard();
            continue;
        }
        let left = core.patience.left();
        if left.is_zero() || (alone && hastens) {
            hastens = false;
            let may_win = canvass(&core, &voting).await;
            // else a leader was heard of meanwhile, or another has this vote
            if alone || core.patience.left().is_zero() {
                if may_win {
                    stand(&core, &voting).await;
                } else {
                    core.patience.stood();
                }
            }
            continue;
        }
        if let Either::Right((Err(_), _)) = select(pin!(Runtime::sleep(left)), pin!(metrics.changed())).await
        {
            return;
        }
    }
}

/// Whether a majority of the voters, of the former and of the next ones if they are changed, might vote for this one.
pub(crate) async fn canvass(core: &Core, voting: &Voting) -> bool {
    let seen = voting.raft.server_metrics().borrow().clone();
    let membership = seen.membership_config.membership();
    let (id, last) = (core.config.id, voting.log.last());
    let ask = |(peer, voter): (NodeId, Voter)| async move {
        let asked = core.network.ask(Kind::Canvass, peer, &voter, &last, core.config.election_timeout).await;
        // one of an earlier version does not know the question; it answers, and may vote
        let may = asked.unwrap_or_else(|error| matches!(error, CallError::Refused { .. }));
        may.then_some(peer)
    };
    let others = membership.voter_ids().filter(|voter| *voter != id);
    let others = others.filter_map(|voter| Some((voter, membership.get_node(&voter)?.clone())));
    let mut asked: FuturesUnordered<_> = others.map(ask).collect();
    let mut for_it = BTreeSet::from([id]);
    let is_majority = |for_it: &BTreeSet<NodeId>| {
        let mut configs = membership.get_joint_config().iter();
        configs.all(|voters| voters.intersection(for_it).count() > voters.len() / 2)
    };
    while !is_majority(&for_it) {
        match asked.next().await {
            Some(told) => for_it.extend(told),
            None => return false,
        }
    }
    true
}

/// Has this node stand now, unless it leads or has no vote.
pub(crate) async fn stand(core: &Core, voting: &Voting) {
    core.patience.stood();
    // openraft has stopped otherwise, and then there is nothing to do
    let _ = voting.raft.trigger().elect().await;
    // once it has begun: one that is held up would else be told again and again
    let _ = voting.raft.with_raft_state(|_| ()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(1_000);

    fn is_between(left: Duration, least: Duration) -> bool {
        // the test itself takes no minute
        left > least - Duration::from_secs(60) && left < least + TIMEOUT
    }

    #[test]
    fn whoever_has_heard_of_a_leader_waits_longer_than_whoever_has_voted_or_stood() {
        let patience = Patience::new(TIMEOUT);
        assert!(is_between(patience.left(), TIMEOUT * 5 / 2));
        patience.voted();
        assert!(is_between(patience.left(), TIMEOUT));
        patience.heard();
        assert!(is_between(patience.left(), TIMEOUT * 5 / 2));
        patience.stood();
        assert!(is_between(patience.left(), TIMEOUT));
    }

    #[test]
    fn each_try_draws_another_time() {
        let patience = Patience::new(TIMEOUT);
        let mut lots: Vec<Duration> = (0..100)
            .map(|_| {
                patience.stood();
                patience.wait.lock().lot
            })
            .collect();
        lots.sort_unstable();
        lots.dedup();
        // of a thousand: that fewer than half of a hundred differ does not happen
        assert!(lots.len() > 50, "{lots:?}");
        assert!(lots.iter().all(|lot| *lot < TIMEOUT));
    }
}
