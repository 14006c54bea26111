//! The leases of the nodes' sessions as a leader keeps them: a decision core, one for each leadership.
//!
//! Invariants: a session is called over only after its whole lease and a margin have passed since the leader last took a
//! renewal, and since it began to keep; while the end of one is being agreed on, no renewal of it is taken. A leader that
//! was held up itself cannot tell who was silent: it counts anew.

use crate::hello::{PROTOCOL, PROTOCOL_OF_VIEWS};
use arsenal_raft::nodes::{NodeCommand, NodePhase, NodeTable};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A leader that has not looked for so long was held up.
const HELD_UP: Duration = Duration::from_secs(1);

/// What a node says of itself with each renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Manner {
    /// It never votes.
    pub(crate) abstains: bool,
    /// The newest version that it speaks of the protocol between nodes.
    pub(crate) protocol: u32,
}

impl Manner {
    /// Whether it knows no view: without the log it knows nothing.
    pub(crate) fn needs_log(&self) -> bool {
        self.protocol < PROTOCOL_OF_VIEWS
    }
}

impl Default for Manner {
    /// Of a node of this build.
    fn default() -> Self {
        Self { abstains: false, protocol: *PROTOCOL.end() }
    }
}

/// The sessions that one leadership keeps. Times are of one clock that never goes back.
#[derive(Clone, Debug)]
pub(crate) struct Keeping {
    /// Its own number, which stands in every session that it renews.
    pub(crate) keeper: u64,
    /// The term that it leads in.
    pub(crate) term: u64,
    lease: Duration,
    since: Duration,
    looked: Duration,
    renewed: BTreeMap<u32, (Duration, Manner)>,
    ending: BTreeSet<u32>,
}

impl Keeping {
    /// Begins to keep.
    pub(crate) fn new(keeper: u64, term: u64, lease: Duration, now: Duration) -> Self {
        let (renewed, ending) = (BTreeMap::new(), BTreeSet::new());
        Self { keeper, term, lease, since: now, looked: now, renewed, ending }
    }

    /// Takes note of a renewal. Gives whether it may be answered: not while the session's end is being agreed on.
    pub(crate) fn renew(&mut self, node: u32, manner: Manner, now: Duration) -> bool {
        if self.ending.contains(&node) {
            return false;
        }
        self.renewed.insert(node, (now, manner));
        true
    }

    /// The sessions whose leases have run out, as what is to be agreed on; each once until [`Keeping::ended`].
    pub(crate) fn look(&mut self, table: &NodeTable, now: Duration) -> Vec<(u32, NodeCommand)> {
        if now.saturating_sub(self.looked) > HELD_UP.min(self.lease) {
            self.since = now;
        }
        self.looked = now;
        self.renewed.retain(|node, _| table.nodes().contains_key(node));
        let limit = self.lease + self.lease / 5;
        let mut over = Vec::new();
        for (node, record) in table.nodes() {
            let last = self.renewed.get(node).map_or(self.since, |(last, _)| *last).max(self.since);
            let open = matches!(record.phase, NodePhase::Up | NodePhase::Leaving);
            if open && now.saturating_sub(last) > limit && self.ending.insert(*node) {
                let (incarnation, keeper) = (record.incarnation, Some(record.keeper));
                over.push((*node, NodeCommand::Down { node: *node, incarnation, keeper }));
            }
        }
        over
    }

    /// What each node said of itself that has renewed its session.
    pub(crate) fn manners(&self) -> BTreeMap<u32, Manner> {
        self.renewed.iter().map(|(node, (_, manner))| (*node, *manner)).collect()
    }

    /// What was to be agreed on about this node is decided.
    pub(crate) fn ended(&mut self, node: u32) {
        self.ending.remove(&node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arsenal_raft::nodes::Candidate;
    use arsenal_raft::{Command, State};
    use std::sync::Arc;

    const LEASE: Duration = Duration::from_secs(5);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(1_000_000 + ms)
    }

    fn state() -> State {
        let mut state = State::default();
        let candidate = |identity: u64| Candidate {
            identity,
            name: "n".into(),
            address: "a:1".into(),
            zone: Arc::from(""),
        };
        let found = NodeCommand::Found { nodes: vec![candidate(1), candidate(2)] };
        state.apply(&Command::Node(found));
        for node in 1..=2 {
            let (address, zone) = ("a:1".into(), Arc::from(""));
            let open = NodeCommand::Open { node, incarnation: 1, life: 1, address, zone, keeper: 9 };
            state.apply(&Command::Node(open));
        }
        state
    }

    /// Looks every quarter of a second, as its owner does.
    fn look_until(keeping: &mut Keeping, state: &State, from: u64, until: u64) -> Vec<u32> {
        let looks = (from..=until).step_by(250);
        looks.flat_map(|ms| keeping.look(state.nodes(), at(ms))).map(|(node, _)| node).collect()
    }

    #[test]
    fn a_session_is_over_once_its_lease_has_passed_without_a_renewal_and_no_earlier() {
        let state = state();
        let mut keeping = Keeping::new(9, 1, LEASE, at(0));
        for ms in (0..=5_500).step_by(250) {
            assert!(keeping.renew(1, Manner::default(), at(ms)));
            assert_eq!(keeping.look(state.nodes(), at(ms)), []);
        }
        assert_eq!(look_until(&mut keeping, &state, 5_750, 6_000), [0_u32; 0]);
        assert_eq!(look_until(&mut keeping, &state, 6_250, 7_000), [2], "told once");
    }

    #[test]
    fn no_renewal_is_taken_while_the_end_of_the_session_is_being_agreed_on() {
        let state = state();
        let mut keeping = Keeping::new(9, 1, LEASE, at(0));
        assert_eq!(look_until(&mut keeping, &state, 0, 6_250), [1, 2]);
        assert!(!keeping.renew(1, Manner::default(), at(6_300)));
        keeping.ended(1);
        assert!(keeping.renew(1, Manner::default(), at(6_400)));
    }

    #[test]
    fn a_leader_that_was_held_up_ends_nobody_for_its_own_silence() {
        let state = state();
        let mut keeping = Keeping::new(9, 1, LEASE, at(0));
        assert_eq!(look_until(&mut keeping, &state, 0, 1_000), [0_u32; 0]);
        assert_eq!(look_until(&mut keeping, &state, 60_000, 66_000), [0_u32; 0]);
        assert_eq!(look_until(&mut keeping, &state, 66_250, 66_250), [1, 2]);
    }
}
