//! One attempt on a node, and what its end says of the node, whoever brings it about.
//!
//! One that is dropped before its answer says nothing: its caller went away. But for two things: if it tried whether the
//! node is back, the next may try; and if the node answered nobody for as long as the caller waited, and that was long, it
//! is silent. Without that one that hangs would look idle, and be preferred, in a pool that is not watched.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use super::{Node, Shared, retry::Failed, tally::Attempted};

/// How long a caller has waited whose going away says something of a node.
const SILENCE_MIN: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Attempt<'p> {
    shared: &'p Shared,
    node: &'p Node,
    counted: Attempted<'p>,
    /// Whether it tries if the node is back.
    tries: bool,
    /// What the node had answered before.
    answers: u64,
    ended: bool,
}

impl<'p> Attempt<'p> {
    /// Begins now.
    pub(super) fn begin(shared: &'p Shared, node: &'p Node, now: Instant) -> Self {
        let (counted, tries) = (Attempted::begin(&node.attempts, now), node.begin(now));
        Self { shared, node, counted, tries, answers: node.answers(), ended: false }
    }

    /// It was answered.
    pub(super) fn answered(mut self) {
        self.ended = true;
        self.counted.answered();
        self.shared.succeed(self.node);
    }

    /// The node answered that it is unavailable: it is there.
    pub(super) fn unavailable(mut self) {
        self.ended = true;
        self.counted.failed(Failed::Unavailable);
        self.shared.succeed(self.node);
    }

    /// The node is there, and took nothing.
    pub(super) fn refused(mut self) {
        self.counted.failed(Failed::Busy);
        self.leave();
    }

    /// It ended by the client's doing: nothing is known of the node.
    pub(super) fn leave(&mut self) {
        self.ended = true;
        self.node.give_up(self.tries, false, self.shared.dice.fraction());
    }

    /// It came to nothing.
    pub(super) fn failed(mut self, how: Failed, error: &(dyn Error + 'static)) {
        self.ended = true;
        self.counted.failed(how);
        self.shared.fail(self.node, error);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let silence = self.counted.elapsed() >= SILENCE_MIN && self.node.answers() == self.answers;
        self.node.give_up(self.tries, silence, self.shared.dice.fraction());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use axum::body::Body;
    use http::Request;

    use super::super::{Pool, PoolConfig};
    use crate::upstream::{Answer, Upstream};

    use super::*;

    struct Unasked;
    impl Upstream for Unasked {
        fn call(&self, _: Request<Body>) -> Answer {
            Box::pin(std::future::pending())
        }
    }

    #[test]
    fn a_node_that_was_waited_for_in_vain_is_taken_where_no_other_is_left() {
        let nodes = [(); 2].map(|()| std::sync::Arc::new(Unasked) as _).into();
        let pool = Pool::new(nodes, HashSet::new(), PoolConfig::default());
        let (shared, nodes) = (&*pool.shared, pool.shared.nodes());
        let begin = |waited| Attempt::begin(shared, &nodes[0], Instant::now().checked_sub(waited).unwrap());
        let chosen = |tried: &[_]| shared.choose(tried, None).unwrap().name.clone();
        let is_avoided = || (0..100).all(|_| chosen(&[]) == nodes[1].name);
        drop(begin(Duration::ZERO));
        assert!(!is_avoided(), "its caller was not patient");
        let waiting = begin(SILENCE_MIN);
        begin(Duration::ZERO).answered();
        drop(waiting);
        assert!(!is_avoided(), "it answered others");
        drop(begin(SILENCE_MIN));
        assert!(is_avoided());
        assert_eq!(chosen(&nodes[1..]), nodes[0].name);
        begin(Duration::ZERO).answered();
        assert!(!is_avoided(), "it answers again");
    }
}
