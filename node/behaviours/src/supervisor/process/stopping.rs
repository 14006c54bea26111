//! Stopping children: each is told by its shutdown value, watched, and killed when its time is up.
//!
//! Invariant: a child counts as stopped when its monitor has fired, which needs no cooperation of the child: one that
//! has removed its link is waited for just so. The link stays until then, so that the child dies with its supervisor.

use super::super::core::{Place, StopChild};
use super::super::spec::Shutdown;
use arsenal_runtime::body::{Event, Receive};
use arsenal_runtime::context::Context;
use arsenal_runtime::message::Kind;
use arsenal_runtime::pid::{Pid, Ref};
use arsenal_runtime::term::{Reason, Term};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// Children that are being stopped, all at the same time.
pub(super) struct Stopping {
    /// Only looked up: the order in which they end is theirs.
    left: HashMap<Ref, Told>,
    /// All of them. Their exit messages are read away with the rest: left in front of the queue, each of many would be
    /// looked at again for every child that ends.
    all: Arc<HashSet<Pid>>,
    /// When those with a timeout are killed, in nanoseconds of the node's clock.
    deadline_ns: Option<u64>,
}

struct Told {
    place: Place,
    pid: Pid,
    timeout: bool,
}

impl Stopping {
    pub(super) fn begin(children: Vec<StopChild>, cx: &mut Context<'_>) -> Self {
        let mut left = HashMap::with_capacity(children.len());
        let all = Arc::new(children.iter().map(|child| child.pid).collect());
        let mut longest = None;
        for StopChild { place, pid, shutdown } in children {
            let monitor = cx.monitor(pid);
            let timeout = match shutdown {
                Shutdown::Timeout(timeout) => {
                    longest = longest.max(Some(timeout));
                    true
                }
                Shutdown::BrutalKill | Shutdown::Infinity => false,
            };
            let reason = if shutdown == Shutdown::BrutalKill { Term::KILL } else { Term::SHUTDOWN };
            cx.exit(pid, reason);
            cx.burn(1);
            left.insert(monitor, Told { place, pid, timeout });
        }
        let now_ns = cx.node().now_ns();
        let after =
            |timeout: Duration| now_ns.saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
        Self { left, all, deadline_ns: longest.map(after) }
    }

    /// How many still run.
    pub(super) fn left(&self) -> usize {
        self.left.len()
    }

    /// What to wait for.
    pub(super) fn receive(&self, cx: &Context<'_>) -> Receive {
        let only = if self.left.len() == 1 { self.left.keys().next() } else { None };
        let receive = match only {
            Some(monitor) => Receive::reply(*monitor),
            // A supervisor monitors nobody else.
            None => {
                let all = Arc::clone(&self.all);
                Receive::matching(move |message| match message.kind {
                    Kind::Down => true,
                    Kind::Exit => all.contains(&message.from),
                    _ => false,
                })
            }
        };
        let left = |deadline: u64| Duration::from_nanos(deadline.saturating_sub(cx.node().now_ns()));
        receive.within(self.deadline_ns.map(left))
    }

    /// Takes what was waited for: the child that has ended, if one has.
    pub(super) fn woken(&mut self, event: Event, cx: &mut Context<'_>) -> Option<(Place, Reason)> {
        match event {
            Event::Message(message) => {
                let told = self.left.remove(&message.reference?)?;
                cx.unlink(told.pid);
                let reason = message.down().map_or(Term::NOPROC, |(_, reason)| reason.clone());
                Some((told.place, reason))
            }
            Event::Timeout => {
                self.deadline_ns = None;
                for told in self.left.values().filter(|told| told.timeout) {
                    cx.exit(told.pid, Term::KILL);
                }
                None
            }
            Event::Start | Event::Resume | Event::Unblocked(_) => None,
        }
    }
}
