//! What happened between two pictures of the nodes: whose lives began, whose ended, who else changed. Pure.
//!
//! Whoever follows the nodes may miss pictures between two that it sees, so a life that ended and the next one that began
//! may come at once; they are told apart here, the end first.

use crate::{Membership, Node, NodeState};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeChange {
    /// A life of the node began.
    Up(Node),
    /// The life that the node had ended.
    Down(Node),
    /// Something else about it changed: address, zone, vote, that it is about to leave.
    Changed(Node),
    /// It was taken out of the cluster; as it was last.
    Removed(Node),
}

impl NodeChange {
    /// The node that it is about.
    pub fn node(&self) -> &Node {
        match self {
            Self::Up(node) | Self::Down(node) | Self::Changed(node) | Self::Removed(node) => node,
        }
    }
}

/// What happened between `before` and `after`, by number.
pub fn changes(before: &Membership, after: &Membership) -> Vec<NodeChange> {
    let mut changes = Vec::new();
    for (id, now) in &after.nodes {
        match before.nodes.get(id) {
            None if is_alive(now) => changes.push(NodeChange::Up(now.clone())),
            None => changes.push(NodeChange::Changed(now.clone())),
            Some(was) => of_one(was, now, &mut changes),
        }
    }
    for (id, was) in &before.nodes {
        if !after.nodes.contains_key(id) {
            if is_alive(was) {
                changes.push(NodeChange::Down(Node { state: NodeState::Down, ..was.clone() }));
            }
            changes.push(NodeChange::Removed(was.clone()));
        }
    }
    changes
}

fn of_one(was: &Node, now: &Node, changes: &mut Vec<NodeChange>) {
    let another_life = was.incarnation != now.incarnation;
    if is_alive(was) && (another_life || !is_alive(now)) {
        changes.push(NodeChange::Down(Node { state: NodeState::Down, ..was.clone() }));
    }
    if is_alive(now) && (another_life || !is_alive(was)) {
        changes.push(NodeChange::Up(now.clone()));
    } else if was != now && is_alive(was) == is_alive(now) {
        changes.push(NodeChange::Changed(now.clone()));
    }
}

fn is_alive(node: &Node) -> bool {
    node.state != NodeState::Down
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: u32, incarnation: u32, state: NodeState) -> Node {
        Node { id, incarnation, address: "a:1".into(), zone: "".into(), state, voter: true }
    }

    fn of(nodes: &[Node]) -> Membership {
        Membership { index: 1, nodes: nodes.iter().map(|node| (node.id, node.clone())).collect() }
    }

    fn told(before: &[Node], after: &[Node]) -> Vec<NodeChange> {
        changes(&of(before), &of(after))
    }

    #[test]
    fn nothing_happened_between_a_picture_and_itself() {
        let nodes = [node(1, 1, NodeState::Up), node(2, 3, NodeState::Down)];
        assert_eq!(told(&nodes, &nodes), []);
    }

    #[test]
    fn a_life_that_ended_unseen_is_told_before_the_next_one() {
        let (first, second) = (node(2, 1, NodeState::Up), node(2, 2, NodeState::Up));
        let down = node(2, 1, NodeState::Down);
        assert_eq!(
            told(&[first], std::slice::from_ref(&second)),
            [NodeChange::Down(down), NodeChange::Up(second)]
        );
    }

    #[test]
    fn a_live_node_that_was_called_dead_comes_up_in_the_same_life() {
        let (up, down) = (node(2, 1, NodeState::Up), node(2, 1, NodeState::Down));
        assert_eq!(
            told(std::slice::from_ref(&up), std::slice::from_ref(&down)),
            [NodeChange::Down(down.clone())]
        );
        assert_eq!(told(&[down], std::slice::from_ref(&up)), [NodeChange::Up(up)]);
    }

    #[test]
    fn a_node_that_prepares_to_leave_is_still_up() {
        let leaving = node(2, 1, NodeState::Leaving);
        assert_eq!(
            told(&[node(2, 1, NodeState::Up)], std::slice::from_ref(&leaving)),
            [NodeChange::Changed(leaving)]
        );
    }

    #[test]
    fn who_is_taken_out_in_mid_life_goes_down_first() {
        let up = node(2, 1, NodeState::Up);
        let down = node(2, 1, NodeState::Down);
        assert_eq!(
            told(std::slice::from_ref(&up), &[]),
            [NodeChange::Down(down.clone()), NodeChange::Removed(up)]
        );
        assert_eq!(told(std::slice::from_ref(&down), &[]), [NodeChange::Removed(down)]);
    }
}
