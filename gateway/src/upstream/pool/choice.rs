//! Which node gets a call: the less loaded of two taken by chance, or the one that keeps the answers under a key; best of
//! those that say that they serve and were not tried yet.
//!
//! Where all is well only the two are looked at, however many there are.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use http::HeaderValue;

use super::{Node, Shared};

/// No node takes calls at the moment.
#[derive(Debug, thiserror::Error)]
#[error("{}", match .0 { 0 => "no node is known".to_owned(), all => format!("all {all} nodes are left alone since they failed") })]
pub(super) struct NoneAdmits(usize);

/// Whether a node may be taken.
type Fits<'f> = &'f dyn Fn(&&Arc<Node>) -> bool;

pub(super) fn is_among(nodes: &[Arc<Node>], node: &Arc<Node>) -> bool {
    nodes.iter().any(|among| Arc::ptr_eq(among, node))
}

impl Shared {
    pub(super) fn choose(
        &self,
        tried: &[Arc<Node>],
        key: Option<&HeaderValue>,
    ) -> Result<Arc<Node>, NoneAdmits> {
        let state = self.state.borrow();
        let nodes = &*state.nodes;
        if key.is_none() && !nodes.is_empty() {
            let two = self.two_of(nodes);
            if two.iter().all(|node| node.is_well() && !is_among(tried, node)) {
                return Ok(Arc::clone(less_loaded(two)));
            }
        }
        self.choose_among_all(nodes, tried, key)
    }

    fn choose_among_all(
        &self,
        nodes: &[Arc<Node>],
        tried: &[Arc<Node>],
        key: Option<&HeaderValue>,
    ) -> Result<Arc<Node>, NoneAdmits> {
        let now = Instant::now();
        let admitting: Vec<&Arc<Node>> = nodes.iter().filter(|node| node.admits(now)).collect();
        let fresh = |node: &&Arc<Node>| !is_among(tried, node);
        let preferred = |node: &&Arc<Node>| node.is_preferred(now);
        let best: [Fits<'_>; 3] = [&|node| fresh(node) && preferred(node), &fresh, &|_| true];
        let candidates = best.into_iter().find_map(|fits| {
            let fitting: Vec<&Arc<Node>> = admitting.iter().copied().filter(fits).collect();
            (!fitting.is_empty()).then_some(fitting)
        });
        let candidates = candidates.ok_or(NoneAdmits(nodes.len()))?;
        let keeper = key.and_then(|key| candidates.iter().max_by_key(|node| node.weight(key)));
        let chosen = keeper.unwrap_or_else(|| less_loaded(self.two_of(&candidates)));
        Ok(Arc::clone(chosen))
    }

    /// Two of some, by chance; of one that one twice.
    fn two_of<'n, N>(&self, some: &'n [N]) -> [&'n N; 2] {
        self.dice.two_below(some.len()).map(|place| &some[place])
    }

    /// Whether a node takes calls that was not tried yet.
    pub(super) fn has_fresh(&self, tried: &[Arc<Node>]) -> bool {
        let (state, now) = (self.state.borrow(), Instant::now());
        state.nodes.iter().any(|node| !is_among(tried, node) && node.admits(now))
    }

    /// Whether a node serves that was not tried yet.
    pub(super) fn has_better(&self, tried: &[Arc<Node>]) -> bool {
        let (state, now) = (self.state.borrow(), Instant::now());
        state.nodes.iter().any(|node| !is_among(tried, node) && node.admits(now) && node.is_preferred(now))
    }
}

fn less_loaded<N: AsRef<Node>>([first, second]: [&N; 2]) -> &N {
    let load = |node: &N| node.as_ref().under_way.load(Ordering::Relaxed);
    if load(second) < load(first) { second } else { first }
}
