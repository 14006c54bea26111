//! A node's part in the group, by the log or by a view: what its owner does with it.

use crate::config::Config;
use crate::core::Core;
use crate::disk::Disk;
use crate::election::Patience;
use crate::errors::{MembershipError, ReadError, StartError};
use crate::feed::Copies;
use crate::gate::Gate;
use crate::network::Network;
use crate::proposer::{self, Item};
use crate::reader::{self, Request};
use crate::receiver::Receiver;
use crate::runtime::Runtime;
use crate::seat::{OpenDisk, Place};
use crate::state::State;
use crate::transport::{Envelope, Transport, answer};
use crate::types::{LogId, NodeId, Voter};
use crate::view::{Observer, Picture, View};
use crate::watchdog::End;
use bytes::Bytes;
use openraft::{AsyncRuntime as _, ChangeMembers};
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

mod handover;
mod proposing;

/// After a refusal that is certain, the next try waits so long: an election takes several of it.
const RETRY_PAUSE: Duration = Duration::from_millis(25);

/// Linearizable reads that may wait.
const READS_MAX: usize = 65_536;

/// What a node knows of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Its number.
    pub id: NodeId,
    /// The leader it knows.
    pub leader: Option<NodeId>,
    /// The term it is in.
    pub term: u64,
    /// Log index of the last entry it has applied.
    pub applied: u64,
    /// Log index that its snapshot goes up to.
    pub snapshot: u64,
    /// Log index up to which its log is cut.
    pub purged: u64,
    /// The voters it knows.
    pub voters: BTreeSet<NodeId>,
    /// Those that follow the log without a vote.
    pub learners: BTreeSet<NodeId>,
    /// While former and next voters agree together, the next ones: `voters` has both until the change is finished.
    pub next_voters: Option<BTreeSet<NodeId>>,
}

/// A node's part in the group. Clones are the same part; it stops with [`Group::shutdown`].
#[derive(Clone)]
pub struct Group {
    core: Arc<Core>,
    queue: mpsc::Sender<Item>,
    reads: mpsc::Sender<Request>,
    receiver: Arc<Receiver>,
    serials: Arc<AtomicU64>,
}

impl Group {
    /// Starts a voter with what its disk holds. `end` is called, once, if it cannot go on; the process must not outlive
    /// it, since a voter that half works holds up the others.
    ///
    /// # Errors
    /// If its disk holds what cannot be used.
    pub async fn start(
        config: Config,
        disk: Arc<dyn Disk>,
        transport: Arc<dyn Transport>,
        end: End,
    ) -> Result<Self, StartError> {
        Self::start_on(config, Arc::new(move || Ok(Arc::clone(&disk))), transport, end).await
    }

    /// As [`Group::start`], with a disk that is opened again whenever the node begins to follow the log anew.
    ///
    /// # Errors
    /// If its disk holds what cannot be used.
    pub async fn start_on(
        config: Config,
        open_disk: OpenDisk,
        transport: Arc<dyn Transport>,
        end: End,
    ) -> Result<Self, StartError> {
        let group = Self::begin(config, open_disk, transport, end);
        group.core.place.take_log(&group.core).await?;
        Ok(group)
    }

    /// Starts a node whose state is fed by a voter: by those that it hears of, and first by these. Once a leader sends it
    /// the log, it follows that; `open_disk` is where, and refuses if it never is to.
    pub async fn start_view(
        config: Config,
        contacts: BTreeMap<NodeId, Voter>,
        open_disk: OpenDisk,
        transport: Arc<dyn Transport>,
        end: End,
    ) -> Self {
        let group = Self::begin(config, open_disk, transport, end);
        group.set_contacts(contacts);
        group.core.place.take_view(&group.core).await;
        group
    }

    fn begin(config: Config, open_disk: OpenDisk, transport: Arc<dyn Transport>, end: End) -> Self {
        let network = Network { cluster: config.cluster, own: config.id, transport };
        let (queue, queued) = mpsc::channel(config.queue_max);
        let (reads, reading) = mpsc::channel(READS_MAX);
        let gate = Gate::new(config.lease, config.election_timeout * 2);
        let patience = Patience::new(config.election_timeout);
        let core = Arc::new(Core {
            config,
            view: View::new(Runtime::random()),
            gate,
            patience,
            network,
            place: Place::new(open_disk, end),
            contacts: RwLock::default(),
            copies: Copies::default(),
            lets_go: AtomicBool::default(),
            handing_over: tokio::sync::Mutex::default(),
        });
        Runtime::detach(proposer::run(Arc::clone(&core), queued));
        Runtime::detach(reader::run(Arc::clone(&core), reading));
        Self { core, queue, reads, receiver: Arc::default(), serials: Arc::default() }
    }

    /// Whom to ask for the state while nobody else is known who tells it.
    pub fn set_contacts(&self, contacts: BTreeMap<NodeId, Voter>) {
        *self.core.contacts.write() = contacts;
    }

    /// Whether the state is fed by a voter, and not by the log.
    pub fn is_view(&self) -> bool {
        self.core.place.is_view()
    }

    /// Leaves the log for a view, where the voters agreed that it is not sent to this node any more: as a leader says that
    /// has applied what was agreed on up to `index`. Gives whether it did.
    pub async fn stand_down(&self, index: u64) -> bool {
        let Some(voting) = self.core.place.voting() else { return false };
        let known = Arc::clone(&voting.raft.server_metrics().borrow().membership_config);
        let since = known.log_id().map_or(0, |since| since.index);
        // what stands in this node's log may be newer than what the leader had applied: it may count on it since then
        let sent = known.membership().get_node(&self.core.config.id).is_some();
        if index == 0 || (sent && since >= index) {
            return false;
        }
        self.core.place.stand_down(&self.core, index).await;
        self.receiver.forget();
        true
    }

    /// Makes the first voters of a new cluster: to be called on one of them, once, when none of them holds anything.
    ///
    /// # Errors
    /// If this voter holds something already, or is not among them.
    pub async fn initialize(&self, voters: BTreeMap<NodeId, Voter>) -> Result<(), MembershipError> {
        self.core.voting()?.raft.initialize(voters).await.map_err(|error| MembershipError(error.to_string()))
    }

    /// Lets a node follow the log without a vote; returns once it has caught up. On the leader.
    ///
    /// # Errors
    /// If this voter does not lead, or stops leading, or the node is taken out before it has caught up.
    pub async fn add_learner(&self, id: NodeId, voter: Voter) -> Result<(), MembershipError> {
        let voting = self.core.voting()?;
        let failed = |error: String| MembershipError(error);
        // openraft would take a follower for caught up that lags behind by less than after what it would send a snapshot
        let added = voting.raft.add_learner(id, voter, false).await;
        let added = added.map_err(|error| failed(error.to_string()))?.log_id;
        let has = |log_id: &Option<LogId>| log_id.is_some_and(|log_id| log_id >= added);
        let mut metrics = voting.raft.metrics();
        let mut caught_up = Err("this voter leads no more".to_owned());
        let seen = metrics.wait_for(|metrics| {
            let Some(known) = &metrics.replication else { return true };
            let members = &metrics.membership_config;
            if known.get(&id).is_some_and(has) {
                caught_up = Ok(());
            } else if *members.log_id() > Some(added) && members.membership().get_node(&id).is_none() {
                caught_up = Err(format!("node {id} was taken out before it had caught up"));
            } else {
                return false;
            }
            true
        });
        seen.await.map_err(|_| failed("this voter stops".to_owned()))?;
        caught_up.map_err(failed)
    }

    /// Makes these members the voters; returns once both the old and the new ones have agreed. On the leader. If it stops
    /// leading or this is dropped in between, the two go on agreeing together until the voters are changed again, to
    /// [`Status::next_voters`] for one.
    ///
    /// # Errors
    /// If this voter does not lead, a change is going on, or one of them does not follow the log.
    pub async fn change_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), MembershipError> {
        let changed = self.core.voting()?.raft.change_membership(voters, false).await;
        changed.map(drop).map_err(|error| MembershipError(error.to_string()))
    }

    /// Forgets members that have no vote: the log is not sent to them any more. On the leader.
    ///
    /// # Errors
    /// If this voter does not lead, or a change is going on.
    pub async fn remove_learners(&self, ids: BTreeSet<NodeId>) -> Result<(), MembershipError> {
        let removed =
            self.core.voting()?.raft.change_membership(ChangeMembers::RemoveNodes(ids), false).await;
        removed.map(drop).map_err(|error| MembershipError(error.to_string()))
    }

    /// Looks at this voter's state, which may lag behind.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.core.view.look(look)
    }

    /// Looks at this voter's state and at who votes, as of one log index.
    pub fn picture<T>(&self, look: impl FnOnce(&Picture<'_>) -> T) -> T {
        self.core.view.picture(look)
    }

    /// Who votes, as far as this voter has applied, and how each is reached.
    pub fn voters(&self) -> BTreeMap<NodeId, Voter> {
        self.picture(|picture| picture.voters.clone())
    }

    /// Has `observer` told of all that becomes of this voter's state from now on, in order, each before its proposer here
    /// is told. It must neither block nor take long: the next entry waits for it.
    pub fn observe(&self, observer: Observer) {
        self.core.view.observe(observer);
    }

    /// Returns once this voter's state has every write that was completed anywhere before this call: a look after it is
    /// a linearizable read.
    ///
    /// # Errors
    /// If no quorum confirms it in time.
    pub async fn synchronize(&self) -> Result<(), ReadError> {
        let deadline = Runtime::now() + self.core.config.read_timeout;
        loop {
            self.core.gate.check().map_err(ReadError)?;
            let asked = self.wait(deadline, pin!(self.read_index(false))).await;
            let reason = match asked.unwrap_or_else(Err) {
                Ok(index) => {
                    let reached = self.wait(deadline, pin!(self.core.view.reach(index))).await;
                    return reached.map_err(|_| ReadError(format!("index {index} is not applied here yet")));
                }
                Err(reason) => reason,
            };
            if Runtime::now() + RETRY_PAUSE >= deadline {
                return Err(ReadError(reason));
            }
            Runtime::sleep(RETRY_PAUSE).await;
        }
    }

    /// Log index of the last write that was completed anywhere before this call, if not more.
    pub(crate) async fn read_index(&self, forwarded: bool) -> Result<u64, String> {
        let (index, answer) = oneshot::channel();
        let full = |_| format!("{READS_MAX} reads wait already, or this voter stops");
        self.reads.try_send(Request { forwarded, index }).map_err(full)?;
        answer.await.unwrap_or_else(|_| Err("this voter stops".to_owned()))
    }

    /// Answers a frame of another node, over a network in which each says who it is.
    pub async fn receive(&self, frame: Bytes) -> Bytes {
        self.receiver.receive(self, &self.core, &frame).await
    }

    /// Answers a frame that `sender` has sent, if it is not in another one's name.
    pub async fn receive_from(&self, sender: NodeId, frame: Bytes) -> Bytes {
        match Envelope::open(&frame) {
            Ok((Envelope { from, .. }, _)) if from != sender => {
                answer(Err(format!("a frame of node {from} was sent by node {sender}")))
            }
            // what cannot be read is refused there
            _ => self.receive(frame).await,
        }
    }

    /// Returns once this node knows of a later leader than that of this term, be it the same node once more.
    pub async fn superseded(&self, term: u64) {
        self.core.leads(|leadership| leadership.term > term).await;
    }

    /// Follows the log index of what is applied here. A receiver sees the newest and may miss those between.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.core.view.indexes()
    }

    /// What this node knows of the group.
    pub fn status(&self) -> Status {
        let (id, applied) = (self.core.config.id, self.core.view.index());
        let Some(voting) = self.core.place.voting() else {
            let outlook = *self.core.place.outlook.borrow();
            let (voters, learners, _) = self.core.view.members();
            let (leader, term) = (outlook.leader, outlook.term);
            let next_voters = None;
            return Status {
                id,
                leader,
                term,
                applied,
                snapshot: 0,
                purged: 0,
                voters,
                learners,
                next_voters,
            };
        };
        let index = |log_id: Option<LogId>| log_id.map_or(0, |log_id| log_id.index);
        let metrics = voting.raft.metrics().borrow().clone();
        let configs = metrics.membership_config.membership().get_joint_config();
        let next_voters = configs.last().filter(|_| configs.len() > 1).cloned();
        Status {
            id,
            leader: metrics.current_leader,
            term: metrics.current_term,
            applied,
            snapshot: index(metrics.snapshot),
            purged: index(metrics.purged),
            voters: metrics.membership_config.voter_ids().collect(),
            learners: metrics.membership_config.membership().learner_ids().collect(),
            next_voters,
        }
    }

    /// Stops in order. The log stays as it is.
    pub async fn shutdown(&self) {
        self.core.place.stop().await;
    }
}
