//! Which members of a group get a message: pure decisions, and the bounded memory of whose turn it is.
//!
//! Invariants: a policy that chooses one chooses one of the members, and nobody where there are none; the choice depends
//! on the arguments alone, so chance is handed in.

use arsenal_runtime::Pid;
use fnv::FnvHasher;
use std::collections::{BTreeMap, VecDeque};
use std::hash::Hasher as _;
use std::sync::Arc;

/// Groups whose turn is remembered; the one asked for longest ago is forgotten first and begins anew.
const TURNS_MAX: usize = 1_024;

/// Who of the members gets a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy<'a> {
    /// Every one.
    All,
    /// One, by chance.
    Random,
    /// One, each in its turn.
    RoundRobin,
    /// One with the fewest messages waiting.
    LeastQueued,
    /// One on this node; by chance where there are several, or none.
    Nearest,
    /// One by this key: the same while the members stay, and few keys move when they change.
    Hash(&'a str),
}

/// A process in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The process.
    pub(super) pid: Pid,
    /// Messages that wait in its mailbox; `usize::MAX` where that is not known.
    pub(super) queue_len: usize,
    /// It lives on the node that chooses.
    pub(super) here: bool,
}

/// The members that `policy` chooses of `members`, who are in the order of their pids. `previous` had the last turn;
/// `draw` is a random number.
pub(super) fn choose(
    policy: Policy<'_>,
    members: &[Candidate],
    previous: Option<Pid>,
    draw: u64,
) -> Vec<Pid> {
    let one = match policy {
        Policy::All => return members.iter().map(|member| member.pid).collect(),
        Policy::Random => draw_from(members, draw),
        Policy::RoundRobin => {
            let next = members.iter().find(|member| previous.is_some_and(|previous| member.pid > previous));
            next.or(members.first()).map(|member| member.pid)
        }
        Policy::LeastQueued => members.iter().min_by_key(|member| member.queue_len).map(|member| member.pid),
        Policy::Nearest => {
            let near: Vec<Candidate> = members.iter().filter(|member| member.here).copied().collect();
            draw_from(if near.is_empty() { members } else { &near }, draw)
        }
        Policy::Hash(key) => members.iter().map(|member| member.pid).max_by_key(|pid| weight(key, *pid)),
    };
    one.into_iter().collect()
}

fn draw_from(members: &[Candidate], draw: u64) -> Option<Pid> {
    let count = u64::try_from(members.len()).ok().filter(|count| *count > 0)?;
    members.get(usize::try_from(draw % count).ok()?).map(|member| member.pid)
}

/// Rendezvous hashing: each key ranks all processes, so a process that goes takes only its own keys along.
fn weight(key: &str, pid: Pid) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(key.as_bytes());
    hasher.write_u8(0xff);
    for number in [u64::from(pid.node), u64::from(pid.incarnation), pid.serial] {
        hasher.write(&number.to_le_bytes());
    }
    mix(hasher.finish())
}

/// The finalizer of `SplitMix64`: spreads every bit over the whole word.
pub(super) fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Who had the last turn, by group.
#[derive(Debug, Default)]
pub(super) struct Turns {
    last: BTreeMap<Arc<str>, Pid>,
    /// Groups by when they were last asked for, oldest first.
    order: VecDeque<Arc<str>>,
}

impl Turns {
    /// Who had the last turn in `group`.
    pub(super) fn last(&self, group: &str) -> Option<Pid> {
        self.last.get(group).copied()
    }

    /// `pid` had the turn in `group`.
    pub(super) fn took(&mut self, group: &Arc<str>, pid: Pid) {
        if self.last.insert(Arc::clone(group), pid).is_some() {
            self.order.retain(|known| known != group);
        } else if self.order.len() == TURNS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.last.remove(&oldest);
        }
        self.order.push_back(Arc::clone(group));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn member(serial: u64) -> Candidate {
        Candidate {
            pid: Pid::new(1, 1, serial),
            queue_len: usize::try_from(10 - serial % 10).unwrap(),
            here: serial.is_multiple_of(2),
        }
    }

    fn members(serials: &BTreeSet<u64>) -> Vec<Candidate> {
        serials.iter().copied().map(member).collect()
    }

    const ONE: [Policy<'_>; 5] =
        [Policy::Random, Policy::RoundRobin, Policy::LeastQueued, Policy::Nearest, Policy::Hash("key")];

    proptest! {
        #[test]
        fn one_member_is_chosen_where_there_is_one_and_nobody_else(
            serials in prop::collection::btree_set(1u64..50, 0..8), draw: u64, previous in prop::option::of(1u64..50),
        ) {
            let all = members(&serials);
            for policy in ONE {
                let chosen = choose(policy, &all, previous.map(|serial| Pid::new(1, 1, serial)), draw);
                prop_assert_eq!(chosen.len(), usize::from(!all.is_empty()));
                prop_assert!(chosen.iter().all(|pid| serials.contains(&pid.serial)));
            }
            prop_assert_eq!(choose(Policy::All, &all, None, draw).len(), all.len());
        }

        #[test]
        fn a_member_that_leaves_moves_only_its_own_keys(
            serials in prop::collection::btree_set(1u64..50, 2..8), key in "[a-z]{1,6}",
        ) {
            let before = choose(Policy::Hash(&key), &members(&serials), None, 0)[0];
            for gone in serials.iter().filter(|serial| **serial != before.serial) {
                let mut left = serials.clone();
                left.remove(gone);
                prop_assert_eq!(choose(Policy::Hash(&key), &members(&left), None, 0)[0], before);
            }
        }
    }

    #[test]
    fn many_keys_spread_over_all_members() {
        let all = members(&(1..5).collect());
        let used: BTreeSet<Pid> =
            (0..100).map(|n| choose(Policy::Hash(&format!("key{n}")), &all, None, 0)[0]).collect();
        assert_eq!(used.len(), all.len());
    }

    #[test]
    fn turns_go_round_though_members_come_and_go() {
        let group = Arc::from("g");
        let mut turns = Turns::default();
        let mut turn = |serials: [u64; 3]| {
            let all = members(&serials.into());
            let pid = choose(Policy::RoundRobin, &all, turns.last("g"), 0)[0];
            turns.took(&group, pid);
            pid.serial
        };
        let order = [turn([1, 3, 5]), turn([1, 3, 5]), turn([1, 4, 5]), turn([1, 4, 5]), turn([1, 4, 5])];
        assert_eq!(order, [1, 3, 4, 5, 1]);
    }

    #[test]
    fn the_shortest_queue_and_the_nearest_member_win() {
        let all = members(&[1, 2, 5, 9].into());
        assert_eq!(choose(Policy::LeastQueued, &all, None, 0)[0].serial, 9);
        for draw in 0..4 {
            assert_eq!(choose(Policy::Nearest, &all, None, draw)[0].serial, 2);
        }
    }

    #[test]
    fn the_memory_of_turns_is_bounded() {
        let mut turns = Turns::default();
        for n in 0..3 * TURNS_MAX {
            turns.took(&Arc::from(format!("g{n}")), Pid::new(1, 1, 1));
        }
        assert_eq!((turns.last.len(), turns.order.len()), (TURNS_MAX, TURNS_MAX));
        assert_eq!(turns.last("g0"), None);
    }
}
