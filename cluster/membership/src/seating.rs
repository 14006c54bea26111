//! What a leader does about votes on somebody's word: gives one to a node, and takes one from a node that is to leave.
//!
//! Invariant: one change of the members is under way at a time, whoever asked for it: the steward's own waits for the same
//! permit.

use crate::desk::Shared;
use crate::seats::{self, Seats, Seen};
use crate::steward;
use crate::verdicts::propose;
use arsenal_raft::nodes::{NodeCommand, NodePhase};
use arsenal_raft::{Group, MembershipError, ReadError, Voter};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tonic::Status;

/// A node may take so long to catch up with the log before it votes.
const CATCH_UP_MAX: Duration = Duration::from_secs(30);
/// What a leader takes to hand over.
const HAND_OVER_MAX: Duration = Duration::from_secs(2);

/// The group as its leader, for as long as nothing else changes its members.
struct Leading {
    shared: Arc<Shared>,
    group: Group,
    seats: Seats,
    _only: OwnedSemaphorePermit,
}

impl Leading {
    async fn begin(shared: &Arc<Shared>) -> Result<Self, Status> {
        let group = shared.group()?;
        let stops = |_| Status::unavailable("this node stops");
        let only = Arc::clone(&shared.changing).acquire_owned().await.map_err(stops)?;
        // after the wait: it may lead no more, and the members may have changed
        let mut status = group.status();
        if status.leader != Some(status.id) {
            return Err(Status::unavailable("this node does not lead"));
        }
        if let Some(voters) = status.next_voters {
            // a change that was not finished: until it is there can be no other
            in_time(group.change_voters(voters)).await?;
            status = group.status();
        }
        let seats = Seats::of(&status);
        Ok(Self { shared: Arc::clone(shared), group, seats, _only: only })
    }

    /// As [`Leading::change`], to its end, though who asked for it may be gone before that.
    async fn seat(self, voters: BTreeSet<u32>) -> Result<(), Status> {
        let seated = tokio::spawn(async move { self.change(&voters).await }).await;
        seated.unwrap_or_else(|gone| Err(Status::unavailable(gone.to_string())))
    }

    /// Has these vote and nobody else, those that do not follow the log yet after they have caught up.
    async fn change(&self, voters: &BTreeSet<u32>) -> Result<(), Status> {
        let follows = |node: &&u32| self.seats.voters.contains(node) || self.seats.learners.contains(node);
        let change = async {
            for node in voters.iter().filter(|node| !follows(node)) {
                let id = u64::from(*node);
                let address = self.shared.address_of(&self.group, id);
                let address = address.ok_or_else(|| MembershipError(format!("no node is called n{node}")))?;
                self.group.add_learner(id, Voter { address: address.to_string() }).await?;
            }
            self.group.change_voters(voters.iter().copied().map(u64::from).collect()).await
        };
        in_time(change).await
    }
}

/// What a change of the members gives, if it is made in time.
async fn in_time(change: impl Future<Output = Result<(), MembershipError>>) -> Result<(), Status> {
    let late = |_| Status::unavailable(format!("the voters did not change within {CATCH_UP_MAX:?}"));
    let changed = timeout(CATCH_UP_MAX, change).await.map_err(late)?;
    changed.map_err(|error| Status::unavailable(error.to_string()))
}

/// Gives a node a vote.
///
/// # Errors
/// `UNAVAILABLE` if this node does not lead, `FAILED_PRECONDITION` if the other is not up.
pub(crate) async fn give_vote(shared: &Arc<Shared>, node: u32) -> Result<(), Status> {
    let leading = Leading::begin(shared).await?;
    if leading.seats.voters.contains(&node) {
        return Ok(());
    }
    if phase(&leading.group, node) != Some(NodePhase::Up) {
        return Err(Status::failed_precondition(format!("n{node} is not up")));
    }
    if shared.manners().get(&node).is_some_and(|manner| manner.abstains) {
        return Err(Status::failed_precondition(format!("n{node} is set never to vote")));
    }
    let mut voters = leading.seats.voters.clone();
    voters.insert(node);
    leading.seat(voters).await
}

/// Whether the way out was begun, or nothing was done since the voters would have no majority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retired {
    Begun,
    QuorumLost,
}

/// Begins to take a node out: nothing new comes to it, and it votes no more.
///
/// # Errors
/// `UNAVAILABLE` if this node does not lead, or does not any more because it is the one; `FAILED_PRECONDITION` if the node
/// is up, and was to be down.
pub(crate) async fn retire(
    shared: &Arc<Shared>,
    node: u32,
    dry_run: bool,
    expect_down: bool,
) -> Result<Retired, Status> {
    let leading = Leading::begin(shared).await?;
    let group = &leading.group;
    if expect_down {
        // who asks may have seen it before it came back
        let unconfirmed = |error: ReadError| Status::unavailable(error.to_string());
        group.synchronize().await.map_err(unconfirmed)?;
        if matches!(phase(group, node), Some(NodePhase::Up | NodePhase::Leaving)) {
            return Err(Status::failed_precondition(format!("n{node} is not down")));
        }
    }
    let seen = Seen { manners: shared.manners(), ..Seen::default() };
    let voters =
        group.look(|state| seats::without(state.nodes(), &leading.seats, &shared.rules(), &seen, node));
    let Some(voters) = voters else { return Ok(Retired::QuorumLost) };
    if dry_run {
        return Ok(Retired::Begun);
    }
    if leading.seats.voters.contains(&node) && group.status().id == u64::from(node) {
        let group = group.clone();
        drop(leading);
        let handed = steward::hand_over(shared, &group, HAND_OVER_MAX).await;
        return Err(Status::unavailable(if handed {
            "another node leads now"
        } else {
            "nobody else leads yet"
        }));
    }
    let incarnation = group.look(|state| {
        let record = state.nodes().nodes().get(&node);
        record.filter(|record| record.phase == NodePhase::Up).map(|record| record.incarnation)
    });
    if let Some(incarnation) = incarnation {
        // first: who is about to leave is given no vote again
        let leave = NodeCommand::Leave { node, incarnation };
        propose(group, leave).await?.map_err(|refusal| Status::unavailable(refusal.to_string()))?;
    }
    if voters != leading.seats.voters {
        leading.seat(voters).await?;
    }
    Ok(Retired::Begun)
}

fn phase(group: &Group, node: u32) -> Option<NodePhase> {
    group.look(|state| state.nodes().nodes().get(&node).map(|record| record.phase))
}
