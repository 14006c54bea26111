//! What ties processes: the graph around one, what a node hangs on, and rings.

use crate::listing::bad_filter;
use crate::reference::process;
use crate::status::bad_argument;
use crate::time::{timestamp_ms, to_proto};
use crate::walk::blocking;
use arsenal_observe::graph::cycles::{fundamental, shortest};
use arsenal_observe::graph::links::{Blast, articulation_points, components};
use arsenal_observe::graph::{Graph, Strength, Tie, deadlocks};
use arsenal_observe::process_filter::ProcessFilter;
use arsenal_proto::v1;
use arsenal_proto::v1::analyze_process_relationships_response::Hub;
use arsenal_proto::v1::evidence::State;
use arsenal_proto::v1::find_process_cycles_response::{Cycle, cycle};
use arsenal_proto::v1::process_graph::{Edge, Node as GraphNode, edge};
use arsenal_runtime::{Node, Pid};
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::Status;

/// How far a graph around a process goes at most.
const DEPTH_MAX: u32 = 10;
/// Hubs in an answer at most.
const HUBS_MAX: usize = 100;
/// Pids of a hub's blast in an answer at most.
const BLAST_PIDS_MAX: usize = 1_000;
/// Rings of one kind in an answer at most.
const CYCLES_MAX: usize = 1_000;
/// Edges looked at for blasts, before the rest is left out and the confidence says so.
const BLAST_STEPS_MAX: usize = 50_000_000;

pub(super) async fn dependencies(
    node: &Node,
    request: &v1::GetProcessDependenciesRequest,
) -> Result<v1::GetProcessDependenciesResponse, Status> {
    if request.depth > DEPTH_MAX {
        return Err(bad_argument("depth", format!("`depth` is {}; at most {DEPTH_MAX}", request.depth)));
    }
    let around = process(node, "process", &request.process)?;
    let (pid, depth) = (around.pid(), request.depth.max(1) as usize);
    let node = node.clone();
    blocking(move || {
        let graph = Graph::around(&node, &around, depth);
        let messages = of_traffic(&graph).map(|strength| strength.count).sum::<u64>();
        v1::GetProcessDependenciesResponse {
            pid: pid.to_string(),
            evidence: Some(evidence(
                "links, monitors and supervision of each process; messages counted as they arrive",
                Some(Duration::from_nanos(node.now_ns())),
                messages,
                1.0,
            )),
            graph: Some(encode(&node, &graph)),
            unreached: Vec::new(),
        }
    })
    .await
}

fn of_traffic(graph: &Graph) -> impl Iterator<Item = &Strength> {
    graph.edges.iter().filter(|((_, _, tie), _)| *tie == Tie::Traffic).map(|(_, strength)| strength)
}

fn evidence(method: &str, window: Option<Duration>, samples: u64, confidence: f64) -> v1::Evidence {
    v1::Evidence {
        method: method.into(),
        window: window.map(to_proto),
        sample_count: i64::try_from(samples).unwrap_or(i64::MAX),
        events: Vec::new(),
        confidence,
    }
}

fn encode(node: &Node, graph: &Graph) -> v1::ProcessGraph {
    let degrees = graph.degrees();
    let vertex = |(pid, vertex): (&Pid, &arsenal_observe::graph::Vertex)| GraphNode {
        pid: pid.to_string(),
        name: name_of(node, &vertex.process),
        module: node.header(&vertex.process).code.name.to_string(),
        node: format!("n{}", pid.node),
        degree: degrees.get(pid).copied().unwrap_or_default(),
    };
    let tie = |((from, to, tie), strength): (&(Pid, Pid, Tie), &Strength)| Edge {
        from: from.to_string(),
        to: to.to_string(),
        kind: match tie {
            Tie::Link => edge::Kind::Link,
            Tie::Monitor => edge::Kind::Monitor,
            Tie::Supervision => edge::Kind::Supervision,
            Tie::Traffic => edge::Kind::Traffic,
        } as i32,
        count: strength.count,
        calls: strength.calls,
        last_seen: strength.last_ms.map(|ms| timestamp_ms(node, ms)),
    };
    v1::ProcessGraph {
        nodes: graph.vertices.iter().map(vertex).collect(),
        edges: graph.edges.iter().map(tie).collect(),
    }
}

/// Its local name, else a global one; empty for none.
pub(super) fn name_of(node: &Node, process: &arsenal_runtime::ProcessRef) -> String {
    let global = || {
        node.is_registered(process).then(|| node.global_names_of(process.pid()).into_iter().next()).flatten()
    };
    node.name_of(process).or_else(global).map(|name| name.to_string()).unwrap_or_default()
}

pub(super) async fn relationships(
    node: &Node,
    request: &v1::AnalyzeProcessRelationshipsRequest,
) -> Result<v1::AnalyzeProcessRelationshipsResponse, Status> {
    let filter = match request.filter.as_str() {
        "" => None,
        source => Some(ProcessFilter::compile(source).map_err(|error| bad_filter(&error))?),
    };
    let (node, include_graph) = (node.clone(), request.include_graph);
    blocking(move || {
        let mut failed = None;
        let graph =
            Graph::of(&node, |view| match filter.as_ref().map_or(Ok(true), |filter| filter.admits(view)) {
                Ok(admitted) => admitted,
                Err(error) => {
                    failed.get_or_insert(error);
                    false
                }
            });
        match failed {
            Some(error) => Err(bad_filter(&error)),
            None => Ok(analyse(&node, &graph, include_graph)),
        }
    })
    .await?
}

fn analyse(node: &Node, graph: &Graph, include_graph: bool) -> v1::AnalyzeProcessRelationshipsResponse {
    let (pids, neighbours) = graph.neighbours(Tie::Link, |_| true);
    let points = articulation_points(&neighbours);
    let vertices: Vec<_> = graph.vertices.values().collect();
    let falls = |from: usize, to: usize| !vertices[to].traps || vertices[to].ends_with == Some(pids[from]);
    let mut blast = Blast::new(&neighbours, falls);
    let (mut blasts, mut steps, mut looked_at) = (Vec::with_capacity(pids.len()), 0, 0_usize);
    for vertex in 0..pids.len() {
        if steps > BLAST_STEPS_MAX {
            blasts.push(0);
            continue;
        }
        let (fallen, took) = blast.of(vertex);
        steps += took + 1;
        looked_at += 1;
        blasts.push(fallen.len());
    }
    let degrees = graph.degrees();
    let degree = |vertex: usize| degrees.get(&pids[vertex]).copied().unwrap_or_default();
    let mut worst: Vec<usize> =
        (0..pids.len()).filter(|vertex| points[*vertex] || blasts[*vertex] > 0).collect();
    worst.sort_by_key(|vertex| {
        let (blast, point) = (blasts[*vertex], points[*vertex]);
        (std::cmp::Reverse((blast, point, degree(*vertex))), pids[*vertex])
    });
    worst.truncate(HUBS_MAX);
    let hubs = worst.into_iter().map(|vertex| {
        let mut taken: Vec<Pid> = blast.of(vertex).0.into_iter().map(|at| pids[at]).collect();
        taken.sort_unstable();
        Hub {
            pid: pids[vertex].to_string(),
            name: name_of(node, &vertices[vertex].process),
            degree: degree(vertex),
            articulation_point: points[vertex],
            blast_radius: u32::try_from(taken.len()).unwrap_or(u32::MAX),
            blast_pids: taken.iter().take(BLAST_PIDS_MAX).map(Pid::to_string).collect(),
        }
    });
    #[expect(clippy::cast_precision_loss, reason = "a share of at most 2^24 processes")]
    let confidence = if pids.is_empty() { 0.0 } else { looked_at as f64 / pids.len() as f64 };
    let method = "articulation points of the link graph; exits followed over links to processes that do not trap \
                  them, and to behaviours whose starter ends";
    v1::AnalyzeProcessRelationshipsResponse {
        state: if pids.is_empty() { State::InsufficientData } else { State::Sufficient } as i32,
        hubs: hubs.collect(),
        graph: include_graph.then(|| encode(node, graph)),
        process_count: u32::try_from(pids.len()).unwrap_or(u32::MAX),
        edge_count: u32::try_from(graph.edges.len()).unwrap_or(u32::MAX),
        component_count: u32::try_from(components(&neighbours)).unwrap_or(u32::MAX),
        evidence: Some(evidence(method, None, graph.edges.len() as u64, confidence)),
        unreached: Vec::new(),
        node: node.name().to_string(),
    }
}

pub(super) async fn cycles(node: &Node) -> Result<v1::FindProcessCyclesResponse, Status> {
    let node = node.clone();
    blocking(move || {
        let graph = Graph::of(&node, |_| true);
        let waiting: BTreeMap<Vec<Pid>, Option<u32>> =
            deadlocks(&node).into_iter().map(|deadlock| (deadlock.ring, deadlock.since_ms)).collect();
        let cycle = |ring: &[Pid], kind: cycle::Kind| {
            let since = if kind == cycle::Kind::Calls { waiting.get(ring) } else { None };
            Cycle {
                pids: ring.iter().map(Pid::to_string).collect(),
                kind: kind as i32,
                deadlock: since.is_some(),
                since: since.copied().flatten().map(|ms| timestamp_ms(&node, ms)),
            }
        };
        let mut cycles: Vec<Cycle> = waiting.keys().map(|ring| cycle(ring, cycle::Kind::Calls)).collect();
        let calls = rings(&graph, Tie::Traffic, |neighbours| shortest(neighbours, CYCLES_MAX));
        cycles.extend(calls.iter().filter(|ring| !waiting.contains_key(*ring)).map(|ring| cycle(ring, cycle::Kind::Calls)));
        let links = rings(&graph, Tie::Link, |neighbours| fundamental(neighbours, CYCLES_MAX));
        cycles.extend(links.iter().map(|ring| cycle(ring, cycle::Kind::Links)));
        let method = "rings of processes waiting for each other's replies now; shortest rings of the calls counted so \
                      far; fundamental rings of the link graph";
        let window = Some(Duration::from_nanos(node.now_ns()));
        v1::FindProcessCyclesResponse {
            cycles,
            evidence: Some(evidence(method, window, graph.edges.len() as u64, 1.0)),
            unreached: Vec::new(),
            node: node.name().to_string(),
        }
    })
    .await
}

fn rings(graph: &Graph, tie: Tie, find: impl FnOnce(&[Vec<usize>]) -> Vec<Vec<usize>>) -> Vec<Vec<Pid>> {
    let (pids, neighbours) = graph.neighbours(tie, |strength| tie == Tie::Link || strength.calls > 0);
    find(&neighbours).into_iter().map(|ring| ring.into_iter().map(|vertex| pids[vertex]).collect()).collect()
}
