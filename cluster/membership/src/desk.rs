//! What a node answers to others about the cluster: who it knows, whether it founds with them, a number for who joins, a
//! lease for who renews.
//!
//! Invariant: what a node agrees to, its place in a cluster, is on its disk before it says so.

use crate::answering::{Voting, check_speaker};
use crate::dialer::Dialer;
use crate::directory::{Directory, Place};
use crate::gathering::Gathering;
use crate::hello::Introduction;
use crate::keeping::{Keeping, Manner};
use crate::messages::{candidate_from, candidate_to, founder, voter_addresses};
use crate::recognition::PeerNode;
use crate::seating::{self, Retired};
use crate::seats::Rules;
use crate::settings::Settings;
use crate::verdicts::{propose, refused};
use arsenal_proto::internal;
use arsenal_proto::internal::v1::membership_service_server::MembershipService;
use arsenal_proto::internal::v1::{
    CampaignRequest, CampaignResponse, DiscoverRequest, DiscoverResponse, DismissRequest, DismissResponse,
    FoundRequest, FoundResponse, Hello, JoinRequest, JoinResponse, ReachRequest, ReachResponse, RenewRequest,
    RenewResponse, RetireRequest, RetireResponse, SeatRequest, SeatResponse, VoterAddress,
};
use arsenal_raft::nodes::{Candidate, NodeCommand, NodePhase};
use arsenal_raft::{Group, Picture};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

/// Nodes that are taken note of while a cluster gathers.
const KNOWN_MAX: usize = 1_024;
/// Voters that are remembered from hearsay.
const CONTACTS_MAX: usize = 32;

/// A life of a node, as it renews its session.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) node: u32,
    pub(crate) incarnation: u32,
    /// Drawn by the process that lives it.
    pub(crate) drawn: u64,
    pub(crate) address: Arc<str>,
    pub(crate) zone: Arc<str>,
    pub(crate) manner: Manner,
}

/// What all parts of a node's membership share.
pub(crate) struct Shared {
    pub(crate) dialer: Dialer,
    pub(crate) directory: Mutex<Directory>,
    pub(crate) gathering: Mutex<Gathering>,
    /// The node's place, once it has one.
    pub(crate) settled: watch::Sender<Option<Place>>,
    /// The node's voter, while there is one.
    pub(crate) voting: watch::Sender<Option<Voting>>,
    /// Voters that this node has heard of, and where each serves.
    pub(crate) contacts: Mutex<BTreeMap<u64, String>>,
    /// The sessions that this node keeps, while it leads.
    pub(crate) keeping: Mutex<Option<Keeping>>,
    pub(crate) settings: Settings,
    /// Held by who changes the members of the replicated log, while this node leads.
    pub(crate) changing: Arc<Semaphore>,
    /// Whether this node's session is open.
    pub(crate) opened: watch::Sender<bool>,
    /// Whether this node was told to end because it is taken out.
    pub(crate) dismissed: watch::Sender<bool>,
    began: Instant,
}

impl Shared {
    pub(crate) fn new(directory: Directory, own: Candidate, settings: Settings, dialer: Dialer) -> Self {
        let settled = watch::Sender::new(directory.identity().cluster.clone());
        let contacts = Mutex::new(directory.voters().read());
        Self {
            dialer,
            directory: Mutex::new(directory),
            gathering: Mutex::new(Gathering::new(own, settings.bootstrap_expect)),
            settled,
            voting: watch::Sender::new(None),
            contacts,
            keeping: Mutex::default(),
            settings,
            changing: Arc::new(Semaphore::new(1)),
            opened: watch::Sender::new(false),
            dismissed: watch::Sender::new(false),
            began: Instant::now(),
        }
    }

    /// The time of the leases that this node keeps.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// How voters are chosen.
    pub(crate) fn rules(&self) -> Rules {
        let Settings { voters, replace_after, forget_after, .. } = self.settings;
        Rules { voters, replace_after, forget_after }
    }

    /// What each node said of itself, while this node leads.
    pub(crate) fn manners(&self) -> BTreeMap<u32, Manner> {
        self.keeping.lock().as_ref().map(Keeping::manners).unwrap_or_default()
    }

    /// As whom this node speaks.
    pub(crate) fn introduction(&self) -> Introduction {
        let introduction = match &*self.settled.borrow() {
            Some(place) => Introduction::new(place.id, u64::from(place.node)),
            None => Introduction::new(0, 0),
        };
        match &*self.voting.borrow() {
            Some(voting) => introduction.since(voting.agreed()),
            None => introduction,
        }
    }

    /// Who asks; `peer` is the node that sent it, where that is known.
    fn check(&self, peer: Option<&PeerNode>, hello: Option<Hello>) -> Result<Hello, Status> {
        let hello = hello.ok_or_else(|| Status::invalid_argument("`hello` says who asks, and is missing"))?;
        self.introduction().agree(&hello).map_err(Status::failed_precondition)?;
        self.check_speaker(peer, hello.node)?;
        Ok(hello)
    }

    fn check_speaker(&self, peer: Option<&PeerNode>, node: u64) -> Result<(), Status> {
        let voting = self.voting.borrow();
        // before there is a voter nobody knows which node is where
        let checked = voting.as_ref().map_or(Ok(()), |voting| check_speaker(&voting.group, peer, node));
        checked.map_err(Status::permission_denied)
    }

    pub(crate) fn group(&self) -> Result<Group, Status> {
        let voting = self.voting.borrow();
        let none = || Status::unavailable("this node is in no cluster yet");
        voting.as_ref().map(|voting| voting.group.clone()).ok_or_else(none)
    }

    /// Puts this node into a cluster, unless it is in one. Gives its place, the one it had if it had one.
    pub(crate) fn settle(&self, place: Place) -> Result<Place, Status> {
        let mut directory = self.directory.lock();
        if let Some(place) = &directory.identity().cluster {
            return Ok(place.clone());
        }
        directory.settle(place.clone()).map_err(|error| Status::internal(error.to_string()))?;
        self.settled.send_replace(Some(place.clone()));
        Ok(place)
    }

    /// Who votes, as far as this node knows.
    fn voters(&self) -> Vec<VoterAddress> {
        self.group().map(|group| voter_addresses(&group)).unwrap_or_default()
    }

    /// Somebody has told who votes.
    pub(crate) fn hear_of(&self, voters: Vec<VoterAddress>) {
        let mut contacts = self.contacts.lock();
        if contacts.len() + voters.len() > CONTACTS_MAX {
            // of long ago, for the most part
            contacts.clear();
        }
        let heard = voters.into_iter().take(CONTACTS_MAX);
        contacts.extend(heard.map(|voter| (voter.node, voter.address)));
    }

    /// Somebody has told of itself and of whom it knows. Who is in a cluster gathers no more: the voters know of all nodes. While
    /// nobody more is taken note of, who is in a cluster still is: this one is about to join it.
    pub(crate) fn hear(
        &self,
        candidate: internal::v1::Candidate,
        known: Vec<internal::v1::Candidate>,
        in_cluster: bool,
    ) {
        let mut gathering = self.gathering.lock();
        let room = KNOWN_MAX.saturating_sub(gathering.known().len());
        if self.settled.borrow().is_none() && (room > 0 || in_cluster) {
            let known: Vec<Candidate> = known.into_iter().take(room).map(candidate_from).collect();
            gathering.hear(candidate_from(candidate), &known, in_cluster);
        }
    }

    /// Where a node serves, as far as the replicated state tells.
    pub(crate) fn address_of(&self, group: &Group, node: u64) -> Option<Arc<str>> {
        let node = u32::try_from(node).ok()?;
        group.look(|state| {
            state.nodes().nodes().get(&node).map(|record| Arc::clone(&record.candidate.address))
        })
    }

    /// Whether the log is sent to a node, as of the log index that goes with it.
    pub(crate) fn follows_log(&self, node: u32) -> Result<(u64, bool), Status> {
        let (group, id) = (self.group()?, u64::from(node));
        // what is being agreed on counts as well: who is admitted follows the log from then on
        let status = group.status();
        let soon = status.voters.contains(&id) || status.learners.contains(&id);
        let of = |picture: &Picture<'_>| picture.voters.contains_key(&id) || picture.learners.contains(&id);
        let (index, now) = group.picture(|picture| (picture.index, of(picture)));
        Ok((index, now || soon))
    }

    /// Renews a session as its keeper.
    pub(crate) async fn renew(&self, life: &Life) -> Result<Duration, Status> {
        let group = self.group()?;
        let not_leading = || Status::unavailable("this node does not lead");
        let (keeper, term) = {
            // taken note of before anything is looked up: what ends the session must not pass between
            let mut keeping = self.keeping.lock();
            let keeping = keeping.as_mut().ok_or_else(not_leading)?;
            if !keeping.renew(life.node, life.manner, self.now()) {
                return Err(Status::unavailable("the end of this session is being agreed on"));
            }
            (keeping.keeper, keeping.term)
        };
        let is_open = group.look(|state| {
            state.nodes().nodes().get(&life.node).is_some_and(|record| {
                matches!(record.phase, NodePhase::Up | NodePhase::Leaving)
                    && (record.incarnation, record.life, record.keeper)
                        == (life.incarnation, life.drawn, keeper)
                    && record.candidate.address == life.address
                    && record.candidate.zone == life.zone
            })
        });
        if is_open {
            let unconfirmed = |error: arsenal_raft::ReadError| Status::unavailable(error.to_string());
            group.synchronize().await.map_err(unconfirmed)?;
        } else {
            propose(&group, open(life, keeper)).await?.map_err(|refusal| refused(&refusal))?;
        }
        // in the same term a leader was never deposed: the quorum that has just agreed was its own
        let status = group.status();
        if status.leader != Some(status.id) || status.term != term {
            return Err(not_leading());
        }
        Ok(self.settings.lease)
    }
}

fn open(life: &Life, keeper: u64) -> NodeCommand {
    NodeCommand::Open {
        node: life.node,
        incarnation: life.incarnation,
        life: life.drawn,
        address: Arc::clone(&life.address),
        zone: Arc::clone(&life.zone),
        keeper,
    }
}

/// Who sent a request, where that is known, and what it says.
fn apart<T>(request: Request<T>) -> (Option<PeerNode>, T) {
    (PeerNode::of(request.extensions()).cloned(), request.into_inner())
}

/// Answers other nodes.
#[derive(Clone)]
pub struct Desk(pub(crate) Arc<Shared>);

#[tonic::async_trait]
impl MembershipService for Desk {
    async fn discover(
        &self,
        request: Request<DiscoverRequest>,
    ) -> Result<Response<DiscoverResponse>, Status> {
        let (peer, request) = apart(request);
        let DiscoverRequest { hello, candidate, known } = request;
        let hello = self.0.check(peer.as_ref(), hello)?;
        if let Some(candidate) = candidate {
            self.0.hear(candidate, known, hello.cluster != 0);
        }
        let gathering = self.0.gathering.lock();
        Ok(Response::new(DiscoverResponse {
            hello: Some(self.0.introduction().hello()),
            candidate: Some(candidate_to(gathering.own())),
            known: gathering.known().iter().map(candidate_to).collect(),
            voters: self.0.voters(),
        }))
    }

    async fn found(&self, request: Request<FoundRequest>) -> Result<Response<FoundResponse>, Status> {
        let (peer, request) = apart(request);
        let FoundRequest { hello, cluster, nodes } = request;
        self.0.check(peer.as_ref(), hello)?;
        let identity = self.0.directory.lock().identity().identity;
        let nodes: Vec<Candidate> = nodes.into_iter().map(candidate_from).collect();
        let node = (1..).zip(&nodes).find(|(_, node)| node.identity == identity).map(|(node, _)| node);
        let node =
            node.ok_or_else(|| Status::failed_precondition("this node is not among the first ones"))?;
        let founders = nodes.iter().map(founder).collect();
        let place = self.0.settle(Place { id: cluster, node, founding: false, founders })?;
        if place.id != cluster {
            let reason = format!("this node belongs to cluster {:016x} already", place.id);
            return Err(Status::failed_precondition(reason));
        }
        Ok(Response::new(FoundResponse {}))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinResponse>, Status> {
        let (peer, JoinRequest { hello, candidate }) = apart(request);
        self.0.check(peer.as_ref(), hello)?;
        let candidate = candidate.ok_or_else(|| Status::invalid_argument("`candidate` is missing"))?;
        let joined = propose(&self.0.group()?, NodeCommand::Join(candidate_from(candidate))).await?;
        let (node, _) = joined.map_err(|refusal| refused(&refusal))?;
        let (cluster, voters) = (self.0.introduction().cluster, self.0.voters());
        Ok(Response::new(JoinResponse { cluster, node, voters }))
    }

    async fn renew(&self, request: Request<RenewRequest>) -> Result<Response<RenewResponse>, Status> {
        let (peer, request) = apart(request);
        let RenewRequest { hello, node, incarnation, life, address, zone, abstains } = request;
        let hello = self.0.check(peer.as_ref(), hello)?;
        self.0.check_speaker(peer.as_ref(), u64::from(node))?;
        let manner = Manner { abstains, protocol: hello.protocol_max };
        let (address, zone) = (address.into(), zone.into());
        let lease = self.0.renew(&Life { node, incarnation, drawn: life, address, zone, manner }).await?;
        let lease_ms = u32::try_from(lease.as_millis()).unwrap_or(u32::MAX);
        let (index, follows_log) = self.0.follows_log(node)?;
        Ok(Response::new(RenewResponse { lease_ms, index, follows_log }))
    }

    async fn campaign(
        &self,
        request: Request<CampaignRequest>,
    ) -> Result<Response<CampaignResponse>, Status> {
        let (peer, CampaignRequest { hello }) = apart(request);
        self.0.check(peer.as_ref(), hello)?;
        let group = self.0.group()?;
        let status = group.status();
        if !status.voters.contains(&status.id) {
            return Err(Status::failed_precondition("this node is no voter"));
        }
        group.campaign().await;
        Ok(Response::new(CampaignResponse {}))
    }

    async fn seat(&self, request: Request<SeatRequest>) -> Result<Response<SeatResponse>, Status> {
        let (peer, request) = apart(request);
        let SeatRequest { hello, node } = request;
        self.0.check(peer.as_ref(), hello)?;
        seating::give_vote(&self.0, node).await?;
        Ok(Response::new(SeatResponse {}))
    }

    async fn retire(&self, request: Request<RetireRequest>) -> Result<Response<RetireResponse>, Status> {
        let (peer, request) = apart(request);
        let RetireRequest { hello, node, dry_run, expect_down } = request;
        self.0.check(peer.as_ref(), hello)?;
        let retired = seating::retire(&self.0, node, dry_run, expect_down).await?;
        Ok(Response::new(RetireResponse { quorum_lost: retired == Retired::QuorumLost }))
    }

    async fn dismiss(&self, request: Request<DismissRequest>) -> Result<Response<DismissResponse>, Status> {
        let (peer, request) = apart(request);
        let DismissRequest { hello, node, incarnation } = request;
        self.0.check(peer.as_ref(), hello)?;
        let own = self.0.settled.borrow().as_ref().map(|place| place.node);
        let life = self.0.directory.lock().identity().incarnation;
        if own != Some(node) || life != incarnation {
            let reason = format!("n{node} in incarnation {incarnation} is not who serves here");
            return Err(Status::failed_precondition(reason));
        }
        tracing::info!("this node is taken out of its cluster");
        self.0.dismissed.send_replace(true);
        Ok(Response::new(DismissResponse {}))
    }

    async fn reach(&self, request: Request<ReachRequest>) -> Result<Response<ReachResponse>, Status> {
        let (peer, request) = apart(request);
        let ReachRequest { hello, index } = request;
        self.0.check(peer.as_ref(), hello)?;
        let stops = |_| Status::unavailable("this node stops");
        let mut applied = self.0.group()?.applied();
        applied.wait_for(|applied| *applied >= index).await.map_err(stops)?;
        self.0.opened.subscribe().wait_for(|opened| *opened).await.map_err(stops)?;
        Ok(Response::new(ReachResponse {}))
    }
}
