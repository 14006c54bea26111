//! Who wants to hear of a node's lives, and how often: `erlang:monitor_node/2` as a decision core. Pure.
//!
//! Monitors are counted: who has two on a node hears each thing twice. Invariants: a count is never 0; together they are
//! no more than the bound given.

use crate::{Membership, NodeChange, NodeState, changes};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a watcher is told of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeNews {
    /// A life of it began.
    Up,
    /// Its life ended.
    Down,
}

/// One message to one watcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice<W> {
    /// Who is told.
    pub watcher: W,
    /// Of which node.
    pub node: u32,
    /// What.
    pub news: NodeNews,
}

/// Why a monitor is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MonitorRefusal {
    /// As many are kept as may be.
    #[error("{0} monitors on nodes are kept, the most there may be")]
    TooMany(usize),
}

/// The monitors that watchers have on nodes.
#[derive(Clone, Debug)]
pub struct NodeMonitors<W> {
    seen: Arc<Membership>,
    counts: BTreeMap<(u32, W), u32>,
    total: usize,
    total_max: usize,
}

impl<W: Copy + Ord> NodeMonitors<W> {
    /// None yet; no more than `total_max` at a time.
    pub fn new(seen: Arc<Membership>, total_max: usize) -> Self {
        Self { seen, counts: BTreeMap::new(), total: 0, total_max }
    }

    /// Adds a monitor of `watcher` on `node`: how many it has there now, and what it is to be told at once.
    ///
    /// # Errors
    /// If the bound is reached.
    pub fn add(&mut self, node: u32, watcher: W) -> Result<(u32, Option<Notice<W>>), MonitorRefusal> {
        if self.total >= self.total_max {
            return Err(MonitorRefusal::TooMany(self.total_max));
        }
        self.total += 1;
        let count = self.counts.entry((node, watcher)).or_default();
        *count += 1;
        let up = self.seen.nodes.get(&node).is_some_and(|node| node.state != NodeState::Down);
        Ok((*count, (!up).then_some(Notice { watcher, node, news: NodeNews::Down })))
    }

    /// Undoes one: how many are left, or nothing if there was none.
    pub fn remove(&mut self, node: u32, watcher: W) -> Option<u32> {
        let count = self.counts.get_mut(&(node, watcher))?;
        *count -= 1;
        let left = *count;
        self.total -= 1;
        if left == 0 {
            self.counts.remove(&(node, watcher));
        }
        Some(left)
    }

    /// Forgets the watchers that `ended`.
    pub fn forget(&mut self, ended: impl Fn(W) -> bool) {
        self.counts.retain(|(_, watcher), _| !ended(*watcher));
        self.total = self.counts.values().map(|count| *count as usize).sum();
    }

    /// The nodes changed: who is told what, in order.
    pub fn step(&mut self, now: &Arc<Membership>) -> Vec<Notice<W>> {
        let before = std::mem::replace(&mut self.seen, Arc::clone(now));
        let mut notices = Vec::new();
        for change in changes(&before, now) {
            let news = match &change {
                NodeChange::Up(_) => NodeNews::Up,
                NodeChange::Down(_) => NodeNews::Down,
                NodeChange::Changed(_) | NodeChange::Removed(_) => continue,
            };
            let node = change.node().id;
            // one node's monitors lie beside each other, whoever the watchers are
            let of_node = self.counts.iter().skip_while(|((id, _), _)| *id < node);
            for ((_, watcher), count) in of_node.take_while(|((id, _), _)| *id == node) {
                let notice = Notice { watcher: *watcher, node, news };
                notices.extend(std::iter::repeat_n(notice, *count as usize));
            }
        }
        notices
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Node;

    fn picture(nodes: &[(u32, u32, NodeState)]) -> Arc<Membership> {
        let node = |&(id, incarnation, state)| {
            (id, Node { id, incarnation, address: "a:1".into(), zone: "".into(), state, voter: true })
        };
        Arc::new(Membership { index: 1, nodes: nodes.iter().map(node).collect() })
    }

    fn two_up() -> NodeMonitors<char> {
        NodeMonitors::new(picture(&[(1, 1, NodeState::Up), (2, 1, NodeState::Up)]), 4)
    }

    fn notice(watcher: char, node: u32, news: NodeNews) -> Notice<char> {
        Notice { watcher, node, news }
    }

    #[test]
    fn two_monitors_hear_twice_and_one_that_was_undone_does_not() {
        let mut monitors = two_up();
        assert_eq!(monitors.add(2, 'a'), Ok((1, None)));
        assert_eq!(monitors.add(2, 'a'), Ok((2, None)));
        assert_eq!(monitors.add(2, 'b'), Ok((1, None)));
        assert_eq!(monitors.remove(2, 'b'), Some(0));
        assert_eq!(monitors.remove(2, 'b'), None);
        let down = picture(&[(1, 1, NodeState::Up), (2, 1, NodeState::Down)]);
        assert_eq!(monitors.step(&down), [notice('a', 2, NodeNews::Down); 2]);
        assert_eq!(monitors.step(&down), [], "once each");
        assert_eq!(monitors.remove(2, 'a'), Some(1));
        let back = picture(&[(1, 1, NodeState::Up), (2, 2, NodeState::Up)]);
        assert_eq!(monitors.step(&back), [notice('a', 2, NodeNews::Up)]);
    }

    #[test]
    fn a_node_that_is_down_or_gone_is_told_of_at_once() {
        let mut monitors = NodeMonitors::new(picture(&[(2, 1, NodeState::Down)]), 4);
        assert_eq!(monitors.add(2, 'a'), Ok((1, Some(notice('a', 2, NodeNews::Down)))));
        assert_eq!(monitors.add(7, 'a'), Ok((1, Some(notice('a', 7, NodeNews::Down)))));
    }

    #[test]
    fn other_nodes_changes_are_not_told() {
        let mut monitors = two_up();
        monitors.add(1, 'a').unwrap();
        let changed = picture(&[(1, 1, NodeState::Leaving), (2, 1, NodeState::Down), (3, 1, NodeState::Up)]);
        assert_eq!(monitors.step(&changed), []);
    }

    #[test]
    fn the_bound_counts_every_monitor_and_the_dead_make_room() {
        let mut monitors = two_up();
        for _ in 0..4 {
            monitors.add(2, 'a').unwrap();
        }
        assert_eq!(monitors.add(1, 'b'), Err(MonitorRefusal::TooMany(4)));
        monitors.forget(|watcher| watcher == 'a');
        assert_eq!(monitors.add(1, 'b'), Ok((1, None)));
    }
}
