//! How nodes that start find out that they are the first ones of a new cluster: a decision core.
//!
//! Each tells the others whom it knows. Once as many as are expected know each other, and all of them would choose the
//! same ones, the first of these by name founds the cluster. Invariants: whom a node knows never becomes fewer, so that a
//! node that has told a smaller one of itself never founds without it; a node is in one cluster at most, whatever
//! anybody decides, since each writes down the first that it agrees to.

use arsenal_raft::nodes::Candidate;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a node that is in no cluster does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It goes on asking.
    Wait,
    /// It asks these, who are in a cluster, for a number.
    Join(Vec<Arc<str>>),
    /// It founds a cluster of these, in this order.
    Found(Vec<Candidate>),
}

/// Somebody known, by name.
#[derive(Clone, Debug)]
struct Known {
    candidate: Candidate,
    /// Whom it would choose, as far as it has said itself.
    choice: Option<Vec<u64>>,
    in_cluster: bool,
}

/// What a node knows of the others while it is in no cluster.
#[derive(Clone, Debug)]
pub(crate) struct Gathering {
    own: Candidate,
    expect: usize,
    known: BTreeMap<Arc<str>, Known>,
}

/// The first `expect` by name.
fn choose<'a>(candidates: impl Iterator<Item = &'a Candidate>, expect: usize) -> Vec<&'a Candidate> {
    let mut all: Vec<&Candidate> = candidates.collect();
    all.sort_by(|a, b| (&a.name, a.identity).cmp(&(&b.name, b.identity)));
    all.truncate(expect);
    all
}

fn identities(candidates: &[&Candidate]) -> Vec<u64> {
    candidates.iter().map(|candidate| candidate.identity).collect()
}

impl Gathering {
    /// A node that knows itself. With 0 expected it founds nothing.
    pub(crate) fn new(own: Candidate, expect: usize) -> Self {
        Self { own, expect, known: BTreeMap::new() }
    }

    /// The node itself.
    pub(crate) fn own(&self) -> &Candidate {
        &self.own
    }

    /// All that are known, itself included.
    pub(crate) fn known(&self) -> Vec<Candidate> {
        let others = self.known.values().map(|known| known.candidate.clone());
        std::iter::once(self.own.clone()).chain(others).collect()
    }

    /// Somebody has told of itself.
    pub(crate) fn hear(&mut self, candidate: Candidate, knows: &[Candidate], in_cluster: bool) {
        for hearsay in knows {
            self.note(hearsay.clone());
        }
        if candidate.identity == self.own.identity {
            return;
        }
        let choice = Some(identities(&choose(knows.iter(), self.expect)));
        self.known.insert(Arc::clone(&candidate.name), Known { candidate, choice, in_cluster });
    }

    /// Somebody was told of. What it says itself counts for more.
    fn note(&mut self, candidate: Candidate) {
        if candidate.identity != self.own.identity && candidate.name != self.own.name {
            let name = Arc::clone(&candidate.name);
            self.known.entry(name).or_insert(Known { candidate, choice: None, in_cluster: false });
        }
    }

    /// What to do next.
    pub(crate) fn decide(&self) -> Decision {
        let members = self.known.values().filter(|known| known.in_cluster);
        let members: Vec<Arc<str>> = members.map(|known| Arc::clone(&known.candidate.address)).collect();
        if !members.is_empty() {
            return Decision::Join(members);
        }
        let others = self.known.values().map(|known| &known.candidate);
        let chosen = choose(std::iter::once(&self.own).chain(others), self.expect);
        let agreed = |candidate: &&Candidate| {
            let known = self.known.get(&candidate.name);
            candidate.identity == self.own.identity
                || known.is_some_and(|known| known.choice.as_ref() == Some(&identities(&chosen)))
        };
        let first = chosen.first().is_some_and(|first| first.identity == self.own.identity);
        if first && chosen.len() == self.expect && chosen.iter().all(agreed) {
            return Decision::Found(chosen.into_iter().cloned().collect());
        }
        Decision::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn candidate(number: u64) -> Candidate {
        Candidate {
            identity: 100 - number,
            name: format!("node-{number}").as_str().into(),
            address: format!("10.0.0.{number}:7450").as_str().into(),
            zone: Arc::from(""),
        }
    }

    fn names(decision: Decision) -> Vec<String> {
        match decision {
            Decision::Found(nodes) => nodes.iter().map(|node| node.name.to_string()).collect(),
            other => panic!("{other:?}"),
        }
    }

    /// `from` asks `to`, as Discover does.
    fn ask(nodes: &mut [Gathering], from: usize, to: usize) {
        let (own, known) = (nodes[from].own().clone(), nodes[from].known());
        nodes[to].hear(own, &known, false);
        let (own, known) = (nodes[to].own().clone(), nodes[to].known());
        nodes[from].hear(own, &known, false);
    }

    fn gathering(count: u64, expect: usize) -> Vec<Gathering> {
        (1..=count).map(|number| Gathering::new(candidate(number), expect)).collect()
    }

    #[test]
    fn the_first_by_name_founds_once_all_know_each_other_and_nobody_else_does() {
        let mut nodes = gathering(3, 3);
        ask(&mut nodes, 2, 0);
        ask(&mut nodes, 1, 0);
        assert_eq!(nodes[0].decide(), Decision::Wait, "the third does not know of the second yet");
        ask(&mut nodes, 2, 0);
        assert_eq!(nodes[0].decide(), Decision::Wait, "nor has either said that it knows of all");
        ask(&mut nodes, 2, 0);
        ask(&mut nodes, 1, 0);
        assert_eq!(names(nodes[0].decide()), ["node-1", "node-2", "node-3"]);
        assert_eq!(nodes[1].decide(), Decision::Wait);
        assert_eq!(nodes[2].decide(), Decision::Wait);
    }

    #[test]
    fn nobody_founds_while_one_is_late_and_a_node_alone_founds_at_once() {
        let mut nodes = gathering(2, 3);
        for _ in 0..3 {
            ask(&mut nodes, 0, 1);
            ask(&mut nodes, 1, 0);
        }
        assert!(nodes.iter().all(|node| node.decide() == Decision::Wait));
        assert_eq!(names(gathering(1, 1)[0].decide()), ["node-1"]);
        assert_eq!(gathering(1, 0)[0].decide(), Decision::Wait, "it is to join, not to found");
    }

    #[test]
    fn who_hears_of_a_cluster_joins_it() {
        let mut nodes = gathering(2, 1);
        let own = nodes[1].own().clone();
        nodes[0].hear(own, &[], true);
        assert_eq!(nodes[0].decide(), Decision::Join(vec!["10.0.0.2:7450".into()]));
    }

    #[test]
    fn a_node_whose_directory_was_wiped_takes_the_place_of_what_it_was() {
        let mut nodes = gathering(2, 2);
        ask(&mut nodes, 0, 1);
        let wiped = Candidate { identity: 5, ..candidate(2) };
        nodes[1] = Gathering::new(wiped.clone(), 2);
        ask(&mut nodes, 1, 0);
        ask(&mut nodes, 0, 1);
        match nodes[0].decide() {
            Decision::Found(founders) => assert_eq!(founders[1], wiped),
            other => panic!("{other:?}"),
        }
    }

    proptest! {
        #[test]
        fn however_they_meet_all_that_would_found_would_found_the_same(
            asks in prop::collection::vec((0usize..5, 0usize..5), 0..60),
            expect in 3usize..=5,
        ) {
            let mut nodes = gathering(5, expect);
            let mut founded: Vec<Vec<Candidate>> = Vec::new();
            // who has founded says no more, as who is in a cluster
            let mut settled = [false; 5];
            for (from, to) in asks {
                if from != to && !settled[from] && !settled[to] {
                    ask(&mut nodes, from, to);
                }
                for (node, settled) in nodes.iter().zip(&mut settled) {
                    if let (false, Decision::Found(chosen)) = (*settled, node.decide()) {
                        *settled = true;
                        founded.push(chosen);
                    }
                }
            }
            prop_assert!(founded.len() <= 1, "{founded:?}");
        }
    }
}
