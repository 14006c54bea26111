//! Turns as an observer is told of them: those that an operation caused, down the chain of what they send.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

use arsenal_runtime::turn_observer::{CausedTurn, ObservedTurn, TurnObserver};
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Kind, Message, Node, NodeConfig, Pid, Reason, Receive,
    StartOptions, Step, Term,
};
use parking_lot::Mutex;
use std::sync::Arc;

/// Sends what it gets on to the next; ends of `"stop"`.
struct Link(Option<Pid>);

impl Body for Link {
    fn step(&mut self, event: Event, cx: &mut Context<'_>) -> Step {
        if let Event::Message(message) = event {
            if message.payload.is("stop") {
                return Step::Exit(Term::Atom("stopped"));
            }
            if let Some(next) = self.0 {
                cx.send(next, message.payload);
            }
        }
        Step::Wait(Receive::any())
    }
}

/// The turns that were told: who, of which operation, of which kind, ended by what.
type Turns = Arc<Mutex<Vec<(Pid, u64, Kind, Option<Term>)>>>;

/// Names the operation of each message without one `fresh`, and watches turns of all operations.
struct Watcher {
    fresh: u64,
    turns: Turns,
}

struct Watched {
    turns: Turns,
    place: usize,
}

impl TurnObserver for Watcher {
    fn sending(&self, _: &Node, operation: u64) -> u64 {
        if operation == 0 { self.fresh } else { operation }
    }

    fn begin(&self, turn: &CausedTurn<'_>) -> Option<Box<dyn ObservedTurn>> {
        assert_eq!(turn.module, "link");
        let mut turns = self.turns.lock();
        turns.push((turn.process, turn.operation, turn.kind, None));
        Some(Box::new(Watched { turns: Arc::clone(&self.turns), place: turns.len() - 1 }))
    }
}

impl ObservedTurn for Watched {
    fn end(self: Box<Self>, exit: Option<&Reason>) {
        self.turns.lock()[self.place].3 = exit.cloned();
    }
}

/// A deterministic node with a chain of two.
fn chain(fresh: u64) -> (Node, Pid, Pid, Turns) {
    let node = Node::deterministic(NodeConfig::default());
    let turns = Turns::default();
    let watcher = Arc::new(Watcher { fresh, turns: Arc::clone(&turns) });
    assert!(node.turn_observer().set(watcher).is_ok());
    let description = Arc::new(Description::native("link", Behaviour::Plain));
    let spawn = |next| node.spawn(&description, Box::new(Link(next)), StartOptions::default()).unwrap().pid();
    let last = spawn(None);
    let first = spawn(Some(last));
    node.run_until_idle();
    (node, first, last, turns)
}

#[test]
fn an_operation_is_followed_down_the_chain_of_sends() {
    let (node, first, last, turns) = chain(0);
    node.send(first, Message::info(Pid::NONE, Term::from("hello")).with_operation(7));
    node.run_until_idle();
    assert_eq!(*turns.lock(), [(first, 7, Kind::Info, None), (last, 7, Kind::Info, None)]);
}

#[test]
fn a_turn_that_no_operation_caused_is_not_told() {
    let (node, first, _, turns) = chain(0);
    node.send(first, Message::info(Pid::NONE, Term::from("hello")));
    node.run_until_idle();
    assert!(turns.lock().is_empty());
}

#[test]
fn the_observer_may_number_what_has_no_operation_and_hears_how_a_turn_ends_its_process() {
    let (node, first, _, turns) = chain(9);
    node.send(first, Message::info(Pid::NONE, Term::Atom("stop")));
    node.run_until_idle();
    assert_eq!(*turns.lock(), [(first, 9, Kind::Info, Some(Term::Atom("stopped")))]);
}
