//! Writes: a bounded queue of proposals, taken in batches that become one log entry each, here if this voter leads, else
//! by the leader.
//!
//! Few batches are on their way at a time; while they are, the next ones fill. So the batches grow with the load, and one
//! sync carries many commands.
//!
//! Invariant: a proposal belongs to a batch or to who made it, never to both: who takes it back before a batch has it knows
//! that nothing was proposed.

use crate::core::{Core, Leadership};
use crate::runtime::Runtime;
use crate::transport::{CallError, Kind, Placement};
use crate::types::Batch;
use bytes::{Bytes, BytesMut};
use openraft::AsyncRuntime as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Whose a proposal in the queue is: the first to claim it has it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claim(Arc<AtomicBool>);

impl Claim {
    /// Gives whether it is the caller's from now on.
    pub(crate) fn take(&self) -> bool {
        // nothing else is read by it: the proposal came through the queue
        !self.0.swap(true, Relaxed)
    }
}

/// Proposals on their way into a batch.
pub(crate) struct Item {
    /// One or more proposals, counted as in a batch.
    pub(crate) proposals: Bytes,
    /// They come from another voter, and go no further.
    pub(crate) forwarded: bool,
    /// Taken by a batch, or by who gave up before one had it.
    pub(crate) claim: Claim,
    pub(crate) placed: oneshot::Sender<Placement>,
}

/// What whoever made a proposal keeps of it.
pub(crate) struct Placing {
    pub(crate) claim: Claim,
    pub(crate) placed: oneshot::Receiver<Placement>,
}

/// Takes proposals until nobody can make any.
pub(crate) async fn run(core: Arc<Core>, mut queue: mpsc::Receiver<Item>) {
    let free = Arc::new(Semaphore::new(core.config.batches_in_flight));
    let mut left_over = None;
    while let Ok(permit) = Arc::clone(&free).acquire_owned().await {
        let first = match left_over.take() {
            Some(item) => item,
            None => match queue.recv().await {
                Some(item) => item,
                None => return,
            },
        };
        let mut bytes = first.proposals.len();
        let mut items = vec![first];
        while let Ok(item) = queue.try_recv() {
            if bytes + item.proposals.len() > core.config.batch_bytes_max {
                left_over = Some(item);
                break;
            }
            bytes += item.proposals.len();
            items.push(item);
        }
        place(&core, items, permit).await;
    }
}

async fn place(core: &Arc<Core>, items: Vec<Item>, permit: tokio::sync::OwnedSemaphorePermit) {
    // a view hears less often, and who leads says itself whether it has a quorum
    let leader = core.leader().filter(|_| core.gate.is_fresh() || core.place.is_view());
    let lead = core.place.voting().filter(|_| leader.is_some_and(|leader| leader.leader == core.config.id));
    let items = items.into_iter().filter(|item| item.claim.take()).collect::<Vec<_>>();
    let (items, astray): (Vec<Item>, Vec<Item>) =
        items.into_iter().partition(|item| lead.is_some() || !item.forwarded);
    tell(astray, Placement::Refused);
    if items.is_empty() {
        return;
    }
    let mut batch = BytesMut::new();
    items.iter().for_each(|item| batch.extend_from_slice(&item.proposals));
    let batch = batch.freeze();
    let core = Arc::clone(core);
    match (leader, lead) {
        (None, _) => tell(items, Placement::Refused),
        (Some(_), Some(voting)) => {
            // handed over here, and not in the task, so that batches keep their order
            let batch = Batch::from_bytes(batch);
            let written = voting.raft.client_write_ff(batch.clone()).await;
            Runtime::detach(async move {
                let placement = match written {
                    Ok(written) => committed(&core, &batch, written).await,
                    Err(_) if !batch.is_logged() => Placement::Refused,
                    Err(_) => Placement::Unknown,
                };
                tell(items, placement);
                drop(permit);
            });
        }
        (Some(leader), None) => Runtime::detach(async move {
            let placement = forward(&core, leader, batch).await;
            tell(items, placement);
            drop(permit);
        }),
    }
}

fn tell(items: Vec<Item>, placement: Placement) {
    for item in items {
        // who proposed it may have given up
        let _ = item.placed.send(placement);
    }
}

type Written = oneshot::Receiver<openraft::raft::ClientWriteResult<crate::types::Types>>;

async fn committed(core: &Core, batch: &Batch, written: Written) -> Placement {
    match Runtime::timeout(core.config.propose_timeout, written).await {
        Ok(Ok(Ok(written))) => Placement::Committed(written.log_id.index),
        // refused at the door, not after it was in the log
        Ok(Ok(Err(_))) if !batch.is_logged() => Placement::Refused,
        _ => Placement::Unknown,
    }
}

async fn forward(core: &Core, leadership: Leadership, batch: Bytes) -> Placement {
    let leader = leadership.leader;
    let Some(voter) = core.voter(leader) else { return Placement::Refused };
    let timeout = core.config.propose_timeout;
    let asked = core.network.ask(Kind::Forward, leader, &voter, &batch, timeout);
    match core.while_leads(leadership, asked).await {
        Some(Ok(placement)) => placement,
        Some(Err(CallError::Unreachable { .. } | CallError::Refused { .. })) => Placement::Refused,
        Some(Err(CallError::Lost { .. })) | None => Placement::Unknown,
    }
}
