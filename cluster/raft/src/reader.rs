//! Reads that see every write completed before them: the leader tells up to which log index, once a quorum has confirmed
//! that it leads; who asked waits until its own state is that new, and reads there.
//!
//! All requests that wait share one round. A round that has begun takes nobody in: its index may be older than what they
//! must see.

use crate::core::{Core, Leadership};
use crate::transport::Kind;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Rounds answer so many at a time.
const REQUESTS_MAX: usize = 4096;

/// Somebody wants an index.
pub(crate) struct Request {
    /// Asked for by another voter, and so not passed on.
    pub(crate) forwarded: bool,
    pub(crate) index: oneshot::Sender<Result<u64, String>>,
}

/// Answers requests until nobody can make any.
pub(crate) async fn run(core: Arc<Core>, mut requests: mpsc::Receiver<Request>) {
    let mut round = Vec::new();
    while requests.recv_many(&mut round, REQUESTS_MAX).await > 0 {
        let leader = core.leader();
        if leader.is_none_or(|leader| leader.leader != core.config.id) {
            for request in round.extract_if(.., |request| request.forwarded) {
                let _ = request.index.send(Err("this voter does not lead".to_owned()));
            }
        }
        if round.is_empty() {
            continue;
        }
        let index = match leader {
            Some(leader) => read_index(&core, leader).await,
            None => Err("no leader is known".to_owned()),
        };
        for request in round.drain(..) {
            // who asked may have given up
            let _ = request.index.send(index.clone());
        }
    }
}

async fn read_index(core: &Core, leadership: Leadership) -> Result<u64, String> {
    let leader = leadership.leader;
    if leader == core.config.id {
        let voting = core.place.voting().ok_or("this node does not follow the log any more")?;
        let read = voting.raft.get_read_log_id().await.map_err(|error| error.to_string())?;
        return Ok(read.0.map_or(0, |last| last.index));
    }
    let voter = core.voter(leader).ok_or_else(|| format!("leader {leader} is not a member"))?;
    let timeout = core.config.read_timeout;
    let asked = core.network.ask(Kind::ReadIndex, leader, &voter, &0u8, timeout);
    match core.while_leads(leadership, asked).await {
        Some(asked) => asked.map_err(|error| error.to_string()),
        None => Err(format!("voter {leader} was asked, and a later one leads by now")),
    }
}
