//! Moving a process to another node.
//!
//! The process's own node decides all of it: the process is held here; made there, where it does nothing yet; given its
//! names and groups and a new epoch by one command that all voters agree on; and only then does it leave: what it has and
//! its messages go there, it runs on there, and its old pid sends on what comes. Until the command nothing has happened
//! that a failure does not undo. From the command on there is no way back, and what can be tried again is tried until it is
//! done or the other node is down. So there are never two: the one there runs once the one here has been given up.

use super::{ask, list};
use crate::Shared;
use crate::caller::Caller;
use crate::status::{failure, of_passage, of_registry};
use crate::{reference, time};
use arsenal_membership::{Node as Known, NodeState};
use arsenal_proto::internal::v1::placement_service_client::PlacementServiceClient;
use arsenal_proto::internal::v1::{AdmitRequest, DiscardRequest, FillRequest, ResumeRequest};
use arsenal_proto::v1;
use arsenal_runtime::passage::{Departure, Luggage, PassageError, write_messages};
use arsenal_runtime::registry::{Command, RegistryError};
use arsenal_runtime::{Message, Pid, Term};
use std::future::Future;
use std::time::Duration;
use tonic::transport::Channel;
use tonic::{Code, Status};

/// How long the process may take to come to the end of a turn where nothing else is said.
const TURN_MAX: Duration = Duration::from_secs(5);
/// How long the other node may take for one step.
const STEP_MAX: Duration = Duration::from_secs(5);
/// Pause before a step is tried again that has no answer.
const PAUSE: Duration = Duration::from_millis(50);
/// Bytes of messages from which on they go in a request of their own.
const CHUNK_BYTES: usize = 1 << 20;

pub(super) async fn migrate(
    shared: &Shared,
    caller: &Caller,
    request: v1::MigrateProcessToNodeRequest,
) -> Result<v1::MigrateProcessToNodeResponse, Status> {
    let node = &shared.node;
    let (place, _) = list::known(shared, "node", &request.node)?;
    let timeout = time::duration("timeout", request.timeout.as_ref())?.unwrap_or(TURN_MAX);
    let process = reference::process(node, "process", &request.process)?;
    let refused = |error: PassageError| of_passage(node, &error);
    if let Some(given) = request.epoch.filter(|given| *given != node.epoch_of(&process)) {
        let (process, epoch) = (process.pid(), node.epoch_of(&process));
        return Err(refused(PassageError::StaleEpoch { process, epoch, given }));
    }
    if place.id == node.id() {
        let message = format!("process {} is on {} already", process.pid(), list::name(place.id));
        let failure = failure(Code::FailedPrecondition, "ALREADY_THERE", message);
        return Err(failure.precondition("ELSEWHERE", &process.pid().to_string()).status());
    }
    // before anything is held or made: some node may not be able to read of a move yet
    let would_be = Command::Move { from: process.pid(), to: process.pid(), epoch: node.epoch_of(&process) };
    node.accepts(&would_be).map_err(|error| of_registry(&error))?;
    let departure = node.depart(&process, timeout).await.map_err(refused)?;
    let passage = Passage { shared: shared.clone(), place, operation: caller.operation };
    // whoever asked may go away: the process must not stay between two nodes for that
    let moved = tokio::spawn(async move { passage.run(departure).await }).await;
    moved.unwrap_or_else(|error| Err(failure(Code::Internal, "CRASHED", error.to_string()).status()))
}

/// One process on its way.
struct Passage {
    shared: Shared,
    place: Known,
    operation: u64,
}

impl Passage {
    async fn run(&self, departure: Departure) -> Result<v1::MigrateProcessToNodeResponse, Status> {
        let node = &self.shared.node;
        let (process, since_ns) = (departure.process().clone(), departure.since_ns());
        let former = process.pid();
        let to = self.admit(&departure).await?;
        let left = match self.own(former, to, node.epoch_of(&process)).await {
            Ok(epoch) => departure.leave(to, epoch).map_err(|error| of_passage(node, &error)),
            Err(status) => Err(status),
        };
        let (luggage, messages) = match left {
            Ok(left) => left,
            Err(status) => {
                self.discard(to, former).await;
                return Err(status);
            }
        };
        let (epoch, timers) = (luggage.epoch, luggage.timer_count());
        if let Err(status) = self.ship(luggage, &messages).await {
            node.passage_is_lost(&process, Term::Atom("noconnection"));
            return Err(self.lost(to, &status));
        }
        let pause = Duration::from_nanos(node.now_ns().saturating_sub(since_ns));
        node.passage_is_open(&process);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(v1::MigrateProcessToNodeResponse {
            pid: to.to_string(),
            former_pid: former.to_string(),
            node: list::name(self.place.id),
            messages: count(messages.len()),
            timers: count(timers),
            pause: Some(time::to_proto(pause)),
            epoch,
        })
    }

    /// Has the process made on the other node; gives its pid there.
    async fn admit(&self, departure: &Departure) -> Result<Pid, Status> {
        let mut cargo = Vec::new();
        departure.cargo().encode(&mut cargo);
        let request = AdmitRequest { cargo: cargo.into() };
        let admitted = self.ask(|channel| async move {
            PlacementServiceClient::new(channel).admit(request).await.map(|answer| answer.into_inner().pid)
        });
        let pid = admitted.await.map_err(|status| match status.code() {
            // nobody has told it to run, and nobody will
            Code::DeadlineExceeded => {
                let name = list::name(self.place.id);
                failure(Code::Unavailable, "NOCONNECTION", status.message()).resource("node", &name).status()
            }
            _ => status,
        })?;
        pid.parse().map_err(|_| failure(Code::Internal, "BADARG", format!("`{pid}` is no pid")).status())
    }

    /// Makes the process's names and groups those of `to`, whose it is from then on; gives the epoch of that.
    async fn own(&self, from: Pid, to: Pid, epoch: u64) -> Result<u64, Status> {
        let node = &self.shared.node;
        let mut unknown = false;
        loop {
            let error = match node.propose(Command::Move { from, to, epoch }, self.operation).await {
                Ok(applied) => return Ok(applied.index),
                Err(error) => error,
            };
            // of a command without an outcome: it may have been committed, or be so later, and until that is known the
            // process can neither go nor stay
            unknown |= matches!(error, RegistryError::Unknown(_));
            if !unknown {
                return Err(of_registry(&error));
            }
            let committed = node.read_registry(|state| state.epoch_of(to));
            if committed > 0 {
                return Ok(committed);
            }
            if matches!(error, RegistryError::StaleEpoch { .. }) {
                // whatever went before is in the log by now, or will never be
                return Err(of_registry(&error));
            }
            if !self.lives() {
                // a life that is over is given nothing any more
                return Err(self.down());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes all that the process has to the other node, and has it run on there.
    async fn ship(&self, luggage: Luggage, messages: &[Message]) -> Result<(), Status> {
        let mut offset = 0;
        while offset < messages.len() {
            let (chunk, count) = chunk(&messages[offset..]);
            let request = FillRequest {
                pid: luggage.pid.to_string(),
                offset: u32::try_from(offset).unwrap_or(u32::MAX),
                messages: chunk.into(),
            };
            self.until_done(|mut client| {
                let request = request.clone();
                async move { client.fill(request).await.map(drop) }
            })
            .await?;
            offset += count;
        }
        let mut bytes = Vec::new();
        luggage.encode(&mut bytes);
        let request = ResumeRequest { luggage: bytes.into() };
        self.until_done(|mut client| {
            let request = request.clone();
            async move { client.resume(request).await.map(drop) }
        })
        .await
    }

    /// Tries a step until it has an answer, or the other node is down: each may be done twice.
    async fn until_done<F: Future<Output = Result<(), Status>>>(
        &self,
        step: impl Fn(PlacementServiceClient<Channel>) -> F,
    ) -> Result<(), Status> {
        loop {
            match self.ask(|channel| step(PlacementServiceClient::new(channel))).await {
                Err(status) if is_unanswered(&status) && self.lives() => tokio::time::sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    /// Takes back what was made there.
    async fn discard(&self, pid: Pid, former: Pid) {
        let request = DiscardRequest { pid: pid.to_string(), former: former.to_string() };
        let told = self.ask(|channel| async move {
            PlacementServiceClient::new(channel).discard(request).await.map(drop)
        });
        // where this is not heard it ends by itself, with this node at the latest
        let _ = told.await;
    }

    async fn ask<T, F: Future<Output = Result<T, Status>>>(
        &self,
        ask: impl FnOnce(Channel) -> F,
    ) -> Result<T, Status> {
        ask::one(&self.shared, self.place.id, STEP_MAX, ask).await
    }

    /// Whether the life of the other node that the process is to live in goes on, as far as is known.
    fn lives(&self) -> bool {
        let membership = self.shared.nodes.membership();
        membership
            .nodes
            .get(&self.place.id)
            .is_some_and(|node| node.state != NodeState::Down && node.incarnation == self.place.incarnation)
    }

    fn down(&self) -> Status {
        let name = list::name(self.place.id);
        let message = format!("node {name} is down");
        failure(Code::Unavailable, "NOCONNECTION", message).resource("node", &name).status()
    }

    /// The process was the other node's already when that was lost.
    fn lost(&self, to: Pid, status: &Status) -> Status {
        let name = list::name(self.place.id);
        let message = format!("{name} was lost when it had taken the process as {to}: {}", status.message());
        failure(Code::Aborted, "OUTCOME_UNKNOWN", message)
            .exit(&Term::Atom("noconnection"), to, None)
            .resource("node", &name)
            .status()
    }
}

/// The bytes of as many messages as go in one request, and their number.
fn chunk(messages: &[Message]) -> (Vec<u8>, usize) {
    let mut bytes = 0;
    let fits = |message: &&Message| {
        let first = bytes == 0;
        bytes += message.size_bytes();
        first || bytes <= CHUNK_BYTES
    };
    let count = messages.iter().take_while(fits).count();
    let mut chunk = Vec::new();
    write_messages(messages[..count].iter(), &mut chunk);
    (chunk, count)
}

/// Whether the other node has not said what became of a step.
fn is_unanswered(status: &Status) -> bool {
    let codes = [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled, Code::Unknown];
    codes.contains(&status.code())
}
