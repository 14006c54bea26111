//! What the link graph tells of failure: which vertices hold it together, and what falls with each.
//!
//! Pure: vertices are indexes, `neighbours[v]` the ends of the edges at `v`.

use std::collections::VecDeque;

/// For each vertex, whether its component falls apart without it (Tarjan and Hopcroft's low points, without recursion).
pub fn articulation_points(neighbours: &[Vec<usize>]) -> Vec<bool> {
    const NEW: usize = usize::MAX;
    let count = neighbours.len();
    let (mut found, mut low) = (vec![NEW; count], vec![0; count]);
    let mut points = vec![false; count];
    let mut clock = 0;
    for root in 0..count {
        if found[root] != NEW {
            continue;
        }
        let mut root_children = 0;
        // vertex, the vertex it was reached from, next neighbour to look at
        let mut path = vec![(root, NEW, 0)];
        (found[root], low[root]) = (clock, clock);
        clock += 1;
        while let Some((vertex, from, next)) = path.last_mut() {
            let (vertex, from) = (*vertex, *from);
            if let Some(&to) = neighbours[vertex].get(*next) {
                *next += 1;
                if found[to] == NEW {
                    (found[to], low[to]) = (clock, clock);
                    clock += 1;
                    root_children += usize::from(vertex == root);
                    path.push((to, vertex, 0));
                } else if to != from {
                    low[vertex] = low[vertex].min(found[to]);
                }
                continue;
            }
            path.pop();
            if from != NEW {
                low[from] = low[from].min(low[vertex]);
                if from != root && low[vertex] >= found[from] {
                    points[from] = true;
                }
            }
        }
        points[root] = root_children > 1;
    }
    points
}

/// How many components have more than one vertex.
pub fn components(neighbours: &[Vec<usize>]) -> usize {
    let mut seen = vec![false; neighbours.len()];
    let mut count = 0;
    for start in 0..neighbours.len() {
        if seen[start] || neighbours[start].is_empty() {
            continue;
        }
        count += 1;
        let mut open = vec![start];
        seen[start] = true;
        while let Some(vertex) = open.pop() {
            for to in &neighbours[vertex] {
                if !std::mem::replace(&mut seen[*to], true) {
                    open.push(*to);
                }
            }
        }
    }
    count
}

/// What falls with whom: `falls(a, b)` is whether the abnormal end of `a` ends its neighbour `b`.
pub struct Blast<'a, F> {
    neighbours: &'a [Vec<usize>],
    falls: F,
    /// In which search each vertex was last reached.
    reached: Vec<usize>,
    searches: usize,
}

impl<'a, F: Fn(usize, usize) -> bool> Blast<'a, F> {
    /// Over this graph.
    pub fn new(neighbours: &'a [Vec<usize>], falls: F) -> Self {
        Self { neighbours, falls, reached: vec![0; neighbours.len()], searches: 0 }
    }

    /// The vertices that fall with `start`, without itself; and how many edges were looked at.
    pub fn of(&mut self, start: usize) -> (Vec<usize>, usize) {
        self.searches += 1;
        self.reached[start] = self.searches;
        let (mut fallen, mut steps) = (Vec::new(), 0);
        let mut open = VecDeque::from([start]);
        while let Some(vertex) = open.pop_front() {
            steps += self.neighbours[vertex].len();
            for &to in &self.neighbours[vertex] {
                if self.reached[to] != self.searches && (self.falls)(vertex, to) {
                    self.reached[to] = self.searches;
                    fallen.push(to);
                    open.push_back(to);
                }
            }
        }
        (fallen, steps)
    }
}

impl<F> std::fmt::Debug for Blast<'_, F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blast").field("vertices", &self.neighbours.len()).finish_non_exhaustive()
    }
}
