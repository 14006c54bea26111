//! The core against a world of numbers: children start and stop at once, or as a script says.

mod conversion;
mod flags;
mod property;
mod requests;
mod restarts;

use super::*;
use crate::supervisor::request::{Outcome, SupervisorReply, SupervisorRequest as Request};
use crate::supervisor::spec::{AutoShutdown, Restart};
use arsenal_runtime::hold::Holder;
use std::collections::{BTreeMap, HashMap};

const SECOND: Duration = Duration::from_secs(1);

/// A supervisor and what it has done to the world.
struct World {
    core: SupervisorCore,
    now: Duration,
    /// Who runs, under which id; instances under `undefined`.
    alive: BTreeMap<Pid, String>,
    /// Starts and stops in order: `+a`, `-a`.
    log: Vec<String>,
    replies: Vec<Outcome>,
    occurrences: Vec<Occurrence>,
    /// What the next starts of a child come to; after that they succeed.
    script: HashMap<String, Vec<Result<bool, &'static str>>>,
    acknowledged: bool,
    ended: Option<Reason>,
    /// Messages to itself that it has not read yet.
    try_again: Vec<Place>,
    serial: u64,
}

impl World {
    fn unstarted(spec: SupervisorSpec) -> Self {
        spec.check().unwrap();
        Self {
            core: SupervisorCore::new(spec),
            now: SECOND,
            alive: BTreeMap::new(),
            log: Vec::new(),
            replies: Vec::new(),
            occurrences: Vec::new(),
            script: HashMap::new(),
            acknowledged: false,
            ended: None,
            try_again: Vec::new(),
            serial: 0,
        }
    }

    fn new(spec: SupervisorSpec) -> Self {
        let mut world = Self::unstarted(spec);
        world.feed(Event::Begin);
        assert!(world.acknowledged);
        world.log.clear();
        world
    }

    fn feed(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.core.step(event, self.now) {
                match action {
                    Action::Start { spec, .. } => events.push(Event::Started(self.start(&spec))),
                    Action::Stop(children) => {
                        for child in children.into_iter().rev() {
                            let id = self.alive.remove(&child.pid).expect("only what runs is stopped");
                            self.log.push(format!("-{id}"));
                            events.push(Event::Stopped { place: child.place, reason: Term::SHUTDOWN });
                        }
                    }
                    Action::Reply(outcome) => self.replies.push(outcome),
                    Action::TryAgain(place) => self.try_again.push(place),
                    Action::Acknowledge => self.acknowledged = true,
                    Action::Exit(reason) => self.ended = Some(reason),
                    Action::Publish(occurrence) => self.occurrences.push(occurrence),
                }
            }
        }
        assert!(!self.core.is_busy());
    }

    fn start(&mut self, spec: &ChildSpec) -> Result<Option<Pid>, Reason> {
        let id = spec.id.as_str().map_or_else(|| spec.id.to_string(), str::to_owned);
        let script = self.script.entry(id.clone()).or_default();
        match if script.is_empty() { Ok(true) } else { script.remove(0) } {
            Ok(true) => {
                self.serial += 1;
                let pid = Pid::new(1, 1, self.serial);
                assert!(self.core.flags().strategy == Strategy::SimpleOneForOne || self.pid(&id).is_none());
                self.alive.insert(pid, id.clone());
                self.log.push(format!("+{id}"));
                Ok(Some(pid))
            }
            Ok(false) => Ok(None),
            Err(reason) => Err(Term::Atom(reason)),
        }
    }

    fn pid(&self, id: &str) -> Option<Pid> {
        self.alive.iter().find(|(_, alive)| *alive == id).map(|(pid, _)| *pid)
    }

    /// The child ends of itself.
    fn end(&mut self, id: &str, reason: &'static str) {
        let pid = self.pid(id).expect("it runs");
        self.end_pid(pid, reason);
    }

    fn end_pid(&mut self, pid: Pid, reason: &'static str) {
        self.alive.remove(&pid);
        self.feed(Event::Exited { pid, reason: Term::Atom(reason) });
    }

    /// The supervisor reads what it has sent to itself.
    fn turn(&mut self) {
        for place in std::mem::take(&mut self.try_again) {
            if self.ended.is_none() {
                self.feed(Event::TryAgain(place));
            }
        }
    }

    fn ask(&mut self, request: Request) -> Outcome {
        self.feed(Event::Request(Box::new(request)));
        self.replies.pop().expect("every request is answered")
    }

    fn started(&mut self, request: Request) -> Pid {
        match self.ask(request) {
            Ok(SupervisorReply::Started { pid: Some(pid), .. }) => pid,
            other => panic!("{other:?}"),
        }
    }

    /// Ids and whether they run, in OTP's order.
    fn children(&mut self) -> Vec<(String, ChildState)> {
        match self.ask(Request::WhichChildren { before: None, limit: None }) {
            Ok(SupervisorReply::Children(page)) => page
                .children
                .into_iter()
                .map(|child| (child.id.to_string().replace('"', ""), child.state))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    fn counts(&mut self) -> ChildCounts {
        match self.ask(Request::CountChildren) {
            Ok(SupervisorReply::Counts(counts)) => counts,
            other => panic!("{other:?}"),
        }
    }

    fn took(&mut self) -> String {
        std::mem::take(&mut self.log).join(" ")
    }
}

fn child(id: &'static str) -> ChildSpec {
    ChildSpec::worker(id, "counter", Term::Null)
}

fn spec(strategy: Strategy, children: Vec<ChildSpec>) -> SupervisorSpec {
    SupervisorSpec::new(strategy, children).with_intensity(100, SECOND * 5)
}

fn three(strategy: Strategy) -> World {
    World::new(spec(strategy, vec![child("a"), child("b"), child("c")]))
}

fn simple(restart: Restart) -> World {
    World::new(spec(Strategy::SimpleOneForOne, vec![child("t").with_restart(restart)]))
}

fn resume() -> Request {
    Request::Resume { holder: Holder::Principal("me".into()) }
}

fn add() -> Request {
    Request::AddDynamicChild(Box::default())
}
