//! What a group of voters does, in a simulated world: same seed, same run.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use arsenal_raft::nodes::NodeCommand;
use arsenal_raft::simulation::cluster::Cluster;
use arsenal_raft::{Command, Config, Outcome, ProposeError, Voter};
use arsenal_runtime::registry::{Command as Registry, RegistryError};
use arsenal_runtime::{Pid, Term};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);

fn register(name: &str, serial: u64) -> Command {
    Command::Registry(Registry::Register {
        name: name.into(),
        pid: Pid::new(1, 1, serial),
        replace: false,
        allow_multiple: true,
        metadata: Term::Null,
        at_ms: 0,
    })
}

/// Of a name that makes the state bigger by what is said of it.
fn register_with(metadata: &str, serial: u64) -> Command {
    Command::Registry(Registry::Register {
        name: format!("n{serial}").as_str().into(),
        pid: Pid::new(1, 1, serial),
        replace: false,
        allow_multiple: true,
        metadata: Term::str(metadata),
        at_ms: 0,
    })
}

fn propose(cluster: &Cluster, id: u64, command: Command) -> Result<Outcome, ProposeError> {
    let group = cluster.group(id).unwrap();
    cluster
        .on(id, LONG, async move { group.propose(command).await })
        .expect("a proposal is never left without a fate")
}

fn holder(cluster: &Cluster, id: u64, name: &str) -> Option<u64> {
    let group = cluster.group(id).unwrap();
    let read = group.clone();
    cluster.on(id, LONG, async move { read.synchronize().await }).unwrap().unwrap();
    group.look(|state| state.registry().names().get(name).map(|entry| entry.pid.serial))
}

#[test]
fn three_voters_elect_a_leader_and_agree_on_who_holds_a_name() {
    let cluster = Cluster::of(1, 3, None);
    cluster.elect().unwrap();
    for id in 1..=3 {
        let outcome = propose(&cluster, id, register("n", id)).unwrap();
        let Outcome::Registry(outcome) = outcome else { panic!("{outcome:?}") };
        assert_eq!(outcome.is_ok(), id == 1, "{outcome:?}");
        if let Err(error) = outcome {
            assert!(matches!(error, RegistryError::NameTaken { holder, .. } if holder.serial == 1));
        }
    }
    for id in 1..=3 {
        assert_eq!(holder(&cluster, id, "n"), Some(1));
    }
}

#[test]
fn a_command_that_not_all_nodes_can_read_is_refused_with_both_versions_and_stands_in_no_log() {
    let cluster = Cluster::of(5, 3, None);
    let leader = cluster.elect().unwrap();
    propose(&cluster, leader, register("n", 1)).unwrap();
    let moved = || {
        let (from, to) = (Pid::new(1, 1, 1), Pid::new(2, 1, 1));
        Command::Registry(Registry::Move { from, to, epoch: 0 })
    };
    let log = || cluster.group(leader).unwrap().status().applied;
    let before = log();
    for id in 1..=3 {
        let refused = propose(&cluster, id, moved()).unwrap_err();
        assert_eq!(refused, ProposeError::MixedVersions { since: 3, agreed: 1 });
        assert!(refused.to_string().contains("version 3") && refused.to_string().contains("version 1"));
    }
    cluster.world.run_for(Duration::from_secs(1));
    assert_eq!(log(), before);
    propose(&cluster, leader, Command::Node(NodeCommand::Raise { protocol: 3 })).unwrap();
    // what has been raised outlives who raised it
    cluster.kill(leader);
    let next = (1..=3).find(|id| *id != leader).unwrap();
    holder(&cluster, next, "n");
    let outcome = propose(&cluster, next, moved()).unwrap();
    assert!(matches!(outcome, Outcome::Registry(Ok(_))), "{outcome:?}");
}

#[test]
fn whoever_waits_for_a_learner_that_is_taken_out_hears_so() {
    let cluster = Cluster::of(6, 3, None);
    let leader = cluster.elect().unwrap();
    // its first entry stands before any change of the members
    propose(&cluster, leader, register("n", 1)).unwrap();
    let group = cluster.group(leader).unwrap();
    // nobody is there
    let (adding, told) = (group.clone(), Arc::new(Mutex::new(None)));
    let outcome = Arc::clone(&told);
    cluster.world.spawn_on(leader, async move {
        let added = adding.add_learner(9, Voter { address: "nowhere".to_owned() }).await;
        *outcome.lock() = Some(added);
    });
    assert!(cluster.world.run_until(LONG, || group.picture(|picture| picture.learners.contains(&9))));
    assert_eq!(*told.lock(), None, "it has not caught up");
    let removing = group.clone();
    let removed = cluster.on(leader, LONG, async move { removing.remove_learners([9].into()).await });
    assert_eq!(removed, Some(Ok(())));
    assert!(cluster.world.run_until(LONG, || told.lock().is_some()), "nobody hears that it is gone");
    let refused = told.lock().take().unwrap().unwrap_err().to_string();
    assert!(refused.contains("node 9 was taken out"), "{refused}");
}

#[test]
fn a_killed_leader_is_followed_by_another_and_nothing_acknowledged_is_lost() {
    for seed in 0..30 {
        let cluster = Cluster::of(seed, 3, None);
        let leader = cluster.elect().unwrap();
        propose(&cluster, leader, register("before", 1)).unwrap();
        cluster.kill(leader);
        let next = (1..=3).find(|id| *id != leader).unwrap();
        let began = cluster.world.now();
        propose(&cluster, next, register("after", 2)).unwrap();
        let took = cluster.world.now() - began;
        assert!(took < Duration::from_secs(2), "seed {seed}: {took:?}");
        assert_eq!(holder(&cluster, next, "before"), Some(1), "seed {seed}");
        cluster.start(leader);
        cluster.world.run_for(Duration::from_secs(2));
        assert_eq!(holder(&cluster, leader, "after"), Some(2), "seed {seed}");
    }
}

#[test]
fn a_run_with_the_same_seed_is_the_same_run() {
    let run = |seed| {
        let cluster = Cluster::of(seed, 3, None);
        let leader = cluster.elect().unwrap();
        propose(&cluster, leader, register("n", 1)).unwrap();
        cluster.kill(leader);
        cluster.world.run_for(Duration::from_secs(3));
        cluster.world.fingerprint()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn a_leader_without_a_quorum_refuses_quickly_what_it_would_never_commit() {
    let cluster = Cluster::of(3, 3, None);
    let leader = cluster.elect().unwrap();
    cluster.isolate(leader);
    cluster.world.run_for(Duration::from_millis(1500));
    let began = cluster.world.now();
    let refused = propose(&cluster, leader, register("n", 1));
    assert!(matches!(refused, Err(ProposeError::Unavailable(_))), "{refused:?}");
    let group = cluster.group(leader).unwrap();
    assert!(cluster.on(leader, LONG, async move { group.synchronize().await }).unwrap().is_err());
    assert!(cluster.world.now() - began < Duration::from_millis(10));
    // the others go on
    let other = (1..=3).find(|id| *id != leader).unwrap();
    propose(&cluster, other, register("n", 2)).unwrap();
}

#[test]
fn a_voter_that_is_alone_takes_a_write_at_once_however_long_nothing_happened() {
    let cluster = Cluster::of(15, 1, None);
    cluster.elect().unwrap();
    for serial in 1..=5 {
        cluster.world.run_for(Duration::from_millis(1900));
        let began = cluster.world.now();
        propose(&cluster, 1, register(&format!("n{serial}"), serial)).unwrap();
        assert!(cluster.world.now() - began < Duration::from_millis(20), "{:?}", cluster.world.now() - began);
    }
}

#[test]
fn a_write_under_way_when_the_quorum_is_lost_is_called_unknown_and_not_failed() {
    let cluster = Cluster::of(4, 3, None);
    let leader = cluster.elect().unwrap();
    propose(&cluster, leader, register("first", 1)).unwrap();
    cluster.isolate(leader);
    let began = cluster.world.now();
    let unknown = propose(&cluster, leader, register("n", 1));
    assert_eq!(unknown, Err(ProposeError::Unknown));
    let took = cluster.world.now() - began;
    assert!(took < Duration::from_millis(1100), "as long as the lease: {took:?}");
}

#[test]
fn what_was_handed_to_a_leader_that_is_cut_off_waits_no_longer_than_for_the_next_one() {
    for seed in 0..20 {
        let cluster = Cluster::of(seed, 3, None);
        let leader = cluster.elect().unwrap();
        propose(&cluster, leader, register("first", 1)).unwrap();
        let follower = (1..=3).find(|id| *id != leader).unwrap();
        cluster.isolate(leader);
        let began = cluster.world.now();
        let outcome = propose(&cluster, follower, register("n", 1));
        let read = cluster.group(follower).unwrap();
        cluster.on(follower, LONG, async move { read.synchronize().await }).unwrap().unwrap();
        let took = cluster.world.now() - began;
        assert!(took < Duration::from_millis(1500), "seed {seed}: {outcome:?} after {took:?}");
        propose(&cluster, follower, register("m", 1)).unwrap();
    }
}

#[test]
fn what_waits_behind_a_write_without_a_quorum_is_refused_with_the_lease_and_never_committed() {
    let cluster = Cluster::of(12, 3, Some(|config| config.batch_bytes_max = 1));
    let leader = cluster.elect().unwrap();
    propose(&cluster, leader, register("first", 1)).unwrap();
    cluster.isolate(leader);
    let (group, began) = (cluster.group(leader).unwrap(), cluster.world.now());
    let all = async move {
        let proposals = (0..20).map(|serial| {
            let group = group.clone();
            async move { group.propose(register(&format!("n{serial}"), serial)).await }
        });
        futures_util::future::join_all(proposals).await
    };
    let outcomes = cluster.on(leader, LONG, all).unwrap();
    let took = cluster.world.now() - began;
    assert!(took < Duration::from_millis(1100), "{took:?}");
    let unknown = outcomes.iter().filter(|outcome| **outcome == Err(ProposeError::Unknown)).count();
    assert_eq!(unknown, 2, "two batches may be on their way: {outcomes:?}");
    cluster.network.heal();
    cluster.elect().unwrap();
    cluster.world.run_for(Duration::from_secs(3));
    for (serial, outcome) in outcomes.iter().enumerate() {
        if let Err(ProposeError::Unavailable(_)) = outcome {
            assert_eq!(holder(&cluster, leader, &format!("n{serial}")), None);
        } else {
            assert_eq!(*outcome, Err(ProposeError::Unknown));
        }
    }
}

#[test]
fn a_follower_that_is_cut_off_refuses_within_its_lease_what_it_handed_to_nobody() {
    for seed in 0..20 {
        let cluster = Cluster::of(seed, 3, None);
        let leader = cluster.elect().unwrap();
        propose(&cluster, leader, register("first", 1)).unwrap();
        let follower = (1..=3).find(|id| *id != leader).unwrap();
        cluster.isolate(follower);
        // long enough for it not to hand anything to who led
        cluster.world.run_for(Duration::from_millis(400));
        let began = cluster.world.now();
        let refused = propose(&cluster, follower, register("n", 1));
        assert!(matches!(refused, Err(ProposeError::Unavailable(_))), "seed {seed}: {refused:?}");
        let took = cluster.world.now() - began;
        assert!(took < Duration::from_millis(1100), "seed {seed}: {took:?}");
    }
}

fn small(config: &mut Config) {
    config.compaction_bytes = 20_000;
    config.batch_bytes_max = 1_000;
    config.segment_bytes_max = 4_000;
}

#[test]
fn the_log_is_compacted_and_a_lagging_voter_gets_a_snapshot() {
    let cluster = Cluster::of(5, 3, Some(small));
    let leader = cluster.elect().unwrap();
    let lagging = (1..=3).find(|id| *id != leader).unwrap();
    cluster.kill(lagging);
    for serial in 1..=600 {
        propose(&cluster, leader, register(&format!("name-{serial}"), serial)).unwrap();
    }
    let status = || cluster.group(leader).unwrap().status();
    assert!(cluster.world.run_until(LONG, || status().purged > 100), "{:?}", status());
    let status = status();
    cluster.start(lagging);
    let caught_up = || cluster.group(lagging).is_some_and(|group| group.status().applied >= status.applied);
    assert!(cluster.world.run_until(LONG, caught_up));
    let behind = cluster.group(lagging).unwrap();
    assert!(behind.status().snapshot > 0, "it came by the log: {:?}", behind.status());
    let states: Vec<_> = cluster.running().values().map(|group| group.look(Clone::clone)).collect();
    assert!(states.windows(2).all(|pair| pair[0] == pair[1]));
    // and it is there after a restart of everybody
    let before = states[0].clone();
    (1..=3).for_each(|id| cluster.kill(id));
    (1..=3).for_each(|id| cluster.start(id));
    cluster.elect().unwrap();
    assert_eq!(holder(&cluster, lagging, "name-600"), Some(600));
    assert_eq!(cluster.group(lagging).unwrap().look(Clone::clone), before);
}

#[test]
fn what_stays_of_a_compacted_log_is_bounded_by_bytes_however_big_its_entries_are() {
    let cluster = Cluster::of(16, 3, Some(small));
    let leader = cluster.elect().unwrap();
    for serial in 1..=40 {
        propose(&cluster, leader, register_with(&"x".repeat(4_000), serial)).unwrap();
    }
    cluster.world.run_for(Duration::from_secs(1));
    let status = cluster.group(leader).unwrap().status();
    assert!(
        status.applied - status.purged <= 20_000 / 4_000,
        "more than what the next snapshot is for: {status:?}"
    );
    cluster.elect().unwrap();
    assert_eq!(holder(&cluster, leader, "n40"), Some(40));
}

#[test]
fn a_part_of_a_snapshot_that_is_lost_or_whose_answer_is_comes_again_soon() {
    const NAMES: u64 = 40;
    for (parts, answers) in [(1, 0), (0, 1), (2, 0), (0, 2), (1, 1)] {
        let cluster = Cluster::of(14, 3, Some(small));
        let leader = cluster.elect().unwrap();
        let lagging = (1..=3).find(|id| *id != leader).unwrap();
        cluster.kill(lagging);
        // a state of two parts
        for serial in 1..=NAMES {
            propose(&cluster, leader, register_with(&"x".repeat(40_000), serial)).unwrap();
        }
        let status = || cluster.group(leader).unwrap().status();
        assert!(cluster.world.run_until(LONG, || status().purged > 0), "{:?}", status());
        cluster.network.lose_snapshot_parts(parts, answers);
        cluster.start(lagging);
        let has_all = || {
            cluster.group(lagging).is_some_and(|group| {
                let names = group.look(|state| state.registry().names().len());
                // not by the log
                names as u64 == NAMES && group.status().snapshot > 0
            })
        };
        let soon = Duration::from_secs(8);
        assert!(cluster.world.run_until(soon, has_all), "{parts} parts and {answers} answers lost");
    }
}

#[test]
fn a_restarted_leader_serves_no_read_that_misses_what_it_acknowledged() {
    for seed in 0..50 {
        let cluster = Cluster::of(seed, 3, None);
        let leader = cluster.elect().unwrap();
        // its log knows of the first that it was committed, and of the second not yet
        propose(&cluster, leader, register("m", 1)).unwrap();
        propose(&cluster, leader, register("n", 1)).unwrap();
        cluster.kill(leader);
        cluster.start(leader);
        // its first read may be refused, but not answered from an older state
        assert!(cluster.world.run_until(LONG, || cluster.group(leader).is_some()));
        let group = cluster.group(leader).unwrap();
        let read = group.clone();
        if cluster.on(leader, LONG, async move { read.synchronize().await }).unwrap().is_ok() {
            let holder = group.look(|state| state.registry().names().contains_key("n"));
            assert!(holder, "seed {seed}");
        }
    }
}

#[test]
fn a_voter_that_dies_while_it_takes_a_snapshot_is_whole_again_afterwards() {
    for seed in 0..40 {
        let cluster = Cluster::of(seed, 3, Some(small));
        let leader = cluster.elect().unwrap();
        let lagging = (1..=3).find(|id| *id != leader).unwrap();
        cluster.kill(lagging);
        for serial in 1..=300 {
            propose(&cluster, leader, register(&format!("name-{serial}"), serial)).unwrap();
        }
        let status = || cluster.group(leader).unwrap().status();
        assert!(cluster.world.run_until(LONG, || status().purged > 0), "{:?}", status());
        let status = status();
        cluster.disk(lagging).set_faults(|faults| faults.slowest = Duration::from_millis(100));
        cluster.start(lagging);
        // some seeds kill it before, some while, some after it has it
        cluster.world.run_for(Duration::from_micros(cluster.world.below(400_000)));
        cluster.kill(lagging);
        cluster.start(lagging);
        let caught_up =
            || cluster.group(lagging).is_some_and(|group| group.status().applied >= status.applied);
        assert!(cluster.world.run_until(LONG, caught_up), "seed {seed}: {:?}", cluster.refusals());
        assert!(cluster.ends().is_empty(), "seed {seed}: {:?}", cluster.ends());
        cluster.end();
    }
}

#[test]
fn many_proposals_share_a_log_entry() {
    let cluster = Cluster::of(6, 3, None);
    let leader = cluster.elect().unwrap();
    let group = cluster.group(leader).unwrap();
    let before = group.status().applied;
    let all = async move {
        let proposals = (0..1000).map(|serial| {
            let group = group.clone();
            async move { group.propose(register(&format!("n{serial}"), serial)).await }
        });
        futures_util::future::join_all(proposals).await
    };
    let outcomes = cluster.on(leader, LONG, all).unwrap();
    assert!(outcomes.iter().all(Result::is_ok));
    let entries = cluster.group(leader).unwrap().status().applied - before;
    assert!(entries < 20, "{entries} entries for 1000 commands");
}

#[test]
fn a_full_queue_refuses_the_next_proposal_and_loses_none_that_it_took() {
    let cluster = Cluster::of(7, 3, Some(|config| config.queue_max = 10));
    let leader = cluster.elect().unwrap();
    let group = cluster.group(leader).unwrap();
    let all = async move {
        let proposals = (0..100).map(|serial| {
            let group = group.clone();
            async move { group.propose(register(&format!("n{serial}"), serial)).await }
        });
        futures_util::future::join_all(proposals).await
    };
    let outcomes = cluster.on(leader, LONG, all).unwrap();
    let taken = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes.iter().filter(|outcome| **outcome == Err(ProposeError::Busy(10))).count();
    assert_eq!(taken + refused, 100, "{outcomes:?}");
    assert!(taken >= 10 && refused > 0);
    let names = cluster.group(leader).unwrap().look(|state| state.registry().names().len());
    assert_eq!(names, taken);
}

#[test]
fn a_disk_that_hangs_ends_its_voter_and_the_others_go_on() {
    let cluster = Cluster::of(8, 3, None);
    let leader = cluster.elect().unwrap();
    cluster.disk(leader).set_faults(|faults| faults.hangs = true);
    let other = (1..=3).find(|id| *id != leader).unwrap();
    // the leader cannot write it, and shows that it lives all the same
    assert_eq!(propose(&cluster, leader, register("n", 1)), Err(ProposeError::Unknown));
    assert!(cluster.world.run_until(LONG, || !cluster.ends().is_empty()));
    let (id, reason) = cluster.ends().remove(0);
    assert!(id == leader && reason.contains("a write to the disk"), "{reason}");
    propose(&cluster, other, register("m", 1)).unwrap();
}

#[test]
fn a_voter_that_is_paused_in_the_middle_of_a_write_goes_on_afterwards() {
    for seed in 0..20 {
        let cluster = Cluster::of(seed, 3, None);
        let leader = cluster.elect().unwrap();
        cluster.disk(leader).set_faults(|faults| faults.slowest = Duration::from_secs(5));
        let group = cluster.group(leader).unwrap();
        let write = async move { group.propose(register("n", 1)).await };
        cluster.world.spawn_on(leader, async move { drop(write.await) });
        cluster.world.run_for(Duration::from_millis(100));
        cluster.pause(leader);
        cluster.world.run_for(Duration::from_secs(60));
        cluster.disk(leader).set_faults(|faults| faults.slowest = Duration::from_millis(2));
        cluster.resume(leader);
        cluster.world.run_for(Duration::from_secs(5));
        assert!(cluster.ends().is_empty(), "seed {seed}: {:?}", cluster.ends());
        propose(&cluster, leader, register("m", 1)).unwrap();
    }
}

#[test]
fn a_disk_that_fails_or_is_full_ends_its_voter_with_the_reason() {
    for (full, expected) in [(false, "input/output error"), (true, "no space left")] {
        let cluster = Cluster::of(9, 3, None);
        let leader = cluster.elect().unwrap();
        cluster.disk(leader).set_faults(|faults| (faults.full, faults.fails) = (full, !full));
        let group = cluster.group(leader).unwrap();
        cluster.on(leader, LONG, async move { group.propose(register("n", 1)).await });
        assert!(cluster.world.run_until(LONG, || !cluster.ends().is_empty()));
        let (id, reason) = cluster.ends().remove(0);
        assert!(id == leader && reason.contains(expected), "{reason}");
        cluster.elect().unwrap();
        let other = (1..=3).find(|id| *id != leader).unwrap();
        propose(&cluster, other, register("m", 1)).unwrap();
    }
}

#[test]
fn a_dead_voter_is_replaced_under_a_new_number() {
    let cluster = Cluster::of(10, 3, None);
    let leader = cluster.elect().unwrap();
    propose(&cluster, leader, register("n", 1)).unwrap();
    let dead = (1..=3).find(|id| *id != leader).unwrap();
    cluster.kill(dead);
    cluster.start(4);
    let group = cluster.group(leader).unwrap();
    let voters = (1..=4).filter(|id| *id != dead).collect();
    let replaced = cluster.on(leader, LONG, async move {
        group.add_learner(4, arsenal_raft::Voter { address: "voter-4".to_owned() }).await?;
        group.change_voters(voters).await
    });
    replaced.unwrap().unwrap();
    assert_eq!(holder(&cluster, 4, "n"), Some(1));
}

#[test]
fn a_change_of_the_voters_that_its_leader_did_not_finish_is_seen_and_finished_by_the_next() {
    let cluster = Cluster::of(13, 3, None);
    let leader = cluster.elect().unwrap();
    propose(&cluster, leader, register("n", 1)).unwrap();
    (4..=5).for_each(|id| cluster.start(id));
    let group = cluster.group(leader).unwrap();
    let learners = cluster.on(leader, LONG, async move {
        for id in 4..=5 {
            group.add_learner(id, arsenal_raft::Voter { address: format!("voter-{id}") }).await?;
        }
        Ok::<_, arsenal_raft::MembershipError>(())
    });
    learners.unwrap().unwrap();
    let (group, next) =
        (cluster.group(leader).unwrap(), (1..=5).collect::<std::collections::BTreeSet<u64>>());
    let change = next.clone();
    cluster.world.spawn_on(leader, async move { drop(group.change_voters(change).await) });
    let others = || cluster.running().into_iter().filter(|(id, _)| *id != leader);
    let is_joint = || others().filter(|(_, group)| group.status().next_voters.is_some()).count() >= 3;
    assert!(cluster.world.run_until(LONG, is_joint));
    cluster.kill(leader);
    let successor = cluster.elect().unwrap();
    cluster.world.run_for(Duration::from_secs(1));
    let group = cluster.group(successor).unwrap();
    assert_eq!(group.status().next_voters, Some(next.clone()), "nobody finishes it by itself");
    let (finishing, last) = (group.clone(), next.clone());
    cluster.on(successor, LONG, async move { finishing.change_voters(last).await }).unwrap().unwrap();
    let status = group.status();
    assert_eq!((status.next_voters, status.voters), (None, next));
}

#[test]
fn a_chosen_follower_takes_over_without_a_failed_write() {
    let cluster = Cluster::of(11, 3, None);
    let leader = cluster.elect().unwrap();
    propose(&cluster, leader, register("n", 1)).unwrap();
    cluster.world.run_for(Duration::from_secs(1));
    let chosen = (1..=3).find(|id| *id != leader).unwrap();
    let group = cluster.group(chosen).unwrap();
    cluster.on(chosen, LONG, async move { group.campaign().await }).unwrap();
    cluster.world.run_for(Duration::from_millis(50));
    propose(&cluster, leader, register("m", 2)).unwrap();
    assert_eq!(cluster.elect(), Some(chosen));
}
