//! A network in memory, which joins nodes of one program.

use crate::frame::Frame;
use crate::links::Links;
use crate::network::{Connection, DialError, Dialing, Frames, Knowing, LINE_FRAMES, Network};
use futures_util::{future, stream};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// Nodes that can reach each other, unless they are cut apart.
#[derive(Clone, Default)]
pub struct MemoryNetwork(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    nodes: BTreeMap<u32, Links>,
    /// Nodes that nobody reaches.
    cut: BTreeSet<u32>,
    /// Ends the lines of a node when it is cut.
    lines: BTreeMap<u32, watch::Sender<()>>,
}

impl MemoryNetwork {
    /// Adds a node.
    pub fn join(&self, node: u32, links: Links) {
        self.0.lock().nodes.insert(node, links);
    }

    /// Takes a node away, and breaks its lines: nobody knows it from now on.
    pub fn remove(&self, node: u32) {
        let mut state = self.0.lock();
        state.nodes.remove(&node);
        state.lines.remove(&node);
    }

    /// Breaks all lines of a node; none can be opened until [`MemoryNetwork::mend`].
    pub fn cut(&self, node: u32) {
        let mut state = self.0.lock();
        state.cut.insert(node);
        state.lines.remove(&node);
    }

    /// Lets a node be reached again.
    pub fn mend(&self, node: u32) {
        self.0.lock().cut.remove(&node);
    }

    /// The network as `own` sees it.
    pub fn of(&self, own: u32) -> Arc<dyn Network> {
        Arc::new(From { own, network: self.clone() })
    }
}

struct From {
    own: u32,
    network: MemoryNetwork,
}

impl Network for From {
    fn knows(&self, node: u32) -> bool {
        self.network.0.lock().nodes.contains_key(&node)
    }

    fn until_known(&self, node: u32) -> Knowing {
        // who joins dials once more
        if self.knows(node) { Box::pin(future::ready(())) } else { Box::pin(future::pending()) }
    }

    fn dial(&self, node: u32) -> Dialing {
        let (own, network) = (self.own, self.network.clone());
        Box::pin(async move {
            let mut state = network.0.lock();
            let reachable = ![own, node].iter().any(|end| state.cut.contains(end));
            let links = state.nodes.get(&node).filter(|_| reachable).cloned();
            let links = links.ok_or_else(|| DialError { node, reason: "it is not there".into() })?;
            let mut line = || {
                let ends = [own, node].map(|end| state.lines.entry(end).or_default().subscribe());
                let (here, there) = line(ends);
                links.accept(there);
                here
            };
            Ok([line(), line()])
        })
    }
}

/// The two ends of a line, which breaks when one of its nodes is cut.
fn line(ends: [watch::Receiver<()>; 2]) -> (Connection, Connection) {
    let [a, b] = ends;
    let (from_here, to_there) = mpsc::channel(LINE_FRAMES);
    let (from_there, to_here) = mpsc::channel(LINE_FRAMES);
    let here = Connection { sender: from_here, frames: frames(to_here, [a.clone(), b.clone()]) };
    let there = Connection { sender: from_there, frames: frames(to_there, [a, b]) };
    (here, there)
}

fn frames(receiver: mpsc::Receiver<Frame>, ends: [watch::Receiver<()>; 2]) -> Frames {
    Box::pin(stream::unfold((receiver, ends), |(mut receiver, [mut a, mut b])| async move {
        let frame = tokio::select! {
            biased;
            // a watch only ever ends
            _ = a.changed() => None,
            _ = b.changed() => None,
            frame = receiver.recv() => frame,
        };
        frame.map(|frame| (frame, (receiver, [a, b])))
    }))
}
