//! A session on a stream: frames of the client in, deliveries and results out.
//!
//! One state machine, polled by whoever sends the answers: no task of its own, so that a client that does not read is
//! not worked for. Invariants: frames are done in their order, calls beside each other, [`CALLS_MAX`] at most: the frame
//! after that is read when one of them has its result; what is not acknowledged never exceeds the window; `close` ends the
//! process once the calls before it have their results, or [`DRAIN_MAX`] later; when the stream goes away, however it does,
//! the process exits `noconnection`.

mod frame;

use super::delivery::Arrival;
use super::process::{self, ENDING_MAX, LOST, Opening, ended};
use crate::caller::Caller;
use crate::payload;
use crate::process::options;
use crate::status::failure;
use arsenal_proto::v1::open_session_request::{Frame, Open};
use arsenal_proto::v1::open_session_response::{self as answer, Closed};
use arsenal_proto::v1::{OpenSessionRequest, OpenSessionResponse};
use arsenal_runtime::{Filter, Kind, Node, Pid, ProcessRef, Receive, Term};
use frame::{Calls, Done};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tonic::{Code, Status, Streaming};

/// Calls of a stream that wait for their answers at most.
const CALLS_MAX: usize = 1_024;
/// How long `close` waits for the calls that are under way: longer than one takes that says no timeout.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Deliveries that one look takes out of the mailbox at most.
const BATCH: usize = 64;

pub(super) async fn open(
    node: &Node,
    caller: &Caller,
    mut frames: Streaming<OpenSessionRequest>,
) -> Result<BoxStream<'static, Result<OpenSessionResponse, Status>>, Status> {
    let first = frames.message().await?.and_then(|request| request.frame);
    let Some(Frame::Open(open)) = first else {
        return Err(bad_frame("the first frame is not `open`"));
    };
    let window = open.window as usize;
    let process = process::open(node, caller, opening(open)?).await?;
    let pid = process.pid();
    let opened = answer::Frame::Opened(process::encode(node, &process));
    let connection = Connection {
        notify: node.open_mailbox(pid),
        node: node.clone(),
        process,
        frames,
        calls: Calls::new(),
        outgoing: VecDeque::from([opened]),
        unacknowledged: VecDeque::new(),
        window,
        phase: Phase::Open,
    };
    let answers = stream::unfold(connection, |mut connection| async move {
        connection.next().await.map(|answer| (answer, connection))
    });
    Ok(answers.boxed())
}

fn opening(open: Open) -> Result<Opening, Status> {
    Ok(Opening {
        name: options::name(&open.name, open.name_scope)?,
        trap_exit: open.trap_exit.unwrap_or(true),
        lease: None,
        labels: options::labels(open.labels)?,
        mailbox: None,
        memory_bytes_max: None,
    })
}

fn bad_frame(message: &str) -> Status {
    failure(Code::InvalidArgument, "BAD_FRAME", message).status()
}

enum Phase {
    Open,
    /// The client asked for the end, with this reason: calls under way may have their results until then.
    Draining {
        reason: Term,
        until: Instant,
    },
    /// The process was ended as the client asked: what is left is to tell it.
    Closing,
    /// What is outgoing leaves, then this.
    Failing(Status),
    Over,
}

struct Connection {
    node: Node,
    process: ProcessRef,
    notify: Arc<Notify>,
    frames: Streaming<OpenSessionRequest>,
    calls: Calls,
    outgoing: VecDeque<answer::Frame>,
    /// Numbers of the deliveries that the client has not acknowledged.
    unacknowledged: VecDeque<u64>,
    /// How many of them there may be; 0 is no bound.
    window: usize,
    phase: Phase,
}

impl Drop for Connection {
    fn drop(&mut self) {
        // one that has ended is not there to be killed
        self.node.kill(self.pid(), LOST);
    }
}

impl Connection {
    fn pid(&self) -> Pid {
        self.process.pid()
    }

    async fn next(&mut self) -> Option<Result<OpenSessionResponse, Status>> {
        let notify = Arc::clone(&self.notify);
        loop {
            if let Some(frame) = self.outgoing.pop_front() {
                return Some(Ok(OpenSessionResponse { frame: Some(frame) }));
            }
            match std::mem::replace(&mut self.phase, Phase::Over) {
                Phase::Over => return None,
                Phase::Failing(status) => return Some(Err(status)),
                phase => self.phase = phase,
            }
            // made before looking, so that what comes between is not missed
            let mut news = std::pin::pin!(notify.notified());
            news.as_mut().enable();
            if !self.process.is_alive() {
                // it is dead a moment before why is recorded
                let _ = self.node.await_exit_within(self.pid(), ENDING_MAX).await;
                self.end();
                continue;
            }
            if self.deliver() {
                continue;
            }
            let draining = self.drain();
            // nothing behind `close` is read: that the client has no more to say does not hide the end from it
            let reads = matches!(self.phase, Phase::Open) && self.calls.len() < CALLS_MAX;
            tokio::select! {
                biased;
                // before the frames, of which there may always be one more
                Some(result) = self.calls.next(), if !self.calls.is_empty() => {
                    self.outgoing.extend(result.map(answer::Frame::Result));
                }
                frame = self.frames.message(), if reads => self.take_frame(frame),
                () = &mut news => {}
                () = sleep_until(draining.unwrap_or_else(Instant::now)), if draining.is_some() => self.calls.clear(),
            }
        }
    }

    /// Ends the process as `close` said, once no call is under way; until when it waits for those that are.
    fn drain(&mut self) -> Option<Instant> {
        let Phase::Draining { reason, until } = &self.phase else { return None };
        if !self.calls.is_empty() {
            return Some(*until);
        }
        self.node.kill(self.pid(), reason.clone());
        self.phase = Phase::Closing;
        None
    }

    /// Takes messages out of the mailbox as far as the window allows; whether there is anything to send.
    fn deliver(&mut self) -> bool {
        let room = match self.window {
            0 => BATCH,
            window => window.saturating_sub(self.unacknowledged.len()).min(BATCH),
        };
        if self.node.messages_refused(&self.process) > 0 {
            let message =
                format!("the mailbox of {} is full: deliveries are not taken fast enough", self.pid());
            self.phase = Phase::Failing(failure(Code::ResourceExhausted, "SLOW_CLIENT", message).status());
            return true;
        }
        if room == 0 {
            return false;
        }
        let me = self.pid();
        let messages = self.node.receive_as(me, &deliverable(), room).unwrap_or_default();
        for message in &messages {
            if self.window > 0 {
                self.unacknowledged.push_back(message.number.into());
            }
            let delivery = Arrival { node: &self.node, me, message }.encode();
            self.outgoing.push_back(answer::Frame::Delivery(delivery));
        }
        !messages.is_empty()
    }

    fn take_frame(&mut self, frame: Result<Option<OpenSessionRequest>, Status>) {
        // a client that has nothing more to say without `close` is gone
        let Ok(Some(OpenSessionRequest { id, frame })) = frame else {
            self.phase = Phase::Over;
            return;
        };
        let done = match frame {
            None => return self.phase = Phase::Failing(bad_frame("a frame says nothing")),
            Some(Frame::Open(_)) => {
                return self.phase = Phase::Failing(bad_frame("`open` is the first frame and no later one"));
            }
            Some(Frame::Ack(ack)) => {
                self.unacknowledged.retain(|sequence| *sequence > ack.sequence);
                Ok(Done::default())
            }
            Some(Frame::Close(close)) => {
                let reason = close.reason.as_ref().map_or(Term::NORMAL, payload::to_term);
                self.phase = Phase::Draining { reason, until: Instant::now() + DRAIN_MAX };
                Ok(Done::default())
            }
            Some(Frame::Call(call)) => match frame::call(&self.node, self.pid(), id, call) {
                Ok(call) => return self.calls.push(call),
                Err(status) => Err(status),
            },
            Some(frame) => frame::run(&self.node, self.pid(), frame),
        };
        self.outgoing.extend(frame::result(id, done).map(answer::Frame::Result));
    }

    /// The process has ended: the last frame, and how the stream ends.
    fn end(&mut self) {
        let pid = self.pid();
        let reason = self.node.events().exit_of(pid).map_or(Term::NOPROC, |record| record.reason);
        self.outgoing.push_back(answer::Frame::Closed(Closed { reason: Some(payload::to_value(&reason)) }));
        self.phase = match self.phase {
            Phase::Closing => Phase::Over,
            _ => Phase::Failing(ended(&self.node, pid)),
        };
    }
}

fn deliverable() -> Filter {
    Receive::matching(|message| message.kind != Kind::System).filter
}

#[cfg(test)]
mod tests;
