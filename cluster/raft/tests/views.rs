//! Nodes whose view of the state a voter feeds, in a simulated world: same seed, same run.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use arsenal_raft::simulation::cluster::Cluster;
use arsenal_raft::{Command, Committed, Config, Outcome, ProposeError, Voter};
use arsenal_runtime::registry::Command as Registry;
use arsenal_runtime::{Pid, Term};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);
/// The node with a view.
const VIEW: u64 = 4;

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

fn propose(cluster: &Cluster, id: u64, command: Command) -> Result<Outcome, ProposeError> {
    let group = cluster.group(id).unwrap();
    let proposed = cluster.on(id, LONG, async move { group.propose(command).await });
    proposed.expect("a proposal is never left without a fate")
}

fn holder(cluster: &Cluster, id: u64, name: &str) -> Option<u64> {
    let group = cluster.group(id).unwrap();
    let read = group.clone();
    cluster.on(id, LONG, async move { read.synchronize().await }).unwrap().unwrap();
    group.look(|state| state.registry().names().get(name).map(|entry| entry.pid.serial))
}

/// Three voters and a node with a view.
fn three_and_a_view(seed: u64, change: Option<fn(&mut Config)>) -> (Cluster, u64) {
    let cluster = Cluster::of(seed, 3, change);
    let leader = cluster.elect().unwrap();
    cluster.start_view(VIEW, 1..=3);
    propose(&cluster, leader, register("first", 1)).unwrap();
    assert!(caught_up(&cluster, &[leader, VIEW]), "nobody feeds it");
    (cluster, leader)
}

fn caught_up(cluster: &Cluster, ids: &[u64]) -> bool {
    let applied = |id: &u64| cluster.group(*id).map(|group| group.status().applied);
    cluster.world.run_until(LONG, || {
        let all: BTreeSet<_> = ids.iter().map(applied).collect();
        all.len() == 1 && all.first().is_some_and(Option::is_some)
    })
}

/// The names of what is registered on a node from now on, in the order in which it is told.
fn told(cluster: &Cluster, id: u64) -> Arc<Mutex<Vec<String>>> {
    let names: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&names);
    cluster.group(id).unwrap().observe(Arc::new(move |committed| {
        if let Committed::Applied { command: Command::Registry(Registry::Register { name, .. }), .. } =
            committed
        {
            noted.lock().unwrap().push(name.to_string());
        }
    }));
    names
}

#[test]
fn a_view_has_what_was_agreed_on_and_its_node_writes_and_reads_as_a_voters_does() {
    let (cluster, leader) = three_and_a_view(1, None);
    let other = (1..=3).find(|id| *id != leader).unwrap();
    assert!(matches!(propose(&cluster, VIEW, register("n", 7)), Ok(Outcome::Registry(Ok(_)))));
    let seen = cluster.group(VIEW).unwrap().look(|state| state.registry().names().contains_key("n"));
    assert!(seen, "its own write is there when it has the outcome");
    assert_eq!(holder(&cluster, other, "n"), Some(7));
    assert!(matches!(propose(&cluster, other, register("n", 8)), Ok(Outcome::Registry(Err(_)))));
    propose(&cluster, other, register("m", 9)).unwrap();
    assert_eq!(holder(&cluster, VIEW, "m"), Some(9), "a linearizable read");
    let group = cluster.group(VIEW).unwrap();
    assert!(group.is_view());
    assert_eq!((group.status().leader, group.status().voters), (Some(leader), (1..=3).collect()));
    assert!(!cluster.group(leader).unwrap().status().learners.contains(&VIEW), "no log is sent to it");
}

#[test]
fn a_view_goes_on_with_another_voter_where_it_was_and_is_told_each_command_once() {
    for seed in 0..20 {
        let (cluster, _) = three_and_a_view(seed, None);
        let names = told(&cluster, VIEW);
        for serial in 0..40 {
            let victim = 1 + serial / 2 % 3;
            if serial % 2 == 1 {
                cluster.kill(victim);
                cluster.start(victim);
            }
            // a write whose fate is unknown may be there: under a name of its own
            while propose(&cluster, VIEW, register(&format!("{serial}"), serial)).is_err() {
                cluster.world.run_for(Duration::from_millis(50));
            }
        }
        assert!(caught_up(&cluster, &[1, 2, 3, VIEW]), "seed {seed}");
        let mut names = names.lock().unwrap().clone();
        names.dedup();
        let expected: Vec<String> = (0..40).map(|serial: u64| serial.to_string()).collect();
        assert_eq!(names, expected, "seed {seed}");
        let states: Vec<_> = [1, VIEW].map(|id| cluster.group(id).unwrap().look(Clone::clone)).into();
        assert_eq!(states[0], states[1], "seed {seed}");
        cluster.end();
    }
}

fn small(config: &mut Config) {
    config.compaction_bytes = 20_000;
    config.batch_bytes_max = 1_000;
    config.segment_bytes_max = 4_000;
}

#[test]
fn a_view_that_lags_behind_the_log_is_sent_the_state_and_told_of_the_difference() {
    let (cluster, leader) = three_and_a_view(2, Some(small));
    let replaced: Arc<Mutex<Vec<(usize, usize)>>> = Arc::default();
    let noted = Arc::clone(&replaced);
    cluster.group(VIEW).unwrap().observe(Arc::new(move |committed| {
        if let Committed::Replaced { before, after } = committed {
            let names = (before.registry().names().len(), after.registry().names().len());
            noted.lock().unwrap().push(names);
        }
    }));
    cluster.isolate(VIEW);
    let lagging = cluster.group(VIEW).unwrap().status().applied;
    for serial in 1..=600 {
        propose(&cluster, leader, register(&format!("name-{serial}"), serial)).unwrap();
    }
    let purged = || cluster.group(leader).unwrap().status().purged;
    assert!(cluster.world.run_until(LONG, || purged() > lagging), "{}", purged());
    cluster.network.heal();
    assert!(caught_up(&cluster, &[leader, VIEW]));
    assert_eq!(*replaced.lock().unwrap(), [(1, 601)], "once, with all that it missed");
    assert_eq!(holder(&cluster, VIEW, "name-600"), Some(600));
}

#[test]
fn a_node_with_a_view_that_no_voter_reaches_refuses_quickly_and_keeps_what_it_has() {
    let (cluster, _) = three_and_a_view(3, None);
    cluster.isolate(VIEW);
    cluster.world.run_for(Duration::from_secs(3));
    let began = cluster.world.now();
    let refused = propose(&cluster, VIEW, register("n", 1));
    assert!(matches!(refused, Err(ProposeError::Unavailable(_))), "{refused:?}");
    let group = cluster.group(VIEW).unwrap();
    let read = group.clone();
    assert!(cluster.on(VIEW, LONG, async move { read.synchronize().await }).unwrap().is_err());
    assert!(cluster.world.now() - began < Duration::from_millis(10));
    assert!(group.look(|state| state.registry().names().contains_key("first")));
}

#[test]
fn a_view_is_not_fed_by_a_voter_that_lost_the_others() {
    let (cluster, leader) = three_and_a_view(4, None);
    let cut_off = (1..=3).find(|id| *id != leader).unwrap();
    for other in (1..=3).filter(|id| *id != cut_off) {
        cluster.network.cut(cut_off, other);
        cluster.network.cut(other, cut_off);
    }
    propose(&cluster, leader, register("n", 5)).unwrap();
    let seen = || cluster.group(VIEW).unwrap().look(|state| state.registry().names().contains_key("n"));
    assert!(cluster.world.run_until(LONG, seen), "it stays with a voter that knows nothing new");
}

fn change_voters(cluster: &Cluster, newcomer: u64, voters: impl IntoIterator<Item = u64>) {
    let leader = cluster.elect().unwrap();
    let group = cluster.group(leader).unwrap();
    let voters: BTreeSet<u64> = voters.into_iter().collect();
    let changed = cluster.on(leader, LONG, async move {
        group.add_learner(newcomer, Voter { address: format!("voter-{newcomer}") }).await?;
        group.change_voters(voters).await
    });
    changed.unwrap().unwrap();
}

/// Tells a node that the log is not sent to it, as a leader does that has applied so much: by default all that there is.
fn stand_down(cluster: &Cluster, id: u64, index: Option<u64>) -> bool {
    let newest = || cluster.group(cluster.elect().unwrap()).unwrap().status().applied;
    let index = index.unwrap_or_else(newest);
    let group = cluster.group(id).unwrap();
    cluster.on(id, LONG, async move { group.stand_down(index).await }).unwrap()
}

#[test]
fn a_node_becomes_a_voter_and_goes_back_to_a_view_and_its_state_never_goes_back() {
    for seed in 0..10 {
        let (cluster, _) = three_and_a_view(seed, Some(small));
        let leader = cluster.elect().unwrap();
        let replaced = (1..=3).find(|id| *id != leader).unwrap();
        let kept: Vec<u64> = (1..=3).filter(|id| *id != replaced).collect();
        assert!(
            caught_up(&cluster, &[1, 2, 3, VIEW]),
            "seed {seed}: what was written before is told to nobody"
        );
        let names = [told(&cluster, VIEW), told(&cluster, replaced)];
        let mut serial = 0;
        let mut write_some = |cluster: &Cluster, from: u64| {
            for _ in 0..60 {
                serial += 1;
                let proposed = propose(cluster, from, register(&format!("{serial}"), serial));
                assert!(
                    proposed.is_ok(),
                    "seed {seed}: write {serial} on {from}: {proposed:?}, {:?}",
                    cluster.group(from).unwrap().status()
                );
            }
        };
        write_some(&cluster, VIEW);
        change_voters(&cluster, VIEW, kept.iter().copied().chain([VIEW]));
        assert!(!cluster.group(VIEW).unwrap().is_view(), "seed {seed}: a voter follows the log");
        assert!(!stand_down(&cluster, VIEW, Some(1)), "seed {seed}: what was said before counts for less");
        assert!(
            stand_down(&cluster, replaced, None) && cluster.group(replaced).unwrap().is_view(),
            "seed {seed}"
        );
        write_some(&cluster, replaced);
        // and the other way, over the log that it left behind
        change_voters(&cluster, replaced, 1..=3);
        assert!(stand_down(&cluster, VIEW, None), "seed {seed}");
        write_some(&cluster, VIEW);
        assert!(caught_up(&cluster, &[1, 2, 3, VIEW]), "seed {seed}");
        for names in names {
            let expected: Vec<String> = (1..=180).map(|serial: u64| serial.to_string()).collect();
            assert_eq!(*names.lock().unwrap(), expected, "seed {seed}: each command once, in order");
        }
        let states: Vec<_> = cluster.running().values().map(|group| group.look(Clone::clone)).collect();
        assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "seed {seed}");
        assert!(cluster.ends().is_empty(), "seed {seed}: {:?}", cluster.ends());
        cluster.end();
    }
}

#[test]
fn a_node_that_dies_while_it_begins_to_follow_the_log_is_whole_again_afterwards() {
    for seed in 0..40 {
        let (cluster, leader) = three_and_a_view(seed, Some(small));
        for serial in 1..=100 {
            propose(&cluster, leader, register(&format!("name-{serial}"), serial)).unwrap();
        }
        cluster.disk(VIEW).set_faults(|faults| faults.slowest = Duration::from_millis(50));
        let group = cluster.group(leader).unwrap();
        cluster.world.spawn_on(leader, async move {
            let added = group.add_learner(VIEW, Voter { address: format!("voter-{VIEW}") }).await;
            assert!(added.is_ok(), "{added:?}");
        });
        // some seeds kill it before, some while, some after it has the log
        cluster.world.run_for(Duration::from_micros(cluster.world.below(300_000)));
        cluster.kill(VIEW);
        cluster.start(VIEW);
        propose(&cluster, leader, register("last", 5)).unwrap();
        assert!(caught_up(&cluster, &[leader, VIEW]), "seed {seed}: {:?}", cluster.refusals());
        let follows = || cluster.group(VIEW).is_some_and(|group| !group.is_view());
        assert!(cluster.world.run_until(LONG, follows), "seed {seed}: the leader sends it the log");
        assert_eq!(holder(&cluster, VIEW, "last"), Some(5), "seed {seed}");
        assert!(cluster.ends().is_empty(), "seed {seed}: {:?}", cluster.ends());
        cluster.end();
    }
}
