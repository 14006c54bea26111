//! What can be set about a node's membership.

use std::path::PathBuf;
use std::time::Duration;

/// Settings of a node's membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it keeps who it is, and its part of the replicated log.
    pub data_dir: PathBuf,
    /// What it is called outside, different from all others; the first nodes are numbered in the order of these.
    pub name: String,
    /// Host and port where others reach it.
    pub address: String,
    /// Label of the zone that it runs in; empty for none.
    pub zone: String,
    /// How many nodes found a new cluster together; 0 for a node that only joins. More than half of all that start with it.
    pub bootstrap_expect: usize,
    /// Hosts and ports where other nodes are asked; a DNS name stands for all that it resolves to.
    pub seeds: Vec<String>,
    /// How many nodes vote; 0 for 3, or 5 from seven nodes on.
    pub voters: usize,
    /// It never votes.
    pub never_votes: bool,
    /// A voter that has been down for so long is replaced, if there is another node.
    pub replace_after: Duration,
    /// A node without a vote that has been down for so long, or has joined and not come, is forgotten, and its number retired;
    /// zero for never.
    pub forget_after: Duration,
    /// How long a session holds without being renewed.
    pub lease: Duration,
    /// How often it is renewed; a quarter of the lease at most.
    pub renew_every: Duration,
    /// A leader shows this often that it lives.
    pub heartbeat: Duration,
    /// A voter that has heard nothing waits at least so long before it stands for election, and less than twice that.
    pub election_timeout: Duration,
    /// A write of the log that takes longer ends the process.
    pub disk_limit: Duration,
}
