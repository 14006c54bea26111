//! Who stands below whom: the forest of live processes by their starters, and the lines up and down from one of them.
//!
//! A supervisor's children are started by it, so that supervision is a case of starting. Invariant: every live process
//! is in the forest exactly once; one whose starter is dead, or was no process, is a root.

use arsenal_runtime::{Node, Pid, ProcessRef};
use std::collections::{HashMap, HashSet};

/// Live processes, each below the one that started it.
#[derive(Debug, Default)]
pub struct Forest {
    /// In start order.
    pub roots: Vec<Pid>,
    children: HashMap<Pid, Vec<Pid>>,
    count: usize,
}

/// One process as the forest needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The process.
    pub pid: Pid,
    /// Who started it.
    pub parent: Option<Pid>,
    /// When, in milliseconds of the node's clock.
    pub started_ms: u32,
}

impl Forest {
    /// The forest of a node.
    pub fn of(node: &Node) -> Self {
        let mut members = Vec::with_capacity(node.process_count());
        node.visit_processes(0, |process| {
            let header = node.header(process);
            members.push(Member { pid: header.pid, parent: header.parent, started_ms: header.started_ms });
            true
        });
        Self::new(members)
    }

    /// The forest of these processes.
    pub fn new(mut members: Vec<Member>) -> Self {
        members.sort_by_key(|member| (member.started_ms, member.pid));
        let live: HashSet<Pid> = members.iter().map(|member| member.pid).collect();
        let mut forest = Self { count: members.len(), ..Self::default() };
        for member in members {
            match member.parent.filter(|parent| live.contains(parent)) {
                Some(parent) => forest.children.entry(parent).or_default().push(member.pid),
                None => forest.roots.push(member.pid),
            }
        }
        forest
    }

    /// What a process started and still lives, in start order.
    pub fn children(&self, pid: Pid) -> &[Pid] {
        self.children.get(&pid).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many processes it has.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing lives.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many levels stand at and below `pid`.
    pub fn height(&self, pid: Pid) -> usize {
        let (mut height, mut level) = (0, vec![pid]);
        while !level.is_empty() {
            height += 1;
            level = level.iter().flat_map(|pid| self.children(*pid)).copied().collect();
        }
        height
    }

    /// How many processes stand at and below `pid`, `depth_max` levels of them.
    pub fn size(&self, pid: Pid, depth_max: usize) -> usize {
        let (mut size, mut level) = (0, vec![pid]);
        for _ in 0..depth_max {
            size += level.len();
            level = level.iter().flat_map(|pid| self.children(*pid)).copied().collect();
            if level.is_empty() {
                break;
            }
        }
        size
    }
}

/// A live process somewhere below another.
#[derive(Clone, Debug)]
pub struct Descendant {
    /// The process.
    pub process: ProcessRef,
    /// One level up; may be dead.
    pub parent: Pid,
    /// 1 for what the other one started itself.
    pub depth: usize,
}

/// All live processes that `of` started, transitively and also over dead ones, by depth and then in start order;
/// `depth_max` levels of them.
pub fn descendants(node: &Node, of: Pid, depth_max: usize) -> Vec<Descendant> {
    let mut found = Vec::new();
    node.visit_processes(0, |process| {
        let line = node.ancestors_of(process);
        if let Some(at) = line.iter().position(|pid| *pid == of)
            && at < depth_max
        {
            let started_ms = node.header(process).started_ms;
            found.push((
                at + 1,
                started_ms,
                Descendant { process: process.clone(), parent: line[0], depth: at + 1 },
            ));
        }
        true
    });
    found.sort_by_key(|(depth, started_ms, descendant)| (*depth, *started_ms, descendant.process.pid()));
    found.into_iter().map(|(_, _, descendant)| descendant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pid(serial: u64) -> Pid {
        Pid::new(1, 1, serial)
    }

    proptest! {
        #[test]
        fn every_process_is_in_the_forest_exactly_once(parents in prop::collection::vec(prop::option::of(0u64..40), 0..40)) {
            // a starter is older than what it starts; some starters are dead by now
            let members: Vec<Member> = parents.iter().zip(1_u64..).map(|(parent, serial)| Member {
                pid: pid(serial * 2),
                parent: parent.filter(|parent| *parent < serial * 2).map(pid),
                started_ms: u32::try_from(serial).unwrap(),
            }).collect();
            let forest = Forest::new(members.clone());
            let (mut seen, mut below) = (Vec::new(), forest.roots.clone());
            while let Some(next) = below.pop() {
                seen.push(next);
                below.extend(forest.children(next));
            }
            seen.sort_unstable();
            let mut all: Vec<Pid> = members.iter().map(|member| member.pid).collect();
            all.sort_unstable();
            prop_assert_eq!(seen, all);
            let sizes: usize = forest.roots.iter().map(|root| forest.size(*root, usize::MAX)).sum();
            prop_assert_eq!(sizes, forest.len());
            for member in &members {
                let parent_lives = member.parent.is_some_and(|parent| members.iter().any(|m| m.pid == parent));
                prop_assert_eq!(forest.roots.contains(&member.pid), !parent_lives);
            }
        }
    }

    #[test]
    fn a_chain_is_as_high_as_it_is_long() {
        let member = |n| Member { pid: pid(n), parent: (n > 1).then(|| pid(n - 1)), started_ms: 0 };
        let forest = Forest::new((1..=5).map(member).collect());
        assert_eq!((forest.height(pid(1)), forest.size(pid(1), 2), forest.children(pid(5)).len()), (5, 2, 0));
    }
}
