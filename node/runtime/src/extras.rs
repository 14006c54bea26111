//! What only some processes have, allocated on demand: global names, labels, the dictionary, holds, a snapshot.

use crate::hold::{Hold, HoldKind};
use crate::passage::{Bonds, Passage};
use crate::pid::{Pid, Ref};
use crate::term::Term;
use crate::term::pack::Packed;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Extras {
    pub(crate) global_names: Vec<Arc<str>>,
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
