//! A network in memory: frames take a random time, get lost, overtake each other, and do not pass where a direction is
//! cut. A cut is silent, as a partition is; a voter that is down says so.

use super::world::{OUTSIDE, World};
use crate::transport::{CallError, Envelope, Kind, Reply, Transport};
use crate::types::{NodeId, Voter};
use bytes::Bytes;
use futures_util::future::{Either, select};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What answers the frames that come to a voter.
pub type Handler = Arc<dyn Fn(Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send>> + Send + Sync>;

/// A network between the voters of a world. Clones are the same network.
#[derive(Clone)]
pub struct Network {
    world: World,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    up: BTreeMap<NodeId, Handler>,
    traffic: BTreeMap<NodeId, Traffic>,
    cut: BTreeSet<(NodeId, NodeId)>,
    weather: Weather,
    /// Parts of snapshots that get lost, and answers to such, before others arrive.
    lost_parts: u32,
    lost_answers: u32,
}

/// What came to a node so far, and what it answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Frames that it took.
    pub frames: u64,
    /// Bytes of them.
    pub taken_bytes: u64,
    /// Bytes of its answers.
    pub answered_bytes: u64,
}

/// How bad the network is.
#[derive(Clone, Debug)]
pub struct Weather {
    /// The shortest that a frame takes.
    pub fastest: Duration,
    /// The longest.
    pub slowest: Duration,
    /// Frames lost of a thousand.
    pub lost_permille: u64,
}

impl Default for Weather {
    fn default() -> Self {
        Self { fastest: Duration::from_micros(50), slowest: Duration::from_millis(2), lost_permille: 0 }
    }
}

impl Network {
    /// A network with nobody on it.
    pub fn new(world: &World) -> Self {
        Self { world: world.clone(), inner: Arc::default() }
    }

    /// A voter answers frames from now on.
    pub fn connect(&self, id: NodeId, handler: Handler) {
        self.inner.lock().up.insert(id, handler);
    }

    /// A voter is down.
    pub fn disconnect(&self, id: NodeId) {
        self.inner.lock().up.remove(&id);
    }

    /// All voters are down.
    pub(super) fn disconnect_all(&self) {
        let gone = std::mem::take(&mut self.inner.lock().up);
        drop(gone);
    }

    /// What came to a node so far, and what it answered.
    pub fn traffic(&self, id: NodeId) -> Traffic {
        self.inner.lock().traffic.get(&id).copied().unwrap_or_default()
    }

    fn count(&self, id: NodeId, count: impl FnOnce(&mut Traffic)) {
        count(self.inner.lock().traffic.entry(id).or_default());
    }

    /// Nothing passes from one to the other any more.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.inner.lock().cut.insert((from, to));
    }

    /// Nothing is cut any more.
    pub fn heal(&self) {
        self.inner.lock().cut.clear();
    }

    /// Changes how bad it is.
    pub fn set_weather(&self, weather: Weather) {
        self.inner.lock().weather = weather;
    }

    /// So many parts of snapshots get lost from now on, and so many answers to those that arrive.
    pub fn lose_snapshot_parts(&self, parts: u32, answers: u32) {
        let mut inner = self.inner.lock();
        (inner.lost_parts, inner.lost_answers) = (parts, answers);
    }

    /// How this voter sends.
    pub fn link(&self, from: NodeId) -> Arc<dyn Transport> {
        Arc::new(Link { from, network: self.clone() })
    }

    /// How long a frame takes; nothing if it gets lost.
    fn fate(&self) -> Option<Duration> {
        let weather = self.inner.lock().weather.clone();
        let range = weather.slowest.saturating_sub(weather.fastest);
        let extra = self.world.below(u64::try_from(range.as_nanos()).unwrap_or(u64::MAX).saturating_add(1));
        let lost = self.world.chance(weather.lost_permille);
        (!lost).then(|| weather.fastest + Duration::from_nanos(extra))
    }

    fn passes(&self, from: NodeId, to: NodeId) -> bool {
        !self.inner.lock().cut.contains(&(from, to))
    }

    /// One way of a frame. Whether it arrived.
    async fn travel(&self, from: NodeId, to: NodeId) -> bool {
        let Some(delay) = self.fate() else { return false };
        self.world.sleep(delay).await;
        self.passes(from, to)
    }

    /// Whether one of the losses that were asked for is due.
    fn loses(&self, due: impl FnOnce(&mut Inner) -> &mut u32) -> bool {
        let mut inner = self.inner.lock();
        let due = due(&mut inner);
        let loses = *due > 0;
        *due = due.saturating_sub(1);
        loses
    }

    /// Both ways, on no node: a frame under way does not die with its sender.
    async fn exchange(
        self,
        from: NodeId,
        to: NodeId,
        frame: Bytes,
        answer: oneshot::Sender<Result<Bytes, CallError>>,
    ) {
        let is_part = Envelope::open(&frame).is_ok_and(|(envelope, _)| envelope.kind == Kind::SnapshotChunk);
        let is_lost = is_part && self.loses(|inner| &mut inner.lost_parts);
        if is_lost || !self.travel(from, to).await {
            // the sender waits until its time is over
            return answer.closed_forever().await;
        }
        let handler = self.inner.lock().up.get(&to).cloned();
        let Some(handler) = handler else {
            let _ = answer.send(Err(CallError::Unreachable { to, reason: "connection refused".to_owned() }));
            return;
        };
        let network = self.clone();
        self.world.spawn_on(to, async move {
            network.count(to, |traffic| {
                traffic.frames += 1;
                traffic.taken_bytes += frame.len() as u64;
            });
            let reply = handler(frame).await;
            network.count(to, |traffic| traffic.answered_bytes += reply.len() as u64);
            let back = network.clone();
            network.world.spawn_on(OUTSIDE, async move {
                let is_lost = is_part && back.loses(|inner| &mut inner.lost_answers);
                if !is_lost && back.travel(to, from).await {
                    let _ = answer.send(Ok(reply));
                } else {
                    answer.closed_forever().await;
                }
            });
        });
    }
}

/// A lost answer leaves its waiter waiting, rather than telling it by being dropped.
trait ClosedForever {
    async fn closed_forever(self);
}

impl<T> ClosedForever for oneshot::Sender<T> {
    async fn closed_forever(mut self) {
        self.closed().await;
    }
}

struct Link {
    from: NodeId,
    network: Network,
}

impl Transport for Link {
    fn call(&self, to: NodeId, _voter: &Voter, frame: Bytes, timeout: Duration) -> Reply {
        let (answer, reply) = oneshot::channel();
        let world = self.network.world.clone();
        let exchange = self.network.clone().exchange(self.from, to, frame, answer);
        Box::pin(async move {
            world.spawn_on(OUTSIDE, exchange);
            let late = std::pin::pin!(world.sleep(timeout));
            let lost = |reason: &str| CallError::Lost { to, reason: reason.to_owned() };
            match select(reply, late).await {
                Either::Left((reply, _)) => reply.unwrap_or_else(|_| Err(lost("connection reset"))),
                Either::Right(_) => Err(lost("the time is over")),
            }
        })
    }
}
