//! What a process of another node does to one of this: a request that names both is answered where the second is.
//!
//! A link has two ends that are alike, so this node begins with its own. A monitor is its watcher's, which must know of it
//! before the first DOWN: [`Signal::Monitoring`] goes ahead of that on the same way. Its reference is one that the watcher's
//! own node never gives.

use crate::message::Signal;
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pid::{OwnedId, Pid, Ref};
use crate::term::Term;

/// References that a node gives to watchers of others: above all that it counts for itself, and apart by node.
const FOREIGN_BIT: u64 = 1 << 55;
const NODE_SHIFT: u32 = 38;
const COUNT_MASK: u64 = (1 << NODE_SHIFT) - 1;

impl Node {
    /// A reference for a monitor of this watcher, of whatever node.
    pub fn new_ref_of(&self, watcher: Pid) -> Ref {
        let reference = self.new_ref();
        if !self.is_remote(watcher) {
            return reference;
        }
        let node = u64::from(self.id()) << NODE_SHIFT;
        let number = FOREIGN_BIT | (node & (FOREIGN_BIT - 1)) | (reference.number() & COUNT_MASK);
        Ref::from_number(number).unwrap_or(reference)
    }

    /// The id of a monitor that this watcher has under this reference.
    pub fn monitor_id(&self, watcher: Pid, reference: Ref) -> OwnedId {
        OwnedId::new(watcher.node, watcher.incarnation, b'm', reference.number())
    }

    /// `link/1` by a process of another node.
    pub(crate) fn link_from_afar(&self, from: Pid, to: Pid) {
        match self.process(to) {
            Some(process) => self.with_core(&process.0, |core, outbox| {
                if core.add_link(from) {
                    outbox.send(self, from, Signal::Link { from: to });
                }
            }),
            // as if the link had been there when it ended
            None => self.with_outbox(|outbox| {
                outbox.send(self, from, Signal::Link { from: to });
                outbox.send(self, from, Signal::LinkExit { from: to, reason: Term::NOPROC });
            }),
        }
    }

    /// `unlink/1` by a process of another node.
    pub(crate) fn unlink_from_afar(&self, from: Pid, to: Pid) {
        let Some(process) = self.process(to) else { return };
        self.with_core(&process.0, |core, outbox| {
            if let Some((to, signal)) = core.unlink(to, from) {
                outbox.send(self, to, signal);
            }
        });
    }

    /// `monitor/2` by a process of another node; `of` is the pid of nobody for a name that nobody has.
    pub(crate) fn monitor_from_afar(&self, watcher: Pid, of: Pid, name: Option<Box<Term>>) -> OwnedId {
        let reference = self.new_ref_of(watcher);
        self.with_outbox(|outbox| {
            self.tell_watcher(watcher, reference, of, name.clone(), outbox);
            outbox.send(self, of, Signal::Monitor { watcher, reference, name });
        });
        self.monitor_id(watcher, reference)
    }

    /// Tells a watcher of another node what it monitors.
    pub(crate) fn tell_watcher(
        &self,
        watcher: Pid,
        reference: Ref,
        of: Pid,
        name: Option<Box<Term>>,
        outbox: &mut Outbox,
    ) {
        outbox.send(self, watcher, Signal::Monitoring { from: of, reference, name });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NodeConfig;

    #[test]
    fn a_reference_for_a_watcher_elsewhere_is_none_that_a_node_counts() {
        let nodes = [1, 2].map(|id| Node::deterministic(NodeConfig { id, ..NodeConfig::default() }));
        let watcher = Pid::new(9, 1, 1);
        let given = nodes.each_ref().map(|node| node.new_ref_of(watcher));
        assert_ne!(given[0], given[1]);
        assert!(given.iter().all(|reference| reference.number() >= FOREIGN_BIT));
        assert!(nodes[0].new_ref_of(Pid::new(1, 1, 1)).number() < FOREIGN_BIT);
        let id = nodes[0].monitor_id(watcher, given[0]);
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
