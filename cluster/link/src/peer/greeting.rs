//! How a session begins and goes on after a cut: who greets whom, and who is refused.
//!
//! The node that dials says hello on control; the other welcomes it, or refuses and says why. The data line follows, or is
//! faster.

use super::session::Session;
use super::{Action, Line, Peer};
use crate::frame::{Head, Hello, PROTOCOL_MAX, PROTOCOL_MIN, Refused, Welcome};
use std::time::Duration;

impl Peer {
    pub(super) fn dialed(&mut self, attempt: u32, control: Line, data: Line, now: Duration) {
        let (own, node, knows) = (self.own, self.node, self.accepted);
        let Some(session) = self.session.as_mut().filter(|session| session.awaits(attempt)) else {
            self.close(control);
            return self.close(data);
        };
        (session.control, session.data) = (Some(control), Some(data));
        (session.heard, session.spoke) = ([now; 2], now);
        let hello = Head::Hello(Hello {
            protocol_min: PROTOCOL_MIN,
            protocol_max: PROTOCOL_MAX,
            from: own,
            to: node,
            session: session.number,
            knows,
            attempt,
            resume: session.established,
            received: session.into.received(),
        });
        session.into.told();
        let data_line = Head::DataLine { from: own, session: session.number, attempt };
        self.actions.push(Action::Send { line: control, frame: hello.alone() });
        self.actions.push(Action::Send { line: data, frame: data_line.alone() });
    }

    pub(super) fn dial_failed(&mut self, attempt: u32, reason: &str, now: Duration) {
        match &mut self.session {
            Some(session) if session.awaits(attempt) && session.established => {
                session.redial_at = Some(now + self.config.redial_pause);
            }
            Some(session) if session.awaits(attempt) => self.lose(reason, now),
            _ => {}
        }
    }

    pub(super) fn hello(&mut self, line: Line, hello: &Hello, now: Duration) {
        let Some(protocol) = common_version(hello) else {
            let reason = format!(
                "node n{} speaks versions {PROTOCOL_MIN} to {PROTOCOL_MAX} of the link protocol, n{} versions {} to {}",
                self.own.node, hello.from.node, hello.protocol_min, hello.protocol_max
            );
            return self.refuse(line, Refused::Version, reason);
        };
        if hello.to != self.own.node || hello.from.incarnation < self.incarnation {
            let reason = format!("this is node n{}, life {}", self.own.node, self.own.incarnation);
            return self.refuse(line, Refused::Stranger, reason);
        }
        if hello.resume {
            return self.resume(line, protocol, hello, now);
        }
        self.meet(hello.from.incarnation);
        if hello.session <= self.accepted || hello.knows < self.welcomed {
            return self.refuse(line, Refused::UnknownSession, "a newer session has begun since".into());
        }
        let dials = self.session.as_ref().filter(|session| session.dials && !session.established);
        if dials.is_some() && self.own.node < self.node {
            return self.refuse(line, Refused::Busy, "this side is opening the link".into());
        }
        match self.session.take() {
            // nothing has gone over it yet, and what waits goes over the other's
            Some(own) if own.dials && !own.established => self.close_lines(&own),
            Some(former) => {
                self.session = Some(former);
                self.lose("the other side has begun anew", now);
            }
            None => {}
        }
        self.accepted = hello.session;
        let mut session = Session::new(hello.session, false, hello.attempt, now, now);
        session.established = true;
        self.session = Some(session);
        self.welcome(line, protocol, hello, now);
    }

    fn resume(&mut self, line: Line, protocol: u16, hello: &Hello, now: Duration) {
        let known = self.session.as_ref().is_some_and(|session| {
            !session.dials && session.number == hello.session && session.attempt < hello.attempt
        });
        if !known || hello.from.incarnation != self.incarnation {
            return self.refuse(line, Refused::UnknownSession, "the session is over".into());
        }
        let mut lines = (None, None);
        if let Some(session) = &mut self.session {
            lines = (session.control.take(), session.data.take());
            session.attempt = hello.attempt;
        }
        lines.0.into_iter().chain(lines.1).for_each(|line| self.close(line));
        self.welcome(line, protocol, hello, now);
    }

    /// The session's control line is open; the data line follows, or was faster.
    fn welcome(&mut self, line: Line, protocol: u16, hello: &Hello, now: Duration) {
        let (own, resume_timeout) = (self.own, self.config.resume_timeout);
        let Some(session) = &mut self.session else { return };
        session.control = Some(line);
        session.up = false;
        session.redial_at = None;
        (session.heard, session.spoke, session.lost_at) = ([now; 2], now, now + resume_timeout);
        let known = session.out.resume(&hello.received);
        let welcome = Head::Welcome(Welcome {
            protocol,
            from: own,
            session: session.number,
            attempt: session.attempt,
            received: session.into.received(),
        });
        session.into.told();
        let (number, attempt) = (session.number, session.attempt);
        self.actions.push(Action::Send { line, frame: welcome.alone() });
        if !known {
            return self.lose("the other side has what was never sent", now);
        }
        if let Some((early, tried, line)) = self.early.take() {
            if (early, tried) == (number, attempt) {
                self.accept_data(line, early, tried, now);
            } else {
                self.close(line);
            }
        }
    }

    pub(super) fn accept_data(&mut self, line: Line, number: u64, attempt: u32, now: Duration) {
        match &mut self.session {
            Some(session)
                if !session.dials
                    && (session.number, session.attempt) == (number, attempt)
                    && session.control.is_some()
                    && session.data.is_none() =>
            {
                session.data = Some(line);
                (session.up, session.since) = (true, now);
                session.heard = [now; 2];
            }
            _ => {
                if let Some((_, _, former)) = self.early.replace((number, attempt, line)) {
                    self.close(former);
                }
            }
        }
    }

    pub(super) fn welcomed(&mut self, welcome: &Welcome, now: Duration) {
        let Some(session) = &mut self.session else { return };
        if !session.dials
            || (session.number, session.attempt) != (welcome.session, welcome.attempt)
            || session.up
        {
            return;
        }
        if session.established && welcome.from.incarnation != self.incarnation {
            return self.lose("the other side began a new life", now);
        }
        session.established = true;
        (session.up, session.since) = (true, now);
        session.redial_at = None;
        let (known, number) = (session.out.resume(&welcome.received), session.number);
        self.meet(welcome.from.incarnation);
        self.welcomed = number;
        if !known {
            self.lose("the other side has what was never sent", now);
        }
    }

    /// A life of the node speaks here; a newer one numbers its sessions anew.
    fn meet(&mut self, incarnation: u32) {
        if incarnation > self.incarnation {
            (self.incarnation, self.accepted, self.welcomed) = (incarnation, 0, 0);
        }
    }

    pub(super) fn refused(&mut self, line: Line, why: Refused, reason: &str, now: Duration) {
        let Some(session) = &mut self.session else { return };
        if !session.dials || session.up {
            return;
        }
        if why == Refused::Busy {
            // the other side's hello is on its way, most likely
            session.redial_at = Some(now + self.config.redial_pause * 2);
            let (control, data) = (session.control.take(), session.data.take());
            return control.into_iter().chain(data).for_each(|line| self.close(line));
        }
        self.close(line);
        self.lose(reason, now);
    }

    fn refuse(&mut self, line: Line, why: Refused, reason: String) {
        self.actions.push(Action::Send { line, frame: Head::Refusal { why, reason }.alone() });
        self.close(line);
    }
}

fn common_version(hello: &Hello) -> Option<u16> {
    let version = hello.protocol_max.min(PROTOCOL_MAX);
    (version >= hello.protocol_min.max(PROTOCOL_MIN)).then_some(version)
}
