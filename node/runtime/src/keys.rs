//! Keys: which processes were given one at their start. Only those cost anything here.
//!
//! Invariants: a process is in the index before it is in the table and until just before it leaves it, so whoever has the
//! index's word looks for the process in the table; several may have one key, as nothing forbids it.

use crate::node::Node;
use crate::pid::Pid;
use foldhash::fast::RandomState;
use parking_lot::RwLock;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Keys(RwLock<HashMap<Arc<str>, Holders, RandomState>>);

/// Who has a key.
enum Holders {
    /// As nearly all keys have it.
    One(Pid),
    Several(BTreeSet<Pid>),
}

impl Keys {
    pub(crate) fn insert(&self, key: &Arc<str>, pid: Pid) {
        match self.0.write().entry(Arc::clone(key)) {
            Entry::Vacant(place) => drop(place.insert(Holders::One(pid))),
            Entry::Occupied(mut held) => match held.get_mut() {
                Holders::One(first) => *held.get_mut() = Holders::Several(BTreeSet::from([*first, pid])),
                Holders::Several(pids) => drop(pids.insert(pid)),
            },
        }
    }

    pub(crate) fn remove(&self, key: &Arc<str>, pid: Pid) {
        let mut keys = self.0.write();
        let Entry::Occupied(mut held) = keys.entry(Arc::clone(key)) else { return };
        let is_free = match held.get_mut() {
            Holders::One(holder) => *holder == pid,
            Holders::Several(pids) => {
                pids.remove(&pid);
                pids.is_empty()
            }
        };
        if is_free {
            held.remove();
        }
    }

    /// The first of its holders, in the order of their pids, that `is_meant`.
    fn find(&self, key: &str, is_meant: impl Fn(Pid) -> bool) -> Option<Pid> {
        match self.0.read().get(key)? {
            Holders::One(pid) => Some(*pid).filter(|pid| is_meant(*pid)),
            Holders::Several(pids) => pids.iter().copied().find(|pid| is_meant(*pid)),
        }
    }
}

impl Node {
    /// The process of this node whose key this is ([`Node::key_of`]); else the one that had it and has moved to another
    /// node.
    pub fn holder_of_key(&self, key: &str) -> Option<Pid> {
        let is_relay = |pid| self.process(pid).map(|process| process.0.is_relay());
        let given = |relay| self.keys().find(key, |pid| is_relay(pid) == Some(relay));
        let named = || {
            let pid = self.global_whereis(key)?;
            let process = self.process(pid)?;
            self.key_of(&process).is_some_and(|held| &*held == key).then_some(pid)
        };
        given(false).or_else(named).or_else(|| given(true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Body, Event, Receive, Step};
    use crate::context::Context;
    use crate::module::{Behaviour, Description};
    use crate::node::NodeConfig;
    use crate::start::{ProcessName, StartOptions};

    struct Idle;

    impl Body for Idle {
        fn step(&mut self, _: Event, context: &mut Context<'_>) -> Step {
            context.started();
            Step::Wait(Receive::any())
        }
    }

    fn spawn(node: &Node, key: Option<&str>, global: Option<&str>) -> Pid {
        let description = Arc::new(Description::native("idle", Behaviour::Plain));
        let name = global.map(|name| ProcessName { name: name.into(), global: true });
        let options = StartOptions { key: key.map(Into::into), name, ..StartOptions::default() };
        let pid = node.spawn(&description, Box::new(Idle), options).unwrap().pid();
        node.run_until_idle();
        pid
    }

    fn end(node: &Node, pid: Pid) {
        node.kill(pid, "enough".into());
        node.run_until_idle();
    }

    #[test]
    fn a_key_leads_to_the_first_that_lives_of_those_that_have_it_and_to_nobody_after_the_last() {
        let node = Node::deterministic(NodeConfig::default());
        let [a, b, c] = [(); 3].map(|()| spawn(&node, Some("k"), None));
        spawn(&node, Some("other"), None);
        assert_eq!(node.holder_of_key("k"), Some(a));
        end(&node, b);
        end(&node, a);
        assert_eq!(node.holder_of_key("k"), Some(c));
        end(&node, c);
        assert_eq!(node.holder_of_key("k"), None);
        assert_eq!(node.keys().0.read().len(), 1, "what nobody has any more costs nothing");
        let again = spawn(&node, Some("k"), None);
        assert_eq!(node.holder_of_key("k"), Some(again));
    }

    #[test]
    fn a_global_name_is_the_key_of_a_process_that_was_given_none() {
        let node = Node::deterministic(NodeConfig::default());
        let named = spawn(&node, None, Some("name"));
        let keyed = spawn(&node, Some("key"), Some("other"));
        assert_eq!(node.holder_of_key("name"), Some(named));
        assert_eq!(node.holder_of_key("key"), Some(keyed));
        assert_eq!(node.holder_of_key("other"), None);
        end(&node, named);
        assert_eq!(node.holder_of_key("name"), None);
    }
}
