//! Who watches process groups (`pg:monitor`), and who holds what where, by process.

use crate::pid::{Pid, Ref};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Watchers {
    groups: Mutex<BTreeMap<Arc<str>, BTreeMap<Ref, Pid>>>,
    /// Processes that a holder holds, so that its holds end with it.
    held: Mutex<BTreeMap<Pid, BTreeSet<Pid>>>,
}

impl Watchers {
    pub(crate) fn watch(&self, group: Arc<str>, reference: Ref, watcher: Pid) {
        self.groups.lock().entry(group).or_default().insert(reference, watcher);
    }

    /// Ends a watch; whether there was one.
    pub(crate) fn unwatch(&self, reference: Ref) -> bool {
        let mut groups = self.groups.lock();
        let mut found = false;
        groups.retain(|_, watchers| {
            found |= watchers.remove(&reference).is_some();
            !watchers.is_empty()
        });
        found
    }

    pub(crate) fn owner(&self, reference: Ref) -> Option<Pid> {
        self.groups.lock().values().find_map(|watchers| watchers.get(&reference).copied())
    }

    pub(crate) fn of(&self, group: &str) -> Vec<(Ref, Pid)> {
        let groups = self.groups.lock();
        groups.get(group).into_iter().flatten().map(|(reference, pid)| (*reference, *pid)).collect()
    }

    pub(crate) fn holder_holds(&self, holder: Pid, process: Pid) {
        self.held.lock().entry(holder).or_default().insert(process);
    }

    /// Ends the watches of a dead process and gives what it held.
    pub(crate) fn forget(&self, pid: Pid) -> BTreeSet<Pid> {
        let mut groups = self.groups.lock();
        if !groups.is_empty() {
            groups.retain(|_, watchers| {
                watchers.retain(|_, watcher| *watcher != pid);
                !watchers.is_empty()
            });
        }
        drop(groups);
        let mut held = self.held.lock();
        held.remove(&pid).unwrap_or_default()
    }
}
