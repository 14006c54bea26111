//! Three voters and many nodes with views, in a simulated world: how long it takes until all have joined, how far views lag
//! behind, and what the leader and a voter that feeds have to do. What is told are numbers of the world's own time and
//! network; what is asserted are outcomes. `ARSENAL_SCALE=full` has a thousand views:
//!
//! `ARSENAL_SCALE=full cargo test --release -p arsenal-raft --test scale -- --nocapture`
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use arsenal_raft::Command;
use arsenal_raft::simulation::cluster::Cluster;
use arsenal_raft::simulation::network::Traffic;
use arsenal_runtime::registry::Command as Registry;
use arsenal_runtime::{Pid, Term};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);
const NAMES: u64 = 2_000;
const WRITES: u64 = 50;

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

fn write(cluster: &Cluster, on: u64, serial: u64) {
    let group = cluster.group(on).unwrap();
    let command = register(&format!("name-{serial}"), serial);
    cluster.on(on, LONG, async move { group.propose(command).await }).unwrap().unwrap();
}

/// Runs in steps until all of these have what the leader has.
fn catch_up(cluster: &Cluster, leader: u64, views: &[u64]) -> Duration {
    let began = cluster.world.now();
    let index = cluster.group(leader).unwrap().status().applied;
    let has = |id: &u64| cluster.group(*id).is_some_and(|group| group.status().applied >= index);
    while !views.iter().all(has) {
        assert!(cluster.world.now() - began < LONG, "a view does not catch up");
        cluster.world.run_for(Duration::from_millis(5));
    }
    cluster.world.now() - began
}

/// Frames and bytes a second since.
fn rate(cluster: &Cluster, id: u64, before: Traffic, time: Duration) -> String {
    let now = cluster.network.traffic(id);
    let a_second = |count: u64| count as f64 / time.as_secs_f64();
    format!(
        "{:.0} frames/s, {:.1} kB/s taken, {:.1} kB/s answered",
        a_second(now.frames - before.frames),
        a_second(now.taken_bytes - before.taken_bytes) / 1e3,
        a_second(now.answered_bytes - before.answered_bytes) / 1e3,
    )
}

#[test]
fn many_views_have_what_was_agreed_on_and_the_leader_feeds_none_of_them() {
    let count = if std::env::var("ARSENAL_SCALE").is_ok_and(|scale| scale == "full") { 1_000 } else { 60 };
    let cluster = Cluster::of(1, 3, None);
    let leader = cluster.elect().unwrap();
    (0..NAMES).for_each(|serial| write(&cluster, leader, serial));
    let views: Vec<u64> = (4..4 + count).collect();
    let feeding: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    views.iter().for_each(|id| cluster.start_view(*id, feeding.iter().copied()));
    let joined = catch_up(&cluster, leader, &views);

    let lags: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let committed: Arc<Mutex<Duration>> = Arc::default();
    let (world, at) = (cluster.world.clone(), Arc::clone(&committed));
    cluster.group(leader).unwrap().observe(Arc::new(move |_| *at.lock().unwrap() = world.now()));
    for id in &views {
        let (world, lags, at) = (cluster.world.clone(), Arc::clone(&lags), Arc::clone(&committed));
        cluster.group(*id).unwrap().observe(Arc::new(move |_| {
            lags.lock().unwrap().push(world.now().saturating_sub(*at.lock().unwrap()));
        }));
    }
    let (began, before) = (cluster.world.now(), [leader, feeding[0]].map(|id| cluster.network.traffic(id)));
    for serial in NAMES..NAMES + WRITES {
        write(&cluster, leader, serial);
        cluster.world.run_for(Duration::from_millis(100));
    }
    catch_up(&cluster, leader, &views);
    let time = cluster.world.now() - began;
    let mut lags = lags.lock().unwrap().clone();
    lags.sort_unstable();
    let part = |permille: usize| lags[(lags.len() - 1) * permille / 1_000];
    println!("{count} views join {NAMES} names: {joined:?}");
    println!("lag behind the leader, median {:?}, p99 {:?}, most {:?}", part(500), part(990), part(1_000));
    println!("the leader: {}", rate(&cluster, leader, before[0], time));
    println!("a voter that feeds: {}", rate(&cluster, feeding[0], before[1], time));

    assert_eq!(lags.len() as u64, WRITES * count, "each view was told of each write once");
    let names = |id: &u64| cluster.group(*id).unwrap().look(|state| state.registry().names().len() as u64);
    assert!(views.iter().all(|id| names(id) == NAMES + WRITES));
    // what comes to a leader is the answer of nobody: only views and voters that write ask it anything
    assert_eq!(cluster.network.traffic(leader).frames - before[0].frames, 0, "a view asked the leader");
    cluster.end();
}
