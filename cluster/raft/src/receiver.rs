//! Answers the frames of other nodes.

use crate::codec::{Encode, Reader};
use crate::command::split;
use crate::core::Core;
use crate::election::{canvass, stand};
use crate::feed::feed;
use crate::group::Group;
use crate::runtime::Runtime;
use crate::seat::Voting;
use crate::transport::{Envelope, Kind, SnapshotChunk, answer};
use crate::types::{LogId, NodeId, Snapshot, SnapshotMeta, Vote};
use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use openraft::{AsyncRuntime as _, ServerState};
use parking_lot::Mutex;
use std::cmp::Ordering;
use std::sync::Arc;
use tokio::sync::watch;

/// What a voter has to remember between frames.
#[derive(Default)]
pub(crate) struct Receiver {
    incoming: Mutex<Option<Incoming>>,
}

/// What became of a snapshot, once that is known.
type Installed = Option<Result<Vote, String>>;

/// A snapshot of which parts have come.
struct Incoming {
    from: NodeId,
    vote: Vote,
    meta: SnapshotMeta,
    /// Bytes that have come.
    length: u64,
    /// Those bytes, until all have come.
    state: Vec<u8>,
    /// Told once all have come; what comes again from then on is answered by it.
    installed: Option<watch::Receiver<Installed>>,
}

/// What a part of a snapshot was.
enum Part {
    /// More have to come, or it had come before.
    Taken,
    /// The last one.
    Last(SnapshotMeta, Vec<u8>, watch::Sender<Installed>),
    /// The last one, once more.
    Again(watch::Receiver<Installed>),
}

impl Receiver {
    /// Gives up the parts of a snapshot that have come: the node is sent no more of it.
    pub(crate) fn forget(&self) {
        *self.incoming.lock() = None;
    }

    /// A leader sends the log: parts of a snapshot that one of before began to send are followed by no others.
    fn heed(&self, vote: Vote) {
        self.incoming.lock().take_if(|held| held.vote < vote);
    }

    pub(crate) async fn receive(&self, group: &Group, core: &Arc<Core>, frame: &[u8]) -> Bytes {
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
        core: &Arc<Core>,
        envelope: Envelope,
        content: Reader<'_>,
    ) -> Result<Vec<u8>, String> {
        if matches!(envelope.kind, Kind::Append | Kind::SnapshotChunk) && core.place.is_view() {
            // the leader has this node follow the log: to vote, as a rule
            if !core.place.is_sent_log(core) {
                return Err("the voters have not agreed, as far as this node knows, that it follows the log"
                    .to_owned());
            }
            core.place.take_log(core).await.map_err(|error| error.to_string())?;
        }
        let voting = || core.place.voting().ok_or("this node does not follow the log");
        match envelope.kind {
            Kind::Append => {
                let request: AppendEntriesRequest<_> = whole(content)?;
                self.heed(request.vote);
                let response =
                    voting()?.raft.append_entries(request).await.map_err(|error| error.to_string())?;
                if !matches!(response, AppendEntriesResponse::HigherVote(_)) {
                    core.gate.saw(Runtime::now());
                    core.patience.heard();
                }
                Ok(response.to_bytes())
            }
            Kind::Vote => {
                let request: VoteRequest<_> = whole(content)?;
                let theirs = request.last_log_id;
                let response = voting()?.raft.vote(request).await.map_err(|error| error.to_string())?;
                if response.vote_granted {
                    core.patience.voted();
                } else if response.last_log_id > theirs && !core.gate.is_fresh() {
                    Runtime::detach(stand_instead(Arc::clone(core)));
                }
                Ok(response.to_bytes())
            }
            Kind::Canvass => {
                let theirs: Option<LogId> = whole(content)?;
                let voting = voting()?;
                let leads = voting.raft.server_metrics().borrow().state == ServerState::Leader;
                let would_vote = if leads { !core.gate.is_fresh() } else { core.patience.would_vote() };
                let has_more = voting.log.last() > theirs;
                if would_vote && has_more {
                    Runtime::detach(stand_instead(Arc::clone(core)));
                }
                Ok((would_vote && !has_more).to_bytes())
            }
            Kind::SnapshotChunk => {
                let vote = self.take(core, &*voting()?, envelope.from, whole(content)?).await?;
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
            Kind::Feed => {
                let request = whole(content)?;
                feed(core, &*voting()?, request).await.map(|fed| fed.to_bytes())
            }
        }
    }

    /// Takes a part of a snapshot; with the last one, the snapshot.
    async fn take(
        &self,
        core: &Core,
        voting: &Voting,
        from: NodeId,
        chunk: SnapshotChunk,
    ) -> Result<Vote, String> {
        let vote = chunk.vote;
        if vote >= voting.raft.server_metrics().borrow().vote {
            // it sends nothing else meanwhile
            core.patience.heard();
        }
        match self.gather(core, from, chunk)? {
            Part::Taken => Ok(vote),
            Part::Last(meta, state, told) => {
                core.gate.saw(Runtime::now());
                let snapshot = Snapshot { meta, snapshot: Box::new(state.into()) };
                let installed = voting.raft.install_full_snapshot(vote, snapshot).await;
                let installed = installed.map(|response| response.vote).map_err(|error| error.to_string());
                if installed.is_err() {
                    // the next try begins with the first part
                    let mut incoming = self.incoming.lock();
                    incoming.take_if(|held| (held.from, held.vote) == (from, vote));
                }
                told.send_replace(Some(installed.clone()));
                installed
            }
            Part::Again(mut told) => {
                let given_up = || "the snapshot was given up".to_owned();
                let told = told.wait_for(Option::is_some).await.map_err(|_| given_up())?;
                told.clone().unwrap_or_else(|| Err(given_up()))
            }
        }
    }

    fn gather(&self, core: &Core, from: NodeId, chunk: SnapshotChunk) -> Result<Part, String> {
        let bytes_max = core.config.snapshot_bytes_max;
        let SnapshotChunk { vote, meta, total, offset, bytes } = chunk;
        if total > bytes_max {
            return Err(format!("a snapshot of {total} bytes is more than {bytes_max}"));
        }
        let end = offset.saturating_add(bytes.len() as u64);
        let mut incoming = self.incoming.lock();
        let same = |held: &Incoming| held.from == from && held.vote == vote && held.meta == meta;
        if offset == 0 && !incoming.as_ref().is_some_and(same) {
            let (meta, state) = (meta.clone(), Vec::new());
            *incoming = Some(Incoming { from, vote, meta, length: 0, state, installed: None });
        }
        let due = |held: &&mut Incoming| same(held) && offset <= held.length;
        let Some(held) = incoming.as_mut().filter(due) else {
            return Err(format!("no snapshot is due at byte {offset}"));
        };
        if let Some(installed) = held.installed.as_ref().filter(|_| end == total) {
            return Ok(Part::Again(installed.clone()));
        }
        if offset < held.length || held.installed.is_some() {
            return Ok(Part::Taken);
        }
        held.state.extend_from_slice(&bytes);
        held.length = end;
        match end.cmp(&total) {
            Ordering::Less => Ok(Part::Taken),
            Ordering::Equal => {
                let told = watch::Sender::default();
                held.installed = Some(told.subscribe());
                Ok(Part::Last(meta, std::mem::take(&mut held.state), told))
            }
            Ordering::Greater => {
                *incoming = None;
                Err(format!("{end} bytes came of a snapshot of {total}"))
            }
        }
    }
}

/// Stands for election in the place of a candidate whose log lacks what this voter's has. That one cannot win; would each wait
/// for its own time, the two would as a rule stand for the same term, and have to wait once more. It asks first, as whoever
/// stands: the two may be cut off together, from a leader that the others have.
async fn stand_instead(core: Arc<Core>) {
    // by the refusal of the first the voter learns for which term the other stood
    for _ in 0..2 {
        let Some(voting) = core.place.voting() else { return };
        if !canvass(&core, &voting).await {
            return;
        }
        stand(&core, &voting).await;
        Runtime::sleep(core.config.heartbeat).await;
        if core.leader().is_some() {
            return;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_snapshot_are_given_up_once_a_later_leader_sends_the_log() {
        let receiver = Receiver::default();
        let vote = |term| Vote::new_committed(term, 1);
        let meta = SnapshotMeta::default();
        let parts = Incoming { from: 1, vote: vote(3), meta, length: 4, state: vec![0; 4], installed: None };
        *receiver.incoming.lock() = Some(parts);
        for term in 2..=3 {
            receiver.heed(vote(term));
            assert!(receiver.incoming.lock().is_some(), "term {term}");
        }
        receiver.heed(vote(4));
        assert!(receiver.incoming.lock().is_none());
    }
}
