//! Processes and what ties them: links, monitors, supervision, the traffic seen, and who waits for whom.
//!
//! Lives here: taking the picture. What is found in it stands in [`links`] and [`cycles`], which know no process.
//! Invariant: the picture is of one process after the other, not of one moment; a tie is in it if one end tells of it
//! and both ends live.

pub mod cycles;
pub mod links;

use crate::process_variables::ProcessView;
use arsenal_runtime::glimpse::WaitPoint;
use arsenal_runtime::{Behaviour, Kind, Node, Pid, ProcessRef};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What ties two processes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Tie {
    /// A link, from the smaller pid.
    Link,
    /// The first monitors the second.
    Monitor,
    /// The first supervises the second.
    Supervision,
    /// The first sent messages to the second.
    Traffic,
}

/// How strong a tie is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Strength {
    /// Messages, or how many such ties there are.
    pub count: u64,
    /// Of the messages, how many were calls.
    pub calls: u64,
    /// When the last message came, in milliseconds of the node's clock.
    pub last_ms: Option<u32>,
}

/// What a picture keeps of a process.
#[derive(Clone, Debug)]
pub struct Vertex {
    /// The process.
    pub process: ProcessRef,
    /// Whether it traps exits.
    pub traps: bool,
    /// Whose exit ends it though it traps exits: a behaviour ends with its starter.
    pub ends_with: Option<Pid>,
}

/// Processes and ties, each in order.
#[derive(Debug, Default)]
pub struct Graph {
    /// By pid.
    pub vertices: BTreeMap<Pid, Vertex>,
    /// By both ends and kind.
    pub edges: BTreeMap<(Pid, Pid, Tie), Strength>,
}

impl Graph {
    /// The graph of all processes that `wanted` keeps.
    pub fn of(node: &Node, mut wanted: impl FnMut(&ProcessView<'_>) -> bool) -> Self {
        let mut graph = Self::default();
        node.visit_processes(0, |process| {
            let view = ProcessView::new(node, process);
            if wanted(&view) {
                graph.add(&view, process);
            }
            true
        });
        for traffic in node.traffic(|_, _| true) {
            graph.tie_traffic(&traffic);
        }
        graph.drop_loose_ends();
        graph
    }

    /// The graph of `around` and what is at most `depth` ties away.
    pub fn around(node: &Node, around: &ProcessRef, depth: usize) -> Self {
        let mut graph = Self::default();
        let traffic = node.traffic(|_, _| true);
        let mut talks: HashMap<Pid, Vec<usize>> = HashMap::new();
        for (at, pair) in traffic.iter().enumerate() {
            talks.entry(pair.from).or_default().push(at);
            talks.entry(pair.to).or_default().push(at);
        }
        let supervised = children_by_supervisor(node);
        let mut level = vec![around.clone()];
        for distance in 0..=depth {
            let mut next: HashSet<Pid> = HashSet::new();
            for process in level.drain(..) {
                let view = ProcessView::new(node, &process);
                graph.add(&view, &process);
                for at in talks.get(&process.pid()).into_iter().flatten() {
                    graph.tie_traffic(&traffic[*at]);
                }
                let ends = graph.edges.range((process.pid(), Pid::NONE, Tie::Link)..);
                let ends =
                    ends.take_while(|((from, ..), _)| *from == process.pid()).map(|((_, to, _), _)| *to);
                next.extend(ends);
                next.extend(view.info().into_iter().flat_map(|info| info.links.iter().copied()));
                next.extend(
                    view.info().into_iter().flat_map(|info| info.monitored_by.iter().map(|(_, pid)| *pid)),
                );
                next.extend(supervised.get(&process.pid()).into_iter().flatten());
                next.extend(supervisor_of(&view));
                next.extend(talks.get(&process.pid()).into_iter().flatten().map(|at| traffic[*at].from));
            }
            if distance < depth {
                let known = |pid: &Pid| graph.vertices.contains_key(pid);
                level =
                    next.into_iter().filter(|pid| !known(pid)).filter_map(|pid| node.process(pid)).collect();
            }
        }
        graph.drop_loose_ends();
        graph
    }

    fn add(&mut self, view: &ProcessView<'_>, process: &ProcessRef) {
        let Some(info) = view.info() else { return };
        let me = process.pid();
        let ends_with = info.header.parent.filter(|_| info.header.code.behaviour != Behaviour::Plain);
        let vertex = Vertex { process: process.clone(), traps: info.header.trap_exit, ends_with };
        self.vertices.insert(me, vertex);
        for to in &info.links {
            let tie = (me.min(*to), me.max(*to), Tie::Link);
            self.edges.insert(tie, Strength { count: 1, ..Strength::default() });
        }
        for (_, to) in info.monitors.iter().filter(|(_, to)| !to.is_none()) {
            self.edges.entry((me, *to, Tie::Monitor)).or_default().count += 1;
        }
        if let Some(supervisor) = supervisor_of(view) {
            self.edges
                .insert((supervisor, me, Tie::Supervision), Strength { count: 1, ..Strength::default() });
        }
    }

    fn tie_traffic(&mut self, traffic: &arsenal_runtime::traffic::Traffic) {
        let strength =
            Strength { count: traffic.count, calls: traffic.calls, last_ms: Some(traffic.last_ms) };
        self.edges.insert((traffic.from, traffic.to, Tie::Traffic), strength);
    }

    fn drop_loose_ends(&mut self) {
        let Self { vertices, edges } = self;
        edges.retain(|(from, to, _), _| vertices.contains_key(from) && vertices.contains_key(to));
    }

    /// How many ties each process has.
    pub fn degrees(&self) -> HashMap<Pid, u32> {
        let mut degrees = HashMap::new();
        for (from, to, _) in self.edges.keys() {
            *degrees.entry(*from).or_default() += 1;
            if from != to {
                *degrees.entry(*to).or_default() += 1;
            }
        }
        degrees
    }

    /// Pids in order, and the neighbours of each by ties of one kind, as indexes into them.
    pub fn neighbours(&self, tie: Tie, counts: impl Fn(&Strength) -> bool) -> (Vec<Pid>, Vec<Vec<usize>>) {
        let pids: Vec<Pid> = self.vertices.keys().copied().collect();
        let mut neighbours = vec![Vec::new(); pids.len()];
        let index: HashMap<Pid, usize> = pids.iter().enumerate().map(|(at, pid)| (*pid, at)).collect();
        let edges = self
            .edges
            .iter()
            .filter(|((from, to, kind), strength)| *kind == tie && from != to && counts(strength));
        for ((from, to, _), _) in edges {
            let (from, to) = (index[from], index[to]);
            neighbours[from].push(to);
            if tie == Tie::Link {
                neighbours[to].push(from);
            }
        }
        (pids, neighbours)
    }
}

/// The live supervisor of a process.
pub fn supervisor_of(view: &ProcessView<'_>) -> Option<Pid> {
    view.info().filter(|info| info.child_id.is_some())?.header.parent
}

fn children_by_supervisor(node: &Node) -> HashMap<Pid, Vec<Pid>> {
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    node.visit_processes(0, |process| {
        if let Some(parent) = node.header(process).parent
            && node.child_id_of(process).is_some()
        {
            children.entry(parent).or_default().push(process.pid());
        }
        true
    });
    children
}

/// Processes that wait for each other's replies in a ring, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadlock {
    /// Each waits for the next, the last for the first.
    pub ring: Vec<Pid>,
    /// When the last of the calls came, in milliseconds of the node's clock.
    pub since_ms: Option<u32>,
}

/// All rings of processes that wait in a callback for each other's replies now.
pub fn deadlocks(node: &Node) -> Vec<Deadlock> {
    let mut waits: HashMap<Pid, Pid> = HashMap::new();
    node.visit_processes(0, |process| {
        if let WaitPoint::Reference(_, Some(asked)) = node.wait_point(process) {
            waits.insert(process.pid(), asked);
        }
        true
    });
    let mut rings = cycles::rings_of_waiting(&waits);
    rings.sort();
    rings.into_iter().map(|ring| Deadlock { since_ms: closed_ms(node, &ring), ring }).collect()
}

/// The call that closed a ring is still in a mailbox, as its receiver waits: when it came.
fn closed_ms(node: &Node, ring: &[Pid]) -> Option<u32> {
    let before = ring.iter().cycle().skip(ring.len() - 1);
    let newest = ring.iter().zip(before).filter_map(|(receiver, caller)| {
        let receiver = node.process(*receiver)?;
        let arrived = node.mailbox(&receiver, |_, message| {
            (message.kind == Kind::Call && message.from == *caller).then_some(message.arrived_ms)
        });
        arrived.into_iter().max()
    });
    newest.max()
}

#[cfg(test)]
mod tests;
