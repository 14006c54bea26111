//! How long nothing is accepted while a leader hands over to a chosen follower, or dies, in a simulated world.
//!
//! Two of three votes are at hand at once: the follower's own, and the leader's, which lets go. Of five a third one is needed,
//! and the other followers grant none for a while after the last they heard of the leader: somewhat more than a heartbeat.
//! So the chosen one stands again and again until they do.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use arsenal_raft::Command;
use arsenal_raft::simulation::cluster::Cluster;
use arsenal_runtime::Pid;
use arsenal_runtime::registry::Command as Registry;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(2);

fn write() -> Command {
    Command::Registry(Registry::ProcessesDown { pids: vec![Pid::new(9, 9, 9)] })
}

/// A cluster whose leader goes, and when each write was accepted.
struct Run {
    cluster: Cluster,
    leader: u64,
    accepted: Arc<Mutex<Vec<Duration>>>,
}

impl Run {
    /// Each node has so many clients, who write without a pause.
    fn new(seed: u64, voters: u64, clients: u64) -> Self {
        let cluster = Cluster::of(seed, voters, None);
        let leader = cluster.elect().unwrap();
        let accepted: Arc<Mutex<Vec<Duration>>> = Arc::default();
        for id in (1..=voters).flat_map(|id| (0..clients).map(move |_| id)) {
            let (group, world) = (cluster.group(id).unwrap(), cluster.world.clone());
            let accepted = Arc::clone(&accepted);
            cluster.world.spawn_on(id, async move {
                loop {
                    if group.propose(write()).await.is_ok() {
                        accepted.lock().push(world.now());
                    }
                    world.sleep(Duration::from_millis(1)).await;
                }
            });
        }
        cluster.world.run_for(Duration::from_secs(1));
        Self { cluster, leader, accepted }
    }

    /// Has the leader hand over, as a node that stops does. Whether it did.
    fn hand_over(&self) -> bool {
        let (group, cluster) = (self.cluster.group(self.leader).unwrap(), self.cluster.clone());
        let handing = async move {
            let stand = |id| {
                let (group, world) = (cluster.group(id).unwrap(), cluster.world.clone());
                let (told, standing) = tokio::sync::oneshot::channel();
                // there, so that one that is paused does not answer
                world.spawn_on(id, async move {
                    group.campaign().await;
                    let _ = told.send(());
                });
                async move { standing.await.is_ok() }
            };
            group.hand_over(LIMIT, |_| true, stand).await
        };
        self.cluster.on(self.leader, LONG, handing).unwrap()
    }

    /// The longest time without an accepted write from then on.
    fn gap(self, since: Duration) -> Duration {
        let accepted = Arc::clone(&self.accepted);
        let goes_on =
            || accepted.lock().last().is_some_and(|last| *last > since + Duration::from_millis(200));
        assert!(self.cluster.world.run_until(LONG, goes_on));
        self.cluster.world.run_for(Duration::from_secs(1));
        self.cluster.end();
        let accepted = self.accepted.lock();
        let gaps = accepted.windows(2).filter(|pair| pair[1] > since).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap()
    }
}

/// What is told of many runs: the middle one, and the longest.
fn median_and_most(what: &str, mut gaps: Vec<Duration>) -> (Duration, Duration) {
    gaps.sort_unstable();
    let (median, most) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    println!("{what}: nothing is accepted for {median:?}, {most:?} at most");
    (median, most)
}

fn seeds() -> u64 {
    std::env::var("ARSENAL_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(20)
}

#[test]
fn a_chosen_follower_takes_over_and_what_is_written_meanwhile_waits_for_it() {
    for (voters, limit) in [(3, Duration::from_millis(100)), (5, Duration::from_millis(250))] {
        for clients in [1, 20] {
            let gap = |seed| {
                let run = Run::new(seed, voters, clients);
                let since = run.cluster.world.now();
                assert!(run.hand_over(), "seed {seed}, {voters} voters, {clients} clients each");
                run.gap(since)
            };
            let what = format!("{voters} voters, {clients} clients each");
            let (_, most) = median_and_most(&what, (0..seeds()).map(gap).collect());
            assert!(most < limit, "{what}: {most:?}");
        }
    }
}

/// One of those that stand, and how many did at most at a time.
struct Standing(Arc<Mutex<(usize, usize)>>);

impl Standing {
    fn begin(counted: Arc<Mutex<(usize, usize)>>) -> Self {
        let (now, most) = &mut *counted.lock();
        *now += 1;
        *most = (*most).max(*now);
        Self(Arc::clone(&counted))
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.0.lock().0 -= 1;
    }
}

#[test]
fn of_two_hand_overs_at_once_the_second_waits_for_the_first_and_no_two_followers_stand() {
    let run = Run::new(3, 5, 0);
    let group = run.cluster.group(run.leader).unwrap();
    let standing: Arc<Mutex<(usize, usize)>> = Arc::default();
    let ended: Arc<Mutex<Vec<(Duration, bool)>>> = Arc::default();
    let since = run.cluster.world.now();
    for _ in 0..2 {
        let (group, world) = (group.clone(), run.cluster.world.clone());
        let (standing, ended) = (Arc::clone(&standing), Arc::clone(&ended));
        run.cluster.world.spawn_on(run.leader, async move {
            // nobody wins
            let stand = |_| {
                let (world, standing) = (world.clone(), Arc::clone(&standing));
                async move {
                    let _one = Standing::begin(standing);
                    world.sleep(Duration::from_millis(20)).await;
                    false
                }
            };
            let handed = group.hand_over(Duration::from_millis(500), |_| true, stand).await;
            ended.lock().push((world.now() - since, handed));
        });
    }
    assert!(run.cluster.world.run_until(LONG, || ended.lock().len() == 2));
    assert_eq!(standing.lock().1, 1, "one follower stands at a time");
    assert!(ended.lock().iter().all(|(_, handed)| !handed), "nobody else leads");
    // after both it takes proposals again
    let outcome = run.cluster.on(run.leader, LONG, async move { group.propose(write()).await });
    assert!(matches!(outcome, Some(Ok(_))), "{outcome:?}");
    run.cluster.end();
}

#[test]
fn a_second_hand_over_has_nothing_to_do_once_the_first_has_succeeded() {
    let run = Run::new(4, 3, 0);
    assert!(run.hand_over());
    let group = run.cluster.group(run.leader).unwrap();
    let asked: Arc<Mutex<usize>> = Arc::default();
    let counted = Arc::clone(&asked);
    let again = async move {
        let stand = |_| {
            *counted.lock() += 1;
            async { true }
        };
        group.hand_over(LIMIT, |_| true, stand).await
    };
    assert_eq!(run.cluster.on(run.leader, LONG, again), Some(true));
    assert_eq!(*asked.lock(), 0);
    run.cluster.end();
}

#[test]
fn a_leader_that_is_elected_again_supersedes_itself() {
    let mut again = 0;
    for seed in 0..10 {
        // of two neither wins without the other
        let cluster = Cluster::of(seed, 2, None);
        let leader = cluster.elect().unwrap();
        let following = cluster.group(3 - leader).unwrap();
        assert!(cluster.world.run_until(LONG, || following.status().leader == Some(leader)));
        let (waiting, term) = (following.clone(), following.status().term);
        let told: Arc<Mutex<bool>> = Arc::default();
        let tell = Arc::clone(&told);
        cluster.world.spawn_on(3 - leader, async move {
            waiting.superseded(term).await;
            *tell.lock() = true;
        });
        cluster.world.run_for(Duration::from_secs(1));
        assert!(!*told.lock(), "it leads on");
        cluster.kill(leader);
        cluster.start(leader);
        let leads = || following.status().leader.filter(|_| following.status().term > term);
        assert!(cluster.world.run_until(LONG, || leads().is_some()));
        again += usize::from(leads() == Some(leader));
        let hears = cluster.world.run_until(LONG, || *told.lock());
        assert!(hears, "seed {seed}: whoever waits for an answer of that time waits on");
        cluster.end();
    }
    assert!(again > 0, "the other one has won each time");
}

#[test]
fn a_follower_that_does_not_answer_holds_up_a_hand_over_for_an_election_timeout_and_no_longer() {
    let gap = |seed| {
        let run = Run::new(seed, 3, 0);
        let first = run.cluster.group(run.leader).unwrap().followers()[0];
        run.cluster.pause(first);
        let since = run.cluster.world.now();
        assert!(run.hand_over(), "seed {seed}");
        let took = run.cluster.world.now() - since;
        run.cluster.end();
        took
    };
    let (_, most) = median_and_most("one does not answer", (0..seeds()).map(gap).collect());
    assert!(most < Duration::from_millis(700), "{most:?}");
}

#[test]
fn a_leader_that_dies_is_followed_within_an_election_and_what_it_was_handed_holds_up_nobody() {
    let gap = |seed| {
        let run = Run::new(seed, 3, 1);
        // so that it has what everybody writes when it dies
        run.cluster.disk(run.leader).set_faults(|faults| faults.hangs = true);
        run.cluster.world.run_for(Duration::from_millis(30));
        let since = run.cluster.world.now();
        run.cluster.kill(run.leader);
        run.gap(since)
    };
    let (median, most) = median_and_most("killed", (0..seeds() * 5).map(gap).collect());
    assert!(median < Duration::from_millis(500), "{median:?}");
    assert!(most < Duration::from_millis(1_500), "{most:?}");
}

#[test]
fn each_of_many_leaders_that_die_one_after_the_other_is_followed_as_soon_as_the_first() {
    let gaps = |seed| {
        let cluster = Cluster::of(seed, 3, None);
        (0..6).map(move |_| {
            let leader = cluster.elect().unwrap();
            // the other two may differ in what they have, and one of them stands in vain
            let alive = cluster.running().into_keys().find(|id| *id != leader).unwrap();
            cluster.network.cut(leader, alive);
            let group = cluster.group(leader).unwrap();
            cluster.world.spawn_on(leader, async move { drop(group.propose(write()).await) });
            cluster.world.run_for(Duration::from_millis(20));
            cluster.network.heal();
            let since = cluster.world.now();
            cluster.kill(leader);
            let others = || {
                cluster
                    .running()
                    .into_values()
                    .any(|group| group.status().leader.is_some_and(|id| id != leader))
            };
            assert!(cluster.world.run_until(LONG, others), "seed {seed}");
            let gap = cluster.world.now() - since;
            cluster.start(leader);
            cluster.world.run_for(Duration::from_secs(1));
            gap
        })
    };
    let (median, most) = median_and_most("killed again and again", (0..seeds()).flat_map(gaps).collect());
    assert!(median < Duration::from_millis(500), "{median:?}");
    assert!(most < Duration::from_millis(1_500), "{most:?}");
}
