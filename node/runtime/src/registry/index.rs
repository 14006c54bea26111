//! Which names, or groups, each process has: what a death looks up.

use crate::pid::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The keys of each process. A process without any has no entry.
#[derive(Clone, Default, PartialEq, Debug)]
pub(super) struct Index(BTreeMap<Pid, BTreeSet<Arc<str>>>);

impl Index {
    pub(super) fn add(&mut self, pid: Pid, key: &Arc<str>) {
        self.0.entry(pid).or_default().insert(Arc::clone(key));
    }

    pub(super) fn remove(&mut self, pid: Pid, key: &Arc<str>) {
        if let Some(keys) = self.0.get_mut(&pid) {
            keys.remove(key);
            if keys.is_empty() {
                self.0.remove(&pid);
            }
        }
    }

    /// All that a process had.
    pub(super) fn take(&mut self, pid: Pid) -> BTreeSet<Arc<str>> {
        self.0.remove(&pid).unwrap_or_default()
    }

    pub(super) fn of(&self, pid: Pid) -> impl Iterator<Item = &Arc<str>> {
        self.0.get(&pid).into_iter().flatten()
    }

    /// The processes of a node's lives up to this one: pids are ordered by node and incarnation first.
    pub(super) fn of_node(&self, node: u32, incarnation: u32) -> impl Iterator<Item = Pid> {
        let lives = Pid::new(node, 0, 0)..=Pid::new(node, incarnation, u64::MAX);
        self.0.range(lives).map(|(pid, _)| *pid)
    }

    #[cfg(test)]
    pub(super) fn pairs(&self) -> BTreeSet<(Pid, Arc<str>)> {
        self.0.iter().flat_map(|(pid, keys)| keys.iter().map(|key| (*pid, Arc::clone(key)))).collect()
    }
}
