//! One run: clients that use a few names, and a script of the seed's that kills, pauses, cuts and spoils meanwhile.

use super::checker::{Operation, is_linearizable};
use super::model::{Input, Output};
use arsenal_raft::simulation::cluster::Cluster;
use arsenal_raft::simulation::network::Weather;
use arsenal_raft::simulation::world::OUTSIDE;
use arsenal_raft::{Command, Config, Group, Outcome, ProposeError, Voter};
use arsenal_runtime::registry::{Command as Registry, RegistryError};
use arsenal_runtime::{Pid, Term};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const NAMES: u64 = 3;
const CLIENTS: u64 = 4;

/// What is planted in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bug {
    None,
    /// Who believes to lead answers a read from its state, without asking a quorum.
    UncheckedRead,
    /// Disks say that they synced, and did not.
    LostSync,
}

/// What was wrong with a run; empty if nothing was.
pub(crate) type Problems = Vec<String>;

#[derive(Default)]
struct History {
    places: u64,
    names: BTreeMap<u64, Vec<Operation>>,
}

impl History {
    fn place(&mut self) -> u64 {
        self.places += 1;
        self.places
    }
}

/// What a client learnt of its operation.
enum Learnt {
    Output(Output),
    /// It certainly had no effect, or could have none.
    Nothing,
    Unknown,
}

fn settings(config: &mut Config) {
    config.propose_timeout = Duration::from_secs(2);
    config.read_timeout = Duration::from_secs(1);
    config.disk_limit = Duration::from_secs(1);
    config.compaction_bytes = 12_000;
    config.batch_bytes_max = 1_000;
    config.segment_bytes_max = 4_000;
}

/// Runs a cluster of so many voters, and of so many nodes with views beside them, through `chaos` of trouble, and then lets it
/// heal. Where there are views, it changes all the while who votes. Problems, and how many operations there were.
pub(crate) fn run(seed: u64, (voters, views): (u64, u64), chaos: Duration, bug: Bug) -> (Problems, usize) {
    let cluster = Cluster::of(seed, voters, Some(settings));
    (voters + 1..=voters + views).for_each(|id| cluster.start_view(id, 1..=voters));
    if bug == Bug::LostSync {
        (1..=voters).for_each(|id| cluster.disk(id).set_faults(|faults| faults.lies = true));
    }
    let history: Arc<Mutex<History>> = Arc::default();
    let until = cluster.world.now() + chaos;
    for client in 1..=CLIENTS {
        cluster.world.spawn_on(OUTSIDE, live(cluster.clone(), Arc::clone(&history), client, until, bug));
    }
    cluster.world.spawn_on(OUTSIDE, trouble(cluster.clone(), until));
    if views > 0 {
        cluster.world.spawn_on(OUTSIDE, change_voters(cluster.clone(), until));
        cluster.world.spawn_on(OUTSIDE, tell_who_votes(cluster.clone()));
    }
    cluster.world.run_for(chaos);
    let mut problems = heal(&cluster);
    // clients that still wait learn their fate, so that nothing is open that need not be
    cluster.world.run_for(Duration::from_secs(4));
    cluster.end();
    let history = history.lock();
    for (name, operations) in &history.names {
        if !is_linearizable(operations) {
            problems.push(format!("name {name} is not linearizable:\n{}", written(operations)));
        }
        problems.extend(token_problem(operations).map(|problem| format!("name {name}: {problem}")));
    }
    let count = history.names.values().map(Vec::len).sum();
    (problems, count)
}

/// A history for whoever has to find out.
fn written(operations: &[Operation]) -> String {
    let line = |operation: &Operation| match &operation.returned {
        Some((at, output)) => format!("{}..{at} {:?} -> {output:?}", operation.called, operation.input),
        None => format!("{}.. {:?} -> ?", operation.called, operation.input),
    };
    operations.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A registration that was completed before another was asked for has the smaller token.
fn token_problem(operations: &[Operation]) -> Option<String> {
    let mut returned: Vec<(u64, u64, u64)> = Vec::new();
    for operation in operations {
        if let Some((at, Output::Registered { token })) = operation.returned {
            returned.push((operation.called, at, token));
        }
    }
    let wrong = returned.iter().flat_map(|first| returned.iter().map(move |second| (first, second)));
    wrong
        .filter(|((_, at, token), (called, _, next))| at < called && token >= next)
        .map(|(first, second)| format!("token {} came after {}", second.2, first.2))
        .next()
}

/// Ends all trouble, and sees whether the cluster heals by itself and everybody has the same state.
fn heal(cluster: &Cluster) -> Problems {
    cluster.network.heal();
    cluster.network.set_weather(Weather::default());
    for id in cluster.ids() {
        cluster.resume(id);
        cluster.disk(id).set_faults(|faults| {
            (faults.hangs, faults.fails, faults.full) = (false, false, false);
            faults.slowest = Duration::from_millis(2);
        });
    }
    // who hangs ends by its watchdog first
    cluster.world.run_for(Duration::from_secs(2));
    cluster.down().into_iter().for_each(|id| cluster.start(id));
    // a disk that fails at the start is no problem of ours; damage would be, since no bit was flipped
    let damaged = cluster.refusals().into_iter().filter(|(_, why)| why.contains("damaged"));
    let mut problems: Problems =
        damaged.map(|(id, why)| format!("voter {id} does not start: {why}")).collect();
    if cluster.elect().is_none() {
        problems.push(format!("no leader a minute after all trouble ended: {}", told(cluster)));
        return problems;
    }
    let applied = || {
        let groups = cluster.running();
        let applied: Vec<u64> = groups.values().map(|group| group.status().applied).collect();
        applied.len() == cluster.ids().len() && applied.windows(2).all(|pair| pair[0] == pair[1])
    };
    let written = propose_anywhere(cluster);
    if written.is_none() {
        problems.push(format!("no write a minute after all trouble ended: {}", told(cluster)));
    }
    if !cluster.world.run_until(Duration::from_secs(60), applied) {
        problems.push(format!("a voter does not catch up: {}", told(cluster)));
        return problems;
    }
    let states: Vec<_> = cluster.running().values().map(|group| group.look(Clone::clone)).collect();
    if states.windows(2).any(|pair| pair[0] != pair[1]) {
        problems.push("voters differ".to_owned());
    }
    problems
}

fn told(cluster: &Cluster) -> String {
    let known: Vec<_> = cluster.running().values().map(Group::status).collect();
    format!("{known:?}, down {:?}, ended {:?}", cluster.down(), cluster.ends())
}

fn propose_anywhere(cluster: &Cluster) -> Option<()> {
    for _ in 0..60 {
        let (id, group) = cluster.running().into_iter().next()?;
        let command = Command::Registry(Registry::ProcessesDown { pids: vec![Pid::new(9, 9, 9)] });
        let proposed = cluster.on(id, Duration::from_secs(3), async move { group.propose(command).await });
        if matches!(proposed, Some(Ok(_))) {
            return Some(());
        }
        // a refusal takes no time
        cluster.world.run_for(Duration::from_secs(1));
    }
    None
}

/// A client: one operation after the other, on any voter.
async fn live(cluster: Cluster, history: Arc<Mutex<History>>, client: u64, until: Duration, bug: Bug) {
    let world = cluster.world.clone();
    let mut serial = 0;
    let mut versions: BTreeMap<u64, u64> = BTreeMap::new();
    while world.now() < until {
        world.sleep(Duration::from_millis(world.below(60))).await;
        let running: Vec<(u64, Group)> = cluster.running().into_iter().collect();
        if running.is_empty() {
            continue;
        }
        let (id, group) = running[world.below(running.len() as u64) as usize].clone();
        let name = world.below(NAMES);
        serial += 1;
        let pid = client * 1_000_000 + serial;
        let input = match world.below(10) {
            0..3 => Input::Register { pid },
            3 => Input::Unregister,
            4 => Input::SetMetadata { value: pid as i64, version: None },
            5 => Input::SetMetadata { value: pid as i64, version: versions.get(&name).copied() },
            _ => Input::Whereis,
        };
        let place = {
            let mut history = history.lock();
            let called = history.place();
            let operations = history.names.entry(name).or_default();
            operations.push(Operation { input: input.clone(), called, returned: None });
            operations.len() - 1
        };
        let learnt = ask(&cluster, id, group, name, input, bug).await;
        let mut history = history.lock();
        let returned = history.place();
        let Some(operation) = history.names.get_mut(&name).and_then(|operations| operations.get_mut(place))
        else {
            return;
        };
        match learnt {
            Learnt::Output(output) => {
                if let Output::Holder { version, .. } = output {
                    versions.insert(name, version);
                }
                operation.returned = Some((returned, output));
            }
            Learnt::Unknown => {}
            // never to take effect: a read without an answer says nothing about anything
            Learnt::Nothing => operation.input = Input::Whereis,
        }
    }
}

/// Asks a voter, on that voter: it dies with it, and stands still with it.
async fn ask(cluster: &Cluster, id: u64, group: Group, name: u64, input: Input, bug: Bug) -> Learnt {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let is_read = input == Input::Whereis;
    cluster.world.spawn_on(id, async move {
        // the client may have given up
        let _ = answer.send(perform(&group, name, input, bug).await);
    });
    let late = std::pin::pin!(cluster.world.sleep(Duration::from_millis(2500)));
    match futures_util::future::select(answered, late).await {
        futures_util::future::Either::Left((Ok(learnt), _)) => learnt,
        _ if is_read => Learnt::Nothing,
        _ => Learnt::Unknown,
    }
}

async fn perform(group: &Group, name: u64, input: Input, bug: Bug) -> Learnt {
    let key: Arc<str> = format!("name-{name}").into();
    let command = match input {
        Input::Whereis => return whereis(group, &key, bug).await,
        Input::Register { pid } => Registry::Register {
            name: key,
            pid: Pid::new(1, 1, pid),
            replace: false,
            allow_multiple: true,
            metadata: Term::Int(0),
            at_ms: 0,
        },
        Input::Unregister => Registry::Unregister { name: key, token: None },
        Input::SetMetadata { value, version } => {
            Registry::SetMetadata { name: key, version, patch: Term::Int(value) }
        }
    };
    let is_register = matches!(command, Registry::Register { .. });
    let is_change = matches!(command, Registry::SetMetadata { .. });
    match group.propose(Command::Registry(command)).await {
        Ok(Outcome::Registry(Ok(applied))) => Learnt::Output(match (is_register, is_change) {
            (true, _) => Output::Registered { token: applied.index },
            (_, true) => Output::Changed { version: applied.index },
            _ => Output::Unregistered,
        }),
        Ok(Outcome::Registry(Err(error))) => Learnt::Output(match error {
            RegistryError::NameTaken { holder, .. } => Output::Taken { holder: holder.serial },
            RegistryError::NotRegistered(_) => Output::NotRegistered,
            RegistryError::StaleVersion { version, .. } => Output::Stale { version },
            other => panic!("{other}"),
        }),
        Ok(Outcome::Node(outcome)) => panic!("no node was meant: {outcome:?}"),
        Err(ProposeError::Unknown) => Learnt::Unknown,
        Err(_) => Learnt::Nothing,
    }
}

async fn whereis(group: &Group, name: &str, bug: Bug) -> Learnt {
    let status = group.status();
    if bug == Bug::UncheckedRead {
        if status.leader != Some(status.id) {
            return Learnt::Nothing;
        }
    } else if group.synchronize().await.is_err() {
        return Learnt::Nothing;
    }
    Learnt::Output(group.look(|state| match state.registry().names().get(name) {
        None => Output::Nobody,
        Some(entry) => Output::Holder {
            pid: entry.pid.serial,
            token: entry.token,
            version: entry.version,
            metadata: entry.metadata.as_int().unwrap_or(-1),
        },
    }))
}

/// Has another node vote in the place of one that does, again and again.
async fn change_voters(cluster: Cluster, until: Duration) {
    let world = cluster.world.clone();
    let ids: Vec<u64> = cluster.ids().into_iter().collect();
    while world.now() < until {
        world.sleep(Duration::from_millis(300 + world.below(900))).await;
        let Some((leader, group)) = cluster.leader().and_then(|id| Some((id, cluster.group(id)?))) else {
            continue;
        };
        let mut voters = group.status().voters;
        let others: Vec<u64> = voters.iter().copied().filter(|id| *id != leader).collect();
        let spare: Vec<u64> = ids.iter().copied().filter(|id| !voters.contains(id)).collect();
        if others.is_empty() || spare.is_empty() {
            continue;
        }
        let newcomer = spare[world.below(spare.len() as u64) as usize];
        voters.remove(&others[world.below(others.len() as u64) as usize]);
        voters.insert(newcomer);
        world.spawn_on(leader, async move {
            // whoever leads may lead no more, or lead nobody: then all stays as it is
            let admitted = group.add_learner(newcomer, Voter { address: format!("voter-{newcomer}") }).await;
            if admitted.is_ok() {
                let _ = group.change_voters(voters).await;
            }
        });
    }
}

/// Tells each node to whom no log is sent any more that it is so, as a leader does with each renewal of its session.
async fn tell_who_votes(cluster: Cluster) {
    loop {
        cluster.world.sleep(Duration::from_millis(200)).await;
        let Some(leading) = cluster.leader().and_then(|id| cluster.group(id)) else { continue };
        let (index, agreed) = leading.picture(|picture| {
            let voters = picture.voters.keys().copied();
            (picture.index, voters.chain(picture.learners.iter().copied()).collect::<BTreeSet<_>>())
        });
        let soon = leading.status();
        for (id, group) in cluster.running() {
            let is_sent = agreed.contains(&id) || soon.voters.contains(&id) || soon.learners.contains(&id);
            if !is_sent && !group.is_view() {
                cluster.world.spawn_on(id, async move {
                    let _ = group.stand_down(index).await;
                });
            }
        }
    }
}

/// The script of a seed.
async fn trouble(cluster: Cluster, until: Duration) {
    let world = cluster.world.clone();
    let ids: Vec<u64> = cluster.ids().into_iter().collect();
    let anyone = |world: &arsenal_raft::simulation::world::World| ids[world.below(ids.len() as u64) as usize];
    loop {
        world.sleep(Duration::from_millis(50 + world.below(400))).await;
        if world.now() >= until {
            return;
        }
        for id in cluster.down() {
            if world.chance(500) {
                cluster.start(id);
            }
        }
        let one = if world.chance(400) { cluster.leader().unwrap_or(1) } else { anyone(&world) };
        let (another, third) = (anyone(&world), anyone(&world));
        match world.below(12) {
            0 | 1 => cluster.kill(one),
            2 => {
                cluster.pause(one);
                let (later, here) = (cluster.clone(), world.clone());
                let pause = Duration::from_millis(world.below(3000));
                world.spawn_on(OUTSIDE, async move {
                    here.sleep(pause).await;
                    later.resume(one);
                });
            }
            3 => cluster.isolate(one),
            4 => cluster.network.cut(one, another),
            // all that the others say to each other goes by one voter, or not at all
            5 => {
                let apart = ids.iter().flat_map(|a| ids.iter().map(move |b| (*a, *b)));
                apart
                    .filter(|(a, b)| a != b && *a != one && *b != one)
                    .for_each(|(a, b)| cluster.network.cut(a, b));
            }
            6 | 7 => cluster.network.heal(),
            8 => cluster.network.set_weather(Weather {
                fastest: Duration::from_micros(50),
                slowest: Duration::from_millis(1 + world.below(40)),
                lost_permille: world.below(150),
            }),
            9 => cluster.network.set_weather(Weather::default()),
            10 => {
                let slowest = Duration::from_millis(1 + world.below(150));
                cluster.disk(third).set_faults(|faults| faults.slowest = slowest);
            }
            _ => cluster.disk(third).set_faults(|faults| {
                (faults.hangs, faults.fails) = if world.chance(500) { (true, false) } else { (false, true) };
            }),
        }
    }
}
