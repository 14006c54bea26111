use super::cycles::{fundamental, rings_of_waiting, shortest};
use super::links::{Blast, articulation_points, components};
use proptest::prelude::*;
use std::collections::{BTreeSet, HashMap};

/// Undirected graphs as sets of pairs.
fn edges() -> impl Strategy<Value = (usize, BTreeSet<(usize, usize)>)> {
    (1usize..9).prop_flat_map(|count| {
        let pair = (0..count, 0..count).prop_filter("a link has two ends", |(a, b)| a < b);
        let pairs = if count > 1 {
            prop::collection::btree_set(pair, 0..14).boxed()
        } else {
            Just(BTreeSet::new()).boxed()
        };
        (Just(count), pairs)
    })
}

fn both_ways(count: usize, edges: &BTreeSet<(usize, usize)>) -> Vec<Vec<usize>> {
    let mut neighbours = vec![Vec::new(); count];
    for (a, b) in edges {
        neighbours[*a].push(*b);
        neighbours[*b].push(*a);
    }
    neighbours
}

/// Vertices that can be reached from `start` without `without`.
fn reach(neighbours: &[Vec<usize>], start: usize, without: Option<usize>) -> BTreeSet<usize> {
    let (mut seen, mut open) = (BTreeSet::from([start]), vec![start]);
    while let Some(vertex) = open.pop() {
        for to in neighbours[vertex].iter().filter(|to| Some(**to) != without) {
            if seen.insert(*to) {
                open.push(*to);
            }
        }
    }
    seen
}

fn is_a_ring(neighbours: &[Vec<usize>], ring: &[usize]) -> bool {
    let distinct = ring.iter().collect::<BTreeSet<_>>().len() == ring.len();
    distinct && ring.iter().zip(ring.iter().cycle().skip(1)).all(|(a, b)| neighbours[*a].contains(b))
}

proptest! {
    #[test]
    fn a_vertex_is_an_articulation_point_exactly_if_its_neighbours_lose_each_other_without_it((count, edges) in edges()) {
        let neighbours = both_ways(count, &edges);
        let points = articulation_points(&neighbours);
        for vertex in 0..count {
            let around = &neighbours[vertex];
            let cut = around.first().is_some_and(|first| {
                let still = reach(&neighbours, *first, Some(vertex));
                around.iter().any(|to| !still.contains(to))
            });
            prop_assert_eq!(points[vertex], cut, "vertex {}", vertex);
        }
    }

    #[test]
    fn components_are_the_classes_of_what_reaches_each_other((count, edges) in edges()) {
        let neighbours = both_ways(count, &edges);
        let classes: BTreeSet<_> = (0..count).map(|v| reach(&neighbours, v, None)).filter(|c| c.len() > 1).collect();
        prop_assert_eq!(components(&neighbours), classes.len());
    }

    #[test]
    fn a_blast_takes_exactly_what_falls_one_after_the_other((count, edges) in edges(), traps in prop::collection::vec(any::<bool>(), 9)) {
        let neighbours = both_ways(count, &edges);
        let mut blast = Blast::new(&neighbours, |_, to| !traps[to]);
        for start in 0..count {
            let mut fallen = BTreeSet::from([start]);
            loop {
                let next: BTreeSet<usize> = fallen.iter().flat_map(|v| &neighbours[*v]).copied()
                    .filter(|v| !traps[*v] && !fallen.contains(v)).collect();
                if next.is_empty() {
                    break;
                }
                fallen.extend(next);
            }
            fallen.remove(&start);
            prop_assert_eq!(blast.of(start).0.into_iter().collect::<BTreeSet<_>>(), fallen);
        }
    }

    #[test]
    fn fundamental_rings_are_rings_and_there_are_as_many_as_edges_beyond_a_forest((count, edges) in edges()) {
        let neighbours = both_ways(count, &edges);
        let rings = fundamental(&neighbours, usize::MAX);
        let parts = (0..count).map(|v| reach(&neighbours, v, None)).collect::<BTreeSet<_>>().len();
        prop_assert_eq!(rings.len(), edges.len() + parts - count);
        for ring in &rings {
            prop_assert!(ring.len() > 2 && is_a_ring(&neighbours, ring), "{:?}", ring);
            prop_assert!(ring.iter().all(|v| *v >= ring[0]));
        }
    }

    #[test]
    fn an_edge_is_on_a_shortest_ring_exactly_if_its_end_reaches_its_beginning(
        count in 1usize..8, pairs in prop::collection::btree_set((0usize..8, 0usize..8), 0..20)
    ) {
        let mut neighbours = vec![Vec::new(); count];
        for (a, b) in pairs.into_iter().filter(|(a, b)| *a < count && *b < count && a != b) {
            neighbours[a].push(b);
        }
        let rings = shortest(&neighbours, usize::MAX);
        for ring in &rings {
            prop_assert!(is_a_ring(&neighbours, ring), "{:?}", ring);
        }
        for from in 0..count {
            for to in &neighbours[from] {
                let back = reach(&neighbours, *to, None).contains(&from);
                let listed = rings.iter().any(|ring| ring.contains(&from) && ring.contains(to));
                prop_assert!(!back || listed, "{} to {} is on a ring", from, to);
                prop_assert!(back || !rings.iter().any(|r| r.iter().zip(r.iter().cycle().skip(1)).any(|e| e == (&from, to))));
            }
        }
    }

    #[test]
    fn rings_of_waiting_are_what_following_the_waits_comes_back_to(waits in prop::collection::hash_map(0u8..8, 0u8..8, 0..8)) {
        let mut expected = BTreeSet::new();
        for start in 0..8_u8 {
            let (mut at, mut path) = (start, vec![start]);
            for _ in 0..9 {
                let Some(next) = waits.get(&at) else { break };
                at = *next;
                if at == start {
                    let smallest = path.iter().enumerate().min_by_key(|(_, v)| **v).unwrap().0;
                    path.rotate_left(smallest);
                    expected.insert(path.clone());
                    break;
                }
                path.push(at);
            }
        }
        let found: Vec<Vec<u8>> = rings_of_waiting(&waits);
        prop_assert_eq!(found.len(), expected.len());
        prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    }
}

#[test]
fn two_that_wait_for_each_other_are_a_ring_and_one_that_waits_for_them_is_not_in_it() {
    let waits = HashMap::from([(3, 1), (1, 2), (2, 1)]);
    assert_eq!(rings_of_waiting(&waits), [vec![1, 2]]);
}
