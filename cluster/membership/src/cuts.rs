//! What a node is cut off from on purpose: the table that every connection to another node asks, and every request of one.
//!
//! Each node holds its own, by a clock that never goes back, so that a cut ends in time though nobody reaches the node any
//! more; a node that starts has none. Where nothing is cut a connection pays for one load. What a connection does about a
//! cut is `severed`'s business, what requests do that of `crossing`; which nodes are to be cut apart, and who may ask for it,
//! that of whoever adds one.

use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Cuts that a node holds at a time.
const CUTS_MAX: usize = 64;

/// Nodes cut apart, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// What these send does not reach the others.
    pub from: BTreeSet<u32>,
    /// Those others.
    pub to: BTreeSet<u32>,
    /// Nor does what the others send reach them.
    pub both_ways: bool,
}

impl Cut {
    /// Whether what `sender` sends reaches `receiver` no more.
    pub fn severs(&self, sender: u32, receiver: u32) -> bool {
        let there = self.from.contains(&sender) && self.to.contains(&receiver);
        there || (self.both_ways && self.to.contains(&sender) && self.from.contains(&receiver))
    }
}

/// A cut as a node holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldCut {
    /// What it is called.
    pub id: String,
    /// Who is cut apart.
    pub cut: Cut,
    /// For how long it was made.
    pub ttl: Duration,
    /// How long it still holds.
    pub left: Duration,
    /// How often something of this node ran into it: a connection that could not be opened, or stood still.
    pub hits: u64,
}

/// A cut is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the node holds {CUTS_MAX} cuts already")]
pub struct TooManyCuts;

/// The cuts of one node. Clones are the same table.
#[derive(Clone, Debug, Default)]
pub struct Cuts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Whether there may be any.
    any: AtomicBool,
    table: Mutex<Table>,
    /// Told when cuts come or go before their time.
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Table {
    /// This node; 0 until it is known.
    own: u32,
    /// Which node serves where.
    addresses: HashMap<Arc<str>, u32>,
    cuts: BTreeMap<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    cut: Cut,
    ttl: Duration,
    until: Instant,
    hits: u64,
}

impl Entry {
    fn held(&self, id: &str, now: Instant) -> HeldCut {
        let left = self.until.saturating_duration_since(now);
        HeldCut { id: id.to_owned(), cut: self.cut.clone(), ttl: self.ttl, left, hits: self.hits }
    }
}

/// Which way, as seen from this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Out,
    In,
}

/// The node at the other end, as far as this one knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Other {
    /// The one that serves at this address.
    At(Arc<str>),
    /// The one with this number.
    Numbered(u32),
}

impl Cuts {
    /// Holds a cut from now on, in place of one that is called the same.
    ///
    /// # Errors
    /// If the node holds as many as it may.
    pub fn add(&self, id: &str, cut: Cut, ttl: Duration) -> Result<(), TooManyCuts> {
        let mut table = self.current();
        if table.cuts.len() >= CUTS_MAX && !table.cuts.contains_key(id) {
            return Err(TooManyCuts);
        }
        let until = Instant::now() + ttl;
        table.cuts.insert(id.to_owned(), Entry { cut, ttl, until, hits: 0 });
        self.0.any.store(true, Relaxed);
        drop(table);
        self.0.changes.send_replace(());
        Ok(())
    }

    /// Ends a cut before its time; gives it as it was.
    pub fn remove(&self, id: &str) -> Option<HeldCut> {
        let removed = self.current().cuts.remove(id)?.held(id, Instant::now());
        self.0.changes.send_replace(());
        Some(removed)
    }

    /// All cuts that hold, by what they are called.
    pub fn list(&self) -> Vec<HeldCut> {
        let now = Instant::now();
        self.current().cuts.iter().map(|(id, entry)| entry.held(id, now)).collect()
    }

    /// Takes note of who this node is and which node serves where; what was noted before is forgotten.
    pub(crate) fn locate(&self, own: u32, addresses: impl Iterator<Item = (Arc<str>, u32)>) {
        let mut table = self.0.table.lock();
        (table.own, table.addresses) = (own, addresses.collect());
    }

    /// Takes note of who this node is, before it sees any other.
    pub(crate) fn belong_to(&self, own: u32) {
        self.0.table.lock().own = own;
    }

    /// The number of this node; 0 until it is known.
    pub(crate) fn own(&self) -> u32 {
        self.0.table.lock().own
    }

    /// Whether anything may be cut.
    fn any(&self) -> bool {
        self.0.any.load(Relaxed)
    }

    /// Until when nothing passes between this node and the other; nothing if it does. A pass that is refused is a hit.
    pub(crate) fn until(&self, other: &Other, ways: &[Way], is_hit: bool) -> Option<Instant> {
        if !self.any() {
            return None;
        }
        let mut table = self.current();
        let own = table.own;
        let other = match other {
            Other::At(address) => *table.addresses.get(address)?,
            Other::Numbered(node) => *node,
        };
        let severs = |cut: &Cut| {
            ways.iter().any(|way| match way {
                Way::Out => cut.severs(own, other),
                Way::In => cut.severs(other, own),
            })
        };
        let severing = table.cuts.values_mut().filter(|entry| severs(&entry.cut));
        let untils = severing.map(|entry| {
            entry.hits += u64::from(is_hit);
            entry.until
        });
        untils.max()
    }

    /// Returns once everything passes these ways.
    pub(crate) async fn healed(self, other: Other, ways: &'static [Way]) {
        let mut changes = self.0.changes.subscribe();
        let mut is_hit = true;
        while let Some(until) = self.until(&other, ways, is_hit) {
            is_hit = false;
            tokio::select! {
                () = sleep_until(until) => {}
                // the table outlives who asks it
                _ = changes.changed() => {}
            }
        }
    }

    /// The table without what is over.
    fn current(&self) -> parking_lot::MutexGuard<'_, Table> {
        let now = Instant::now();
        let mut table = self.0.table.lock();
        table.cuts.retain(|_, entry| entry.until > now);
        if table.cuts.is_empty() {
            self.0.any.store(false, Relaxed);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(from: &[u32], to: &[u32], both_ways: bool) -> Cut {
        Cut { from: from.iter().copied().collect(), to: to.iter().copied().collect(), both_ways }
    }

    /// The table of n1, whose neighbours serve at `n2` and `n3`.
    fn of_n1() -> Cuts {
        let cuts = Cuts::default();
        cuts.locate(1, [("n2".into(), 2), ("n3".into(), 3)].into_iter());
        cuts
    }

    fn passes(cuts: &Cuts, address: &str, way: Way) -> bool {
        cuts.until(&Other::At(address.into()), &[way], false).is_none()
    }

    #[test]
    fn a_cut_one_way_lets_pass_what_comes_the_other_way() {
        let one_way = cut(&[1], &[2, 3], false);
        assert!(one_way.severs(1, 2) && one_way.severs(1, 3));
        assert!(!one_way.severs(2, 1) && !one_way.severs(2, 3));
        let both = cut(&[1], &[2, 3], true);
        assert!(both.severs(1, 2) && both.severs(2, 1) && !both.severs(2, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_ends_with_its_time_by_itself() {
        let cuts = of_n1();
        cuts.add("a", cut(&[1], &[2], true), Duration::from_secs(5)).unwrap();
        assert!(!passes(&cuts, "n2", Way::Out) && !passes(&cuts, "n2", Way::In));
        assert!(passes(&cuts, "n3", Way::Out));
        let began = Instant::now();
        cuts.clone().healed(Other::At("n2".into()), &[Way::Out]).await;
        assert!((5..6).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
        assert!(passes(&cuts, "n2", Way::Out) && cuts.list().is_empty() && !cuts.any());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_cut_to_end_is_told_when_it_is_healed_and_not_while_another_holds() {
        let cuts = of_n1();
        cuts.add("a", cut(&[1], &[2], false), Duration::from_secs(60)).unwrap();
        cuts.add("b", cut(&[2], &[1], true), Duration::from_secs(60)).unwrap();
        let waiting = tokio::spawn(cuts.clone().healed(Other::At("n2".into()), &[Way::Out]));
        tokio::task::yield_now().await;
        assert_eq!(cuts.remove("a").map(|cut| cut.hits), Some(1));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        cuts.remove("b");
        waiting.await.unwrap();
        assert_eq!(cuts.remove("b"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_holds_so_many_cuts_and_no_more() {
        let cuts = of_n1();
        let add = |id: &str| cuts.add(id, cut(&[1], &[2], false), Duration::from_secs(9));
        for index in 0..CUTS_MAX {
            add(&index.to_string()).unwrap();
        }
        assert_eq!(add("one more"), Err(TooManyCuts));
        add("0").unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        add("one more").unwrap();
        assert_eq!(cuts.list().len(), 1);
    }
}
