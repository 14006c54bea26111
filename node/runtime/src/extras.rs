//! What only some processes have, allocated on demand: global names, labels, the dictionary, holds, a snapshot.

use crate::hold::{Hold, HoldKind};
use crate::passage::{Bonds, Passage};
use crate::pid::{Pid, Ref};
use crate::term::Term;
use crate::term::pack::Packed;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The global names of a process, in the order in which it got them. One process may hold very many.
#[derive(Default)]
pub(crate) struct GlobalNames {
    places: BTreeMap<Arc<str>, u64>,
    in_order: BTreeMap<u64, Arc<str>>,
}

impl GlobalNames {
    /// Notes a name behind the others, unless it is there.
    pub(crate) fn insert(&mut self, name: &Arc<str>) {
        if !self.places.contains_key(name) {
            let place = self.in_order.last_key_value().map_or(0, |(last, _)| last + 1);
            self.places.insert(Arc::clone(name), place);
            self.in_order.insert(place, Arc::clone(name));
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        if let Some(place) = self.places.remove(name) {
            self.in_order.remove(&place);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.in_order.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.in_order.values()
    }
}

#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) global_names: GlobalNames,
    pub(crate) key: Option<Arc<str>>,
    pub(crate) labels: BTreeMap<Arc<str>, Arc<str>>,
    pub(crate) dictionary: BTreeMap<Arc<str>, Term>,
    pub(crate) group_leader: Option<Pid>,
    pub(crate) child_id: Option<Term>,
    /// Who monitors it from the moment in which its init has ended well.
    pub(crate) start_monitor: Option<(Pid, Ref)>,
    pub(crate) holds: Vec<Hold>,
    /// Who wants to see it between two turns.
    pub(crate) looks: Vec<crate::glimpse::Look>,
    /// The state of a hibernated process.
    pub(crate) snapshot: Option<Packed>,
    /// What its code said of its own crash, once it has.
    pub(crate) crash: Option<Arc<str>>,
    /// The operation that ends the process, 0 for none.
    pub(crate) ending_operation: u64,
    /// Which life of its supervised child it is, from 1; 0 for none.
    pub(crate) incarnation: u64,
    pub(crate) memory_bytes_max: Option<u64>,
    /// What its messages may weigh, where that is bounded.
    pub(crate) byte_bound: Option<Arc<crate::mailbox_bytes::ByteBound>>,
    /// Messages refused by the mailbox's bound.
    pub(crate) dropped: u64,
    /// Messages taken out of the mailbox by surgery.
    pub(crate) removed: u64,
    /// What it monitors by name on other nodes.
    pub(crate) remote_names: BTreeMap<Ref, Term>,
    /// That it is on its way to or from another node, or gone to one.
    pub(crate) passage: Option<Box<Passage>>,
    /// What it has by way of its former pids.
    pub(crate) bonds: Option<Box<Bonds>>,
    /// How long messages waited, since that is measured.
    pub(crate) waits: crate::surgery::Waits,
}

impl Extras {
    /// Whether somebody holds it off the run queue.
    pub(crate) fn is_paused(&self) -> bool {
        self.holds.iter().any(|hold| hold.kind == HoldKind::PauseScheduling)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn global_names_keep_the_order_in_which_they_came_and_each_once() {
        let mut names = GlobalNames::default();
        let all: Vec<Arc<str>> = ["z", "a", "m", "a"].map(Arc::from).to_vec();
        all.iter().for_each(|name| names.insert(name));
        assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["z", "a", "m"]);
        names.remove("z");
        names.remove("z");
        names.insert(&"z".into());
        assert_eq!(names.iter().map(|name| &**name).collect::<Vec<_>>(), ["a", "m", "z"]);
        names.clear();
        assert!(names.is_empty());
    }
}
