//! Which nodes follow the replicated log, and which of them vote: a decision core.
//!
//! Voters are few and stay while they live: each change of them costs two agreements, and one that came back in time has
//! everything. All other nodes have views, which voters feed. Invariants: no change takes away a vote that a quorum of those
//! who live may need; the number of voters does not become even if it can be helped; whoever is to vote has caught up with
//! the log as a learner before, and nobody else is a learner, but for nodes of an older build, which know no views.

use crate::keeping::Manner;
use arsenal_raft::Status;
use arsenal_raft::nodes::{NodePhase, NodeTable};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Nodes that live from which on there are five voters: two may fail then, and there is somebody to replace them.
const NODES_FOR_FIVE: usize = 7;

/// A node that has a number for so long and was never heard of may be one that waits for the log.
const LOG_AFTER: Duration = Duration::from_secs(3);

/// How voters are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// How many voters there should be; 0 for 3, or 5 if there are many nodes.
    pub(crate) voters: usize,
    /// A voter that has been down for so long is replaced, if there is somebody to replace it.
    pub(crate) replace_after: Duration,
    /// A node that follows no log and has been down for so long, or has joined and not come, is forgotten; zero for never.
    pub(crate) forget_after: Duration,
}

/// Who follows the log now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seats {
    /// Former and next ones while a change of them is not finished.
    pub(crate) voters: BTreeSet<u32>,
    pub(crate) learners: BTreeSet<u32>,
    /// The voters that a change is to end with which is not finished.
    pub(crate) next_voters: Option<BTreeSet<u32>>,
}

impl Seats {
    /// As a leader has them.
    pub(crate) fn of(status: &Status) -> Self {
        let numbers = |ids: &BTreeSet<u64>| ids.iter().filter_map(|id| u32::try_from(*id).ok()).collect();
        let next_voters = status.next_voters.as_ref().map(numbers);
        Self { voters: numbers(&status.voters), learners: numbers(&status.learners), next_voters }
    }
}

/// One change of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// This node begins to follow the log.
    Admit(u32),
    /// These nodes follow it no longer.
    Forget(BTreeSet<u32>),
    /// These are the voters.
    Vote(BTreeSet<u32>),
    /// This node is forgotten: its number is retired.
    Remove(u32),
    /// All nodes speak this version from now on.
    Raise(u32),
}

/// What a leader has seen of the nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// What each said of itself that has renewed its session with this leader.
    pub(crate) manners: BTreeMap<u32, Manner>,
    /// How long each has been down, or without a life yet.
    pub(crate) absent_for: BTreeMap<u32, Duration>,
}

impl Seen {
    /// Whether a node may be given a vote.
    fn may_vote(&self, node: u32) -> bool {
        self.manners.get(&node).is_some_and(|manner| !manner.abstains)
    }

    /// Whether a node has been down, or without a life, for so long.
    pub(crate) fn is_absent_for(&self, node: u32, limit: Duration) -> bool {
        self.absent_for.get(&node).is_some_and(|time| *time >= limit)
    }
}

/// The next change, if there should be one.
pub(crate) fn next(table: &NodeTable, seats: &Seats, rules: &Rules, seen: &Seen) -> Option<Change> {
    if let Some(voters) = &seats.next_voters {
        // whoever began it leads no more, or gave up: until it is done both majorities are needed
        return Some(Change::Vote(voters.clone()));
    }
    let nodes = table.nodes();
    if nodes.is_empty() {
        // its founders are not agreed on yet: they vote
        return None;
    }
    let up = up(table);
    let voters = elect(table, seats, rules, seen, &up);
    if voters != seats.voters {
        let mut newcomers = voters.difference(&seats.voters).filter(|node| !seats.learners.contains(node));
        return Some(match newcomers.next() {
            Some(newcomer) => Change::Admit(*newcomer),
            None => Change::Vote(voters),
        });
    }
    let stays = |node: &u32| match seen.manners.get(node) {
        Some(manner) => manner.needs_log(),
        // it has not been heard of since this leader leads
        None => !seen.is_absent_for(*node, rules.replace_after),
    };
    let gone: BTreeSet<u32> =
        seats.learners.iter().copied().filter(|node| !nodes.contains_key(node) || !stays(node)).collect();
    if !gone.is_empty() {
        return Some(Change::Forget(gone));
    }
    let waits = |(node, phase): &(u32, NodePhase)| match (phase, seen.manners.get(node)) {
        (NodePhase::Up, Some(manner)) => manner.needs_log(),
        // without the log it does not know with whom to open its session; after long it is no more than a name
        (NodePhase::Joined, None) => {
            seen.is_absent_for(*node, LOG_AFTER) && !seen.is_absent_for(*node, rules.replace_after)
        }
        _ => false,
    };
    let mut newcomers = nodes.iter().map(|(node, record)| (*node, record.phase));
    let newcomer = newcomers
        .find(|node| waits(node) && !seats.voters.contains(&node.0) && !seats.learners.contains(&node.0));
    let forgotten = || {
        let limit = Some(rules.forget_after).filter(|limit| !limit.is_zero())?;
        let is_away = |phase| matches!(phase, NodePhase::Down | NodePhase::Joined);
        let mut down = nodes.iter().filter(|(_, record)| is_away(record.phase)).map(|(node, _)| *node);
        let is_forgotten = |node: &u32| !seats.voters.contains(node) && seen.is_absent_for(*node, limit);
        down.find(is_forgotten).map(Change::Remove)
    };
    newcomer.map(|(node, _)| Change::Admit(node)).or_else(forgotten)
}

fn up(table: &NodeTable) -> BTreeSet<u32> {
    let up = table.nodes().iter().filter(|(_, record)| record.phase == NodePhase::Up);
    up.map(|(node, _)| *node).collect()
}

/// Nodes that may be given a vote.
fn spare<'a>(seats: &'a Seats, seen: &'a Seen, up: &'a BTreeSet<u32>) -> impl Iterator<Item = u32> + 'a {
    up.difference(&seats.voters).copied().filter(|node| seen.may_vote(*node))
}

/// Who should vote.
fn elect(table: &NodeTable, seats: &Seats, rules: &Rules, seen: &Seen, up: &BTreeSet<u32>) -> BTreeSet<u32> {
    let nodes = table.nodes();
    let is_lost = |voter: &u32| match nodes.get(voter).map(|record| record.phase) {
        None => true,
        Some(NodePhase::Down) => seen.is_absent_for(*voter, rules.replace_after),
        Some(_) => false,
    };
    let (lost, kept): (BTreeSet<u32>, BTreeSet<u32>) = seats.voters.iter().partition(|voter| is_lost(voter));
    let mut voters = kept;
    fill(&mut voters, table, spare(seats, seen, up), wanted(rules, up));
    // who is lost and cannot be replaced keeps its seat: fewer voters would be a smaller quorum of the same machines
    for voter in lost {
        if voters.len() < seats.voters.len() && nodes.contains_key(&voter) {
            voters.insert(voter);
        }
    }
    let is_even = |count: usize| count.is_multiple_of(2);
    if voters.len() > seats.voters.len() && is_even(voters.len()) && !is_even(seats.voters.len()) {
        // a pair is awaited
        return seats.voters.clone();
    }
    voters
}

/// How many voters there should be.
fn wanted(rules: &Rules, up: &BTreeSet<u32>) -> usize {
    match rules.voters {
        0 if up.len() >= NODES_FOR_FIVE => 5,
        0 => 3,
        wanted => wanted,
    }
}

/// Gives votes to spare nodes until there are as many voters as are wanted: to one from the zone that has the fewest
/// voters each time, and of those to the oldest.
fn fill(voters: &mut BTreeSet<u32>, table: &NodeTable, spare: impl Iterator<Item = u32>, wanted: usize) {
    let zone = |node: &u32| table.nodes().get(node).map(|record| &*record.candidate.zone).unwrap_or_default();
    let mut spare: Vec<u32> = spare.collect();
    while voters.len() < wanted {
        let crowd = |node: &u32| voters.iter().filter(|voter| zone(voter) == zone(node)).count();
        let Some(place) = (0..spare.len()).min_by_key(|place| (crowd(&spare[*place]), spare[*place])) else {
            return;
        };
        voters.insert(spare.remove(place));
    }
}

/// Who should vote once this node is taken out; nothing if those could decide nothing, or the change could not be agreed on.
pub(crate) fn without(
    table: &NodeTable,
    seats: &Seats,
    rules: &Rules,
    seen: &Seen,
    node: u32,
) -> Option<BTreeSet<u32>> {
    if !seats.voters.contains(&node) {
        return Some(seats.voters.clone());
    }
    let up = up(table);
    let mut voters = seats.voters.clone();
    voters.remove(&node);
    let wanted = wanted(rules, &up).min(seats.voters.len());
    fill(&mut voters, table, spare(seats, seen, &up), wanted);
    // who is about to leave can still agree
    let is_alive = |node: &&u32| {
        let record = table.nodes().get(node);
        record.is_some_and(|record| matches!(record.phase, NodePhase::Up | NodePhase::Leaving))
    };
    let has_majority = |voters: &BTreeSet<u32>| voters.iter().filter(is_alive).count() > voters.len() / 2;
    (has_majority(&voters) && has_majority(&seats.voters)).then_some(voters)
}
