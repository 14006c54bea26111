//! Whether a history of one name could have happened one operation after the other, each between its call and its return:
//! Wing and Gong's search with Lowe's memory of where it has been.

use super::model::{Input, Output, State, step};
use std::collections::HashSet;

/// An operation of a history. Places come from one counter over all calls and returns.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) input: Input,
    pub(crate) called: u64,
    /// When it returned and with what; nothing where the outcome is unknown: it may have taken effect at any time after
    /// its call, or never.
    pub(crate) returned: Option<(u64, Output)>,
}

/// Operations that a history of one name may have.
const OPERATIONS_MAX: usize = 256;

/// Which operations are done, a bit each.
type Done = [u64; OPERATIONS_MAX / 64];

/// Whether the history is linearizable. `history` is in the order of calls.
pub(crate) fn is_linearizable(history: &[Operation]) -> bool {
    assert!(history.is_sorted_by_key(|operation| operation.called));
    // a read without an answer changes nothing and says nothing
    let says = |operation: &&Operation| operation.returned.is_some() || operation.input != Input::Whereis;
    let history: Vec<&Operation> = history.iter().filter(says).collect();
    assert!(history.len() <= OPERATIONS_MAX, "{} operations", history.len());
    Search { history: &history, been: HashSet::new() }.go(Done::default(), &None)
}

struct Search<'a> {
    history: &'a [&'a Operation],
    been: HashSet<(Done, State)>,
}

impl Search<'_> {
    /// Whether the operations that are not `done` can follow on `state`.
    fn go(&mut self, done: Done, state: &State) -> bool {
        let history = self.history;
        let is_done = |place: usize| done[place / 64] & (1 << (place % 64)) != 0;
        let left = || history.iter().zip(0..).filter(|(_, place)| !is_done(*place));
        // the next one was called before any that is left returned
        let Some(limit) =
            left().filter_map(|(operation, _)| operation.returned.as_ref().map(|(at, _)| *at)).min()
        else {
            return true;
        };
        for (operation, place) in left().take_while(|(operation, _)| operation.called < limit) {
            let output = operation.returned.as_ref().map(|(_, output)| output);
            let Some(after) = step(state, &operation.input, output) else { continue };
            let mut with_it = done;
            with_it[place / 64] |= 1 << (place % 64);
            if self.been.insert((with_it, after.clone())) && self.go(with_it, &after) {
                return true;
            }
        }
        false
    }
}
