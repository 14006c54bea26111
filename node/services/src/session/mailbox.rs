//! What a client does with its session's mailbox: receive from it, watch it, answer calls that came.

use super::delivery::Arrival;
use super::process::{ended, expire_time, find_own, without_stream};
use crate::caller::Caller;
use crate::listing::admits;
use crate::process::relations::monitor_id;
use crate::status::{bad_argument, failure};
use crate::{payload, time};
use arsenal_observe::predicate::{Predicate, PredicateError};
use arsenal_proto::v1;
use arsenal_runtime::{Filter, Kind, Message, Node, OwnedId, Pid, ProcessRef, Receive, Term};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tonic::{Code, Status};

/// Messages that one receive takes at most.
const TAKEN_MAX: i32 = 1_000;
/// How long one receive waits at most.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Messages that a watch looks at before others have the thread.
const LOOK_MAX: usize = 256;
/// Messages that a watch copies out of the mailbox at most, and about how many bytes: each time it passes those that it has
/// seen once more.
const COPIED_MAX: usize = 4_096;
const COPIED_BYTES_MAX: usize = 1 << 20;
/// How often a watch of a session renews its lease, in parts of the lease.
const RENEWALS: u32 = 3;

/// Which deliveries are wanted.
#[derive(Clone)]
struct Match(Option<Arc<Predicate>>);

impl Match {
    fn parse(text: &str) -> Result<Self, Status> {
        use crate::listing::Row as _;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let bad = |error: PredicateError| {
            failure(Code::InvalidArgument, "BAD_FILTER", format!("`match`: {error}")).field("match").status()
        };
        // the fields are the same whatever the message
        Predicate::condition(text, Arrival::<'_>::FIELDS)
            .map(|predicate| Self(Some(Arc::new(predicate))))
            .map_err(bad)
    }

    /// Whether a message is wanted; an expression that its values do not fit, is not true of it.
    fn admits(&self, node: &Node, me: Pid, message: &Message) -> bool {
        let fits =
            |predicate: &Arc<Predicate>| admits(predicate, &Arrival { node, me, message }).unwrap_or(false);
        message.kind != Kind::System && self.0.as_ref().is_none_or(fits)
    }

    fn filter(&self, node: &Node, me: Pid) -> Filter {
        let (wanted, node) = (self.clone(), node.clone());
        Receive::matching(move |message| wanted.admits(&node, me, message)).filter
    }
}

pub(super) async fn receive(
    node: &Node,
    caller: &Caller,
    request: v1::ReceiveMessagesRequest,
) -> Result<v1::ReceiveMessagesResponse, Status> {
    let process = find_own(node, caller, &request.session)?;
    without_stream(node, &process)?;
    let pid = process.pid();
    let filter = Match::parse(&request.r#match)?.filter(node, pid);
    let max = match request.max {
        0 => 1,
        max if (1..=TAKEN_MAX).contains(&max) => usize::try_from(max).unwrap_or(1),
        max => return Err(bad_argument("max", format!("`max` is {max}; it is from 1 to {TAKEN_MAX}"))),
    };
    let timeout = time::duration("timeout", request.timeout.as_ref())?.unwrap_or_default();
    if timeout > WAIT_MAX {
        return Err(bad_argument("timeout", format!("`timeout` is {timeout:?}; it is {WAIT_MAX:?} at most")));
    }
    let wait = wait_for(node, &process, &filter, max, timeout);
    let messages = wait.await.ok_or_else(|| ended(node, pid))?;
    // one that ends now has given its messages
    let _ = node.renew_receive(pid, None);
    Ok(v1::ReceiveMessagesResponse {
        messages: messages.iter().map(|message| Arrival { node, me: pid, message }.encode()).collect(),
        queue_length: node.queue_length(&process) as u64,
        expire_time: expire_time(node, &process),
    })
}

/// Takes what the filter admits, waiting for the first; nothing if the session ends meanwhile.
async fn wait_for(
    node: &Node,
    process: &ProcessRef,
    filter: &Filter,
    max: usize,
    timeout: Duration,
) -> Option<Vec<Message>> {
    let pid = process.pid();
    let notify = node.open_mailbox(pid);
    let deadline_ns = node.now_ns().saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    loop {
        // made before looking, so that what comes between is not missed
        let mut news = std::pin::pin!(notify.notified());
        news.as_mut().enable();
        node.renew_receive(pid, None).ok()?;
        let messages = node.receive_as(pid, filter, max).ok()?;
        let left = Duration::from_nanos(deadline_ns.saturating_sub(node.now_ns()));
        if !messages.is_empty() || left.is_zero() {
            return Some(messages);
        }
        // whoever waits uses the session: its lease does not end under him
        let _ = tokio::time::timeout(left.min(renewal(node, process)), news).await;
    }
}

/// After how long a lease is renewed by who waits.
fn renewal(node: &Node, process: &ProcessRef) -> Duration {
    node.receive_timeout(process).map_or(WAIT_MAX, |lease| lease / RENEWALS)
}

struct Watch {
    node: Node,
    process: ProcessRef,
    notify: Arc<Notify>,
    wanted: Match,
    /// The number of the last message looked at.
    seen: u32,
    /// Those behind it that were copied already.
    copied: VecDeque<Message>,
    /// How many messages the mailbox had refused.
    refused: u64,
    ready: VecDeque<v1::Delivery>,
    over: bool,
}

pub(super) fn watch(
    node: &Node,
    caller: &Caller,
    request: &v1::WatchSessionMessagesRequest,
) -> Result<BoxStream<'static, Result<v1::Delivery, Status>>, Status> {
    let watch = watch_of(node, caller, request)?;
    Ok(stream::unfold(watch, |mut watch| async move { watch.next().await.map(|item| (item, watch)) }).boxed())
}

fn watch_of(
    node: &Node,
    caller: &Caller,
    request: &v1::WatchSessionMessagesRequest,
) -> Result<Watch, Status> {
    let process = find_own(node, caller, &request.session)?;
    let wanted = Match::parse(&request.r#match)?;
    let received = node.messages_received(&process);
    let after = request.after.unwrap_or_default();
    let seen = u32::try_from(after).ok().filter(|after| *after <= received).ok_or_else(|| {
        let message =
            format!("`after` is {after}; the last message of session {} is {received}", request.session);
        failure(Code::OutOfRange, "BAD_SEQUENCE", message).field("after").status()
    })?;
    Ok(Watch {
        node: node.clone(),
        notify: node.open_mailbox(process.pid()),
        refused: node.messages_refused(&process),
        wanted,
        seen,
        copied: VecDeque::new(),
        ready: VecDeque::new(),
        over: false,
        process,
    })
}

impl Watch {
    async fn next(&mut self) -> Option<Result<v1::Delivery, Status>> {
        let notify = Arc::clone(&self.notify);
        loop {
            if let Some(delivery) = self.ready.pop_front() {
                return Some(Ok(delivery));
            }
            if self.over {
                return None;
            }
            let mut news = std::pin::pin!(notify.notified());
            news.as_mut().enable();
            if self.node.renew_receive(self.process.pid(), None).is_err() {
                self.over = true;
                return Some(Err(ended(&self.node, self.process.pid())));
            }
            if !self.look() {
                let _ = tokio::time::timeout(renewal(&self.node, &self.process), news).await;
            } else if self.ready.is_empty() {
                // none of those was wanted, and there may be many more
                tokio::task::yield_now().await;
            }
        }
    }

    /// Looks at the next of what has come; whether there was anything.
    fn look(&mut self) -> bool {
        let Self { node, process, wanted, seen, copied, refused, ready, .. } = self;
        let me = process.pid();
        let lost = node.messages_refused(process);
        if lost > *refused {
            let kind = v1::delivery::Kind::Dropped as i32;
            ready.push_back(v1::Delivery {
                sequence: (*seen).into(),
                kind,
                count: lost - *refused,
                ..Default::default()
            });
            *refused = lost;
        }
        if copied.is_empty() {
            copied.extend(node.mailbox_after(process, *seen, COPIED_MAX, COPIED_BYTES_MAX));
        }
        let looked_at = copied.len().min(LOOK_MAX);
        for message in copied.drain(..looked_at) {
            *seen = message.number.max(*seen);
            if wanted.admits(node, me, &message) {
                ready.push_back(Arrival { node, me, message: &message }.encode());
            }
        }
        !ready.is_empty() || looked_at > 0
    }
}

pub(super) fn reply(
    node: &Node,
    caller: &Caller,
    request: v1::ReplyMessageRequest,
) -> Result<v1::ReplyMessageResponse, Status> {
    use v1::reply_message_request::Payload;
    let process = find_own(node, caller, &request.session)?;
    let answer = match request.payload {
        Some(Payload::Reply(reply)) => payload::to_term(&reply),
        Some(Payload::ReplyBytes(bytes)) => payload::bytes_to_term(bytes),
        None => Term::Null,
    };
    let caller = answer_call(node, process.pid(), &request.reference, answer)?;
    let _ = node.renew_receive(process.pid(), None);
    Ok(v1::ReplyMessageResponse { pid: caller.map(|pid| pid.to_string()).unwrap_or_default() })
}

/// Answers a call that reached the session, be it taken out of the mailbox or only seen there. Gives the caller, where
/// it is a process.
pub(super) fn answer_call(
    node: &Node,
    me: Pid,
    reference: &str,
    answer: Term,
) -> Result<Option<Pid>, Status> {
    let no_reference = || {
        let message = format!("no call `{reference}` waits for an answer of the session");
        failure(Code::NotFound, "NO_REFERENCE", message).resource("reference", reference).status()
    };
    let id: OwnedId = monitor_id(reference).map_err(|_| no_reference())?;
    let call = id.reference();
    if node.caller_of(me, id).is_none() {
        let seen = Receive::matching(move |message| message.kind == Kind::Call && message.reference == call);
        node.receive_as(me, &seen.filter, 1).map_err(|_| ended(node, me))?;
    }
    let caller = node.caller_of(me, id);
    if node.reply_as(me, id, answer).map_err(|_| ended(node, me))? {
        Ok(caller.filter(|pid| !pid.is_alias()))
    } else {
        Err(no_reference())
    }
}

#[cfg(test)]
mod tests;
