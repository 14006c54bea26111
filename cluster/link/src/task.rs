//! The task of one link: waits for what happens, asks the [`Peer`], does what it says.

use crate::config::LinkConfig;
use crate::flow::Arrived;
use crate::frame::{Frame, Head, Life};
use crate::links::{Command, Peering, Place};
use crate::network::{Connection, DialError, Dialing, Frames, Network};
use crate::peer::{Action, Event, Line, Peer};
use arsenal_runtime::codec::Reader;
use arsenal_runtime::node::WeakNode;
use arsenal_runtime::remote::{Parcel, Queue};
use futures_util::FutureExt as _;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

#[cfg(test)]
mod tests;

/// Data frames sent in a row before the task looks at what arrived.
const FRAMES_IN_A_ROW: usize = 8;

pub(crate) struct Task {
    place: Place,
    runtime: WeakNode,
    network: Arc<dyn Network>,
    peering: Arc<Peering>,
    commands: mpsc::Receiver<Command>,
    peer: Peer,
    config: LinkConfig,
    lines: Vec<OpenLine>,
    last_line: Line,
    /// The place in `lines` of the one that is looked at first: each has its turn.
    turn: usize,
    /// The lines that are being opened, and for which attempt.
    dialing: Option<(u32, Dialing)>,
    /// The data line's next free place, while it has none.
    room: Option<Room>,
    events: VecDeque<Event>,
    began: Instant,
}

/// A wait for room on a line.
struct Room {
    line: Line,
    came: Pin<Box<dyn Future<Output = ()> + Send>>,
}

struct OpenLine {
    number: Line,
    sender: mpsc::Sender<Frame>,
    frames: Frames,
}

/// What woke the task.
enum Woken {
    Event(Event),
    Command(Command),
    Dialed(u32, Result<[Connection; 2], DialError>),
    /// There may be something to send.
    Look,
    /// There is more to send, once others have had their turn.
    More,
    /// The node's links are gone.
    Over,
}

impl Task {
    pub(crate) fn new(
        own: Life,
        place: Place,
        runtime: WeakNode,
        config: LinkConfig,
        network: Arc<dyn Network>,
        peering: Arc<Peering>,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Self {
            peer: Peer::new(own, place.node(), config.clone(), Arc::clone(&peering.outgoing)),
            place,
            runtime,
            network,
            commands,
            peering,
            config,
            lines: Vec::new(),
            last_line: 0,
            turn: 0,
            dialing: None,
            room: None,
            events: VecDeque::new(),
            began: Instant::now(),
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Runs until this node is gone, or the other one no part of the cluster any more.
    pub(crate) async fn run(mut self) {
        loop {
            self.look();
            match self.woken().await {
                Woken::Event(event) => self.step(event),
                Woken::Command(Command::NodeDown(incarnation)) => self.step(Event::NodeDown { incarnation }),
                Woken::Command(Command::Accepted(connection, head)) => self.accept(connection, head),
                Woken::Dialed(attempt, dialed) => self.dialed(attempt, dialed),
                Woken::Look => {}
                Woken::More => tokio::task::yield_now().await,
                Woken::Over => return,
            }
            if self.runtime.upgrade().is_none_or(|node| node.is_closed()) {
                return;
            }
            if self.is_needless() && self.place.leave() {
                return;
            }
        }
    }

    /// Whether the other node is not there any more, and no session with it either.
    fn is_needless(&self) -> bool {
        !self.peer.has_session() && !self.network.knows(self.place.node())
    }

    /// Has a session begun for what waits, or sends it, as far as that goes.
    fn look(&mut self) {
        self.step(Event::Queued);
        self.send();
    }

    async fn woken(&mut self) -> Woken {
        // whoever puts something in from here on wakes the task
        self.peering.awake.store(false, SeqCst);
        let woken = if self.has_more() { Woken::More } else { self.wait().await };
        self.peering.awake.store(true, SeqCst);
        woken
    }

    /// Whether something waits that another look would move. Who put it in since the last one found the task awake, and
    /// wakes nobody.
    fn has_more(&self) -> bool {
        if !self.peer.has_session() {
            return !self.peering.outgoing.is_empty();
        }
        self.room.is_none() && self.peer.may_send()
    }

    async fn wait(&mut self) -> Woken {
        let deadline = self.peer.deadline().map(|at| self.began + at);
        let peering = Arc::clone(&self.peering);
        let mut notified = std::pin::pin!(peering.wake.notified());
        let mut sleep = std::pin::pin!(tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)));
        poll_fn(|context| {
            if let Poll::Ready(woken) = self.poll(context) {
                return Poll::Ready(woken);
            }
            if notified.as_mut().poll(context).is_ready() {
                return Poll::Ready(Woken::Look);
            }
            if deadline.is_some() && sleep.as_mut().poll(context).is_ready() {
                return Poll::Ready(Woken::Event(Event::Tick));
            }
            Poll::Pending
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Woken> {
        match self.commands.poll_recv(context) {
            Poll::Ready(Some(command)) => return Poll::Ready(Woken::Command(command)),
            Poll::Ready(None) => return Poll::Ready(Woken::Over),
            Poll::Pending => {}
        }
        if let Some((attempt, dialing)) = &mut self.dialing
            && let Poll::Ready(dialed) = dialing.poll_unpin(context)
        {
            let attempt = *attempt;
            self.dialing = None;
            return Poll::Ready(Woken::Dialed(attempt, dialed));
        }
        if let Poll::Ready(event) = self.poll_lines(context) {
            return Poll::Ready(Woken::Event(event));
        }
        if let Some(room) = &mut self.room
            && room.came.as_mut().poll(context).is_ready()
        {
            self.room = None;
            return Poll::Ready(Woken::Look);
        }
        Poll::Pending
    }

    /// What comes on a line, the one after the last that gave something first: data in a flood must not keep
    /// acknowledgements and signs of life on control from being heard.
    fn poll_lines(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        let count = self.lines.len();
        for at in (0..count).map(|offset| (self.turn + offset) % count) {
            let OpenLine { number: line, frames, .. } = &mut self.lines[at];
            let line = *line;
            if let Poll::Ready(frame) = frames.as_mut().poll_next(context) {
                self.turn = at + 1;
                let Some(frame) = frame else {
                    self.close(line);
                    return Poll::Ready(Event::Closed { line });
                };
                return Poll::Ready(Event::Frame { line, frame });
            }
        }
        Poll::Pending
    }

    /// Gives a line up, and the wait for room on it.
    fn close(&mut self, line: Line) {
        self.lines.retain(|open| open.number != line);
        if self.room.as_ref().is_some_and(|room| room.line == line) {
            self.room = None;
        }
    }

    fn accept(&mut self, connection: Connection, head: Head) {
        let line = self.open(connection);
        self.step(Event::Accepted { line, head });
    }

    fn dialed(&mut self, attempt: u32, dialed: Result<[Connection; 2], DialError>) {
        let event = match dialed {
            Ok([control, data]) => {
                Event::Dialed { attempt, control: self.open(control), data: self.open(data) }
            }
            Err(error) => Event::DialFailed { attempt, reason: error.to_string() },
        };
        self.step(event);
    }

    fn open(&mut self, connection: Connection) -> Line {
        self.last_line += 1;
        let Connection { sender, frames } = connection;
        self.lines.push(OpenLine { number: self.last_line, sender, frames });
        self.last_line
    }

    /// Tells the peer, does what it says, and tells it what came of that.
    fn step(&mut self, event: Event) {
        self.events.push_back(event);
        while let Some(event) = self.events.pop_front() {
            let now = self.now();
            for action in self.peer.step(event, now) {
                self.perform(action);
            }
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Dial { attempt } => {
                let node = self.place.node();
                let dialing = tokio::time::timeout(self.config.dial_timeout, self.network.dial(node));
                let timed_out = move |_| Err(DialError { node, reason: "it does not answer".into() });
                let dialing = async move { dialing.await.unwrap_or_else(timed_out) };
                self.dialing = Some((attempt, Box::pin(dialing)));
            }
            Action::Send { line, frame } => {
                let busy_anyway = frame.is_ping();
                let Some(open) = self.lines.iter().find(|open| open.number == line) else { return };
                let failed = match open.sender.try_send(frame) {
                    Ok(()) => false,
                    Err(mpsc::error::TrySendError::Full(_)) => !busy_anyway,
                    Err(mpsc::error::TrySendError::Closed(_)) => true,
                };
                if failed {
                    // it is broken, or the other side does not even take what control says
                    self.close(line);
                    self.events.push_back(Event::Closed { line });
                }
            }
            Action::Close { line } => self.close(line),
            Action::Deliver(arrived) => self.deliver(&arrived),
            Action::Lost { reason } => {
                let other = self.place.node();
                tracing::info!(node = other, reason, "the link is lost");
                if let Some(node) = self.runtime.upgrade() {
                    node.connection_lost(other);
                }
                self.peering.outgoing.accept();
            }
        }
    }

    fn deliver(&mut self, arrived: &Arrived) {
        let Some(node) = self.runtime.upgrade() else { return };
        let mut from = Reader::of_shared(&arrived.signals);
        let mut broken = None;
        let parcels = std::iter::from_fn(|| {
            if from.is_empty() {
                return None;
            }
            Parcel::decode(&mut from).map_err(|error| broken = Some(error)).ok()
        });
        let toll = node.deliver(parcels);
        if let Some(error) = broken {
            self.events
                .push_back(Event::Corrupt { reason: format!("a signal that cannot be read: {error}") });
        } else if toll > 0 {
            self.events.push_back(Event::Delivered { lane: arrived.lane, toll });
        }
    }

    /// Sends data frames as long as the line has room for them.
    fn send(&mut self) {
        for _ in 0..FRAMES_IN_A_ROW {
            let Some(line) = self.peer.data_line() else { break };
            let Some(open) = self.lines.iter().find(|open| open.number == line) else { break };
            let sender = open.sender.clone();
            let permit = match sender.try_reserve() {
                Ok(permit) => permit,
                Err(mpsc::error::TrySendError::Full(())) => {
                    let sender = sender.clone();
                    // a line that broke meanwhile is found out by the next try
                    let came = async move { sender.reserve().await.map(drop).unwrap_or_default() };
                    self.room = Some(Room { line, came: Box::pin(came) });
                    break;
                }
                Err(mpsc::error::TrySendError::Closed(())) => {
                    self.close(line);
                    return self.step(Event::Closed { line });
                }
            };
            let Some(frame) = self.peer.next_data() else { break };
            permit.send(frame);
        }
        for number in self.peering.outgoing.room_came() {
            if let Some(node) = self.runtime.upgrade() {
                node.room_again(Queue { node: self.place.node(), number });
            }
        }
    }
}
