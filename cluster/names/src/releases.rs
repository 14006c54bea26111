//! Processes that have ended and still have names or memberships.
//!
//! Invariants: one proposal at a time carries what has gathered, so that a thousand deaths cost few log entries; what it
//! carried is forgotten only when it is committed. What waits is bounded by who had a name or a membership on this node.

use arsenal_runtime::Pid;
use parking_lot::Mutex;
use std::collections::BTreeSet;

/// Processes that one proposal releases.
const BATCH_MAX: usize = 1_000;

/// Who waits to be released, and whether somebody sees to it.
#[derive(Debug, Default)]
pub(crate) struct Releases(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    pids: BTreeSet<Pid>,
    attended: bool,
}

impl Releases {
    /// One more waits; gives whether nobody sees to it yet, and the caller has to.
    pub(crate) fn add(&self, pid: Pid) -> bool {
        let mut waiting = self.0.lock();
        waiting.pids.insert(pid);
        !std::mem::replace(&mut waiting.attended, true)
    }

    /// The next ones; nothing once nobody waits, and then the next to be added is somebody else's to see to.
    pub(crate) fn next(&self) -> Option<Vec<Pid>> {
        let mut waiting = self.0.lock();
        waiting.attended = !waiting.pids.is_empty();
        waiting.attended.then(|| waiting.pids.iter().copied().take(BATCH_MAX).collect())
    }

    /// These are released.
    pub(crate) fn done(&self, pids: &[Pid]) {
        let mut waiting = self.0.lock();
        for pid in pids {
            waiting.pids.remove(pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_attended_by_one_alone_and_given_again_until_it_is_done() {
        let releases = Releases::default();
        let (first, second) = (Pid::new(1, 1, 1), Pid::new(1, 1, 2));
        assert!(releases.add(first));
        assert!(!releases.add(second));
        assert_eq!(releases.next(), Some(vec![first, second]));
        assert_eq!(releases.next(), Some(vec![first, second]));
        releases.done(&[first, second]);
        assert_eq!(releases.next(), None);
        assert!(releases.add(first));
    }

    #[test]
    fn a_batch_is_bounded() {
        let releases = Releases::default();
        for serial in 1..=BATCH_MAX as u64 + 1 {
            releases.add(Pid::new(1, 1, serial));
        }
        assert_eq!(releases.next().map(|pids| pids.len()), Some(BATCH_MAX));
    }
}
