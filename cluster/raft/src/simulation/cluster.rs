//! A group of voters, and of nodes with views, in a simulated world: start, kill, pause, cut, and see what each knows.

use super::disk::MemoryDisk;
use super::network::Network;
use super::world::{OUTSIDE, World};
use crate::config::Config;
use crate::disk::Disk;
use crate::errors::StartError;
use crate::group::Group;
use crate::seat::OpenDisk;
use crate::types::{NodeId, Voter};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Voters, their disks and the network between them. Clones are the same cluster.
#[derive(Clone)]
pub struct Cluster {
    /// The world that it is in.
    pub world: World,
    /// The network between the voters.
    pub network: Network,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    disks: BTreeMap<NodeId, MemoryDisk>,
    running: BTreeMap<NodeId, Group>,
    starting: BTreeSet<NodeId>,
    /// Those that begin with a view, and whom each asks first.
    views: BTreeMap<NodeId, BTreeMap<NodeId, Voter>>,
    /// Why voters ended by themselves.
    ended: Vec<(NodeId, String)>,
    refused: Vec<(NodeId, String)>,
    change: Option<fn(&mut Config)>,
}

impl Cluster {
    /// A cluster of nobody yet. `change` is made to every voter's settings.
    pub fn new(seed: u64, change: Option<fn(&mut Config)>) -> Self {
        let world = World::new(seed);
        let network = Network::new(&world);
        Self { world, network, inner: Arc::new(Mutex::new(Inner { change, ..Inner::default() })) }
    }

    /// Voters 1 to `count`, started and made the first voters.
    pub fn of(seed: u64, count: u64, change: Option<fn(&mut Config)>) -> Self {
        let cluster = Self::new(seed, change);
        (1..=count).for_each(|id| cluster.start(id));
        let voters = (1..=count).map(|id| (id, Voter { address: format!("voter-{id}") })).collect();
        let first = cluster.clone();
        cluster.world.spawn_on(1, async move {
            first.world.sleep(Duration::from_millis(1)).await;
            if let Some(group) = first.group(1) {
                // the test sees by the lack of a leader if this fails
                let _ = group.initialize(voters).await;
            }
        });
        cluster
    }

    /// A voter's disk, which outlives it.
    pub fn disk(&self, id: NodeId) -> MemoryDisk {
        self.inner.lock().disks.entry(id).or_insert_with(|| MemoryDisk::new(&self.world)).clone()
    }

    /// Starts a node with a view, which asks these for the state; it comes back with a view, unless its disk has a log.
    pub fn start_view(&self, id: NodeId, contacts: impl IntoIterator<Item = NodeId>) {
        let contacts = contacts.into_iter().map(|id| (id, Voter { address: format!("voter-{id}") }));
        self.inner.lock().views.insert(id, contacts.collect());
        self.start(id);
    }

    /// Starts a voter with what its disk holds.
    pub fn start(&self, id: NodeId) {
        let disk = Arc::new(self.disk(id));
        let has_log = disk.list().is_ok_and(|names| names.iter().any(|name| name.starts_with("log-")));
        let contacts = self.inner.lock().views.get(&id).cloned().unwrap_or_default();
        let has_view = !has_log && !contacts.is_empty();
        self.inner.lock().starting.insert(id);
        let mut config = Config::new(id, 7);
        if let Some(change) = self.inner.lock().change {
            change(&mut config);
        }
        let cluster = self.clone();
        let end = {
            let cluster = self.clone();
            Arc::new(move |reason: String| cluster.ended(id, reason))
        };
        let link = self.network.link(id);
        self.world.spawn_on(id, async move {
            let open_disk: OpenDisk = Arc::new(move || Ok(Arc::clone(&disk) as Arc<dyn Disk>));
            let started = if has_view {
                Ok(Group::start_view(config, contacts, open_disk, link, end).await)
            } else {
                let started = Group::start_on(config, open_disk, link, end).await;
                // it may be forgotten before it has anything by which it would know whom to ask
                started.inspect(|group| group.set_contacts(contacts))
            };
            match started {
                Ok(group) => cluster.started(id, group),
                Err(error) => cluster.refused(id, &error),
            }
        });
    }

    fn started(&self, id: NodeId, group: Group) {
        let answering = group.clone();
        let handler = move |frame| {
            let group = answering.clone();
            let answer: std::pin::Pin<Box<dyn Future<Output = _> + Send>> =
                Box::pin(async move { group.receive(frame).await });
            answer
        };
        self.network.connect(id, Arc::new(handler));
        let mut inner = self.inner.lock();
        inner.starting.remove(&id);
        inner.running.insert(id, group);
    }

    fn refused(&self, id: NodeId, error: &StartError) {
        self.inner.lock().refused.push((id, error.to_string()));
        let cluster = self.clone();
        self.world.spawn_on(OUTSIDE, async move { cluster.kill(id) });
    }

    /// A voter that cannot go on ends, as its process would, a moment later.
    fn ended(&self, id: NodeId, reason: String) {
        self.inner.lock().ended.push((id, reason));
        let cluster = self.clone();
        self.world.spawn_on(OUTSIDE, async move { cluster.kill(id) });
    }

    /// Kills a voter where it stands, with its machine: what its disk had not synced is lost.
    pub fn kill(&self, id: NodeId) {
        self.network.disconnect(id);
        let gone = {
            let mut inner = self.inner.lock();
            inner.starting.remove(&id);
            inner.running.remove(&id)
        };
        self.world.kill(id);
        self.world.within(id, || drop(gone));
        self.disk(id).crash();
    }

    /// Drops all voters and the world: without it their memory is never given back.
    pub fn end(&self) {
        self.network.disconnect_all();
        let gone = std::mem::take(&mut self.inner.lock().running);
        self.world.end();
        self.world.within(OUTSIDE, || drop(gone));
    }

    /// Pauses a voter, as SIGSTOP would.
    pub fn pause(&self, id: NodeId) {
        self.world.pause(id);
    }

    /// Lets a paused voter go on.
    pub fn resume(&self, id: NodeId) {
        self.world.resume(id);
    }

    /// Cuts one voter off from all others, in both directions.
    pub fn isolate(&self, id: NodeId) {
        for other in self.ids().into_iter().filter(|other| *other != id) {
            self.network.cut(id, other);
            self.network.cut(other, id);
        }
    }

    /// Everybody that was ever started.
    pub fn ids(&self) -> BTreeSet<NodeId> {
        self.inner.lock().disks.keys().copied().collect()
    }

    /// A voter that runs.
    pub fn group(&self, id: NodeId) -> Option<Group> {
        self.inner.lock().running.get(&id).cloned()
    }

    /// Everybody that neither runs nor starts.
    pub fn down(&self) -> Vec<NodeId> {
        let inner = self.inner.lock();
        let up = |id: &NodeId| inner.running.contains_key(id) || inner.starting.contains(id);
        inner.disks.keys().copied().filter(|id| !up(id)).collect()
    }

    /// Everybody that runs.
    pub fn running(&self) -> BTreeMap<NodeId, Group> {
        self.inner.lock().running.clone()
    }

    /// Why voters ended by themselves so far.
    pub fn ends(&self) -> Vec<(NodeId, String)> {
        self.inner.lock().ended.clone()
    }

    /// Why voters did not start so far.
    pub fn refusals(&self) -> Vec<(NodeId, String)> {
        self.inner.lock().refused.clone()
    }

    /// The leader that a quorum of all voters knows of.
    pub fn leader(&self) -> Option<NodeId> {
        let running = self.running();
        let mut votes: BTreeMap<(u64, NodeId), usize> = BTreeMap::new();
        let mut quorums: BTreeMap<(u64, NodeId), usize> = BTreeMap::new();
        for status in running.values().map(Group::status) {
            if let Some(leader) = status.leader.filter(|_| status.voters.contains(&status.id)) {
                *votes.entry((status.term, leader)).or_default() += 1;
                quorums.insert((status.term, leader), status.voters.len() / 2 + 1);
            }
        }
        let (_, leader) = votes.into_iter().rev().find(|(led, count)| Some(count) >= quorums.get(led))?.0;
        running.contains_key(&leader).then_some(leader)
    }

    /// Runs until there is a leader, for a minute of the world's time at most.
    pub fn elect(&self) -> Option<NodeId> {
        self.world.run_until(Duration::from_secs(60), || self.leader().is_some());
        self.leader()
    }

    /// Does something on a voter and runs until it is done; nothing after `limit` of the world's time.
    pub fn on<T: Send + 'static>(
        &self,
        id: NodeId,
        limit: Duration,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let done: Arc<Mutex<Option<T>>> = Arc::default();
        let seen = Arc::clone(&done);
        self.world.spawn_on(id, async move {
            let output = work.await;
            *seen.lock() = Some(output);
        });
        self.world.run_until(limit, || done.lock().is_some());
        done.lock().take()
    }
}
