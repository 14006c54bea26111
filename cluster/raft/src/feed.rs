//! How a voter feeds the views of those that do not follow the log: each asks for what it lacks, and waits
//! for the answer until there is something.
//!
//! What is sent is read from the log in memory, so nothing is queued for anybody. Who lags behind by more than
//! [`LAG_BYTES_MAX`] of the log, or behind what the log still has, is sent the state instead, in parts; all who need it
//! share one copy, which is forgotten when nobody has asked for it for a while. A voter that sees no sign of a quorum
//! feeds nobody: its views would be as old as it is.

use crate::codec::{DecodeError, Encode, Reader};
use crate::core::Core;
use crate::runtime::{Instant, Runtime};
use crate::seat::Voting;
use crate::types::{Entry, NodeId, SnapshotMeta};
use bytes::Bytes;
use openraft::{AsyncRuntime as _, RaftLogReader as _};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Mutex;

/// Who lags behind by more than so many bytes of the log is sent the state instead.
const LAG_BYTES_MAX: usize = 4 << 20;
/// Bytes of the state in one answer.
const PART_BYTES: usize = 1 << 20;
/// A question waits no longer than this for something new.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// A copy of the state is forgotten when nobody has asked for it for so long.
const COPY_KEPT: Duration = Duration::from_secs(10);

/// What a view asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FeedRequest {
    /// Log index of the first entry that it lacks.
    pub(crate) from: u64,
    /// The state that it is taking in: of which log index, and from which byte on.
    pub(crate) part: Option<(u64, u64)>,
    /// How long to wait for something new.
    pub(crate) wait_ms: u32,
}

/// What a voter answers.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fed {
    /// Who leads, as far as the voter knows.
    pub(crate) leader: Option<NodeId>,
    /// In which term.
    pub(crate) term: u64,
    pub(crate) content: Content,
}

/// What is new.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// The entries that follow; none if there was nothing new in time.
    Entries(Vec<Entry>),
    /// A part of the state.
    Part {
        /// What it is of.
        meta: SnapshotMeta,
        /// Bytes of the whole.
        total: u64,
        /// Where this part begins.
        offset: u64,
        bytes: Bytes,
    },
}

/// The state as it is sent.
struct Copy {
    meta: SnapshotMeta,
    bytes: Bytes,
    asked: Instant,
}

impl Copy {
    fn index(&self) -> u64 {
        self.meta.last_log_id.map_or(0, |last| last.index)
    }
}

/// The copy of the state that all share who are sent it.
#[derive(Default)]
pub(crate) struct Copies(Mutex<Option<Copy>>);

/// Answers a view once there is something new, or nothing for as long as it waits.
pub(crate) async fn feed(core: &Arc<Core>, voting: &Voting, request: FeedRequest) -> Result<Fed, String> {
    core.gate.check()?;
    let content = match request.part {
        Some((index, offset)) => part(core, voting, index, offset).await?,
        None => {
            let wait = Duration::from_millis(u64::from(request.wait_ms)).min(WAIT_MAX);
            // nothing new is an answer too
            let _ = Runtime::timeout(wait, core.view.reach(request.from)).await;
            core.gate.check()?;
            let last = core.view.last();
            let due = last.map_or(0, |last| last.index + 1);
            if request.from >= due {
                Content::Entries(Vec::new())
            } else if last.is_some_and(|last| !voting.log.has(last)) {
                // it has left the log while it waited: what it has applied since is not what stands there
                return Err("this node does not follow the log any more".to_owned());
            } else if voting.log.holds(request.from, due, LAG_BYTES_MAX) {
                let entries = voting.log.clone().limited_get_log_entries(request.from, due).await;
                Content::Entries(entries.map_err(|error| error.to_string())?)
            } else {
                part(core, voting, 0, 0).await?
            }
        }
    };
    let metrics = voting.raft.server_metrics().borrow().clone();
    Ok(Fed { leader: metrics.current_leader, term: metrics.vote.leader_id.term, content })
}

/// A part of the state of this log index; the first one of a newer state if that is gone.
async fn part(core: &Arc<Core>, voting: &Voting, index: u64, offset: u64) -> Result<Content, String> {
    let mut held = core.copies.0.lock().await;
    let goes_on = |copy: &Copy| copy.index() == index && offset < copy.bytes.len() as u64;
    let begins =
        |copy: &Copy| offset == 0 && voting.log.holds(copy.index() + 1, core.view.due(), LAG_BYTES_MAX / 2);
    let usable = held.as_ref().is_some_and(|copy| goes_on(copy) || begins(copy));
    let offset = if held.as_ref().is_some_and(goes_on) { offset } else { 0 };
    if !usable {
        let (meta, state) = core.view.portray();
        let bytes = Runtime::blocking(move || Bytes::from(state.to_bytes())).await;
        let bytes = bytes.map_err(|error| error.to_string())?;
        if held.is_none() {
            Runtime::detach(forget(Arc::downgrade(core)));
        }
        *held = Some(Copy { meta, bytes, asked: Runtime::now() });
    }
    let Some(copy) = held.as_mut() else { return Err("there is no copy of the state".to_owned()) };
    copy.asked = Runtime::now();
    let start = usize::try_from(offset).unwrap_or(usize::MAX).min(copy.bytes.len());
    let end = copy.bytes.len().min(start + PART_BYTES);
    let (meta, total) = (copy.meta.clone(), copy.bytes.len() as u64);
    Ok(Content::Part { meta, total, offset: start as u64, bytes: copy.bytes.slice(start..end) })
}

/// Forgets the copy once nobody asks for it any more.
async fn forget(core: Weak<Core>) {
    loop {
        Runtime::sleep(COPY_KEPT).await;
        let Some(core) = core.upgrade() else { return };
        let mut held = core.copies.0.lock().await;
        if held.as_ref().is_none_or(|copy| copy.asked.age() >= COPY_KEPT) {
            *held = None;
            return;
        }
    }
}

impl Encode for FeedRequest {
    fn encode(&self, out: &mut Vec<u8>) {
        self.from.encode(out);
        self.part.map(|(index, _)| index).encode(out);
        self.part.map(|(_, offset)| offset).encode(out);
        self.wait_ms.encode(out);
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let first = u64::decode(from)?;
        let part = Option::<u64>::decode(from)?.zip(Option::<u64>::decode(from)?);
        Ok(Self { from: first, part, wait_ms: u32::decode(from)? })
    }
}

mod tag {
    pub(super) const ENTRIES: u8 = 0;
    pub(super) const PART: u8 = 1;
}

impl Encode for Fed {
    fn encode(&self, out: &mut Vec<u8>) {
        self.leader.encode(out);
        self.term.encode(out);
        match &self.content {
            Content::Entries(entries) => {
                out.push(tag::ENTRIES);
                entries.encode(out);
            }
            Content::Part { meta, total, offset, bytes } => {
                out.push(tag::PART);
                meta.encode(out);
                total.encode(out);
                offset.encode(out);
                bytes.encode(out);
            }
        }
    }

    fn decode(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (leader, term) = (Option::decode(from)?, u64::decode(from)?);
        let content = match u8::decode(from)? {
            tag::ENTRIES => Content::Entries(Vec::decode(from)?),
            tag::PART => Content::Part {
                meta: SnapshotMeta::decode(from)?,
                total: u64::decode(from)?,
                offset: u64::decode(from)?,
                bytes: Bytes::decode(from)?,
            },
            tag => return Err(DecodeError::Tag { what: "what a view is fed", tag }),
        };
        Ok(Self { leader, term, content })
    }
}
