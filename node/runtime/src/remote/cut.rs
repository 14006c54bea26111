//! A connection is lost: every link, monitor and call across it ends with `noconnection`, and what the other side held
//! of this one is forgotten.

use crate::core::Core;
use crate::message::{ReplyTo, Signal};
use crate::node::Node;
use crate::outbox::Outbox;
use crate::pid::{Pid, Ref};
use crate::process::Process;
use crate::remote::NOCONNECTION;
use crate::term::Term;

impl Node {
    /// The connection to a node is lost, or the node is down. Whoever carries signals calls this once a connection, when
    /// nothing of the old one is delivered any more and nothing is taken for a new one yet.
    pub fn connection_lost(&self, node: u32) {
        for pid in self.remote().ties.take(node) {
            if let Some(process) = self.process(pid) {
                self.with_core(&process.0, |core, outbox| core.cut(&process.0, node, self, outbox));
            }
        }
        self.aliases().cut(node);
        self.room_everywhere(node);
        self.record("node.disconnected", Pid::NONE, Pid::NONE, Term::str(format!("n{node}")), 0);
    }
}

impl Core {
    /// Applies what the process would be told if all that it has to do with on `node` ended now.
    fn cut(&mut self, process: &Process, node: u32, on: &Node, outbox: &mut Outbox) {
        let there = |pid: &Pid| pid.node == node;
        let depends = |(reference, of): &(Ref, Pid)| self.node_of_monitor(*reference, *of) == node;
        let links: Vec<Pid> = self.links().filter(|to| self.node_of_link(*to) == node).collect();
        let monitors: Vec<_> = self.monitors().filter(depends).collect();
        let requests: Vec<_> = self.pending().filter(depends).collect();
        let watchers: Vec<_> = self.watchers().filter(|(watcher, _)| there(watcher)).collect();
        let calls: Vec<ReplyTo> = self.open_calls().iter().filter(|call| there(&call.to)).copied().collect();
        for (watcher, reference) in watchers {
            self.apply(process, Signal::Demonitor { watcher, reference }, on, outbox);
        }
        calls.into_iter().for_each(|call| self.close_call(call));
        for (reference, of) in requests.into_iter().chain(monitors) {
            let object = self.watched_name(reference).unwrap_or(Term::Pid(of));
            let down = Signal::Down { reference, from: of, object, reason: NOCONNECTION };
            self.apply(process, down, on, outbox);
        }
        for from in links {
            if self.exiting.is_some() {
                // it ends of the first, and tells the others, who hear the same
                return;
            }
            self.apply(process, Signal::LinkExit { from, reason: NOCONNECTION }, on, outbox);
        }
    }

    /// The monitor with this reference, which may be one by name, is over.
    pub(crate) fn forget_watched_name(&mut self, reference: Ref) {
        if self.extras().is_some_and(|extras| !extras.remote_names.is_empty()) {
            self.extras_mut().remote_names.remove(&reference);
        }
    }

    /// The name by which it monitors on another node under this reference.
    fn watched_name(&self, reference: Ref) -> Option<Term> {
        self.extras().and_then(|extras| extras.remote_names.get(&reference).cloned())
    }
}
