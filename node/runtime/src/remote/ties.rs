//! Which processes have a link, a monitor or a call across to which node, so that a lost connection looks at those alone.
//!
//! Invariant: a process that has one is noted; one that is noted may have none any more. Only processes that live are
//! kept: whoever ends is forgotten.

use crate::pid::Pid;
use crate::process::{Process, flag};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Default)]
pub(crate) struct Ties(Mutex<BTreeMap<u32, BTreeSet<Pid>>>);

impl Ties {
    /// Notes that `process` has to hear when the connection to `node` is lost.
    pub(crate) fn note(&self, node: u32, process: &Process) {
        process.set(flag::WATCHER, true);
        self.0.lock().entry(node).or_default().insert(process.pid);
        // one that ends first sees the flag or is seen to be dead
        if process.is_dead() {
            self.forget(process.pid);
        }
    }

    /// A process has ended.
    pub(crate) fn forget(&self, pid: Pid) {
        self.0.lock().retain(|_, pids| {
            pids.remove(&pid);
            !pids.is_empty()
        });
    }

    /// Those that are tied to a node.
    pub(crate) fn of(&self, node: u32) -> Vec<Pid> {
        self.0.lock().get(&node).into_iter().flatten().copied().collect()
    }

    /// Takes those that are tied to a node, whose connection is lost.
    pub(crate) fn take(&self, node: u32) -> BTreeSet<Pid> {
        self.0.lock().remove(&node).unwrap_or_default()
    }
}
