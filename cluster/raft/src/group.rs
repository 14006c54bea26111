//! A node's part in the group, by the log or by a view: what its owner does with it.

use crate::codec::Encode;
use crate::command::{Command, Outcome, Proposal, join};
use crate::config::Config;
use crate::core::Core;
use crate::disk::Disk;
use crate::errors::{MembershipError, ProposeError, ReadError, StartError};
use crate::feed::Copies;
use crate::gate::Gate;
use crate::machine::{Observer, Picture, View};
use crate::network::Network;
use crate::proposer::{self, Claim, Item, Placing};
use crate::reader::{self, Request};
use crate::receiver::Receiver;
use crate::runtime::{Instant, Runtime};
use crate::seat::{OpenDisk, Place};
use crate::state::State;
use crate::transport::{Placement, Transport};
use crate::types::{LogId, NodeId, Voter};
use crate::watchdog::End;
use bytes::Bytes;
use futures_util::future::{Either, select};
use openraft::{AsyncRuntime as _, ChangeMembers};
use parking_lot::RwLock;
use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

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
        let core = Arc::new(Core {
            config,
            view: View::new(Runtime::random()),
            gate,
            network,
            place: Place::new(open_disk, end),
            contacts: RwLock::default(),
            copies: Copies::default(),
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
    /// If this voter does not lead, or stops leading.
    pub async fn add_learner(&self, id: NodeId, voter: Voter) -> Result<(), MembershipError> {
        let voting = self.core.voting()?;
        let failed = |error: String| MembershipError(error);
        let added =
            voting.raft.add_learner(id, voter, true).await.map_err(|error| failed(error.to_string()))?;
        // openraft takes a follower for caught up that lags behind by less than after what it would send a snapshot
        let has = |log_id: &Option<LogId>| log_id.is_some_and(|log_id| log_id >= added.log_id);
        let mut metrics = voting.raft.metrics();
        let caught_up = metrics.wait_for(|metrics| {
            let known = metrics.replication.as_ref();
            known.is_none_or(|known| known.get(&id).is_some_and(has))
        });
        let leads = caught_up.await.is_ok_and(|metrics| metrics.replication.is_some());
        if leads { Ok(()) } else { Err(failed("this voter leads no more".to_owned())) }
    }

    /// Makes these members the voters; returns once both the old and the new ones have agreed. On the leader.
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

    /// Stands for election now: how a leader that is about to leave is followed by a chosen one.
    pub async fn campaign(&self) {
        if let Some(voting) = self.core.place.voting() {
            // it has stopped otherwise, and then there is nothing to do
            let _ = voting.raft.trigger().elect().await;
        }
    }

    /// Has a command committed and applied on this voter. Its outcome is what this voter's own state gave, so that a
    /// local read that follows sees it.
    ///
    /// # Errors
    /// All but [`ProposeError::Unknown`] mean that nothing was proposed.
    pub async fn propose(&self, command: Command) -> Result<Outcome, ProposeError> {
        let serial = self.serials.fetch_add(1, Relaxed);
        let (origin, outcome) = self.core.view.expect(serial);
        let followed = self.follow(Proposal { origin, command }, outcome).await;
        self.core.view.forget(serial);
        followed
    }

    async fn follow(
        &self,
        proposal: Proposal,
        mut outcome: oneshot::Receiver<Outcome>,
    ) -> Result<Outcome, ProposeError> {
        let config = &self.core.config;
        let bytes = proposal.to_bytes();
        if bytes.len() > config.proposal_bytes_max {
            return Err(ProposeError::TooLarge { bytes: bytes.len(), bytes_max: config.proposal_bytes_max });
        }
        // what no voter could read would end every one of them
        Proposal::from_bytes(&bytes)?;
        let proposals = join([bytes.as_slice()]);
        let deadline = Runtime::now() + config.propose_timeout;
        loop {
            self.core.gate.check().map_err(ProposeError::Unavailable)?;
            let leader = self.core.leader();
            let placing = self.enqueue(proposals.clone(), false)?;
            match self.fate(&mut outcome, placing, leader, deadline).await {
                Some(fate) => return fate,
                None if Runtime::now() >= deadline => {
                    return Err(ProposeError::Unavailable("no leader takes it".to_owned()));
                }
                None => Runtime::sleep(RETRY_PAUSE).await,
            }
        }
    }

    fn enqueue(&self, proposals: Bytes, forwarded: bool) -> Result<Placing, ProposeError> {
        let (told, placed) = oneshot::channel();
        let claim = Claim::default();
        let item = Item { proposals, forwarded, claim: claim.clone(), placed: told };
        self.queue.try_send(item).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ProposeError::Busy(self.core.config.queue_max),
            mpsc::error::TrySendError::Closed(_) => ProposeError::Unavailable("this voter stops".to_owned()),
        })?;
        Ok(Placing { claim, placed })
    }

    /// Waits for something until `deadline`, and no longer than a quorum is in sight. Else gives why it waits no more.
    async fn wait<T>(
        &self,
        deadline: Instant,
        mut future: impl Future<Output = T> + Unpin + Send,
    ) -> Result<T, String> {
        loop {
            let until = deadline.min(self.core.gate.closes());
            if let Ok(output) = Runtime::timeout_at(until, &mut future).await {
                return Ok(output);
            }
            self.core.gate.check()?;
            if Runtime::now() >= deadline {
                return Err("the time is over".to_owned());
            }
        }
    }

    /// What became of a proposal; nothing if it was certainly not taken.
    async fn fate(
        &self,
        outcome: &mut oneshot::Receiver<Outcome>,
        Placing { claim, placed }: Placing,
        leader: Option<NodeId>,
        deadline: Instant,
    ) -> Option<Result<Outcome, ProposeError>> {
        let placement = match self.wait(deadline, select(&mut *outcome, placed)).await {
            Ok(Either::Left((outcome, _))) => return Some(outcome.map_err(|_| ProposeError::Unknown)),
            Ok(Either::Right((placement, _))) => placement.unwrap_or(Placement::Unknown),
            // no batch has it, and none will
            Err(reason) if claim.take() => return Some(Err(ProposeError::Unavailable(reason))),
            Err(_) => return Some(Err(ProposeError::Unknown)),
        };
        match placement {
            Placement::Refused => return None,
            Placement::Committed(index) => {
                // a snapshot may carry the state past it, and then its outcome is not known here
                let _ = self.wait(deadline, pin!(self.core.view.reach(index))).await;
                return Some(outcome.try_recv().map_err(|_| ProposeError::Unknown));
            }
            Placement::Unknown => {}
        }
        // what another leader took over of it is applied soon after that begins to lead, or never
        let overtaken = async {
            match leader {
                Some(leader) => self.core.superseded(leader).await,
                None => std::future::pending().await,
            }
            Runtime::sleep(self.core.config.election_timeout * 2).await;
        };
        let late = match self.wait(deadline, select(outcome, pin!(overtaken))).await {
            Ok(Either::Left((outcome, _))) => outcome.ok(),
            Ok(Either::Right(_)) | Err(_) => None,
        };
        Some(late.ok_or(ProposeError::Unknown))
    }

    /// Has proposals of another voter committed, if this one leads.
    pub(crate) async fn propose_for(&self, proposals: Bytes) -> Placement {
        if self.core.gate.check().is_err() {
            return Placement::Refused;
        }
        let Ok(Placing { claim, placed }) = self.enqueue(proposals, true) else { return Placement::Refused };
        let deadline = Runtime::now() + self.core.config.propose_timeout;
        match self.wait(deadline, placed).await {
            Ok(placement) => placement.unwrap_or(Placement::Unknown),
            Err(_) if claim.take() => Placement::Refused,
            Err(_) => Placement::Unknown,
        }
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

    /// Answers a frame of another voter.
    pub async fn receive(&self, frame: Bytes) -> Bytes {
        self.receiver.receive(self, &self.core, &frame).await
    }

    /// The other voters and how far each has the log, whoever has the most first. On the leader; empty elsewhere.
    pub fn followers(&self) -> Vec<(NodeId, u64)> {
        let Some(voting) = self.core.place.voting() else { return Vec::new() };
        let metrics = voting.raft.metrics().borrow().clone();
        let voters: BTreeSet<NodeId> = metrics.membership_config.voter_ids().collect();
        let matched = metrics.replication.into_iter().flatten();
        let matched = matched.filter(|(id, _)| *id != self.core.config.id && voters.contains(id));
        let mut followers: Vec<(NodeId, u64)> =
            matched.map(|(id, log_id)| (id, log_id.map_or(0, |log_id| log_id.index))).collect();
        followers.sort_by_key(|(id, index)| (std::cmp::Reverse(*index), *id));
        followers
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
            return Status { id, leader, term, applied, snapshot: 0, purged: 0, voters, learners };
        };
        let index = |log_id: Option<LogId>| log_id.map_or(0, |log_id| log_id.index);
        let metrics = voting.raft.metrics().borrow().clone();
        Status {
            id,
            leader: metrics.current_leader,
            term: metrics.current_term,
            applied,
            snapshot: index(metrics.snapshot),
            purged: index(metrics.purged),
            voters: metrics.membership_config.voter_ids().collect(),
            learners: metrics.membership_config.membership().learner_ids().collect(),
        }
    }

    /// Stops in order. The log stays as it is.
    pub async fn shutdown(&self) {
        self.core.place.stop().await;
    }
}
