//! Which version of the protocol between nodes the cluster agrees on: a decision core.
//!
//! The version is raised once every node speaks a newer one, and never lowered: the log may hold what older builds cannot
//! read from then on, and they are refused wherever they ask. Invariant: a node that has not said what it speaks since this
//! leader leads speaks the first version, as far as is known; only one that has been away for so long that it would be
//! replaced holds up nobody. To a version from before there was agreement nothing is raised: who speaks no later one cannot
//! read the entry.

use crate::seats::{Rules, Seen};
use arsenal_raft::nodes::NodeTable;
use arsenal_raft::{PROTOCOL_FIRST, PROTOCOL_OF_AGREEMENT};

/// The version to raise to, if all speak a newer one than was agreed on.
pub(crate) fn next(table: &NodeTable, rules: &Rules, seen: &Seen) -> Option<u32> {
    let nodes = table.nodes().keys().filter(|node| !seen.is_absent_for(**node, rules.replace_after));
    let spoken = nodes.map(|node| seen.manners.get(node).map_or(PROTOCOL_FIRST, |manner| manner.protocol));
    spoken.min().filter(|spoken| *spoken >= PROTOCOL_OF_AGREEMENT && *spoken > table.protocol())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeping::Manner;
    use arsenal_raft::nodes::{Candidate, NodeCommand};
    use arsenal_raft::{Command, State};
    use std::sync::Arc;
    use std::time::Duration;

    const REPLACE_AFTER: Duration = Duration::from_secs(60);

    fn three_nodes() -> State {
        let candidate = |identity: u64| Candidate {
            identity,
            name: format!("node-{identity}").as_str().into(),
            address: "a:1".into(),
            zone: Arc::from(""),
        };
        let mut state = State::default();
        state.apply(&Command::Node(NodeCommand::Found { nodes: (1..=3).map(candidate).collect() }));
        state
    }

    fn speaking(protocols: &[(u32, u32)]) -> Seen {
        let manner = |(node, protocol): &(u32, u32)| (*node, Manner { protocol: *protocol, abstains: false });
        Seen { manners: protocols.iter().map(manner).collect(), ..Seen::default() }
    }

    fn decide(state: &State, seen: &Seen) -> Option<u32> {
        let rules = Rules { voters: 0, replace_after: REPLACE_AFTER, forget_after: Duration::ZERO };
        next(state.nodes(), &rules, seen)
    }

    #[test]
    fn a_version_is_agreed_on_once_every_node_speaks_it_and_not_a_node_earlier() {
        let mut state = three_nodes();
        assert_eq!(decide(&state, &speaking(&[(1, 3), (2, 3), (3, 2)])), None, "one is of an older build");
        assert_eq!(decide(&state, &speaking(&[(1, 3), (2, 3)])), None, "nobody knows what the third speaks");
        assert_eq!(decide(&state, &speaking(&[(1, 5), (2, 3), (3, 4)])), Some(3), "the oldest of the three");
        state.apply(&Command::Node(NodeCommand::Raise { protocol: 3 }));
        assert_eq!(decide(&state, &speaking(&[(1, 3), (2, 3), (3, 3)])), None, "it is agreed on");
        assert_eq!(decide(&state, &speaking(&[(1, 3), (2, 3), (3, 2)])), None, "nothing is lowered");
    }

    #[test]
    fn nothing_is_agreed_on_among_builds_that_could_not_read_so() {
        let state = three_nodes();
        assert_eq!(decide(&state, &speaking(&[(1, 2), (2, 2), (3, 2)])), None);
    }

    #[test]
    fn only_a_node_that_has_been_away_for_long_holds_up_nobody() {
        let state = three_nodes();
        let mut seen = speaking(&[(1, 3), (2, 3), (3, 2)]);
        seen.absent_for.insert(3, REPLACE_AFTER / 2);
        assert_eq!(decide(&state, &seen), None);
        seen.absent_for.insert(3, REPLACE_AFTER);
        assert_eq!(decide(&state, &seen), Some(3));
        seen.absent_for.extend([(1, REPLACE_AFTER), (2, REPLACE_AFTER)]);
        assert_eq!(decide(&state, &seen), None, "there is nobody left to speak it");
    }
}
