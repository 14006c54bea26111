//! The cluster that a node is in.

use super::{Config, ConfigError};
use arsenal_membership::Settings;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// `[cluster]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterSection {
    /// How many nodes found a new cluster together, the first time they start; more than half of all that start with it.
    /// 0 for a node that only joins, or is alone.
    pub bootstrap_expect: usize,
    /// Where other nodes are asked, `["arsenal-0.arsenal:7450"]`; a DNS name stands for all that it resolves to. A node
    /// without any, of which no other is expected and that does not wait, is alone and has the number `node.id`.
    pub seeds: Vec<String>,
    /// Wait to be let in by `connect_node`, if the seeds name nobody who is in a cluster.
    pub wait: bool,
    /// Never vote on the cluster's state: for a node whose directory does not outlive it.
    pub never_votes: bool,
    /// What the node is called, different from all others; the first nodes are numbered in the order of these. Empty for
    /// its address.
    pub name: String,
    /// Host and port where other nodes reach this one, `arsenal-0.arsenal:7450`; empty for `listen.grpc`.
    pub address: String,
    /// Label of the zone that it runs in. Voters are spread over zones.
    pub zone: String,
    /// How many nodes vote on the cluster's state; 0 for 3, or 5 from seven nodes on.
    pub voters: usize,
    /// Milliseconds after which a voter that is down is replaced, if there is another node.
    pub replace_ms: u64,
    /// Milliseconds after which a node without a vote that is down is forgotten, and its number retired; 0 for never.
    pub forget_ms: u64,
    /// Milliseconds for which a node's session holds without being renewed. Once it has run out the node's names are free.
    pub lease_ms: u64,
    /// Milliseconds between two renewals of it, a quarter of the lease at most.
    pub renew_ms: u64,
    /// Milliseconds between two signs of life of a leader.
    pub heartbeat_ms: u64,
    /// Milliseconds of the election timeout, at least two heartbeats; a voter stands 2.5 to 3.5 times as long after the last one.
    pub election_ms: u64,
    /// Milliseconds that a write of the log may take; a longer one ends the node.
    pub disk_ms: u64,
}

impl Default for ClusterSection {
    fn default() -> Self {
        Self {
            bootstrap_expect: 0,
            seeds: Vec::new(),
            wait: false,
            never_votes: false,
            name: String::new(),
            address: String::new(),
            zone: String::new(),
            voters: 0,
            replace_ms: 60_000,
            forget_ms: 0,
            lease_ms: 5_000,
            renew_ms: 1_000,
            heartbeat_ms: 50,
            election_ms: 150,
            disk_ms: 10_000,
        }
    }
}

impl ClusterSection {
    /// Whether the node is in a cluster, or is to be.
    pub fn is_wanted(&self) -> bool {
        self.bootstrap_expect > 0 || !self.seeds.is_empty() || self.wait
    }
}

impl Config {
    /// How the node is in its cluster, which reaches it at `grpc` if nothing else is configured; nothing if it is alone.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if it has no directory to keep who it is.
    pub(crate) fn membership(&self, grpc: SocketAddr) -> Result<Option<Settings>, ConfigError> {
        let cluster = &self.cluster;
        if cluster.is_wanted() && self.node.data_dir.is_empty() {
            let why = "a node of a cluster keeps who it is, and what was agreed on, in a directory: set it, or `--data-dir`";
            return Err(ConfigError::Value { setting: "node.data_dir", value: "empty".to_owned(), why });
        }
        let milliseconds = Duration::from_millis;
        let or = |text: &String, other: &str| if text.is_empty() { other.to_owned() } else { text.clone() };
        let address = or(&cluster.address, &grpc.to_string());
        Ok(cluster.is_wanted().then(|| Settings {
            data_dir: self.node.data_dir.clone().into(),
            name: or(&cluster.name, &address),
            address,
            zone: cluster.zone.clone(),
            bootstrap_expect: cluster.bootstrap_expect,
            seeds: cluster.seeds.clone(),
            voters: cluster.voters,
            never_votes: cluster.never_votes,
            replace_after: milliseconds(cluster.replace_ms),
            forget_after: milliseconds(cluster.forget_ms),
            lease: milliseconds(cluster.lease_ms),
            renew_every: milliseconds(cluster.renew_ms),
            heartbeat: milliseconds(cluster.heartbeat_ms),
            election_timeout: milliseconds(cluster.election_ms),
            disk_limit: milliseconds(cluster.disk_ms),
        }))
    }
}

/// Whether what belongs together goes together.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    let cluster = &config.cluster;
    let wrong = |setting, value: u64, why| Err(ConfigError::Value { setting, value: value.to_string(), why });
    let times = [
        ("cluster.replace_ms", cluster.replace_ms),
        ("cluster.lease_ms", cluster.lease_ms),
        ("cluster.renew_ms", cluster.renew_ms),
        ("cluster.heartbeat_ms", cluster.heartbeat_ms),
        ("cluster.election_ms", cluster.election_ms),
        ("cluster.disk_ms", cluster.disk_ms),
    ];
    if let Some((setting, value)) = times.into_iter().find(|(_, value)| *value == 0) {
        return wrong(setting, value, "it must be positive");
    }
    if cluster.renew_ms > cluster.lease_ms / 4 {
        let why = "a session is renewed at least four times within `cluster.lease_ms`";
        return wrong("cluster.renew_ms", cluster.renew_ms, why);
    }
    if cluster.election_ms < 2 * cluster.heartbeat_ms {
        let why = "a leader must be able to show twice within it that it lives: `cluster.heartbeat_ms`";
        return wrong("cluster.election_ms", cluster.election_ms, why);
    }
    if cluster.never_votes && cluster.bootstrap_expect > 0 {
        let why = "who founds a cluster votes in it; let it join with `cluster.bootstrap_expect = 0`";
        return Err(ConfigError::Value { setting: "cluster.never_votes", value: "true".to_owned(), why });
    }
    if cluster.voters > 0 && cluster.voters.is_multiple_of(2) {
        let why = "an even number of voters survives no more failures than one fewer";
        return wrong("cluster.voters", cluster.voters as u64, why);
    }
    Ok(())
}
