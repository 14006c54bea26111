//! What a leader does for its cluster: it ends sessions whose leases ran out, and sees that there are voters.
//!
//! Every node has one; it does something while its node leads. What is to be done is decided in `keeping` and `seats`.

use crate::desk::Shared;
use crate::keeping::Keeping;
use crate::seats::{self, Change, Seats, Seen};
use crate::verdicts::propose;
use crate::versions;
use arsenal_proto::internal::v1::CampaignRequest;
use arsenal_proto::internal::v1::membership_service_client::MembershipServiceClient;
use arsenal_raft::nodes::{NodeCommand, NodePhase};
use arsenal_raft::{Command, Group, MembershipError, ProposeError, Status, Voter};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, interval, sleep, timeout};

/// How often a leader looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A node that is to follow the log may take so long to catch up before others have their turn.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);
/// A change that failed is tried again so much later.
const FAILED_PAUSE: Duration = Duration::from_millis(500);

/// Looks after a cluster.
pub(crate) struct Steward {
    shared: Arc<Shared>,
    group: Group,
    /// Since when nodes have been seen down, or without a life yet.
    absent: BTreeMap<u32, Instant>,
}

impl Steward {
    pub(crate) fn new(shared: Arc<Shared>, group: Group) -> Self {
        Self { shared, group, absent: BTreeMap::new() }
    }

    /// Looks until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            let status = self.group.status();
            if status.leader == Some(status.id) {
                self.keep(&status);
                self.seat(&status);
            } else {
                *self.shared.keeping.lock() = None;
                self.absent.clear();
            }
        }
    }

    /// Ends sessions.
    fn keep(&self, status: &Status) {
        let now = self.shared.now();
        let mut keeping = self.shared.keeping.lock();
        let current = keeping.take().filter(|keeping| keeping.term == status.term);
        let keeping =
            keeping.insert(current.unwrap_or_else(|| {
                Keeping::new(rand::random(), status.term, self.shared.settings.lease, now)
            }));
        let over = self.group.look(|state| keeping.look(state.nodes(), now));
        for (node, command) in over {
            let (shared, group) = (Arc::clone(&self.shared), self.group.clone());
            tokio::spawn(end(shared, group, node, command, keeping.keeper));
        }
    }

    /// Sees that there are voters.
    fn seat(&mut self, status: &Status) {
        let Ok(changing) = Arc::clone(&self.shared.changing).try_acquire_owned() else { return };
        let seats = Seats::of(status);
        let now = Instant::now();
        let manners = self.shared.manners();
        let (rules, absent) = (self.shared.rules(), &mut self.absent);
        let change = self.group.look(|state| {
            let nodes = state.nodes().nodes();
            let is_absent = |node: &u32| {
                let record = nodes.get(node);
                record.is_some_and(|record| matches!(record.phase, NodePhase::Down | NodePhase::Joined))
            };
            absent.retain(|node, _| is_absent(node));
            for node in nodes.keys().filter(|node| is_absent(node)) {
                absent.entry(*node).or_insert(now);
            }
            let absent_for = absent.iter().map(|(node, since)| (*node, now.duration_since(*since))).collect();
            let (table, seen) = (state.nodes(), Seen { manners, absent_for });
            let raise = || versions::next(table, &rules, &seen).map(Change::Raise);
            raise().or_else(|| seats::next(table, &seats, &rules, &seen))
        });
        if let Some(change) = change {
            let (shared, group) = (Arc::clone(&self.shared), self.group.clone());
            tokio::spawn(async move {
                let done = timeout(CHANGE_TIMEOUT, make(&shared, &group, &change)).await;
                match &done {
                    Ok(Ok(())) => tracing::info!(?change, "the members changed"),
                    Ok(Err(error)) => {
                        tracing::warn!(?change, %error, "the members stay as they are")
                    }
                    Err(_) => tracing::warn!(?change, "a change of the members takes too long"),
                }
                if !matches!(done, Ok(Ok(()))) {
                    sleep(FAILED_PAUSE).await;
                }
                drop(changing);
            });
        }
    }
}

async fn make(shared: &Shared, group: &Group, change: &Change) -> Result<(), MembershipError> {
    let ids = |nodes: &BTreeSet<u32>| nodes.iter().copied().map(u64::from).collect();
    match change {
        Change::Vote(voters) => group.change_voters(ids(voters)).await,
        Change::Forget(nodes) => group.remove_learners(ids(nodes)).await,
        Change::Remove(node) => agree(group, NodeCommand::Remove { node: *node }).await,
        Change::Raise(protocol) => agree(group, NodeCommand::Raise { protocol: *protocol }).await,
        Change::Admit(node) => {
            let id = u64::from(*node);
            let Some(address) = shared.address_of(group, id) else { return Ok(()) };
            group.add_learner(id, Voter { address: address.to_string() }).await
        }
    }
}

/// Has a change of the table agreed on; that it may change nothing is no failure.
async fn agree(group: &Group, command: NodeCommand) -> Result<(), MembershipError> {
    let agreed = propose(group, command).await;
    agreed.map(drop).map_err(|status| MembershipError(status.message().to_owned()))
}

/// Has the end of a session agreed on.
async fn end(shared: Arc<Shared>, group: Group, node: u32, command: NodeCommand, keeper: u64) {
    // who was deposed without knowing must not end what its successor renews
    let outcome = match group.synchronize().await {
        Ok(()) => group.propose(Command::Node(command)).await,
        Err(error) => Err(ProposeError::Unavailable(error.to_string())),
    };
    let mut keeping = shared.keeping.lock();
    let Some(current) = keeping.as_mut().filter(|current| current.keeper == keeper) else { return };
    match outcome {
        Ok(outcome) => {
            tracing::warn!(node = format!("n{node}"), ?outcome, "a session is over: its lease ran out");
            current.ended(node);
        }
        // it may be agreed on yet: under another number it would end nothing that is renewed from now on
        Err(ProposeError::Unknown) => {
            *current = Keeping::new(rand::random(), current.term, shared.settings.lease, shared.now());
        }
        Err(_) => current.ended(node),
    }
}

/// Hands the leadership to a follower, one that is up if there is any, if this node leads. Gives whether somebody else leads.
pub(crate) async fn hand_over(shared: &Shared, group: &Group, limit: Duration) -> bool {
    let is_up = |voter: u64| {
        group.look(|state| {
            let record = u32::try_from(voter).ok().and_then(|voter| state.nodes().nodes().get(&voter));
            record.is_some_and(|record| record.phase == NodePhase::Up)
        })
    };
    let stand = |follower| async move {
        let channel = shared.address_of(group, follower).map(|address| shared.dialer.channel(&address));
        let Some(Ok(channel)) = channel else { return false };
        let hello = Some(shared.introduction().hello());
        MembershipServiceClient::new(channel).campaign(CampaignRequest { hello }).await.is_ok()
    };
    group.hand_over(limit, is_up, stand).await
}

/// Tells that this life ends, so that others need not wait for its lease.
pub(crate) async fn say(group: &Group, command: NodeCommand, limit: Duration) {
    // without a quorum the lease tells it
    if let Ok(Err(status)) = timeout(limit, propose(group, command)).await {
        tracing::info!(reason = status.message(), "the others learn by its lease that this node stops");
    }
}
