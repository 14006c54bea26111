//! Who speaks to whom: versions of what nodes say to each other, and the cluster that they belong to.
//!
//! Two nodes speak the newest version that both know. Where there is none, or they belong to different clusters, the
//! refusal says what each of the two is.

use arsenal_proto::internal::v1::Hello;
use arsenal_raft::{PROTOCOL_FIRST, PROTOCOL_NEWEST};
use std::ops::RangeInclusive;

/// Versions of what nodes say to each other that this build speaks.
pub(crate) const PROTOCOL: RangeInclusive<u32> = PROTOCOL_FIRST..=PROTOCOL_NEWEST;

/// From this version on a node that does not vote has a view; one that speaks older ones alone follows the log.
pub(crate) const PROTOCOL_OF_VIEWS: u32 = 2;

/// How a node introduces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Versions that it speaks.
    pub protocol: RangeInclusive<u32>,
    /// Number of its cluster; 0 for none yet.
    pub cluster: u64,
    /// Its own number; 0 for none yet.
    pub node: u64,
}

impl Introduction {
    /// This build as a node of a cluster.
    pub fn new(cluster: u64, node: u64) -> Self {
        Self { protocol: PROTOCOL, cluster, node }
    }

    /// In a cluster that agreed on this version: it speaks no older one any more, since its log may hold what older builds
    /// cannot read.
    #[must_use]
    pub fn since(mut self, agreed: u32) -> Self {
        self.protocol = agreed.max(*self.protocol.start())..=*self.protocol.end();
        self
    }

    /// As it is said.
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            protocol_min: *self.protocol.start(),
            protocol_max: *self.protocol.end(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: self.cluster,
            node: self.node,
        }
    }

    /// The version to speak with who said `theirs`.
    ///
    /// # Errors
    /// Why they cannot speak, for both sides to read.
    pub(crate) fn agree(&self, theirs: &Hello) -> Result<u32, String> {
        let newest = theirs.protocol_max.min(*self.protocol.end());
        if newest < theirs.protocol_min.max(*self.protocol.start()) {
            return Err(format!(
                "arsenal {} speaks versions {} to {} of the protocol between nodes, arsenal {} versions {} to {}",
                env!("CARGO_PKG_VERSION"),
                self.protocol.start(),
                self.protocol.end(),
                theirs.version,
                theirs.protocol_min,
                theirs.protocol_max,
            ));
        }
        if self.cluster != 0 && theirs.cluster != 0 && self.cluster != theirs.cluster {
            return Err(format!(
                "one belongs to cluster {:016x}, the other to cluster {:016x}",
                self.cluster, theirs.cluster
            ));
        }
        Ok(newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaking(protocol: RangeInclusive<u32>, cluster: u64) -> Introduction {
        Introduction { protocol, cluster, node: 1 }
    }

    #[test]
    fn two_versions_meet_in_the_newest_that_both_know() {
        assert_eq!(speaking(1..=3, 7).agree(&speaking(2..=5, 7).hello()), Ok(3));
        assert_eq!(speaking(2..=5, 7).agree(&speaking(1..=3, 7).hello()), Ok(3));
    }

    #[test]
    fn a_refusal_names_both_versions() {
        let refused = speaking(1..=1, 7).agree(&speaking(2..=4, 7).hello()).unwrap_err();
        assert!(refused.contains("1 to 1") && refused.contains("2 to 4"), "{refused}");
    }

    #[test]
    fn a_build_older_than_what_the_cluster_agreed_on_is_refused_by_both_sides_with_both_versions() {
        let (old, new) = (speaking(1..=2, 7), speaking(1..=3, 7));
        assert_eq!(new.agree(&old.hello()), Ok(2));
        let new = new.since(3);
        for refused in [new.agree(&old.hello()).unwrap_err(), old.agree(&new.hello()).unwrap_err()] {
            assert!(refused.contains("1 to 2") && refused.contains("3 to 3"), "{refused}");
        }
        assert_eq!(new.clone().since(1), new, "what was raised is not lowered");
    }

    #[test]
    fn nodes_of_different_clusters_do_not_speak_but_one_without_a_cluster_may_ask() {
        let refused = speaking(1..=1, 7).agree(&speaking(1..=1, 8).hello()).unwrap_err();
        assert!(refused.contains("0000000000000007") && refused.contains("0000000000000008"), "{refused}");
        assert_eq!(speaking(1..=1, 7).agree(&speaking(1..=1, 0).hello()), Ok(1));
    }
}
