//! Who stands for election and who does not, in a simulated world.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use arsenal_raft::Command;
use arsenal_raft::simulation::cluster::Cluster;
use arsenal_runtime::Pid;
use arsenal_runtime::registry::Command as Registry;
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

#[test]
fn two_voters_that_were_cut_off_together_depose_nobody_though_one_has_more_of_the_log() {
    stays("it was cut off with another", 5, |cluster, follower| {
        let leader = cluster.group(follower).unwrap().status().leader.unwrap();
        let ids = || 1..=5;
        let second = ids().find(|id| ![leader, follower].contains(id)).unwrap();
        let cut = |from: u64, to: u64| {
            cluster.network.cut(from, to);
            cluster.network.cut(to, from);
        };
        ids().filter(|id| *id != follower).for_each(|id| cut(follower, id));
        let group = cluster.group(leader).unwrap();
        let down = Registry::ProcessesDown { pids: vec![Pid::new(9, 9, 9)] };
        let writing = async move { group.propose(Command::Registry(down)).await.is_ok() };
        assert!(cluster.on(leader, WHILE, writing).unwrap());
        cluster.network.heal();
        for one in [follower, second] {
            ids().filter(|id| ![follower, second].contains(id)).for_each(|id| cut(one, id));
        }
        cluster.world.run_for(WHILE);
        cluster.network.heal();
    });
}
