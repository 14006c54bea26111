//! Who follows the log and who votes, case by case.

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
    let set = |nodes: &[u32]| nodes.iter().copied().collect();
    Seats { voters: set(voters), learners: set(learners), next_voters: None }
}

fn rules() -> Rules {
    Rules { voters: 0, replace_after: Duration::from_secs(30), forget_after: Duration::ZERO }
}

fn vote(voters: &[u32]) -> Option<Change> {
    Some(Change::Vote(voters.iter().copied().collect()))
}

/// All nodes are heard, and may vote.
fn all_heard() -> Seen {
    Seen { manners: (1..=9).map(|node| (node, Manner::default())).collect(), ..Seen::default() }
}

fn decide(state: &State, seats: &Seats) -> Option<Change> {
    next(state.nodes(), seats, &rules(), &all_heard())
}

fn absent(node: u32, seconds: u64) -> Seen {
    let mut seen = all_heard();
    seen.absent_for.insert(node, Duration::from_secs(seconds));
    seen
}

#[test]
fn nothing_changes_before_the_founders_are_agreed_on() {
    assert_eq!(decide(&State::default(), &seats(&[1, 2, 3], &[])), None);
}

#[test]
fn a_node_that_joined_has_a_view_and_follows_the_log_only_where_a_vote_is_missing() {
    let state = nodes(&["", "", "", ""]);
    assert_eq!(decide(&state, &seats(&[1, 2, 3], &[])), None);
    assert_eq!(decide(&state, &seats(&[1, 2], &[])), Some(Change::Admit(3)));
    assert_eq!(decide(&state, &seats(&[1, 2], &[3])), vote(&[1, 2, 3]));
    let forgotten = Some(Change::Forget(BTreeSet::from([4])));
    assert_eq!(decide(&state, &seats(&[1, 2, 3], &[4])), forgotten, "no vote is missing any more");
}

#[test]
fn a_node_that_never_votes_or_was_not_heard_by_this_leader_is_given_no_vote() {
    let state = nodes(&["", "", "", ""]);
    let mut seen = all_heard();
    seen.manners.insert(3, Manner { abstains: true, ..Manner::default() });
    let decided = next(state.nodes(), &seats(&[1, 2], &[]), &rules(), &seen);
    assert_eq!(decided, Some(Change::Admit(4)));
    seen.manners.remove(&4);
    assert_eq!(next(state.nodes(), &seats(&[1, 2], &[]), &rules(), &seen), None);
}

#[test]
fn a_node_of_an_older_build_follows_the_log_though_it_does_not_vote() {
    let mut state = nodes(&["", "", "", ""]);
    let mut seen = all_heard();
    seen.manners.insert(4, Manner { protocol: 1, ..Manner::default() });
    let three = |learners: &[u32]| seats(&[1, 2, 3], learners);
    assert_eq!(next(state.nodes(), &three(&[]), &rules(), &seen), Some(Change::Admit(4)));
    assert_eq!(next(state.nodes(), &three(&[4]), &rules(), &seen), None);
    let candidate = Candidate { identity: 9, name: "n".into(), address: "a:1".into(), zone: Arc::from("") };
    state.apply(&Command::Node(NodeCommand::Join(candidate)));
    seen.manners.remove(&5);
    assert_eq!(next(state.nodes(), &three(&[4]), &rules(), &seen), None, "it may be a newer one");
    seen.absent_for.insert(5, LOG_AFTER);
    assert_eq!(next(state.nodes(), &three(&[4]), &rules(), &seen), Some(Change::Admit(5)));
}

#[test]
fn a_node_without_a_vote_that_stays_away_is_forgotten_where_a_time_is_set_and_a_voter_never() {
    let mut state = nodes(&["", "", "", ""]);
    (3..=4).for_each(|node| down(&mut state, node));
    let forgetful = Rules { forget_after: Duration::from_secs(60), ..rules() };
    let three = seats(&[1, 2, 3], &[]);
    let decide = |rules: &Rules, node, seconds| next(state.nodes(), &three, rules, &absent(node, seconds));
    assert_eq!(decide(&forgetful, 4, 59), None);
    assert_eq!(decide(&forgetful, 4, 60), Some(Change::Remove(4)));
    assert_eq!(decide(&forgetful, 3, 600), None, "it votes, and nobody can replace it");
    assert_eq!(decide(&rules(), 4, 6_000), None);
}

#[test]
fn a_node_that_joined_and_never_came_is_admitted_for_a_while_and_then_forgotten_where_a_time_is_set() {
    let mut state = nodes(&["", "", ""]);
    let candidate = Candidate { identity: 9, name: "n".into(), address: "a:1".into(), zone: Arc::from("") };
    state.apply(&Command::Node(NodeCommand::Join(candidate)));
    let forgetful = Rules { forget_after: Duration::from_secs(60), ..rules() };
    let decide = |rules: &Rules, learners: &[u32], seconds| {
        let mut seen = absent(4, seconds);
        seen.manners.remove(&4);
        next(state.nodes(), &seats(&[1, 2, 3], learners), rules, &seen)
    };
    assert_eq!(decide(&rules(), &[], 29), Some(Change::Admit(4)));
    assert_eq!(decide(&rules(), &[4], 30), Some(Change::Forget(BTreeSet::from([4]))));
    assert_eq!(decide(&rules(), &[], 30), None, "it is not admitted again");
    assert_eq!(decide(&forgetful, &[], 59), None);
    assert_eq!(decide(&forgetful, &[], 60), Some(Change::Remove(4)));
}

#[test]
fn a_change_of_the_voters_that_was_not_finished_comes_before_all_others() {
    let mut state = nodes(&["", "", "", ""]);
    down(&mut state, 3);
    let joint = Seats { next_voters: Some(BTreeSet::from([1, 2, 4])), ..seats(&[1, 2, 3, 4], &[]) };
    assert_eq!(decide(&state, &joint), vote(&[1, 2, 4]));
}

#[test]
fn one_voter_becomes_three_at_once_and_never_two() {
    let state = nodes(&["", "", ""]);
    assert_eq!(decide(&state, &seats(&[1], &[])), Some(Change::Admit(2)));
    assert_eq!(decide(&state, &seats(&[1], &[2])), Some(Change::Admit(3)));
    assert_eq!(decide(&state, &seats(&[1], &[2, 3])), vote(&[1, 2, 3]));
}

#[test]
fn a_dead_voter_is_replaced_after_a_while_by_a_node_of_the_zone_that_lost_it() {
    let mut state = nodes(&["a", "b", "c", "a", "c"]);
    down(&mut state, 3);
    let three = |learners: &[u32]| seats(&[1, 2, 3], learners);
    assert_eq!(decide(&state, &three(&[])), None, "it may come back");
    let long = absent(3, 31);
    assert_eq!(next(state.nodes(), &three(&[]), &rules(), &long), Some(Change::Admit(5)));
    assert_eq!(next(state.nodes(), &three(&[5]), &rules(), &long), vote(&[1, 2, 5]));
}

#[test]
fn a_dead_voter_that_nobody_can_replace_keeps_its_seat() {
    let mut state = nodes(&["", "", ""]);
    down(&mut state, 3);
    assert_eq!(next(state.nodes(), &seats(&[1, 2, 3], &[]), &rules(), &absent(3, 3_000)), None);
}

#[test]
fn many_nodes_have_five_voters_spread_over_the_zones() {
    let state = nodes(&["a", "b", "a", "a", "a", "b", "c"]);
    assert_eq!(decide(&state, &seats(&[1, 2, 3], &[])), Some(Change::Admit(6)));
    assert_eq!(decide(&state, &seats(&[1, 2, 3], &[6, 7])), vote(&[1, 2, 3, 6, 7]));
}

#[test]
fn who_is_taken_out_is_followed_by_a_spare_node_and_leaves_fewer_voters_where_there_is_none() {
    let state = nodes(&["a", "b", "c", "a"]);
    let three = seats(&[1, 2, 3], &[]);
    let without = |seats: &Seats, seen: &Seen, node| without(state.nodes(), seats, &rules(), seen, node);
    assert_eq!(without(&three, &all_heard(), 2), Some(BTreeSet::from([1, 3, 4])));
    assert_eq!(without(&three, &Seen::default(), 2), Some(BTreeSet::from([1, 3])), "nobody is spare");
    assert_eq!(without(&three, &all_heard(), 4), Some(BTreeSet::from([1, 2, 3])), "it does not vote");
    assert_eq!(without(&seats(&[1], &[]), &Seen::default(), 1), None, "nobody would be left");
}

#[test]
fn nobody_is_taken_out_without_whom_the_voters_have_no_majority() {
    let mut state = nodes(&["", "", ""]);
    down(&mut state, 3);
    let without = |node| without(state.nodes(), &seats(&[1, 2, 3], &[]), &rules(), &all_heard(), node);
    assert_eq!(without(2), None);
    assert_eq!(without(3), Some(BTreeSet::from([1, 2])), "the dead one is no loss");
}

#[test]
fn a_node_that_was_removed_loses_its_seat() {
    let mut state = nodes(&["", "", "", ""]);
    down(&mut state, 4);
    state.apply(&Command::Node(NodeCommand::Remove { node: 4 }));
    let forgotten = Some(Change::Forget(BTreeSet::from([4])));
    assert_eq!(decide(&state, &seats(&[1, 2, 3], &[4])), forgotten);
}
