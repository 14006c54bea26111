//! One other node, as a pure state machine: events in, actions out, no I/O and no clock.
//!
//! A *session* begins when one side dials and the other welcomes it, and goes on across cuts of its lines for as long as
//! each is mended within `resume_timeout`; then it is lost, and whatever was on its way with it. If both sides dial at
//! once the node with the lower number goes first. How one begins is [`greeting`]; what is kept of it, [`session`].
//!
//! Invariants: nothing of a new session is handed on before the loss of the former one was told ([`Action::Lost`]), and
//! nothing is taken for it ([`Outgoing::refuse`]); each session that carried anything is told as lost once, on both sides.

use crate::config::LinkConfig;
mod greeting;
mod session;

use crate::flow::Arrived;
use crate::frame::{Frame, Head, Life};
use crate::outgoing::Outgoing;
use bytes::Bytes;
use session::Session;
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// Number of a line, given by whoever moves its frames; never used twice.
pub(crate) type Line = u64;

/// What happens to a link.
#[derive(Debug)]
pub(crate) enum Event {
    /// Something waits in [`Outgoing`].
    Queued,
    /// Both lines that were dialled are open.
    Dialed { attempt: u32, control: Line, data: Line },
    /// They are not, and why.
    DialFailed { attempt: u32, reason: String },
    /// The other side opened a line; this came first on it.
    Accepted { line: Line, head: Head },
    /// A frame came on a line.
    Frame { line: Line, frame: Frame },
    /// A line broke.
    Closed { line: Line },
    /// What arrived in a lane was handed on, and cost so much toll.
    Delivered { lane: u8, toll: u32 },
    /// What arrived could not be read.
    Corrupt { reason: String },
    /// The cluster says that this life of the node is over.
    NodeDown { incarnation: u32 },
    /// Time has passed.
    Tick,
}

/// What is to be done, in this order.
#[derive(Debug)]
pub(crate) enum Action {
    /// Open both lines.
    Dial { attempt: u32 },
    /// Send a frame on a line; a sign of life only if the line is not busy anyway.
    Send { line: Line, frame: Frame },
    /// Close a line, after what was sent on it.
    Close { line: Line },
    /// Hand signals on.
    Deliver(Arrived),
    /// Tell the node that the connection is lost; then let [`Outgoing`] accept again.
    Lost { reason: String },
}

pub(crate) struct Peer {
    own: Life,
    node: u32,
    config: LinkConfig,
    pub(crate) outgoing: Arc<Outgoing>,
    session: Option<Session>,
    /// Sessions dialled so far, and tries to open lines for them.
    dialed: u64,
    attempts: u32,
    /// The newest life of the node that spoke here; the last of its sessions that was welcome here, and the last of this
    /// side's that was welcome there.
    incarnation: u32,
    accepted: u64,
    welcomed: u64,
    /// Not dialled before then: it could not be reached a moment ago.
    not_before: Duration,
    /// A data line whose control line has not come yet.
    early: Option<(u64, u32, Line)>,
    actions: Vec<Action>,
}

impl Peer {
    pub(crate) fn new(own: Life, node: u32, config: LinkConfig, outgoing: Arc<Outgoing>) -> Self {
        Self {
            own,
            node,
            config,
            outgoing,
            session: None,
            dialed: 0,
            attempts: 0,
            incarnation: 0,
            accepted: 0,
            welcomed: 0,
            not_before: Duration::ZERO,
            early: None,
            actions: Vec::new(),
        }
    }

    /// Takes an event; gives what is to be done.
    pub(crate) fn step(&mut self, event: Event, now: Duration) -> Vec<Action> {
        match event {
            Event::Queued => self.queued(now),
            Event::Dialed { attempt, control, data } => self.dialed(attempt, control, data, now),
            Event::DialFailed { attempt, reason } => self.dial_failed(attempt, &reason, now),
            Event::Accepted { line, head: Head::Hello(hello) } => self.hello(line, &hello, now),
            Event::Accepted { line, head: Head::DataLine { session, attempt, .. } } => {
                self.accept_data(line, session, attempt, now);
            }
            Event::Accepted { line, .. } => self.close(line),
            Event::Frame { line, frame } => self.frame(line, frame, now),
            Event::Closed { line } => self.closed(line, now),
            Event::Delivered { lane, toll } => {
                if let Some(session) = &mut self.session
                    && toll > 0
                {
                    session.into.hold_back(lane, now + self.config.toll_pause * toll);
                }
            }
            Event::Corrupt { reason } => self.lose(&reason, now),
            // another word may have been faster: a later life speaks here already
            Event::NodeDown { incarnation } if incarnation < self.incarnation => {}
            Event::NodeDown { .. } => self.lose("the node is down", now),
            Event::Tick => {}
        }
        self.look_at_the_clock(now);
        std::mem::take(&mut self.actions)
    }

    /// The next data frame, as far as the line is open and credits go.
    pub(crate) fn next_data(&mut self) -> Option<Frame> {
        let session = self.session.as_mut().filter(|session| session.up)?;
        session.out.next(&self.outgoing, &self.config)
    }

    /// The line on which data frames leave, while they may.
    pub(crate) fn data_line(&self) -> Option<Line> {
        self.session.as_ref().filter(|session| session.up)?.data
    }

    /// Whether [`Peer::next_data`] would give a frame.
    pub(crate) fn may_send(&self) -> bool {
        let session = self.session.as_ref().filter(|session| session.up);
        session.is_some_and(|session| session.out.may_send(&self.outgoing, &self.config))
    }

    /// Whether a session is open, or being opened; if there is none, what waits is looked at by [`Event::Queued`] alone.
    pub(crate) fn has_session(&self) -> bool {
        self.session.is_some()
    }

    /// When [`Event::Tick`] is due, if nothing happens before.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let session = self.session.as_ref()?;
        if !session.up {
            return Some(session.redial_at.map_or(session.lost_at, |at| at.min(session.lost_at)));
        }
        let signs = (session.heard() + self.config.silence_max).min(session.spoke + self.config.heartbeat);
        Some(session.into.due(&self.config).map_or(signs, |ack| ack.min(signs)))
    }

    fn queued(&mut self, now: Duration) {
        if self.session.is_some() || self.outgoing.is_empty() {
            return;
        }
        if now < self.not_before {
            // the pause is not begun anew: whoever tries again and again would never be let through
            return self.give_up("it could not be reached a moment ago");
        }
        self.dialed += 1;
        self.attempts += 1;
        let lost_at = now + self.config.dial_timeout;
        self.session = Some(Session::new(self.dialed, true, self.attempts, now, lost_at));
        self.actions.push(Action::Dial { attempt: self.attempts });
    }

    fn frame(&mut self, line: Line, frame: Frame, now: Duration) {
        let Some(session) = &mut self.session else { return self.close(line) };
        let (control, data) = (session.control == Some(line), session.data == Some(line));
        if !control && !data {
            // of a line that was given up
            return;
        }
        session.heard[usize::from(data)] = now;
        match Head::read(&frame.head) {
            Ok(head) if control => self.control(line, head, now),
            Ok(head) => self.data(&head, frame.body, now),
            Err(error) => self.lose(&format!("a frame that cannot be read: {error}"), now),
        }
    }

    fn control(&mut self, line: Line, head: Head, now: Duration) {
        match head {
            Head::Welcome(welcome) => self.welcomed(&welcome, now),
            Head::Refusal { why, reason } => self.refused(line, why, &reason, now),
            Head::Ack(lanes) => {
                let Some(session) = &mut self.session else { return };
                if !lanes.iter().all(|(lane, sequence)| session.out.acknowledged(*lane, *sequence)) {
                    self.lose("an acknowledgement of what was never sent", now);
                }
            }
            Head::Ping => {}
            _ => self.lose("a frame that does not belong on a control line", now),
        }
    }

    fn data(&mut self, head: &Head, body: Bytes, now: Duration) {
        let Some(session) = &mut self.session else { return };
        match session.into.take(head, body, now, &self.config) {
            Ok(arrived) => self.actions.extend(arrived.map(Action::Deliver)),
            Err(violation) => self.lose(&violation.to_string(), now),
        }
    }

    fn closed(&mut self, line: Line, now: Duration) {
        if self.early.is_some_and(|(_, _, early)| early == line) {
            self.early = None;
        }
        let Some(session) = &self.session else { return };
        if session.control == Some(line) || session.data == Some(line) {
            self.cut(now, now + self.config.resume_timeout);
        }
    }

    /// The lines are of no use any more; the session may go on with others until then.
    fn cut(&mut self, now: Duration, lost_at: Duration) {
        let Some(session) = &mut self.session else { return };
        let lines = (session.control.take(), session.data.take());
        // lines that break as soon as they are open are not dialled as fast as that goes
        let held = session.up && now >= session.since + self.config.redial_pause;
        let pause = if held { Duration::ZERO } else { self.config.redial_pause };
        if session.up {
            session.lost_at = lost_at;
        }
        session.up = false;
        if session.dials {
            session.redial_at = Some(now + pause);
        }
        let established = session.established;
        lines.0.into_iter().chain(lines.1).for_each(|line| self.close(line));
        if !established {
            self.lose("the line broke before the greetings were exchanged", now);
        }
    }

    /// The session is over, and what was on its way with it; the next one is not dialled at once.
    fn lose(&mut self, reason: &str, now: Duration) {
        if let Some(session) = self.session.take() {
            self.close_lines(&session);
        }
        self.not_before = now + self.config.redial_pause;
        self.give_up(reason);
    }

    /// What waits to be sent is lost, and whoever sent it is told.
    fn give_up(&mut self, reason: &str) {
        self.outgoing.refuse();
        self.actions.push(Action::Lost { reason: reason.to_owned() });
    }

    fn look_at_the_clock(&mut self, now: Duration) {
        let config = &self.config;
        let Some(session) = &mut self.session else { return };
        if !session.up {
            if now >= session.lost_at {
                return self.lose("it was not reached again in time", now);
            }
            if session.redial_at.is_some_and(|at| now >= at) {
                session.redial_at = None;
                self.attempts += 1;
                session.attempt = self.attempts;
                self.actions.push(Action::Dial { attempt: session.attempt });
            }
            return;
        }
        let heard = session.heard();
        if now >= heard + config.silence_max {
            let lost_at = (heard + config.resume_timeout).max(now + config.redial_pause);
            return self.cut(now, lost_at);
        }
        let (Some(control), Some(data)) = (session.control, session.data) else { return };
        let acknowledged = session.into.acknowledge(now, config);
        if !acknowledged.is_empty() {
            self.actions.push(Action::Send { line: control, frame: Head::Ack(acknowledged).alone() });
        }
        if now >= session.spoke + config.heartbeat {
            session.spoke = now;
            for line in [control, data] {
                self.actions.push(Action::Send { line, frame: Head::Ping.alone() });
            }
        }
    }

    fn close_lines(&mut self, session: &Session) {
        session.control.into_iter().chain(session.data).for_each(|line| self.close(line));
    }

    fn close(&mut self, line: Line) {
        self.actions.push(Action::Close { line });
    }
}
