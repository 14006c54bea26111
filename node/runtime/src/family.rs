//! The family of a process: itself, its descendants, and what is linked to them, transitively; never upward, to the
//! supervisor or starter of any of them.
//!
//! The order is the one in which a family is ended: a process comes after all that it started or reaches by a link.

use crate::node::Node;
use crate::pid::Pid;
use std::collections::{HashMap, HashSet};

/// One process of a family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// The process.
    pub pid: Pid,
    /// Whose child, or whose link, it is in for; nothing for the root.
    pub through: Option<Pid>,
}

/// Who started whom, and who is linked to whom.
pub trait Kinship {
    /// Who started the process.
    fn parent(&self, pid: Pid) -> Option<Pid>;
    /// Whom it started, in order.
    fn children(&self, pid: Pid) -> Vec<Pid>;
    /// To whom it is linked, in order.
    fn links(&self, pid: Pid) -> Vec<Pid>;
}

/// The family of `root`, leaves first.
pub fn family(root: Pid, kinship: &impl Kinship) -> Vec<Member> {
    let mut above = HashSet::new();
    let mut ancestor = kinship.parent(root);
    while let Some(pid) = ancestor.filter(|pid| above.insert(*pid)) {
        ancestor = kinship.parent(pid);
    }
    let kin = |pid: Pid| {
        let parent = kinship.parent(pid);
        let mut kin = kinship.children(pid);
        kin.extend(kinship.links(pid).into_iter().filter(|link| Some(*link) != parent));
        kin.retain(|pid| !above.contains(pid));
        kin.into_iter()
    };
    let mut seen = HashSet::from([root]);
    let mut members = Vec::new();
    // the path from the root to where the walk is, each with the kin that it has not gone to yet
    let mut path = vec![(Member { pid: root, through: None }, kin(root))];
    while let Some((member, rest)) = path.last_mut() {
        match rest.find(|pid| seen.insert(*pid)) {
            Some(pid) => {
                let through = Some(member.pid);
                path.push((Member { pid, through }, kin(pid)));
            }
            None => members.extend(path.pop().map(|(member, _)| member)),
        }
    }
    members
}

/// The live processes of a node, at one look.
struct Living<'a> {
    node: &'a Node,
    parents: HashMap<Pid, Pid>,
    children: HashMap<Pid, Vec<Pid>>,
}

impl Kinship for Living<'_> {
    fn parent(&self, pid: Pid) -> Option<Pid> {
        self.parents.get(&pid).copied()
    }

    fn children(&self, pid: Pid) -> Vec<Pid> {
        self.children.get(&pid).cloned().unwrap_or_default()
    }

    fn links(&self, pid: Pid) -> Vec<Pid> {
        let links = self.node.info(pid).map(|info| info.links).unwrap_or_default();
        links.into_iter().filter(|link| self.node.is_alive(*link)).collect()
    }
}

impl Node {
    /// The family of a process, leaves first; see [`family`].
    pub fn family(&self, root: Pid) -> Vec<Member> {
        let mut living = Living { node: self, parents: HashMap::new(), children: HashMap::new() };
        self.table().visit(0, |process| {
            if let Some(parent) = process.parent.some() {
                living.parents.insert(process.pid, parent);
                living.children.entry(parent).or_default().push(process.pid);
            }
            true
        });
        family(root, &living)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Default)]
    struct Drawn {
        parents: Vec<(u64, u64)>,
        links: Vec<(u64, u64)>,
    }

    fn pid(serial: u64) -> Pid {
        Pid::new(1, 1, serial)
    }

    impl Kinship for Drawn {
        fn parent(&self, of: Pid) -> Option<Pid> {
            self.parents.iter().find(|(child, _)| *child == of.serial).map(|(_, parent)| pid(*parent))
        }

        fn children(&self, of: Pid) -> Vec<Pid> {
            self.parents
                .iter()
                .filter(|(_, parent)| *parent == of.serial)
                .map(|(child, _)| pid(*child))
                .collect()
        }

        fn links(&self, of: Pid) -> Vec<Pid> {
            let ends = self.links.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
            ends.filter(|(a, b)| *a == of.serial && a != b).map(|(_, b)| pid(b)).collect()
        }
    }

    fn serials(root: u64, drawn: &Drawn) -> Vec<u64> {
        family(pid(root), drawn).iter().map(|member| member.pid.serial).collect()
    }

    #[test]
    fn a_family_has_neither_the_supervisor_nor_the_siblings_of_its_root() {
        // 1 supervises 2 and 3; 2 started 4 and is linked to 5
        let drawn =
            Drawn { parents: vec![(2, 1), (3, 1), (4, 2)], links: vec![(1, 2), (1, 3), (2, 4), (2, 5)] };
        assert_eq!(serials(2, &drawn), [4, 5, 2]);
        assert_eq!(serials(1, &drawn), [4, 5, 2, 3, 1]);
        let through = family(pid(2), &drawn).iter().map(|member| member.through).collect::<Vec<_>>();
        assert_eq!(through, [Some(pid(2)), Some(pid(2)), None]);
    }

    #[test]
    fn the_supervisor_of_a_linked_process_is_left_alone() {
        // 9 supervises 5, to which 2 is linked
        let drawn = Drawn { parents: vec![(5, 9)], links: vec![(2, 5), (5, 9)] };
        assert_eq!(serials(2, &drawn), [5, 2]);
    }

    proptest! {
        #[test]
        fn a_family_holds_each_process_once_and_its_root_last(
            // every process is started by one with a smaller number
            parents in prop::collection::vec(any::<u64>(), 1..30),
            links in prop::collection::vec((0u64..30, 0u64..30), 0..20),
            root in 0u64..30,
        ) {
            let parents: Vec<_> = parents.into_iter().zip(1u64..).map(|(seed, child)| (child, seed % child)).collect();
            let drawn = Drawn { parents, links };
            let order = serials(root, &drawn);
            let mut unique = order.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), order.len());
            prop_assert_eq!(order.last(), Some(&root));
            let unlinked = Drawn { links: Vec::new(), ..drawn };
            let order = serials(root, &unlinked);
            for (child, parent) in &unlinked.parents {
                let place = |serial: &u64| order.iter().position(|other| other == serial);
                if let (Some(child), Some(parent)) = (place(child), place(parent)) {
                    prop_assert!(child < parent, "a child comes before its parent");
                }
            }
        }
    }
}
