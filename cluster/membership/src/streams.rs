//! The side of a stream between voters that asks: one stream to each other voter, opened when it is first needed and
//! again when it broke.
//!
//! Invariants: a frame that was handed to a stream and not answered is called lost, never unreachable, since nobody knows
//! what became of it; a frame is sent once at most. Bounds: frames that wait for a stream, and frames on it.

use crate::answering::{IN_FLIGHT_MAX, message};
use crate::dialer::Dialer;
use crate::hello::Introduction;
use arsenal_proto::internal::v1::raft_message::Content;
use arsenal_proto::internal::v1::raft_service_client::RaftServiceClient;
use arsenal_proto::internal::v1::{RaftFrame, RaftMessage};
use arsenal_raft::transport::{CallError, Reply, Transport};
use arsenal_raft::{NodeId, Voter};
use bytes::Bytes;
use parking_lot::Mutex;
use rand::Rng as _;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

/// Frames that may wait for a stream.
const QUEUE_MAX: usize = 256;
/// How long it may take to open a stream, the other's hello included.
const OPEN_TIMEOUT: Duration = Duration::from_secs(2);
/// After a stream did not open, the next try waits so long, twice as long each time, up to the second.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A frame of a batch of the log, or a part of a snapshot, is far below.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Streams to all other voters.
pub struct Streams {
    dialer: Dialer,
    introduce: Introduce,
    links: Mutex<BTreeMap<NodeId, Link>>,
}

/// Tells how this node introduces itself now: what it speaks changes with what its cluster agrees on.
type Introduce = Arc<dyn Fn() -> Introduction + Send + Sync>;

/// The way to one voter.
struct Link {
    address: String,
    queue: mpsc::Sender<Outgoing>,
}

/// A frame that wants an answer.
struct Outgoing {
    frame: Bytes,
    answer: oneshot::Sender<Result<Bytes, CallError>>,
}

impl Outgoing {
    fn refuse(self, to: NodeId, reason: &str) {
        // who asked may have given up
        let _ = self.answer.send(Err(CallError::Unreachable { to, reason: reason.to_owned() }));
    }
}

impl Streams {
    /// No stream yet. Each that is opened is told how this node introduces itself by then.
    pub fn new(dialer: Dialer, introduce: impl Fn() -> Introduction + Send + Sync + 'static) -> Self {
        Self { dialer, introduce: Arc::new(introduce), links: Mutex::default() }
    }

    /// The queue to a voter. A voter that moved gets a new one, and the old stream ends with its frames.
    fn queue(&self, to: NodeId, voter: &Voter) -> mpsc::Sender<Outgoing> {
        let mut links = self.links.lock();
        match links.get(&to) {
            Some(link) if link.address == voter.address => link.queue.clone(),
            _ => {
                let (queue, queued) = mpsc::channel(QUEUE_MAX);
                let address = voter.address.clone();
                let link =
                    Task { to, address, dialer: self.dialer.clone(), introduce: Arc::clone(&self.introduce) };
                tokio::spawn(link.run(queued));
                links.insert(to, Link { address: voter.address.clone(), queue: queue.clone() });
                queue
            }
        }
    }
}

impl Transport for Streams {
    fn call(&self, to: NodeId, voter: &Voter, frame: Bytes, limit: Duration) -> Reply {
        let (answer, answered) = oneshot::channel();
        let queued = self.queue(to, voter).try_send(Outgoing { frame, answer });
        Box::pin(async move {
            if queued.is_err() {
                let reason = format!("{QUEUE_MAX} frames wait for it already");
                return Err(CallError::Unreachable { to, reason });
            }
            let lost = |reason: &str| CallError::Lost { to, reason: reason.to_owned() };
            match timeout(limit, answered).await {
                Ok(answered) => answered.unwrap_or_else(|_| Err(lost("the way to it was given up"))),
                Err(_) => Err(lost("the time is over")),
            }
        })
    }
}

/// Keeps the stream to one voter.
struct Task {
    to: NodeId,
    address: String,
    dialer: Dialer,
    introduce: Introduce,
}

/// A stream that both sides agreed on.
struct Open {
    requests: mpsc::Sender<RaftMessage>,
    answers: Streaming<RaftMessage>,
}

impl Task {
    async fn run(self, mut queue: mpsc::Receiver<Outgoing>) {
        let mut pause = PAUSE_MIN;
        let mut told = String::new();
        while let Some(first) = queue.recv().await {
            let opened = timeout(OPEN_TIMEOUT, self.open()).await;
            let opened = opened.unwrap_or_else(|_| Err(format!("no answer within {OPEN_TIMEOUT:?}")));
            match opened {
                Ok(open) => {
                    (pause, told) = (PAUSE_MIN, String::new());
                    self.converse(open, first, &mut queue).await;
                }
                Err(reason) => {
                    if told != reason {
                        tracing::warn!(
                            voter = self.to,
                            address = self.address,
                            reason,
                            "no stream to a voter"
                        );
                        told.clone_from(&reason);
                    }
                    first.refuse(self.to, &reason);
                    if !self.rest(jitter(pause), &reason, &mut queue).await {
                        return;
                    }
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Refuses everything for a while. Gives whether anybody can still ask.
    async fn rest(&self, pause: Duration, reason: &str, queue: &mut mpsc::Receiver<Outgoing>) -> bool {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(until) => return true,
                next = queue.recv() => match next {
                    Some(next) => next.refuse(self.to, reason),
                    None => return false,
                },
            }
        }
    }

    async fn open(&self) -> Result<Open, String> {
        let channel = self.dialer.line(&self.address)?;
        let mut client = RaftServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let (requests, stream) = mpsc::channel(1);
        let own = (self.introduce)();
        let hello = message(Content::Hello(own.hello()));
        let gone = |_| "the stream ended at once".to_owned();
        requests.send(hello).await.map_err(gone)?;
        let answers = client.exchange(ReceiverStream::new(stream)).await;
        let mut answers = answers.map_err(|status| told(&status))?.into_inner();
        let first = answers.message().await.map_err(|status| told(&status))?;
        match first.and_then(|first| first.content) {
            Some(Content::Hello(theirs)) => {
                own.agree(&theirs)?;
                if theirs.node != self.to {
                    return Err(format!("node n{} answers there instead of n{}", theirs.node, self.to));
                }
                Ok(Open { requests, answers })
            }
            Some(Content::Refusal(refusal)) => Err(refusal.reason),
            _ => Err("it did not say who it is".to_owned()),
        }
    }

    /// Sends frames and matches answers until the stream ends or nobody can ask any more.
    async fn converse(&self, open: Open, first: Outgoing, queue: &mut mpsc::Receiver<Outgoing>) {
        let Open { requests, mut answers } = open;
        let mut pending: HashMap<u64, oneshot::Sender<Result<Bytes, CallError>>> = HashMap::new();
        let (mut next, mut correlation) = (Some(first), 0);
        let reason = loop {
            if pending.len() >= IN_FLIGHT_MAX {
                // who asked for these has given up, and the other side may never answer
                pending.retain(|_, answer| !answer.is_closed());
            }
            let room = pending.len() < IN_FLIGHT_MAX;
            tokio::select! {
                queued = queue.recv(), if next.is_none() && room => match queued {
                    Some(queued) => next = Some(queued),
                    None => break "this voter stops".to_owned(),
                },
                permit = requests.reserve(), if next.is_some() => {
                    let Ok(permit) = permit else { break "the stream ended".to_owned() };
                    if let Some(Outgoing { frame, answer }) = next.take().filter(|next| !next.answer.is_closed()) {
                        correlation += 1;
                        pending.insert(correlation, answer);
                        permit.send(message(Content::Request(RaftFrame { correlation, frame })));
                    }
                }
                answered = answers.message() => match answered {
                    Ok(Some(RaftMessage { content: Some(Content::Answer(RaftFrame { correlation, frame })) })) => {
                        // who asked may have given up
                        let _ = pending.remove(&correlation).map(|answer| answer.send(Ok(frame)));
                    }
                    Ok(Some(_)) => break "it said something that is no answer".to_owned(),
                    Ok(None) => break "the stream ended".to_owned(),
                    Err(status) => break told(&status),
                },
            }
        };
        for answer in pending.into_values() {
            let _ = answer.send(Err(CallError::Lost { to: self.to, reason: reason.clone() }));
        }
        if let Some(next) = next {
            next.refuse(self.to, &reason);
        }
    }
}

/// What a status says, with what is behind it: "transport error" alone says nothing.
fn told(status: &tonic::Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Half to all of it: voters that lost each other at once do not come back at once.
fn jitter(pause: Duration) -> Duration {
    pause.mul_f64(rand::thread_rng().gen_range(0.5..=1.0))
}
