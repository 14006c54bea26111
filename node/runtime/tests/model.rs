//! Links, monitors, exits and mailbox order against a model of a page: random commands on a few processes, on a
//! deterministic node, compared after each command.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Message, Node, NodeConfig, OwnedId, Pid, ProcessRef,
    Receive, StartOptions, Step, Term,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

const PROCESSES: usize = 5;

#[derive(Clone, Debug)]
enum Command {
    Link(usize, usize),
    Unlink(usize, usize),
    Monitor(usize, usize),
    /// The monitor of this number, if there is one.
    Demonitor(usize),
    Trap(usize, bool),
    /// `exit(To, Reason)` from a process.
    Exit(usize, usize, &'static str),
    /// Numbered messages from one process to another.
    Send(usize, usize, u8),
}

fn command() -> impl Strategy<Value = Command> {
    let who = || 0..PROCESSES;
    let reason = prop::sample::select(vec!["normal", "shutdown", "oops", "kill"]);
    prop_oneof![
        3 => (who(), who()).prop_map(|(a, b)| Command::Link(a, b)),
        1 => (who(), who()).prop_map(|(a, b)| Command::Unlink(a, b)),
        2 => (who(), who()).prop_map(|(a, b)| Command::Monitor(a, b)),
        1 => (0usize..8).prop_map(Command::Demonitor),
        2 => (who(), any::<bool>()).prop_map(|(a, on)| Command::Trap(a, on)),
        2 => (who(), who(), reason).prop_map(|(a, b, reason)| Command::Exit(a, b, reason)),
        2 => (who(), who(), 1u8..5).prop_map(|(a, b, n)| Command::Send(a, b, n)),
    ]
}

/// What a process has received, as text; exits and downs of one command are sorted, since their senders differ.
type Inbox = Vec<String>;

#[derive(Default)]
struct Model {
    dead: BTreeMap<usize, String>,
    traps: BTreeSet<usize>,
    links: BTreeSet<(usize, usize)>,
    /// Number, watcher, watched.
    monitors: Vec<(usize, usize, usize)>,
    monitors_made: usize,
    sent: u64,
    inboxes: BTreeMap<usize, Inbox>,
}

impl Model {
    fn alive(&self, process: usize) -> bool {
        !self.dead.contains_key(&process)
    }

    fn receive(&mut self, process: usize, text: String) {
        if self.alive(process) {
            self.inboxes.entry(process).or_default().push(text);
        }
    }

    fn apply(&mut self, command: &Command) {
        match *command {
            Command::Link(a, b) if self.alive(a) && a != b => {
                if self.alive(b) {
                    self.links.insert((a.min(b), a.max(b)));
                } else if self.traps.contains(&a) {
                    self.receive(a, format!("EXIT {b} noproc"));
                } else {
                    self.end(a, "noproc");
                }
            }
            Command::Unlink(a, b) if self.alive(a) => {
                self.links.remove(&(a.min(b), a.max(b)));
            }
            Command::Monitor(a, b) if self.alive(a) => {
                let number = self.monitors_made;
                self.monitors_made += 1;
                if self.alive(b) {
                    self.monitors.push((number, a, b));
                } else {
                    self.receive(a, format!("DOWN {number} {b} noproc"));
                }
            }
            Command::Demonitor(number) => self.monitors.retain(|(made, ..)| *made != number),
            Command::Trap(a, on) if self.alive(a) => {
                if on {
                    self.traps.insert(a);
                } else {
                    self.traps.remove(&a);
                }
            }
            Command::Exit(from, to, reason) if self.alive(to) => {
                if reason == "kill" {
                    self.end(to, "killed");
                } else if self.traps.contains(&to) {
                    self.receive(to, format!("EXIT {from} {reason}"));
                } else if reason != "normal" || from == to {
                    self.end(to, reason);
                }
            }
            Command::Send(_, to, count) => {
                for _ in 0..count {
                    self.sent += 1;
                    self.receive(to, format!("{}", self.sent));
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, process: usize, reason: &str) {
        if self.dead.insert(process, reason.to_owned()).is_some() {
            return;
        }
        for (number, watcher, _) in
            self.monitors.clone().into_iter().filter(|(_, _, watched)| *watched == process)
        {
            self.receive(watcher, format!("DOWN {number} {process} {reason}"));
        }
        self.monitors.retain(|(_, watcher, watched)| *watcher != process && *watched != process);
        let linked: Vec<usize> = (0..PROCESSES)
            .filter(|other| self.links.remove(&(process.min(*other), process.max(*other))))
            .collect();
        for other in linked {
            if self.traps.contains(&other) {
                self.receive(other, format!("EXIT {process} {reason}"));
            } else if reason != "normal" {
                self.end(other, reason);
            }
        }
    }
}

struct Keeper(Arc<Mutex<Vec<Message>>>);

impl Body for Keeper {
    fn step(&mut self, event: Event, _context: &mut Context<'_>) -> Step {
        if let Event::Message(message) = event {
            self.0.lock().unwrap().push(message);
        }
        Step::Wait(Receive::any())
    }
}

struct Real {
    node: Node,
    processes: Vec<(ProcessRef, Arc<Mutex<Vec<Message>>>)>,
    monitors: Vec<(usize, OwnedId)>,
    sent: i64,
}

impl Real {
    fn new() -> Self {
        let node = Node::deterministic(NodeConfig::default());
        let description = Arc::new(Description::native("keeper", Behaviour::Plain));
        let start = |_| {
            let log = Arc::default();
            let body = Box::new(Keeper(Arc::clone(&log)));
            (node.spawn(&description, body, StartOptions::default()).unwrap(), log)
        };
        let processes = (0..PROCESSES).map(start).collect();
        node.run_until_idle();
        Self { node, processes, monitors: Vec::new(), sent: 0 }
    }

    fn pid(&self, process: usize) -> Pid {
        self.processes[process].0.pid()
    }

    fn apply(&mut self, command: &Command) {
        match *command {
            // the acting process may be dead: then nothing happens
            Command::Link(a, b) => drop(self.node.link(self.pid(a), self.pid(b))),
            Command::Unlink(a, b) => drop(self.node.unlink(self.pid(a), self.pid(b))),
            Command::Monitor(a, b) => {
                if let Ok(monitor) = self.node.monitor(self.pid(a), Some(self.pid(b)), None) {
                    self.monitors.push((a, monitor));
                }
            }
            Command::Demonitor(number) => {
                if let Some((watcher, monitor)) = self.monitors.get(number) {
                    drop(self.node.demonitor(self.pid(*watcher), *monitor, false));
                }
            }
            Command::Trap(a, on) => drop(self.node.set_trap_exit(self.pid(a), on)),
            Command::Exit(from, to, reason) => self.node.exit(self.pid(from), self.pid(to), reason.into()),
            Command::Send(from, to, count) => {
                for _ in 0..count {
                    self.sent += 1;
                    self.node.send(self.pid(to), Message::info(self.pid(from), Term::Int(self.sent)));
                }
            }
        }
        self.node.run_until_idle();
    }

    fn name(&self, pid: Option<Pid>) -> usize {
        self.processes.iter().position(|(process, _)| Some(process.pid()) == pid).unwrap()
    }

    fn inbox(&self, process: usize) -> Inbox {
        let (handle, log) = &self.processes[process];
        let text = |message: &Message| {
            let term = message.to_term(handle.pid());
            match term.as_list() {
                Some([tag, from, reason]) if tag.is("EXIT") => {
                    format!("EXIT {} {}", self.name(from.as_pid()), reason.as_str().unwrap())
                }
                Some([tag, id, _, object, reason]) if tag.is("DOWN") => {
                    let made =
                        self.monitors.iter().position(|(_, monitor)| Term::Id(*monitor) == *id).unwrap();
                    format!("DOWN {made} {} {}", self.name(object.as_pid()), reason.as_str().unwrap())
                }
                _ => term.to_string(),
            }
        };
        log.lock().unwrap().iter().map(text).collect()
    }
}

/// Runs of exits and downs in any order: their senders differ.
fn settled(inbox: &Inbox, from: usize) -> (Inbox, Inbox) {
    let (mut signals, messages): (Inbox, Inbox) =
        inbox[from.min(inbox.len())..].iter().cloned().partition(|text| text.contains(' '));
    signals.sort();
    (signals, messages)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn links_monitors_and_mailboxes_follow_the_model(commands in prop::collection::vec(command(), 1..40)) {
        let (mut model, mut real) = (Model::default(), Real::new());
        let mut seen = [0; PROCESSES];
        for command in &commands {
            model.apply(command);
            real.apply(command);
            for (process, seen) in seen.iter_mut().enumerate() {
                prop_assert_eq!(model.alive(process), real.processes[process].0.is_alive(), "{:?}", command);
                let expected = model.inboxes.get(&process).cloned().unwrap_or_default();
                let actual = real.inbox(process);
                // one that ends in this very command may or may not have seen its last messages
                if model.alive(process) {
                    prop_assert_eq!(settled(&expected, *seen), settled(&actual, *seen), "{:?}", command);
                }
                *seen = actual.len();
            }
            for (process, reason) in &model.dead {
                let record = real.node.events().exit_of(real.pid(*process)).unwrap();
                prop_assert_eq!(record.reason.as_str(), Some(reason.as_str()));
            }
        }
    }
}
