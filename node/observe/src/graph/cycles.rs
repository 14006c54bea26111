//! Rings in graphs. Listing all of them takes exponential time, so that what is listed is a set that every other ring
//! is made of (undirected), or the shortest ring through each edge that lies on one (directed).
//!
//! Pure: vertices are indexes, `neighbours[v]` the ends of the edges that begin at `v`.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::hash::Hash;

/// A ring begins with its smallest vertex.
fn from_smallest<T: Copy + Ord>(mut ring: Vec<T>) -> Vec<T> {
    let smallest = ring.iter().enumerate().min_by_key(|(_, vertex)| **vertex).map_or(0, |(at, _)| at);
    ring.rotate_left(smallest);
    ring
}

/// The fundamental rings of an undirected graph: for each edge that a spanning forest does without, the ring that it
/// closes; `max` of them at most. None exactly if the graph has no ring at all.
pub fn fundamental(neighbours: &[Vec<usize>], max: usize) -> Vec<Vec<usize>> {
    const NONE: usize = usize::MAX;
    let count = neighbours.len();
    let (mut above, mut depth) = (vec![NONE; count], vec![NONE; count]);
    let mut rings = BTreeSet::new();
    for root in 0..count {
        if depth[root] != NONE {
            continue;
        }
        depth[root] = 0;
        let mut open = VecDeque::from([root]);
        while let Some(vertex) = open.pop_front() {
            for &to in &neighbours[vertex] {
                if depth[to] == NONE {
                    (depth[to], above[to]) = (depth[vertex] + 1, vertex);
                    open.push_back(to);
                } else if above[vertex] != to && above[to] != vertex && to != vertex && rings.len() < max {
                    rings.insert(undirected(closed_by(&above, &depth, vertex, to)));
                }
            }
        }
    }
    rings.into_iter().collect()
}

/// Up from both ends of an edge to where their lines meet.
fn closed_by(above: &[usize], depth: &[usize], mut a: usize, mut b: usize) -> Vec<usize> {
    let (mut left, mut right) = (vec![a], vec![b]);
    while a != b {
        if depth[a] >= depth[b] {
            a = above[a];
            left.push(a);
        } else {
            b = above[b];
            right.push(b);
        }
    }
    // both lines end with the meeting point
    right.pop();
    left.extend(right.into_iter().rev());
    left
}

fn undirected(ring: Vec<usize>) -> Vec<usize> {
    let mut ring = from_smallest(ring);
    if ring.len() > 2 && ring[1] > ring[ring.len() - 1] {
        ring[1..].reverse();
    }
    ring
}

/// The shortest ring through each edge of a directed graph that lies on one, each once; `max` of them at most.
pub fn shortest(neighbours: &[Vec<usize>], max: usize) -> Vec<Vec<usize>> {
    let component = strong_components(neighbours);
    let mut rings = BTreeSet::new();
    for (from, ends) in neighbours.iter().enumerate() {
        for &to in ends.iter().filter(|to| component[**to] == component[from] && **to != from) {
            if rings.len() >= max {
                return rings.into_iter().collect();
            }
            if let Some(path) = shortest_path(neighbours, &component, to, from) {
                rings.insert(from_smallest(path));
            }
        }
    }
    rings.into_iter().collect()
}

fn shortest_path(
    neighbours: &[Vec<usize>],
    component: &[usize],
    start: usize,
    end: usize,
) -> Option<Vec<usize>> {
    let mut came_from = HashMap::from([(start, start)]);
    let mut open = VecDeque::from([start]);
    while let Some(vertex) = open.pop_front() {
        if vertex == end {
            let mut path = vec![end];
            let mut at = end;
            while at != start {
                at = came_from[&at];
                path.push(at);
            }
            path.reverse();
            // the ring goes from `end` over the edge to `start` and along the path back
            return Some(path);
        }
        for &to in neighbours[vertex].iter().filter(|to| component[**to] == component[start]) {
            came_from.entry(to).or_insert_with(|| {
                open.push_back(to);
                vertex
            });
        }
    }
    None
}

/// For each vertex the number of its strongly connected component (Kosaraju, without recursion).
fn strong_components(neighbours: &[Vec<usize>]) -> Vec<usize> {
    const NONE: usize = usize::MAX;
    let count = neighbours.len();
    let mut backwards = vec![Vec::new(); count];
    for (from, ends) in neighbours.iter().enumerate() {
        for to in ends {
            backwards[*to].push(from);
        }
    }
    let (mut seen, mut finished) = (vec![false; count], Vec::with_capacity(count));
    for root in 0..count {
        if std::mem::replace(&mut seen[root], true) {
            continue;
        }
        let mut path = vec![(root, 0)];
        while let Some((vertex, next)) = path.last_mut() {
            match neighbours[*vertex].get(*next) {
                Some(&to) => {
                    *next += 1;
                    if !std::mem::replace(&mut seen[to], true) {
                        path.push((to, 0));
                    }
                }
                None => {
                    finished.push(*vertex);
                    path.pop();
                }
            }
        }
    }
    let mut component = vec![NONE; count];
    for &root in finished.iter().rev() {
        if component[root] != NONE {
            continue;
        }
        component[root] = root;
        let mut open = vec![root];
        while let Some(vertex) = open.pop() {
            for &to in &backwards[vertex] {
                if component[to] == NONE {
                    component[to] = root;
                    open.push(to);
                }
            }
        }
    }
    component
}

/// The rings of a relation in which each waits for one other at most.
pub fn rings_of_waiting<T: Copy + Ord + Hash>(waits: &HashMap<T, T>) -> Vec<Vec<T>> {
    let mut done = HashMap::new();
    let mut rings = Vec::new();
    let starts: BTreeSet<T> = waits.keys().copied().collect();
    for start in starts {
        let (mut path, mut at) = (Vec::new(), start);
        while !done.contains_key(&at) {
            done.insert(at, start);
            path.push(at);
            match waits.get(&at) {
                Some(next) => at = *next,
                None => break,
            }
        }
        // the walk came back onto itself, not onto an earlier one
        if done.get(&at) == Some(&start)
            && waits.contains_key(&at)
            && let Some(begin) = path.iter().position(|vertex| *vertex == at)
            && waits.get(path.last().unwrap_or(&at)) == Some(&at)
        {
            rings.push(from_smallest(path.split_off(begin)));
        }
    }
    rings
}
