//! Who started a process, and who started those, kept though they have ended.
//!
//! All that one process starts share one link, made when it starts its first; so a start costs a reference count and no
//! copy. Invariants: a chain has fewer than `2 * KEPT` links, however long the line is, and at least the `KEPT` nearest
//! of them.

use crate::core::Core;
use crate::pid::Pid;
use crate::process::Process;
use std::iter::successors;
use std::sync::Arc;

/// Ancestors beyond the parent that a process surely remembers, and that are told of it.
const KEPT: usize = 63;

/// An ancestor and those above it.
#[derive(Debug)]
pub(crate) struct Lineage {
    pid: Pid,
    above: Option<Arc<Lineage>>,
    /// How many there are, this one included.
    len: u32,
}

impl Lineage {
    /// `pid` on top of a chain, which is trimmed where it has become too long.
    fn grown(pid: Pid, above: Option<&Arc<Self>>) -> Arc<Self> {
        match above {
            Some(above) if above.len as usize >= 2 * KEPT - 1 => Self::on(pid, above.trimmed()),
            above => Self::on(pid, above.cloned()),
        }
    }

    fn on(pid: Pid, above: Option<Arc<Self>>) -> Arc<Self> {
        let len = above.as_ref().map_or(0, |above| above.len) + 1;
        Arc::new(Self { pid, above, len })
    }

    /// From the nearest to the farthest.
    fn walk(&self) -> impl Iterator<Item = Pid> + '_ {
        successors(Some(self), |link| link.above.as_deref()).map(|link| link.pid).take(KEPT)
    }

    /// The same without what is farther than is told of.
    fn trimmed(&self) -> Option<Arc<Self>> {
        let mut nearest: Vec<Pid> = self.walk().take(KEPT - 1).collect();
        let mut chain = None;
        while let Some(pid) = nearest.pop() {
            chain = Some(Self::on(pid, chain));
        }
        chain
    }
}

/// What the children of `parent` have above it; nothing where nobody started it. `core` is its own.
pub(crate) fn above_children_of(parent: &Process, core: &mut Core) -> Option<Arc<Lineage>> {
    let grandparent = parent.parent.some()?;
    let link = core.lineage.get_or_insert_with(|| Lineage::grown(grandparent, parent.above.as_ref()));
    Some(Arc::clone(link))
}

impl Process {
    /// `$ancestors`: who started it and who started those, nearest first, dead ones too.
    pub(crate) fn ancestors(&self) -> impl Iterator<Item = Pid> + '_ {
        self.parent.some().into_iter().chain(self.above.iter().flat_map(|above| above.walk()))
    }

    /// Its group leader: `own`, which it was given or had of its starter; else the first of its starters, else itself.
    pub(crate) fn group_leader(&self, own: Option<Pid>) -> Pid {
        own.or_else(|| self.ancestors().last()).unwrap_or(self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_trimmed_and_loses_none_of_the_nearest() {
        let pid = |serial: u64| Pid::new(1, 1, serial);
        let mut chain: Option<Arc<Lineage>> = None;
        for serial in 1..1_000u64 {
            let link = Lineage::grown(pid(serial), chain.as_ref());
            assert!((link.len as usize) < 2 * KEPT);
            let nearest: Vec<Pid> = (1..=serial).rev().take(KEPT).map(pid).collect();
            assert_eq!(link.walk().collect::<Vec<_>>(), nearest);
            chain = Some(link);
        }
    }
}
