//! What a process that has moved has by way of its former pids: the links and monitors from before.
//!
//! To whom it is linked, and whom it monitors, it is known by the pid that it had then; so whatever it does about those is
//! done by that pid, and they are out of reach when that is.

use super::Note;
use crate::core::Core;
use crate::message::{Kind, Message, Signal};
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pid::{Pid, Ref};
use crate::process::Process;
use crate::term::Term;
use std::collections::BTreeMap;

/// See the module.
#[derive(Default)]
pub(crate) struct Bonds {
    /// The epoch in which it is where it is.
    pub(super) epoch: u64,
    /// Its former pids, oldest first.
    pub(super) former: Vec<Pid>,
    /// Whom it is linked to by way of which former pid.
    pub(super) links: BTreeMap<Pid, Pid>,
    /// Its monitors and requests by way of a former pid.
    pub(super) monitors: BTreeMap<Ref, Pid>,
}

impl Core {
    pub(crate) fn bonds(&self) -> Option<&Bonds> {
        self.extras().and_then(|extras| extras.bonds.as_deref())
    }

    pub(super) fn bonds_mut(&mut self) -> Option<&mut Bonds> {
        // without a look first, every process would get extras
        self.bonds()?;
        self.extras_mut().bonds.as_deref_mut()
    }

    /// This link is over.
    pub(crate) fn loosen_link(&mut self, to: Pid) {
        if let Some(bonds) = self.bonds_mut() {
            bonds.links.remove(&to);
        }
    }

    /// This monitor is over.
    pub(crate) fn loosen_monitor(&mut self, reference: Ref) {
        if let Some(bonds) = self.bonds_mut() {
            bonds.monitors.remove(&reference);
        }
    }

    /// The node that the link to `to` depends on.
    pub(crate) fn node_of_link(&self, to: Pid) -> u32 {
        self.bonds().and_then(|bonds| bonds.links.get(&to)).unwrap_or(&to).node
    }

    /// The node that a monitor of `of`, or a request to it, depends on.
    pub(crate) fn node_of_monitor(&self, reference: Ref, of: Pid) -> u32 {
        self.bonds().and_then(|bonds| bonds.monitors.get(&reference)).unwrap_or(&of).node
    }

    /// Ends a link; gives whom to tell, and what.
    pub(crate) fn unlink(&mut self, me: Pid, to: Pid) -> Option<(Pid, Signal)> {
        let via = self.bonds().and_then(|bonds| bonds.links.get(&to).copied());
        if !self.remove_link(to) {
            return None;
        }
        Some(match via {
            Some(former) => (former, Signal::Passing { from: me, note: Box::new(Note::Unlink { of: to }) }),
            None => (to, Signal::Unlink { from: me }),
        })
    }

    /// Ends a monitor; gives whom to tell, and what.
    pub(crate) fn demonitor(&mut self, me: Pid, reference: Ref) -> Option<(Pid, Signal)> {
        let via = self.bonds().and_then(|bonds| bonds.monitors.get(&reference).copied());
        let of = self.remove_monitor(reference)?;
        Some(match via {
            Some(former) => {
                let note = Box::new(Note::Demonitor { of, reference });
                (former, Signal::Passing { from: me, note })
            }
            None => (of, Signal::Demonitor { watcher: me, reference }),
        })
    }

    /// Heeds what a former pid says.
    pub(crate) fn heed(
        &mut self,
        process: &Process,
        from: Pid,
        note: Note,
        node: &Node,
        outbox: &mut Outbox,
    ) {
        match note {
            Note::Came(signal) => self.heed_signal(process, from, signal, node, outbox),
            Note::Fence { reference, watch } => {
                if watch {
                    self.add_watcher(from, reference, None);
                    if node.is_remote(from) {
                        node.remote().ties.note(from.node, process);
                    }
                }
                let reply = Message::of(Kind::Reply, process.pid, Term::Null).with_reference(reference);
                outbox.send(node, from, Signal::Message(reply));
            }
            Note::Via { links, monitors } => self.rebind(from, &links, &monitors),
            // these are for former pids
            Note::Unlink { .. } | Note::Demonitor { .. } | Note::Moved => {}
        }
    }

    fn heed_signal(&mut self, process: &Process, via: Pid, signal: Signal, node: &Node, outbox: &mut Outbox) {
        match &signal {
            Signal::Link { from } => {
                if let Some(bonds) = self.bonds_mut() {
                    bonds.links.insert(*from, via);
                }
            }
            Signal::Monitoring { reference, .. } => {
                if let Some(bonds) = self.bonds_mut() {
                    bonds.monitors.insert(*reference, via);
                }
            }
            _ => {}
        }
        self.apply(process, signal, node, outbox);
    }

    /// Of these links and monitors, those that are left are by way of another former pid from now on.
    pub(super) fn rebind(&mut self, via: Pid, links: &[Pid], monitors: &[Ref]) {
        let Some(bonds) = self.bonds_mut() else { return };
        for to in links {
            bonds.links.entry(*to).and_modify(|former| *former = via);
        }
        for reference in monitors {
            bonds.monitors.entry(*reference).and_modify(|former| *former = via);
        }
    }
}
