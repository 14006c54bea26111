//! Answers the frames of other voters.

use crate::codec::{Encode, Reader};
use crate::command::split;
use crate::group::{Core, Group};
use crate::runtime::Runtime;
use crate::transport::{Envelope, Kind, SnapshotChunk, answer};
use crate::types::{NodeId, Snapshot, SnapshotMeta, Vote};
use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use parking_lot::Mutex;

/// What a voter has to remember between frames.
#[derive(Default)]
pub(crate) struct Receiver {
    incoming: Mutex<Option<Incoming>>,
}

/// A snapshot of which parts have come.
struct Incoming {
    from: NodeId,
    vote: Vote,
    meta: SnapshotMeta,
    state: Vec<u8>,
}

impl Receiver {
    pub(crate) async fn receive(&self, group: &Group, core: &Core, frame: &[u8]) -> Bytes {
        let content = match Envelope::open(frame) {
            Err(error) => Err(error.to_string()),
            Ok((envelope, content)) => match astray(core, envelope) {
                Some(reason) => Err(reason),
                None => self.serve(group, core, envelope, content).await,
            },
        };
        answer(content)
    }

    async fn serve(
        &self,
        group: &Group,
        core: &Core,
        envelope: Envelope,
        content: Reader<'_>,
    ) -> Result<Vec<u8>, String> {
        match envelope.kind {
            Kind::Append => {
                let request: AppendEntriesRequest<_> = whole(content)?;
                let response = core.raft.append_entries(request).await.map_err(|error| error.to_string())?;
                if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
                    core.gate.saw(Runtime::now());
                }
                Ok(response.to_bytes())
            }
            Kind::Vote => {
                let response = core.raft.vote(whole(content)?).await.map_err(|error| error.to_string())?;
                Ok(response.to_bytes())
            }
            Kind::SnapshotChunk => {
                let vote = self.take(core, envelope.from, whole(content)?).await?;
                Ok(vote.to_bytes())
            }
            Kind::Forward => {
                let proposals: Bytes = whole(content)?;
                // what this voter cannot read would end every voter that is like it
                split(&proposals).map_err(|error| error.to_string())?;
                Ok(group.propose_for(proposals).await.to_bytes())
            }
            Kind::ReadIndex => {
                whole::<u8>(content)?;
                core.gate.check()?;
                group.read_index(true).await.map(|index| index.to_bytes())
            }
        }
    }

    /// Takes a part of a snapshot; with the last one, the snapshot.
    async fn take(&self, core: &Core, from: NodeId, chunk: SnapshotChunk) -> Result<Vote, String> {
        let vote = chunk.vote;
        let Some((meta, state)) = self.gather(core, from, chunk)? else { return Ok(vote) };
        core.gate.saw(Runtime::now());
        let snapshot = Snapshot { meta, snapshot: Box::new(state.into()) };
        let installed = core.raft.install_full_snapshot(vote, snapshot).await;
        installed.map(|response| response.vote).map_err(|error| error.to_string())
    }

    fn gather(
        &self,
        core: &Core,
        from: NodeId,
        chunk: SnapshotChunk,
    ) -> Result<Option<(SnapshotMeta, Vec<u8>)>, String> {
        let bytes_max = core.config.snapshot_bytes_max;
        if chunk.total > bytes_max {
            return Err(format!("a snapshot of {} bytes is more than {bytes_max}", chunk.total));
        }
        let mut incoming = self.incoming.lock();
        if chunk.offset == 0 {
            let (vote, meta) = (chunk.vote, chunk.meta.clone());
            *incoming = Some(Incoming { from, vote, meta, state: Vec::new() });
        }
        let same = |held: &&mut Incoming| {
            held.from == from
                && held.vote == chunk.vote
                && held.meta == chunk.meta
                && held.state.len() as u64 == chunk.offset
        };
        let Some(held) = incoming.as_mut().filter(same) else {
            return Err(format!("no snapshot is due at byte {}", chunk.offset));
        };
        held.state.extend_from_slice(&chunk.bytes);
        let length = held.state.len() as u64;
        if length < chunk.total {
            return Ok(None);
        }
        let whole = incoming.take().filter(|_| length == chunk.total);
        let whole = whole.ok_or_else(|| format!("{length} bytes came of a snapshot of {}", chunk.total))?;
        Ok(Some((whole.meta, whole.state)))
    }
}

fn astray(core: &Core, envelope: Envelope) -> Option<String> {
    let (id, cluster) = (core.config.id, core.config.cluster);
    if envelope.cluster != cluster {
        return Some(format!("a frame of cluster {} came to cluster {cluster}", envelope.cluster));
    }
    (envelope.to != id).then(|| format!("a frame for voter {} came to voter {id}", envelope.to))
}

fn whole<T: Encode>(mut content: Reader<'_>) -> Result<T, String> {
    let read = T::decode(&mut content).and_then(|read| content.finish().map(|()| read));
    read.map_err(|error| error.to_string())
}
