//! openraft's requests as frames: how a leader or candidate reaches the others.

use crate::codec::Encode;
use crate::runtime::Runtime;
use crate::transport::{CallError, Envelope, Kind, SnapshotChunk, Transport, read_answer};
use crate::types::{NodeId, Snapshot, Types, Vote, Voter};
use bytes::Bytes;
use futures_util::future::{Either, select};
use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{AsyncRuntime as _, OptionalSend};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a snapshot in one frame.
const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;
/// A frame of a snapshot without an answer is sent again after so long, and then twice as long each time, until that would
/// be longer than the second. The last one has the snapshot written and synced, which may take its time.
const SNAPSHOT_CHUNK_TIMEOUT_MIN: Duration = Duration::from_secs(1);
const SNAPSHOT_CHUNK_TIMEOUT_MAX: Duration = Duration::from_secs(16);
/// How long a voter that cannot be reached is left alone.
const BACKOFF: Duration = Duration::from_millis(100);

type RpcError = RPCError<NodeId, Voter, RaftError<NodeId>>;

/// Makes connections for openraft.
#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) cluster: u64,
    pub(crate) own: NodeId,
    pub(crate) transport: Arc<dyn Transport>,
}

/// One voter as another sees it.
pub(crate) struct Peer {
    network: Network,
    id: NodeId,
    voter: Voter,
}

impl Network {
    /// Asks a voter for something.
    pub(crate) async fn ask<T: Encode>(
        &self,
        kind: Kind,
        to: NodeId,
        voter: &Voter,
        content: &impl Encode,
        timeout: Duration,
    ) -> Result<T, CallError> {
        let envelope = Envelope { kind, cluster: self.cluster, from: self.own, to };
        let reply = self.transport.call(to, voter, envelope.frame(content), timeout).await?;
        read_answer(to, &reply)
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Peer;

    async fn new_client(&mut self, id: NodeId, voter: &Voter) -> Peer {
        Peer { network: self.clone(), id, voter: voter.clone() }
    }
}

impl Peer {
    async fn ask<T: Encode>(
        &self,
        kind: Kind,
        content: &impl Encode,
        timeout: Duration,
    ) -> Result<T, CallError> {
        self.network.ask(kind, self.id, &self.voter, content, timeout).await
    }
}

fn rpc_error(error: CallError) -> RpcError {
    match error {
        CallError::Unreachable { .. } => Unreachable::new(&error).into(),
        CallError::Lost { .. } | CallError::Refused { .. } => NetworkError::new(&error).into(),
    }
}

impl RaftNetwork<Types> for Peer {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<NodeId>, RpcError> {
        self.ask(Kind::Append, &request, option.hard_ttl()).await.map_err(rpc_error)
    }

    async fn vote(
        &mut self,
        request: VoteRequest<NodeId>,
        option: RPCOption,
    ) -> Result<VoteResponse<NodeId>, RpcError> {
        self.ask(Kind::Vote, &request, option.hard_ttl()).await.map_err(rpc_error)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<Types, Fatal<NodeId>>> {
        let sending = pin!(self.send_snapshot(vote, snapshot));
        match select(sending, pin!(cancel)).await {
            Either::Left((sent, _)) => sent,
            Either::Right((closed, _)) => Err(closed.into()),
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(std::iter::repeat(BACKOFF))
    }
}

impl Peer {
    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
    ) -> Result<SnapshotResponse<NodeId>, StreamingError<Types, Fatal<NodeId>>> {
        let state: Bytes = *snapshot.snapshot;
        let mut offset = 0;
        loop {
            let end = state.len().min(offset + SNAPSHOT_CHUNK_BYTES);
            let chunk = SnapshotChunk {
                vote,
                meta: snapshot.meta.clone(),
                total: state.len() as u64,
                offset: offset as u64,
                bytes: state.slice(offset..end),
            };
            let theirs = match self.send_chunk(&chunk).await {
                Ok(theirs) => theirs,
                Err(error) => {
                    // openraft tries again at once; a voter that is away would be asked without end
                    Runtime::sleep(BACKOFF).await;
                    return Err(match error {
                        CallError::Unreachable { .. } => Unreachable::new(&error).into(),
                        _ => NetworkError::new(&error).into(),
                    });
                }
            };
            if theirs > vote || end == state.len() {
                return Ok(SnapshotResponse::new(theirs));
            }
            offset = end;
        }
    }

    /// Sends a part until it is answered: whoever has it already says so again.
    async fn send_chunk(&self, chunk: &SnapshotChunk) -> Result<Vote, CallError> {
        let mut timeout = SNAPSHOT_CHUNK_TIMEOUT_MIN;
        loop {
            match self.ask(Kind::SnapshotChunk, chunk, timeout).await {
                Err(CallError::Lost { .. }) if timeout < SNAPSHOT_CHUNK_TIMEOUT_MAX => timeout *= 2,
                answered => return answered,
            }
            // a connection that broke says so at once
            Runtime::sleep(BACKOFF).await;
        }
    }
}
