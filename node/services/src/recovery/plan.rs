//! What a partition cuts, and who is left without a quorum: pure.

use arsenal_membership::{Cut, Membership, Node, NodeState};
use std::collections::BTreeSet;

/// The two sides as they were asked for, completed: who names one side alone means all others by the other, who names none
/// the node asked and all others.
pub(super) fn sides(
    membership: &Membership,
    own: u32,
    from: BTreeSet<u32>,
    to: BTreeSet<u32>,
) -> (BTreeSet<u32>, BTreeSet<u32>) {
    let but = |side: &BTreeSet<u32>| -> BTreeSet<u32> {
        membership.nodes.keys().copied().filter(|id| !side.contains(id)).collect()
    };
    match (from.is_empty(), to.is_empty()) {
        (true, true) => {
            let from = BTreeSet::from([own]);
            let to = but(&from);
            (from, to)
        }
        (true, false) => (but(&to), to),
        (false, true) => {
            let to = but(&from);
            (from, to)
        }
        (false, false) => (from, to),
    }
}

/// Every pair of which the one is not heard by the other.
pub(super) fn pairs(cut: &Cut) -> Vec<(u32, u32)> {
    let both: BTreeSet<u32> = cut.from.union(&cut.to).copied().collect();
    let pairs = both.iter().flat_map(|sender| both.iter().map(move |receiver| (*sender, *receiver)));
    pairs.filter(|(sender, receiver)| cut.severs(*sender, *receiver)).collect()
}

/// The nodes that reach no majority of the voters while it is cut. A connection needs both ways.
pub(super) fn without_quorum(membership: &Membership, cut: &Cut) -> Vec<u32> {
    let voters: Vec<&Node> = membership.nodes.values().filter(|node| node.voter).collect();
    let quorum = voters.len() / 2 + 1;
    let reaches = |id: u32, voter: u32| id == voter || !(cut.severs(id, voter) || cut.severs(voter, id));
    let lacks = |id: &u32| {
        let reached = voters.iter().filter(|voter| voter.state != NodeState::Down && reaches(*id, voter.id));
        reached.count() < quorum
    };
    membership.nodes.keys().copied().filter(lacks).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn membership(voters: u32, members: u32) -> Membership {
        let node = |id: u32| Node {
            id,
            incarnation: 1,
            address: "a:1".into(),
            zone: "".into(),
            state: NodeState::Up,
            voter: id <= voters,
        };
        Membership { index: 1, nodes: (1..=voters + members).map(|id| (id, node(id))).collect() }
    }

    fn set(ids: &[u32]) -> BTreeSet<u32> {
        ids.iter().copied().collect()
    }

    fn cut(from: &[u32], to: &[u32], both_ways: bool) -> Cut {
        Cut { from: set(from), to: set(to), both_ways }
    }

    #[test]
    fn a_side_that_is_not_named_is_all_others() {
        let three = membership(3, 0);
        assert_eq!(sides(&three, 2, set(&[]), set(&[])), (set(&[2]), set(&[1, 3])));
        assert_eq!(sides(&three, 2, set(&[1]), set(&[])), (set(&[1]), set(&[2, 3])));
        assert_eq!(sides(&three, 2, set(&[]), set(&[1, 2])), (set(&[3]), set(&[1, 2])));
        assert_eq!(sides(&three, 2, set(&[1]), set(&[3])), (set(&[1]), set(&[3])));
    }

    #[test]
    fn the_pairs_of_a_cut_one_way_are_half_of_those_of_one_both_ways() {
        assert_eq!(pairs(&cut(&[1], &[2, 3], false)), [(1, 2), (1, 3)]);
        assert_eq!(pairs(&cut(&[1], &[2, 3], true)), [(1, 2), (1, 3), (2, 1), (3, 1)]);
    }

    #[test]
    fn who_is_cut_off_from_the_majority_has_no_quorum_and_who_still_reaches_it_by_a_bridge_has() {
        assert_eq!(without_quorum(&membership(3, 0), &cut(&[1], &[2, 3], true)), [1]);
        assert_eq!(without_quorum(&membership(3, 0), &cut(&[1], &[2, 3], false)), [1]);
        assert_eq!(without_quorum(&membership(3, 0), &cut(&[1], &[2], true)), [0_u32; 0], "n3 is a bridge");
        assert_eq!(without_quorum(&membership(3, 2), &cut(&[1, 4], &[2, 3, 5], true)), [1, 4]);
        let mut one_down = membership(3, 0);
        one_down.nodes.entry(3).and_modify(|node| node.state = NodeState::Down);
        assert_eq!(without_quorum(&one_down, &cut(&[1], &[2], true)), [1, 2], "the bridge is down");
    }

    proptest! {
        #[test]
        fn of_two_sides_that_share_all_voters_one_at_most_has_a_quorum(
            voters in 1_u32..8, members in 0_u32..4, split in 0_u32..256, both_ways: bool,
        ) {
            let membership = membership(voters, members);
            let (from, to): (BTreeSet<u32>, BTreeSet<u32>) =
                membership.nodes.keys().copied().partition(|id| split >> (id % 8) & 1 == 1);
            let cut = Cut { from: from.clone(), to: to.clone(), both_ways };
            let lacks: BTreeSet<u32> = without_quorum(&membership, &cut).into_iter().collect();
            prop_assert!(from.is_subset(&lacks) || to.is_subset(&lacks));
        }
    }
}
