//! Letting a node in, and putting one out, on somebody's word, from whichever node is asked.
//!
//! Who is let in joins by itself, as if it had found the cluster by its seeds; who is put out ends by itself, as if its
//! program was told to stop. What is decided here is whether it may be, and when it is done: once every node that is up
//! has it in its part of the replicated state.

use crate::desk::Shared;
use crate::messages::candidate_to;
use crate::nodes::{Membership, Node, NodeState};
use crate::verdicts::propose;
use arsenal_proto::internal::v1::membership_service_client::MembershipServiceClient;
use arsenal_proto::internal::v1::{
    DiscoverRequest, DiscoverResponse, DismissRequest, ReachRequest, RetireRequest, SeatRequest,
};
use arsenal_raft::Group;
use arsenal_raft::nodes::{NodeCommand, NodePhase, NodeRefusal};
use futures_util::{StreamExt as _, stream};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How long a node at an address may take to say who it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a node may take to come up once it knows of the cluster.
const JOIN_MAX: Duration = Duration::from_secs(30);
/// How long the others may take to hear of it: one that is out of reach holds up nobody for longer.
const SPREAD_MAX: Duration = Duration::from_secs(5);
/// Nodes that are asked at a time.
const AT_ONCE: usize = 64;
/// While nobody leads, it is asked again so often.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// How long the leader may take: somebody catches up with the log, as the case may be.
const LEADER_MAX: Duration = Duration::from_secs(45);
/// How long one that is thought to lead may take to answer before it is asked again, or whoever leads then.
const TRY_MAX: Duration = Duration::from_secs(10);

/// Why a node was not let in, or not put out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdmissionError {
    /// Nobody has that number.
    #[error("no node is called n{0}")]
    Unknown(u32),
    /// It is in another cluster.
    #[error("the node at {address} is in cluster {found:016x}, and this one is {own:016x}")]
    OtherCluster {
        /// Where it serves.
        address: String,
        /// Number of its cluster.
        found: u64,
        /// Number of this one.
        own: u64,
    },
    /// Nobody answers, or who does is no node that can be spoken with.
    #[error("no node answers at {address}: {reason}")]
    Unreachable {
        /// Where it serves, or should.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// It is up, and was to be taken for one that is not.
    #[error("n{0} is not down")]
    Alive(u32),
    /// The voters would have no majority without it.
    #[error("without n{0} the voters would have no majority")]
    Quorum(u32),
    /// It never votes.
    #[error("n{node} cannot vote: {reason}")]
    NoVote {
        /// Its number.
        node: u32,
        /// Why.
        reason: String,
    },
    /// Nothing was decided: no leader with a quorum is within reach.
    #[error("nothing was decided: {0}")]
    NoQuorum(String),
    /// It was begun, and is not done.
    #[error("{what} within {limit:?}")]
    Late {
        /// What did not come about.
        what: String,
        /// Within which time.
        limit: Duration,
    },
}

/// A node that is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// As it is known now.
    pub node: Node,
    /// It was in before.
    pub already: bool,
}

/// Lets nodes in and puts them out.
#[derive(Clone)]
pub struct Admission {
    shared: Arc<Shared>,
    group: Group,
    nodes: watch::Receiver<Arc<Membership>>,
}

type Client = MembershipServiceClient<Channel>;

impl Admission {
    pub(crate) fn new(shared: Arc<Shared>, group: Group, nodes: watch::Receiver<Arc<Membership>>) -> Self {
        Self { shared, group, nodes }
    }

    fn membership(&self) -> Arc<Membership> {
        Arc::clone(&self.nodes.borrow())
    }

    /// Lets the node at this address in, with a vote if it is to have one. Once this returns it is up, and every node that
    /// is within reach knows.
    ///
    /// # Errors
    /// As [`AdmissionError`] says.
    pub async fn connect(&self, address: &str, voter: bool) -> Result<Admitted, AdmissionError> {
        self.group.synchronize().await.map_err(|error| AdmissionError::NoQuorum(error.to_string()))?;
        let found = self.probe(address, false).await?;
        let own = self.shared.introduction().cluster;
        let cluster = found.hello.as_ref().map_or(0, |hello| hello.cluster);
        if cluster != 0 && cluster != own {
            return Err(AdmissionError::OtherCluster { address: address.to_owned(), found: cluster, own });
        }
        let unreadable = || unreachable(address, "it does not say who it is");
        let identity = found.candidate.ok_or_else(unreadable)?.identity;
        let already = cluster == own;
        if !already {
            // who hears of a cluster joins it
            self.probe(address, true).await?;
        }
        let node = self.comes_up(identity, address).await?;
        if voter {
            self.give_vote(node.id).await?;
        }
        self.spread(self.group.status().applied).await;
        let node = self.membership().nodes.get(&node.id).cloned().unwrap_or(node);
        Ok(Admitted { node, already })
    }

    /// What would be refused of [`Admission::disconnect`].
    ///
    /// # Errors
    /// As [`AdmissionError`] says.
    pub async fn may_disconnect(&self, id: u32, force: bool) -> Result<(), AdmissionError> {
        // by what is agreed on now: a picture that lags behind would have a node that lives lose its vote
        self.group.synchronize().await.map_err(|error| AdmissionError::NoQuorum(error.to_string()))?;
        let node = self.known(id)?;
        let phase = self.group.look(|state| state.nodes().nodes().get(&id).map(|record| record.phase));
        let is_down = matches!(phase, Some(NodePhase::Down | NodePhase::Joined));
        if force && !is_down {
            return Err(AdmissionError::Alive(id));
        }
        if !force {
            if is_down {
                return Err(unreachable(&node.address, "it is down"));
            }
            let found = self.probe(&node.address, false).await?;
            let number = found.hello.map_or(0, |hello| hello.node);
            if number != u64::from(id) {
                return Err(unreachable(&node.address, &format!("n{number} answers there instead of n{id}")));
            }
        }
        self.retire(id, true, force).await
    }

    /// Takes a node out: in order, or with `force` one that is down. `limit` is how long it may take to end. Once this
    /// returns, its number is retired and every node that is within reach knows.
    ///
    /// # Errors
    /// As [`AdmissionError`] says.
    pub async fn disconnect(&self, id: u32, force: bool, limit: Duration) -> Result<(), AdmissionError> {
        self.may_disconnect(id, force).await?;
        let node = self.known(id)?;
        self.retire(id, false, force).await?;
        if !force {
            let mut client = self.client(&node.address)?;
            let hello = Some(self.shared.introduction().hello());
            let dismissed = client.dismiss(DismissRequest { hello, node: id, incarnation: node.incarnation });
            let dismissed = timeout(ANSWER_TIMEOUT, dismissed).await;
            let failed = |reason: String| unreachable(&node.address, &reason);
            dismissed
                .map_err(|late| failed(late.to_string()))?
                .map_err(|status| failed(status.message().to_owned()))?;
            let is_gone = |membership: &Membership| {
                membership.nodes.get(&id).is_none_or(|node| node.state == NodeState::Down)
            };
            self.until(is_gone, limit, || format!("n{id} was told to end, and did not")).await?;
        }
        match propose(&self.group, NodeCommand::Remove { node: id }).await {
            Ok(Ok(_) | Err(NodeRefusal::Unknown(_))) => {}
            Ok(Err(_)) => return Err(AdmissionError::Alive(id)),
            Err(status) => return Err(AdmissionError::NoQuorum(status.message().to_owned())),
        }
        self.spread(self.group.status().applied).await;
        Ok(())
    }

    fn known(&self, id: u32) -> Result<Node, AdmissionError> {
        self.membership().nodes.get(&id).cloned().ok_or(AdmissionError::Unknown(id))
    }

    fn client(&self, address: &str) -> Result<Client, AdmissionError> {
        let channel = self.shared.dialer.channel(address);
        channel.map(Client::new).map_err(|reason| unreachable(address, &reason))
    }

    /// Asks who serves there; `invites` if it is told of this cluster, which it joins if it is in none.
    async fn probe(&self, address: &str, invites: bool) -> Result<DiscoverResponse, AdmissionError> {
        let mut hello = self.shared.introduction().hello();
        if !invites {
            // as somebody from nowhere, who is told whatever the cluster
            (hello.cluster, hello.node) = (0, 0);
        }
        let candidate = invites.then(|| candidate_to(self.shared.gathering.lock().own()));
        let request = DiscoverRequest { hello: Some(hello), candidate, known: Vec::new() };
        let mut client = self.client(address)?;
        let asked = timeout(ANSWER_TIMEOUT, client.discover(request)).await;
        let answered = asked.map_err(|late| unreachable(address, &late.to_string()))?;
        answered.map(tonic::Response::into_inner).map_err(|status| unreachable(address, status.message()))
    }

    /// The node with this identity, once it is up.
    async fn comes_up(&self, identity: u64, address: &str) -> Result<Node, AdmissionError> {
        let number = || {
            self.group.look(|state| {
                let mut nodes = state.nodes().nodes().iter();
                nodes.find(|(_, record)| record.candidate.identity == identity).map(|(id, _)| *id)
            })
        };
        let is_up = |membership: &Membership| {
            let node = number().and_then(|id| membership.nodes.get(&id));
            node.is_some_and(|node| node.state != NodeState::Down)
        };
        let late = || format!("the node at {address} did not come up");
        let membership = self.until(is_up, JOIN_MAX, late).await?;
        let node = number().and_then(|id| membership.nodes.get(&id).cloned());
        node.ok_or_else(|| unreachable(address, "it was taken out meanwhile"))
    }

    /// Waits until the nodes, as they are known here, are so.
    async fn until(
        &self,
        holds: impl Fn(&Membership) -> bool,
        limit: Duration,
        late: impl Fn() -> String,
    ) -> Result<Arc<Membership>, AdmissionError> {
        let mut nodes = self.nodes.clone();
        let waited = timeout(limit, nodes.wait_for(|membership| holds(membership))).await;
        match waited {
            Ok(Ok(membership)) => Ok(Arc::clone(&membership)),
            Ok(Err(_)) => Err(AdmissionError::NoQuorum("this node stops".to_owned())),
            Err(_) => Err(AdmissionError::Late { what: late(), limit }),
        }
    }

    async fn give_vote(&self, node: u32) -> Result<(), AdmissionError> {
        let seated = self.at_leader(|mut client, hello| async move {
            client.seat(SeatRequest { hello: Some(hello), node }).await.map(drop)
        });
        seated.await.map_err(|status| match status.code() {
            Code::FailedPrecondition => AdmissionError::NoVote { node, reason: status.message().to_owned() },
            _ => AdmissionError::NoQuorum(status.message().to_owned()),
        })
    }

    async fn retire(&self, node: u32, dry_run: bool, expect_down: bool) -> Result<(), AdmissionError> {
        let retired = self.at_leader(|mut client, hello| async move {
            let request = RetireRequest { hello: Some(hello), node, dry_run, expect_down };
            client.retire(request).await.map(tonic::Response::into_inner)
        });
        match retired.await {
            Ok(answer) if answer.quorum_lost => Err(AdmissionError::Quorum(node)),
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::FailedPrecondition => Err(AdmissionError::Alive(node)),
            Err(status) => Err(AdmissionError::NoQuorum(status.message().to_owned())),
        }
    }

    /// Asks whoever leads, and whoever leads next where that was not the one, or does not answer: what was begun is gone on
    /// with.
    async fn at_leader<T, F>(
        &self,
        ask: impl Fn(Client, arsenal_proto::internal::v1::Hello) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let deadline = Instant::now() + LEADER_MAX;
        loop {
            let status = self.group.status();
            let known = status.leader.and_then(|leader| self.shared.address_of(&self.group, leader));
            let asked = match known {
                Some(address) => {
                    let channel = self.shared.dialer.channel(&address).map_err(Status::unavailable)?;
                    let asked = ask(Client::new(channel), self.shared.introduction().hello());
                    tokio::select! {
                        asked = timeout_at(deadline.min(Instant::now() + TRY_MAX), asked) => {
                            asked.unwrap_or_else(|late| Err(Status::unavailable(late.to_string())))
                        }
                        () = self.group.superseded(status.term) => Err(Status::unavailable("a later leader leads")),
                    }
                }
                None => Err(Status::unavailable("no leader is known")),
            };
            match asked {
                Err(status) if status.code() == Code::Unavailable && Instant::now() < deadline => {
                    sleep(RETRY_PAUSE).await;
                }
                asked => return asked,
            }
        }
    }

    /// Returns once all nodes that are up have the state up to this index, or are out of reach.
    async fn spread(&self, index: u64) {
        let membership = self.membership();
        let up = membership.nodes.values().filter(|node| node.state != NodeState::Down);
        let asked = up.map(|node| {
            let address = Arc::clone(&node.address);
            async move {
                let hello = Some(self.shared.introduction().hello());
                let Ok(mut client) = self.client(&address) else { return };
                // who is out of reach hears of it when it is back
                let _ = timeout(SPREAD_MAX, client.reach(ReachRequest { hello, index })).await;
            }
        });
        stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect::<()>().await;
    }
}

fn unreachable(address: &str, reason: &str) -> AdmissionError {
    AdmissionError::Unreachable { address: address.to_owned(), reason: reason.to_owned() }
}
