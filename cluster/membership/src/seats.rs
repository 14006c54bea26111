//! Which nodes follow the replicated log, and which of them vote: a decision core.
//!
//! Voters are few and stay while they live: each change of them costs two agreements, and one that came back in time has
//! everything. Invariants: no change takes away a vote that a quorum of those who live may need; the number of voters
//! does not become even if it can be helped; whoever is to vote has caught up with the log as a learner before.

use arsenal_raft::nodes::{NodePhase, NodeTable};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Nodes that live from which on there are five voters: two may fail then, and there is somebody to replace them.
const NODES_FOR_FIVE: usize = 7;

/// How voters are chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// How many voters there should be; 0 for 3, or 5 if there are many nodes.
    pub(crate) voters: usize,
    /// A voter that has been down for so long is replaced, if there is somebody to replace it.
    pub(crate) replace_after: Duration,
}

/// Who follows the log now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seats {
    pub(crate) voters: BTreeSet<u32>,
    pub(crate) learners: BTreeSet<u32>,
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
}

/// The next change, if there should be one. `down_for` tells how long a node has been down, as far as is known.
pub(crate) fn next(
    table: &NodeTable,
    seats: &Seats,
    rules: &Rules,
    down_for: &BTreeMap<u32, Duration>,
) -> Option<Change> {
    let nodes = table.nodes();
    let is_up = |node: &u32| nodes.get(node).is_some_and(|record| record.phase == NodePhase::Up);
    let up: BTreeSet<u32> = nodes.keys().copied().filter(|node| is_up(node)).collect();
    let voters = elect(table, seats, rules, down_for, &up);
    if voters != seats.voters {
        return Some(Change::Vote(voters));
    }
    let gone: BTreeSet<u32> =
        seats.learners.iter().copied().filter(|node| !nodes.contains_key(node)).collect();
    if !gone.is_empty() {
        return Some(Change::Forget(gone));
    }
    // one that has only a number waits for the log: it tells it whom to open its session with
    let comes = |phase: NodePhase| matches!(phase, NodePhase::Joined | NodePhase::Up);
    let newcomers = nodes.iter().filter(|(_, record)| comes(record.phase)).map(|(node, _)| *node);
    let mut newcomers =
        newcomers.filter(|node| !seats.voters.contains(node) && !seats.learners.contains(node));
    newcomers.next().map(Change::Admit)
}

/// Who should vote.
fn elect(
    table: &NodeTable,
    seats: &Seats,
    rules: &Rules,
    down_for: &BTreeMap<u32, Duration>,
    up: &BTreeSet<u32>,
) -> BTreeSet<u32> {
    let nodes = table.nodes();
    let is_lost = |voter: &u32| match nodes.get(voter).map(|record| record.phase) {
        None => true,
        Some(NodePhase::Down) => down_for.get(voter).is_some_and(|time| *time >= rules.replace_after),
        Some(_) => false,
    };
    let (lost, kept): (BTreeSet<u32>, BTreeSet<u32>) = seats.voters.iter().partition(|voter| is_lost(voter));
    let spare: BTreeSet<u32> = seats.learners.intersection(up).copied().collect();
    let wanted = match rules.voters {
        0 if up.len() >= NODES_FOR_FIVE => 5,
        0 => 3,
        wanted => wanted,
    };
    let mut voters = kept;
    let zone = |node: &u32| nodes.get(node).map(|record| &*record.candidate.zone).unwrap_or_default();
    let mut spare: Vec<u32> = spare.into_iter().collect();
    while voters.len() < wanted && !spare.is_empty() {
        // from the zone that has the fewest voters; of those the oldest
        let crowd = |node: &u32| voters.iter().filter(|voter| zone(voter) == zone(node)).count();
        let Some(place) = (0..spare.len()).min_by_key(|place| (crowd(&spare[*place]), spare[*place])) else {
            break;
        };
        voters.insert(spare.remove(place));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use arsenal_raft::nodes::{Candidate, NodeCommand};
    use arsenal_raft::{Command, State};
    use std::sync::Arc;

    /// Nodes 1.. in these zones, all up.
    fn nodes(zones: &[&str]) -> State {
        let candidate = |(zone, identity): (&&str, u64)| Candidate {
            identity,
            name: "n".into(),
            address: "a:1".into(),
            zone: Arc::from(*zone),
        };
        let mut state = State::default();
        let found = NodeCommand::Found { nodes: zones.iter().zip(1..).map(candidate).collect() };
        state.apply(&Command::Node(found));
        for (zone, node) in zones.iter().zip(1..) {
            let (address, zone) = ("a:1".into(), Arc::from(*zone));
            let open = NodeCommand::Open { node, incarnation: 1, life: 1, address, zone, keeper: 1 };
            state.apply(&Command::Node(open));
        }
        state
    }

    fn down(state: &mut State, node: u32) {
        state.apply(&Command::Node(NodeCommand::Down { node, incarnation: 1, keeper: None }));
    }

    fn seats(voters: &[u32], learners: &[u32]) -> Seats {
        Seats { voters: voters.iter().copied().collect(), learners: learners.iter().copied().collect() }
    }

    fn rules() -> Rules {
        Rules { voters: 0, replace_after: Duration::from_secs(30) }
    }

    fn vote(voters: &[u32]) -> Option<Change> {
        Some(Change::Vote(voters.iter().copied().collect()))
    }

    fn decide(state: &State, seats: &Seats) -> Option<Change> {
        next(state.nodes(), seats, &rules(), &BTreeMap::new())
    }

    #[test]
    fn a_node_that_joined_follows_the_log_and_votes_only_where_a_vote_is_missing() {
        let state = nodes(&["", "", "", ""]);
        assert_eq!(decide(&state, &seats(&[1, 2, 3], &[])), Some(Change::Admit(4)));
        assert_eq!(decide(&state, &seats(&[1, 2, 3], &[4])), None);
    }

    #[test]
    fn a_node_that_has_only_a_number_follows_the_log_and_is_given_no_vote() {
        let mut state = nodes(&["", ""]);
        let candidate =
            Candidate { identity: 9, name: "n".into(), address: "a:1".into(), zone: Arc::from("") };
        state.apply(&Command::Node(NodeCommand::Join(candidate)));
        assert_eq!(decide(&state, &seats(&[1], &[2])), Some(Change::Admit(3)));
        assert_eq!(decide(&state, &seats(&[1], &[2, 3])), None);
    }

    #[test]
    fn one_voter_becomes_three_at_once_and_never_two() {
        let state = nodes(&["", "", ""]);
        assert_eq!(decide(&state, &seats(&[1], &[2])), Some(Change::Admit(3)));
        assert_eq!(decide(&state, &seats(&[1], &[2, 3])), vote(&[1, 2, 3]));
    }

    #[test]
    fn a_dead_voter_is_replaced_after_a_while_by_a_node_of_the_zone_that_lost_it() {
        let mut state = nodes(&["a", "b", "c", "a", "c"]);
        down(&mut state, 3);
        let seats = seats(&[1, 2, 3], &[4, 5]);
        assert_eq!(decide(&state, &seats), None, "it may come back");
        let long = BTreeMap::from([(3, Duration::from_secs(31))]);
        assert_eq!(next(state.nodes(), &seats, &rules(), &long), vote(&[1, 2, 5]));
    }

    #[test]
    fn a_dead_voter_that_nobody_can_replace_keeps_its_seat() {
        let mut state = nodes(&["", "", ""]);
        down(&mut state, 3);
        let long = BTreeMap::from([(3, Duration::from_secs(3_000))]);
        assert_eq!(next(state.nodes(), &seats(&[1, 2, 3], &[]), &rules(), &long), None);
    }

    #[test]
    fn many_nodes_have_five_voters_spread_over_the_zones() {
        let state = nodes(&["a", "b", "a", "a", "a", "b", "c"]);
        assert_eq!(decide(&state, &seats(&[1, 2, 3], &[4, 5, 6, 7])), vote(&[1, 2, 3, 6, 7]));
    }

    #[test]
    fn a_node_that_was_removed_loses_its_seat() {
        let mut state = nodes(&["", "", "", ""]);
        down(&mut state, 4);
        state.apply(&Command::Node(NodeCommand::Remove { node: 4 }));
        let forgotten = Some(Change::Forget(BTreeSet::from([4])));
        assert_eq!(decide(&state, &seats(&[1, 2, 3], &[4])), forgotten);
    }
}
