//! Random commands and failures against a small model of what a supervisor is.

use super::*;
use proptest::prelude::{Just, Strategy as _, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

const IDS: [&str; 4] = ["a", "b", "c", "d"];

#[derive(Clone, Debug)]
enum Command {
    Crash(usize),
    EndNormally(usize),
    Terminate(usize),
    RestartChild(usize),
    Delete(usize),
    Start(usize, Restart),
    /// The next start of this child fails.
    Sabotage(usize),
    Wait(u64),
    Pause,
    Resume,
}

/// What the model knows of a child.
#[derive(Clone, Debug)]
struct Known {
    id: &'static str,
    restart: Restart,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Up,
    Down,
    Again,
    Owed,
}

/// A supervisor as a list that is rewritten, independent of the core's plans and indexes.
struct Model {
    strategy: Strategy,
    intensity: usize,
    children: Vec<Known>,
    restarts: Vec<u64>,
    now: u64,
    sabotaged: Vec<&'static str>,
    log: Vec<String>,
    again: Vec<&'static str>,
    paused: bool,
    ended: bool,
}

impl Model {
    const PERIOD: u64 = 5;

    fn position(&self, id: &str) -> Option<usize> {
        self.children.iter().position(|child| child.id == id)
    }

    /// Whether the start succeeds.
    fn start(&mut self, id: &'static str) -> bool {
        let sabotaged = self.sabotaged.iter().position(|other| *other == id);
        if let Some(at) = sabotaged {
            self.sabotaged.remove(at);
            return false;
        }
        self.log.push(format!("+{id}"));
        true
    }

    fn stop_from(&mut self, first: usize) {
        for child in self.children[first..].iter_mut().rev() {
            if child.state == State::Up {
                self.log.push(format!("-{}", child.id));
            }
            child.state = State::Down;
        }
        let mut at = 0;
        self.children.retain(|child| {
            at += 1;
            at - 1 < first || child.restart != Restart::Temporary
        });
    }

    fn start_from(&mut self, first: usize) {
        for at in first..self.children.len() {
            if self.start(self.children[at].id) {
                self.children[at].state = State::Up;
            } else {
                self.children[at].state = State::Again;
                self.again.push(self.children[at].id);
                return;
            }
        }
    }

    fn restart(&mut self, at: usize) {
        if self.paused {
            self.children[at].state = State::Owed;
            return;
        }
        self.restarts.push(self.now);
        let now = self.now;
        self.restarts.retain(|then| now - then <= Self::PERIOD);
        if self.restarts.len() > self.intensity {
            self.children[at].state = State::Down;
            self.stop_from(0);
            self.ended = true;
            return;
        }
        self.restart_by_strategy(at);
    }

    fn restart_by_strategy(&mut self, at: usize) {
        let first = match self.strategy {
            Strategy::OneForOne => {
                let id = self.children[at].id;
                let up = self.start(id);
                self.children[at].state = if up { State::Up } else { State::Again };
                if !up {
                    self.again.push(id);
                }
                return;
            }
            Strategy::RestForOne => at,
            _ => 0,
        };
        self.children[at].state = State::Down;
        self.stop_from(first);
        self.start_from(first);
    }

    fn resume(&mut self) {
        self.paused = false;
        let owed: Vec<usize> =
            (0..self.children.len()).filter(|at| self.children[*at].state == State::Owed).collect();
        match (self.strategy, owed.first()) {
            (_, None) => {}
            (Strategy::OneForOne, _) => owed.into_iter().for_each(|at| self.restart_by_strategy(at)),
            (_, Some(first)) => self.restart_by_strategy(*first),
        }
    }

    fn ended(&mut self, id: &'static str, normally: bool) {
        let Some(at) = self.position(id).filter(|at| self.children[*at].state == State::Up) else { return };
        self.children[at].state = State::Down;
        match (self.children[at].restart, normally) {
            (Restart::Temporary, _) => {
                self.children.remove(at);
            }
            (Restart::Transient, true) => {}
            _ => self.restart(at),
        }
    }

    fn apply(&mut self, command: &Command) {
        match *command {
            Command::Crash(n) => self.ended(IDS[n], false),
            Command::EndNormally(n) => self.ended(IDS[n], true),
            Command::Terminate(n) => {
                if let Some(at) = self.position(IDS[n]) {
                    if self.children[at].state == State::Up {
                        self.log.push(format!("-{}", IDS[n]));
                    }
                    self.children[at].state = State::Down;
                    if self.children[at].restart == Restart::Temporary {
                        self.children.remove(at);
                    }
                }
            }
            Command::RestartChild(n) => {
                let down = |child: &Known| matches!(child.state, State::Down | State::Owed);
                if let Some(at) = self.position(IDS[n]).filter(|at| down(&self.children[*at])) {
                    self.children[at].state = if self.start(IDS[n]) { State::Up } else { State::Down };
                }
            }
            Command::Delete(n) => {
                let down = |child: &Known| matches!(child.state, State::Down | State::Owed);
                if let Some(at) = self.position(IDS[n]).filter(|at| down(&self.children[*at])) {
                    self.children.remove(at);
                }
            }
            Command::Start(n, restart) => {
                if self.position(IDS[n]).is_none() && self.start(IDS[n]) {
                    self.children.push(Known { id: IDS[n], restart, state: State::Up });
                }
            }
            Command::Sabotage(n) => self.sabotaged.push(IDS[n]),
            Command::Wait(seconds) => self.now += seconds,
            Command::Pause => self.paused = true,
            Command::Resume => {
                if self.paused {
                    self.resume();
                }
            }
        }
        self.try_again();
    }

    fn try_again(&mut self) {
        for id in std::mem::take(&mut self.again) {
            if !self.ended
                && let Some(at) = self.position(id).filter(|at| self.children[*at].state == State::Again)
            {
                self.restart(at);
            }
        }
    }
}

fn perform(world: &mut World, command: &Command) {
    let id = |n: usize| Term::Atom(IDS[n]);
    match *command {
        Command::Crash(n) | Command::EndNormally(n) => {
            let reason = if matches!(command, Command::Crash(_)) { "killed" } else { "normal" };
            if let Some(pid) = world.pid(IDS[n]) {
                world.end_pid(pid, reason);
            }
        }
        Command::Terminate(n) => drop(world.ask(Request::TerminateChild(id(n)))),
        Command::RestartChild(n) => drop(world.ask(Request::RestartChild(id(n)))),
        Command::Delete(n) => drop(world.ask(Request::DeleteChild(id(n)))),
        Command::Start(n, restart) => {
            drop(world.ask(Request::StartChild(Box::new(child(IDS[n]).with_restart(restart)))));
        }
        Command::Sabotage(n) => world.script.entry(IDS[n].to_owned()).or_default().push(Err("sabotage")),
        Command::Wait(seconds) => world.now += SECOND * u32::try_from(seconds).unwrap(),
        Command::Pause => drop(world.ask(Request::Pause)),
        Command::Resume => drop(world.ask(resume())),
    }
    world.turn();
}

fn restart() -> impl proptest::strategy::Strategy<Value = Restart> {
    prop_oneof![Just(Restart::Permanent), Just(Restart::Transient), Just(Restart::Temporary)]
}

fn command() -> impl proptest::strategy::Strategy<Value = Command> {
    let n = 0..IDS.len();
    prop_oneof![
        4 => n.clone().prop_map(Command::Crash),
        2 => n.clone().prop_map(Command::EndNormally),
        2 => n.clone().prop_map(Command::Terminate),
        2 => n.clone().prop_map(Command::RestartChild),
        1 => n.clone().prop_map(Command::Delete),
        3 => (n.clone(), restart()).prop_map(|(n, restart)| Command::Start(n, restart)),
        1 => n.prop_map(Command::Sabotage),
        1 => (1u64..4).prop_map(Command::Wait),
        1 => Just(Command::Pause),
        2 => Just(Command::Resume),
    ]
}

proptest! {
    #[test]
    fn a_supervisor_does_what_the_model_does(
        strategy in prop_oneof![
            Just(Strategy::OneForOne), Just(Strategy::OneForAll), Just(Strategy::RestForOne)
        ],
        intensity in 0u32..6,
        restarts in prop::collection::vec(restart(), 0..4),
        commands in prop::collection::vec(command(), 0..40),
    ) {
        let known: Vec<_> = IDS.into_iter().zip(restarts).collect();
        let specs = known.iter().map(|(id, restart)| child(id).with_restart(*restart)).collect();
        let mut world = World::new(
            SupervisorSpec::new(strategy, specs).with_intensity(intensity, SECOND * 5),
        );
        let mut model = Model {
            strategy,
            intensity: intensity as usize,
            children: known
                .into_iter()
                .map(|(id, restart)| Known { id, restart, state: State::Up })
                .collect(),
            restarts: Vec::new(),
            now: 1,
            sabotaged: Vec::new(),
            log: Vec::new(),
            again: Vec::new(),
            paused: false,
            ended: false,
        };
        for command in &commands {
            model.apply(command);
            perform(&mut world, command);
            prop_assert_eq!(world.took(), std::mem::take(&mut model.log).join(" "), "{:?}", command);
            prop_assert_eq!(world.ended.is_some(), model.ended);
            if model.ended {
                prop_assert!(world.alive.is_empty(), "a supervisor that ended leaves no child");
                break;
            }
            let ours: Vec<_> = world.children().into_iter().rev().collect();
            prop_assert_eq!(ours.len(), model.children.len());
            for ((id, state), known) in ours.iter().zip(&model.children) {
                prop_assert_eq!(id, known.id);
                let same = match known.state {
                    State::Up => matches!(state, ChildState::Running(_)),
                    State::Down => *state == ChildState::Stopped,
                    State::Again => matches!(state, ChildState::Restarting(_)),
                    State::Owed => matches!(state, ChildState::Owed(_)),
                };
                prop_assert!(same, "{} is {:?}, not {:?}", id, state, known.state);
            }
            let counts = world.counts();
            prop_assert_eq!(counts.specs, ours.len());
            prop_assert_eq!(counts.workers, ours.len());
            prop_assert_eq!(counts.active, world.alive.len());
            prop_assert!(world.core.restarts_used(world.now) <= intensity as usize);
        }
    }

    #[test]
    fn instances_agree_with_who_is_alive(
        restart in restart(),
        commands in prop::collection::vec((0u8..4, any::<prop::sample::Index>()), 0..60),
    ) {
        let mut world = simple(restart);
        let mut alive: Vec<Pid> = Vec::new();
        for (kind, index) in commands {
            match (kind, alive.is_empty()) {
                (0, _) | (_, true) => {
                    world.started(add());
                }
                (1, _) => world.end_pid(*index.get(&alive), "killed"),
                (2, _) => world.end_pid(*index.get(&alive), "normal"),
                _ => {
                    let pid = *index.get(&alive);
                    prop_assert!(world.ask(Request::TerminateChild(pid.into())).is_ok());
                    prop_assert!(!world.core.knows(pid));
                }
            }
            if world.ended.is_some() {
                break;
            }
            alive = world.alive.keys().copied().collect();
            prop_assert_eq!(world.counts().active, alive.len());
            prop_assert!(alive.iter().all(|pid| world.core.children().running(*pid).is_some()));
        }
    }
}
