//! How a node that is in no cluster gets into one: it asks whom its seeds name, founds with them or joins them.
//!
//! It goes on until it is in; being late, or early, is no error. What is decided is decided in `gathering`.

use crate::desk::Shared;
use crate::directory::Place;
use crate::gathering::Decision;
use crate::messages::{candidate_to, founder, founder_candidate};
use crate::session::Lease;
use arsenal_proto::internal::v1::membership_service_client::MembershipServiceClient;
use arsenal_proto::internal::v1::{DiscoverRequest, FoundRequest, JoinRequest};
use arsenal_raft::nodes::{Candidate, NodeCommand};
use arsenal_raft::{Group, Voter};
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::time::{sleep, timeout};
use tonic::Status;
use tonic::transport::Channel;

/// Rounds of asking follow each other so fast.
const ROUND_PAUSE: Duration = Duration::from_millis(200);
/// How long one node may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Nodes that are asked in one round.
const ASKED_MAX: usize = 64;

type Client = MembershipServiceClient<Channel>;

/// Asks until this node is in a cluster.
pub(crate) struct Bootstrap<'a> {
    shared: &'a Shared,
    seeds: &'a [String],
    rounds: usize,
    clients: BTreeMap<String, Client>,
    /// What was told last of each address, so that it is told once.
    told: BTreeMap<String, String>,
}

impl<'a> Bootstrap<'a> {
    pub(crate) fn new(shared: &'a Shared, seeds: &'a [String]) -> Self {
        Self { shared, seeds, rounds: 0, clients: BTreeMap::new(), told: BTreeMap::new() }
    }

    /// The place that this node has, or gets.
    pub(crate) async fn place(mut self) -> Result<Place, Status> {
        let mut settled = self.shared.settled.subscribe();
        loop {
            if let Some(place) = settled.borrow_and_update().clone() {
                return Ok(place);
            }
            self.round().await;
            let decision = self.shared.gathering.lock().decide();
            match decision {
                Decision::Found(nodes) => {
                    let first = nodes.iter().map(founder).collect();
                    // the one that founds is the first
                    let place = Place { id: rand::random(), node: 1, founding: true, founders: first };
                    self.shared.settle(place)?;
                    continue;
                }
                Decision::Join(members) => {
                    if let Some(place) = self.join(&members).await {
                        self.shared.settle(place)?;
                        continue;
                    }
                }
                Decision::Wait => {}
            }
            // whether it is over by then or somebody else settled it is seen above
            let _ = timeout(ROUND_PAUSE, settled.changed()).await;
        }
    }

    /// The addresses that are asked now: those that the seeds stand for and the voters', and of those that were heard of
    /// besides as many as there is room for.
    async fn addresses(&mut self) -> Vec<String> {
        let mut addresses = BTreeSet::new();
        for seed in self.seeds {
            match timeout(ANSWER_TIMEOUT, lookup_host(seed.as_str())).await {
                Ok(Ok(found)) => addresses.extend(found.map(|address| address.to_string())),
                failed => {
                    let reason = failed.map_or_else(
                        |late| late.to_string(),
                        |found| found.err().map(|error| error.to_string()).unwrap_or_default(),
                    );
                    self.tell(seed, &reason);
                }
            }
        }
        addresses.extend(self.shared.contacts.lock().values().cloned());
        let gathering = self.shared.gathering.lock();
        let mut heard: BTreeSet<String> =
            gathering.known().iter().map(|candidate| candidate.address.to_string()).collect();
        for of in [&mut addresses, &mut heard] {
            of.remove(&*gathering.own().address);
        }
        self.rounds += 1;
        turn(addresses, heard, self.rounds)
    }

    /// Ends the connections that it has: nobody is asked for a while.
    fn rest(&mut self) {
        self.clients.clear();
        self.told.clear();
    }

    fn tell(&mut self, address: &str, reason: &str) {
        if self.told.get(address).is_none_or(|told| told != reason) {
            tracing::info!(address, reason, "a node cannot be asked about the cluster yet");
            self.told.insert(address.to_owned(), reason.to_owned());
        }
    }

    fn client(&mut self, address: &str) -> Result<Client, String> {
        if let Some(client) = self.clients.get(address) {
            return Ok(client.clone());
        }
        let client = MembershipServiceClient::new(self.shared.dialer.channel(address)?);
        self.clients.insert(address.to_owned(), client.clone());
        Ok(client)
    }

    /// Asks everybody once.
    async fn round(&mut self) {
        let addresses = self.addresses().await;
        let mut asked = Vec::new();
        for address in addresses {
            match self.client(&address) {
                Ok(client) => asked.push(self.ask(address, client)),
                Err(reason) => self.tell(&address, &reason),
            }
        }
        for (address, answered) in join_all(asked).await {
            match answered {
                Ok(()) => {
                    self.told.remove(&address);
                }
                Err(reason) => self.tell(&address, &reason),
            }
        }
    }

    fn ask(
        &self,
        address: String,
        mut client: Client,
    ) -> impl Future<Output = (String, Result<(), String>)> + use<'a> {
        let shared = self.shared;
        async move {
            let request = {
                let gathering = shared.gathering.lock();
                DiscoverRequest {
                    hello: Some(shared.introduction().hello()),
                    candidate: Some(candidate_to(gathering.own())),
                    known: gathering.known().iter().map(candidate_to).collect(),
                }
            };
            let answer = match timeout(ANSWER_TIMEOUT, client.discover(request)).await {
                Ok(Ok(answer)) => answer.into_inner(),
                Ok(Err(status)) => return (address, Err(status.message().to_owned())),
                Err(late) => return (address, Err(late.to_string())),
            };
            shared.hear_of(answer.voters);
            if let Some(candidate) = answer.candidate {
                let in_cluster = answer.hello.is_some_and(|hello| hello.cluster != 0);
                shared.hear(candidate, answer.known, in_cluster);
            }
            (address, Ok(()))
        }
    }

    /// Asks those that are in a cluster for a number, until one gives it.
    async fn join(&mut self, members: &[Arc<str>]) -> Option<Place> {
        for address in members {
            let own = candidate_to(self.shared.gathering.lock().own());
            let hello = Some(self.shared.introduction().hello());
            let mut client = match self.client(address) {
                Ok(client) => client,
                Err(reason) => {
                    self.tell(address, &reason);
                    continue;
                }
            };
            let joined = client.join(JoinRequest { hello, candidate: Some(own) });
            match timeout(ANSWER_TIMEOUT, joined).await {
                Ok(Ok(joined)) => {
                    let joined = joined.into_inner();
                    self.shared.hear_of(joined.voters);
                    let (id, node) = (joined.cluster, joined.node);
                    return Some(Place { id, node, founding: false, founders: Vec::new() });
                }
                Ok(Err(status)) => self.tell(address, status.message()),
                Err(late) => self.tell(address, &late.to_string()),
            }
        }
        None
    }
}

/// Whom to ask in this round: all of the first ones as long as there is room, and of the others the next ones each time.
fn turn(first: BTreeSet<String>, others: BTreeSet<String>, round: usize) -> Vec<String> {
    let mut asked = Vec::new();
    let others: Vec<String> = others.difference(&first).cloned().collect();
    for mut some in [first.into_iter().collect(), others] {
        let room = (ASKED_MAX - asked.len()).min(some.len());
        let start = round.saturating_mul(room).checked_rem(some.len()).unwrap_or_default();
        some.rotate_left(start);
        asked.extend(some.into_iter().take(room));
    }
    asked
}

/// Sees that a node knows whom to ask for its view, or to renew its session: writes down who votes, and asks around while its
/// session does not hold, since the voters may be others by now than those that it knows.
pub(crate) async fn find_voters(shared: &Shared, group: &Group, lease: &Lease, seeds: &[String]) {
    let file = shared.directory.lock().voters();
    let mut asking = Bootstrap::new(shared, seeds);
    let mut written = BTreeMap::new();
    loop {
        let voters = group.voters().into_iter().map(|(id, voter)| (id, voter.address));
        let voters: BTreeMap<u64, String> = voters.collect();
        if !voters.is_empty() && voters != written {
            let (file, to_write) = (file.clone(), voters.clone());
            // elsewhere: it waits for the disk, and leases are renewed on this thread
            let wrote = tokio::task::spawn_blocking(move || file.write(&to_write)).await;
            match wrote.map_err(|gone| gone.to_string()).and_then(|wrote| wrote.map_err(|e| e.to_string())) {
                Ok(()) => written.clone_from(&voters),
                // a later life asks its seeds
                Err(error) => tracing::warn!(error, "who votes is not written down"),
            }
            *shared.contacts.lock() = voters;
        }
        if lease.holds() {
            asking.rest();
        } else {
            asking.round().await;
            let contacts = shared.contacts.lock().clone().into_iter();
            group.set_contacts(contacts.map(|(id, address)| (id, Voter { address })).collect());
        }
        sleep(ROUND_PAUSE).await;
    }
}

/// Makes the first voters, where this node is the one that founds: once all of them have written down that they are.
pub(crate) async fn found(shared: &Shared, group: &Group, place: &Place) -> Result<(), Status> {
    for founder in place.founders.iter().filter(|founder| !is_own(shared, founder.identity)) {
        let mut told = String::new();
        while let Err(reason) = invite(shared, place, &founder.address).await {
            if reason != told {
                tracing::warn!(
                    name = founder.name,
                    reason,
                    "a node does not found the cluster with this one yet"
                );
                told = reason;
            }
            sleep(ROUND_PAUSE).await;
        }
    }
    let voters =
        (1..).zip(&place.founders).map(|(id, founder)| (id, Voter { address: founder.address.clone() }));
    // a voter that holds something was made one before this process began
    if let Err(error) = group.initialize(voters.collect()).await {
        tracing::info!(%error, "the first voters were made before");
    }
    let founded = Place { founding: false, ..place.clone() };
    shared.directory.lock().settle(founded).map_err(|error| Status::internal(error.to_string()))
}

fn is_own(shared: &Shared, identity: u64) -> bool {
    shared.directory.lock().identity().identity == identity
}

async fn invite(shared: &Shared, place: &Place, address: &str) -> Result<(), String> {
    let mut client = MembershipServiceClient::new(shared.dialer.channel(address)?);
    let nodes = place.founders.iter().map(|founder| candidate_to(&founder_candidate(founder))).collect();
    let hello = Some(shared.introduction().hello());
    let invited = client.found(FoundRequest { hello, cluster: place.id, nodes });
    let invited = timeout(ANSWER_TIMEOUT, invited).await.map_err(|late| late.to_string())?;
    invited.map(drop).map_err(|status| status.message().to_owned())
}

/// Has the first nodes named in the replicated state: each of them sees to it, so that it is done whoever fails.
pub(crate) async fn name_founders(group: &Group, place: &Place) {
    let nodes: Vec<Candidate> = place.founders.iter().map(founder_candidate).collect();
    while !nodes.is_empty() && group.look(|state| state.nodes().next()) == 0 {
        // what fails is tried again; a second time changes nothing
        let _ = crate::verdicts::propose(group, NodeCommand::Found { nodes: nodes.clone() }).await;
        sleep(ROUND_PAUSE / 4).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(prefix: &str, count: usize) -> BTreeSet<String> {
        (0..count).map(|number| format!("{prefix}.{number:03}:7450")).collect()
    }

    #[test]
    fn seeds_and_voters_are_asked_in_each_round_and_everybody_else_in_turn() {
        // the others sort before them
        let (first, others) = (addresses("10.9", 5), addresses("10.1", 200));
        let mut asked = BTreeSet::new();
        for round in 0..4 {
            let turn = turn(first.clone(), others.clone(), round);
            assert_eq!(turn.len(), ASKED_MAX);
            assert!(first.iter().all(|address| turn.contains(address)), "{round}");
            asked.extend(turn);
        }
        assert_eq!(asked.len(), 205, "nobody is left out for ever");
        assert_eq!(turn(first.clone(), first.clone(), 7).len(), 5, "nobody is asked twice");
        assert_eq!(turn(addresses("10.9", 100), others, 0).len(), ASKED_MAX);
    }
}
