//! What can be set about a voter, and what follows from it for openraft.

use crate::types::NodeId;
use std::time::Duration;

/// Settings of one voter.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its number, never used before.
    pub id: NodeId,
    /// Number of the cluster: frames of another are refused.
    pub cluster: u64,
    /// A leader shows this often that it lives.
    pub heartbeat: Duration,
    /// Twice as long after the last sign of a leader its followers vote for another, and the first of them stands for election
    /// after another half to one and a half of it; who lost an election stands again after one to two.
    pub election_timeout: Duration,
    /// After so long without a sign of a quorum, reads and writes are refused at once. Longer than an election takes, so
    /// that what is asked for meanwhile waits for the next leader.
    pub lease: Duration,
    /// Most bytes of proposals that share a log entry, unless a single one is bigger.
    pub batch_bytes_max: usize,
    /// Batches on their way at a time.
    pub batches_in_flight: usize,
    /// Proposals that may wait; above, the next one is refused.
    pub queue_max: usize,
    /// Bytes of one proposal.
    pub proposal_bytes_max: usize,
    /// How long a proposal is followed before its fate is called unknown.
    pub propose_timeout: Duration,
    /// How long a linearizable read may take.
    pub read_timeout: Duration,
    /// Bytes of a log file.
    pub segment_bytes_max: usize,
    /// Bytes of log after which a snapshot is made and the log cut; half of it stays for followers that lag a little.
    pub compaction_bytes: usize,
    /// Bytes of a snapshot that is taken from a leader.
    pub snapshot_bytes_max: u64,
    /// A write that takes longer ends the process.
    pub disk_limit: Duration,
}

impl Config {
    /// The defaults of a voter.
    pub fn new(id: NodeId, cluster: u64) -> Self {
        Self {
            id,
            cluster,
            heartbeat: Duration::from_millis(50),
            election_timeout: Duration::from_millis(150),
            lease: Duration::from_secs(1),
            batch_bytes_max: 64 << 10,
            batches_in_flight: 2,
            queue_max: 16_384,
            proposal_bytes_max: 1 << 20,
            propose_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(2),
            segment_bytes_max: 16 << 20,
            compaction_bytes: 64 << 20,
            snapshot_bytes_max: 1 << 30,
            disk_limit: Duration::from_secs(10),
        }
    }

    /// For how long a voter that has heard of a leader votes for nobody, whoever stands.
    pub(crate) fn vote_lease(&self) -> Duration {
        self.heartbeat + Duration::from_millis(2)
    }

    pub(crate) fn openraft(&self) -> openraft::Config {
        let milliseconds = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        openraft::Config {
            cluster_name: self.cluster.to_string(),
            heartbeat_interval: milliseconds(self.heartbeat),
            // see `election`
            enable_elect: false,
            // as short as openraft takes it: for how long a voter that has heard of a leader votes for nobody else. Whoever
            // stands has asked before, or follows a leader that leaves, and then it is for this that the others wait
            election_timeout_min: milliseconds(self.heartbeat) + 1,
            election_timeout_max: milliseconds(self.vote_lease()),
            // snapshots go by bytes: entries differ in size by three orders of magnitude
            snapshot_policy: openraft::SnapshotPolicy::Never,
            // the keeper cuts the log: by bytes as well
            max_in_snapshot_log_to_keep: u64::MAX,
            // a follower gets a snapshot only if the entries it lacks are gone
            replication_lag_threshold: u64::MAX,
            ..openraft::Config::default()
        }
    }
}
