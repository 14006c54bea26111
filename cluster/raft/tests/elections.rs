//! Who stands for election and who does not, in a simulated world.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use arsenal_raft::simulation::cluster::Cluster;
use std::time::Duration;

/// Longer than any election.
const WHILE: Duration = Duration::from_secs(3);
const SEEDS: u64 = 20;

/// Has something become of a follower that its leader can do without, and asserts that the leader stays.
fn stays(what: &str, voters: u64, trouble: impl Fn(&Cluster, u64)) {
    for seed in 0..SEEDS {
        let cluster = Cluster::of(seed, voters, None);
        let leader = cluster.elect().unwrap();
        // until all of them know of it
        cluster.world.run_for(WHILE);
        let led = cluster.group(leader).unwrap().status();
        let follower = (1..=voters).find(|id| *id != leader).unwrap();
        trouble(&cluster, follower);
        cluster.world.run_for(WHILE);
        for (id, group) in cluster.running() {
            let status = group.status();
            assert_eq!(
                (status.leader, status.term),
                (Some(leader), led.term),
                "{what}: seed {seed}, voter {id}"
            );
        }
        cluster.end();
    }
}

#[test]
fn a_voter_that_begins_again_deposes_nobody() {
    for voters in [3, 5] {
        stays("it was killed", voters, |cluster, follower| {
            cluster.kill(follower);
            cluster.world.run_for(WHILE);
            cluster.start(follower);
        });
        stays("it was killed a moment ago", voters, |cluster, follower| {
            cluster.kill(follower);
            cluster.start(follower);
        });
    }
}

#[test]
fn a_voter_that_was_paused_or_cut_off_deposes_nobody() {
    for voters in [3, 5] {
        stays("it was paused", voters, |cluster, follower| {
            cluster.pause(follower);
            cluster.world.run_for(WHILE);
            cluster.resume(follower);
        });
        stays("it was cut off", voters, |cluster, follower| {
            for other in (1..=voters).filter(|id| *id != follower) {
                cluster.network.cut(follower, other);
                cluster.network.cut(other, follower);
            }
            cluster.world.run_for(WHILE);
            cluster.network.heal();
        });
        stays("nothing from its leader came to it", voters, |cluster, follower| {
            let leader = cluster.group(follower).unwrap().status().leader.unwrap();
            cluster.network.cut(leader, follower);
            cluster.world.run_for(WHILE);
            cluster.network.heal();
        });
    }
}
