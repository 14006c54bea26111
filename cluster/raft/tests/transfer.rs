//! How long nothing is accepted while a leader hands over to a chosen follower, in a simulated world.
//!
//! Two of three votes are at hand at once: the follower's own, and the leader's, which lets go. Of five a third one is needed,
//! and the other followers grant none while they believe that they have a leader: for twice the election timeout. So the
//! chosen one stands again and again until they do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use arsenal_raft::simulation::cluster::Cluster;
use arsenal_raft::simulation::world::OUTSIDE;
use arsenal_raft::{Command, Config};
use arsenal_runtime::Pid;
use arsenal_runtime::registry::Command as Registry;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

fn write() -> Command {
    Command::Registry(Registry::ProcessesDown { pids: vec![Pid::new(9, 9, 9)] })
}

/// Has the follower with the most of the log take over, as whoever hands over does. How long the next write took.
fn stall(seed: u64, voters: u64) -> Duration {
    let cluster = Cluster::of(seed, voters, None);
    let leader = cluster.elect().unwrap();
    let group = cluster.group(leader).unwrap();
    let first = group.clone();
    cluster.on(leader, LONG, async move { first.propose(write()).await }).unwrap().unwrap();
    cluster.world.run_for(Duration::from_secs(1));
    let (chosen, _) = group.followers()[0];
    let (chosen_group, world) = (cluster.group(chosen).unwrap(), cluster.world.clone());
    let pace = Config::new(1, 1).election_timeout / 2;
    cluster.world.spawn_on(OUTSIDE, async move {
        while group.status().leader.is_none_or(|leads| leads == leader) {
            chosen_group.campaign().await;
            world.sleep(pace).await;
        }
    });
    cluster.world.run_for(Duration::from_millis(5));
    let (began, group) = (cluster.world.now(), cluster.group(leader).unwrap());
    cluster.on(leader, LONG, async move { group.propose(write()).await }).unwrap().unwrap();
    let took = cluster.world.now() - began;
    assert_eq!(cluster.elect(), Some(chosen), "seed {seed}: another one leads");
    cluster.end();
    took
}

#[test]
fn a_chosen_follower_takes_over_and_what_is_written_meanwhile_waits_for_it() {
    for (voters, limit) in [(3, Duration::from_millis(150)), (5, Duration::from_millis(600))] {
        let mut stalls: Vec<Duration> = (0..20).map(|seed| stall(seed, voters)).collect();
        stalls.sort_unstable();
        let (median, most) = (stalls[stalls.len() / 2], stalls[stalls.len() - 1]);
        println!("{voters} voters: nothing is accepted for {median:?}, {most:?} at most");
        assert!(most < limit, "{voters} voters: {stalls:?}");
    }
}
