//! Handles of the processes that rested on a scheduler lately: who wakes one of them from there needs no new handle, and
//! an answer to one finds it without the table.
//!
//! To count a handle up and down again costs two locked instructions, a fifth of a hop between two processes. Invariant:
//! a bounded number of handles; a process that ended elsewhere keeps its empty shell for as long as its place is not
//! needed, no more.

use crate::pid::Pid;
use crate::process::Process;
use std::sync::Arc;

#[derive(Default)]
pub(crate) struct Recent {
    /// None before the first process rests.
    places: Vec<Option<Arc<Process>>>,
    refused: u32,
}

/// Some 700 kB of shells a scheduler at most.
const PLACES: usize = 1_024;
/// Of so many processes that find their place taken one gets it. To give up a handle of a process that is in no cache
/// any more costs a miss, which would be the price of each slice where very many processes take turns.
const REFUSED: u32 = 8;

/// Neighbours in the table have different places.
const fn place(pid: Pid) -> usize {
    pid.index() % PLACES
}

impl Recent {
    /// `process` rests here.
    pub(crate) fn put(&mut self, process: Arc<Process>) {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || None);
        }
        let place = &mut self.places[place(process.pid)];
        if place.is_some() {
            self.refused += 1;
            if !self.refused.is_multiple_of(REFUSED) {
                return;
            }
        }
        *place = Some(process);
    }

    /// The handle of the process with this pid, for a run queue.
    pub(crate) fn take(&mut self, pid: Pid) -> Option<Arc<Process>> {
        self.places.get_mut(place(pid))?.take_if(|process| process.pid == pid)
    }

    /// The process with this pid, if it is here.
    pub(crate) fn get(&self, pid: Pid) -> Option<&Arc<Process>> {
        self.places.get(place(pid))?.as_ref().filter(|process| process.pid == pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Body, Event, Receive, Step};
    use crate::context::Context;
    use crate::module::{Behaviour, Description};
    use crate::node::{Node, NodeConfig};
    use crate::start::StartOptions;

    struct Idle;

    impl Body for Idle {
        fn step(&mut self, _event: Event, _context: &mut Context<'_>) -> Step {
            Step::Wait(Receive::any())
        }
    }

    fn processes(count: usize) -> Vec<Arc<Process>> {
        let node = Node::deterministic(NodeConfig::default());
        let description = Arc::new(Description::native("idle", Behaviour::Plain));
        (0..count)
            .map(|_| node.spawn(&description, Box::new(Idle), StartOptions::default()).unwrap().0)
            .collect()
    }

    #[test]
    fn a_handle_is_found_by_its_pid_alone_and_taken_once() {
        let processes = processes(PLACES + 1);
        let (first, same_place) = (&processes[0], &processes[PLACES]);
        let mut recent = Recent::default();
        assert!(recent.get(first.pid).is_none());
        recent.put(Arc::clone(first));
        assert!(recent.get(same_place.pid).is_none() && recent.take(same_place.pid).is_none());
        assert!(recent.get(first.pid).is_some_and(|found| Arc::ptr_eq(found, first)));
        assert!(recent.take(first.pid).is_some_and(|taken| Arc::ptr_eq(&taken, first)));
        assert!(recent.take(first.pid).is_none());
    }

    #[test]
    fn a_process_that_comes_again_and_again_gets_its_place_in_the_end() {
        let processes = processes(PLACES + 1);
        let mut recent = Recent::default();
        recent.put(Arc::clone(&processes[0]));
        (0..REFUSED).for_each(|_| recent.put(Arc::clone(&processes[PLACES])));
        assert!(recent.get(processes[PLACES].pid).is_some() && recent.get(processes[0].pid).is_none());
    }
}
