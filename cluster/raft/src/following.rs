//! How a node without the log has its view fed: it asks one voter after the other for what comes after what it has.
//!
//! It stays with a voter as long as that one answers, and goes on with the next where it was: an entry is applied once,
//! whoever sends it. A voter that leads is asked only if there is no other: it has enough to do. While a voter feeds it, a
//! node takes part in reads and writes by the leader that the voter names.

use crate::core::Core;
use crate::feed::{Content, Fed, FeedRequest};
use crate::runtime::{JoinHandle, Runtime};
use crate::seat::Outlook;
use crate::transport::Kind;
use crate::types::{NodeId, SnapshotMeta, Voter};
use crate::view::FeedError;
use crate::watchdog::End;
use futures_util::future::{Either, select};
use openraft::AsyncRuntime as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Beyond what it was asked to wait for, a voter may take so long to answer before the next is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// A part of the state may take so long.
const PART_PATIENCE: Duration = Duration::from_secs(30);
/// After one that did not answer, the next is asked so much later.
const PAUSE: Duration = Duration::from_millis(50);

/// What feeds a view, until it is stopped or dropped.
pub(crate) struct Following {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Following {
    /// Stops it. Once this returns nothing more is applied.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        // a task that panicked applies nothing either
        let _ = self.task.await;
    }
}

/// Begins to have the view fed. `end` is called if it cannot be.
pub(crate) fn start(core: &Arc<Core>, end: &End) -> Following {
    let (stop, stopped) = oneshot::channel();
    let follower = Follower { core: Arc::clone(core), end: Arc::clone(end), incoming: None };
    Following { stop, task: Runtime::spawn(follower.run(stopped)) }
}

/// A state of which parts have come.
struct Incoming {
    meta: SnapshotMeta,
    total: u64,
    bytes: Vec<u8>,
}

struct Follower {
    core: Arc<Core>,
    end: End,
    incoming: Option<Incoming>,
}

impl Follower {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut attempt = 0;
        loop {
            let core = Arc::clone(&self.core);
            let turn = pin!(ask(&core, attempt, self.part()));
            let answered = match select(&mut stopped, turn).await {
                Either::Left(_) => return,
                Either::Right((answered, _)) => answered,
            };
            let pause = match answered.and_then(|fed| self.take(fed).map_err(Some)) {
                Ok(()) => continue,
                Err(Some(FeedError::Unreadable(reason))) => return (self.end)(reason),
                Err(Some(FeedError::Gap { .. }) | None) => pin!(Runtime::sleep(PAUSE)),
            };
            self.incoming = None;
            attempt += 1;
            if let Either::Left(_) = select(&mut stopped, pause).await {
                return;
            }
        }
    }

    /// Which part of the state comes next, while one comes.
    fn part(&self) -> Option<(u64, u64)> {
        let incoming = self.incoming.as_ref()?;
        Some((incoming.meta.last_log_id.map_or(0, |last| last.index), incoming.bytes.len() as u64))
    }

    fn take(&mut self, fed: Fed) -> Result<(), FeedError> {
        self.core.gate.saw(Runtime::now());
        let outlook = Outlook { leader: fed.leader, term: fed.term };
        self.core.place.outlook.send_if_modified(|known| std::mem::replace(known, outlook) != outlook);
        match fed.content {
            Content::Entries(entries) => self.core.view.feed(entries),
            Content::Part { meta, total, offset, bytes } => {
                if offset == 0 {
                    self.incoming = Some(Incoming { meta: meta.clone(), total, bytes: Vec::new() });
                }
                let bytes_max = self.core.config.snapshot_bytes_max;
                let goes_on = |incoming: &&mut Incoming| {
                    incoming.meta == meta && incoming.bytes.len() as u64 == offset && total <= bytes_max
                };
                let Some(incoming) = self.incoming.as_mut().filter(goes_on) else {
                    // another voter's, or one that is not taken: it begins anew
                    let due = self.core.view.due();
                    return Err(FeedError::Gap { due, found: offset });
                };
                incoming.bytes.extend_from_slice(&bytes);
                if (incoming.bytes.len() as u64) < incoming.total {
                    return Ok(());
                }
                let whole = self.incoming.take();
                whole.map_or(Ok(()), |whole| self.core.view.feed_snapshot(&whole.meta, &whole.bytes))
            }
        }
    }
}

/// Asks a voter for what is new; nothing if it does not tell.
async fn ask(core: &Core, attempt: usize, part: Option<(u64, u64)>) -> Result<Fed, Option<FeedError>> {
    let voters = voters(core);
    let Some((id, voter)) = voters.get(attempt % voters.len().max(1)) else { return Err(None) };
    // twice within the lease: who hears nothing knows that something is wrong
    let wait = core.config.lease / 2;
    let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
    let request = FeedRequest { from: core.view.due(), part, wait_ms };
    let patience = if part.is_some() { PART_PATIENCE } else { wait + PATIENCE };
    let answered = core.network.ask::<Fed>(Kind::Feed, *id, voter, &request, patience).await;
    answered.map_err(|error| {
        tracing::debug!(voter = id, %error, "a voter does not feed the view of this node");
        None
    })
}

/// Whom to ask, in this order: each view begins with another.
fn voters(core: &Core) -> Vec<(NodeId, Voter)> {
    let (known, leader) = (
        core.view.picture(|picture| picture.voters.clone()),
        core.leader().map(|leadership| leadership.leader),
    );
    let (own, count) = (core.config.id, known.len() as u64);
    let mut voters: Vec<(NodeId, Voter)> = known.into_iter().filter(|(id, _)| *id != own).collect();
    if count > 0 {
        let start = usize::try_from(own % count).unwrap_or_default();
        let turned = start % voters.len().max(1);
        voters.rotate_left(turned);
    }
    // stable: the others keep their order
    voters.sort_by_key(|(id, _)| Some(*id) == leader);
    let others = core.contacts.read();
    let others = others.iter().filter(|(id, _)| **id != own);
    let others: Vec<(NodeId, Voter)> = others.map(|(id, voter)| (*id, voter.clone())).collect();
    voters.extend(others);
    voters
}
