//! Many threads at one mailbox: nothing is lost, nothing overtakes, and whoever has work is woken.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arsenal_runtime::hold::{HoldKind, Holder};
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Message, Node, NodeConfig, Pid, ProcessRef, Receive,
    StartOptions, Step, Term,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// Longer than any machine needs for one of these tests.
const PATIENCE: Duration = Duration::from_secs(120);

/// Checks that the numbers of each sender come in order and tells when all have come.
struct Checker {
    left: usize,
    last: BTreeMap<i64, i64>,
    done: Sender<Result<(), String>>,
}

impl Body for Checker {
    fn step(&mut self, event: Event, _context: &mut Context<'_>) -> Step {
        let Event::Message(message) = event else { return Step::Wait(Receive::any()) };
        let pair = message.payload.as_list().unwrap();
        let (sender, number) = (pair[0].as_int().unwrap(), pair[1].as_int().unwrap());
        let last = self.last.insert(sender, number);
        if last.map_or(0, |last| last + 1) != number {
            let _ = self.done.send(Err(format!("{number} of sender {sender} came after {last:?}")));
        }
        self.left -= 1;
        if self.left == 0 {
            let _ = self.done.send(Ok(()));
        }
        Step::Wait(Receive::any())
    }
}

/// Sends numbered messages, as many a turn as its number says: alone, or so many that some make up a batch.
struct Numbers {
    sender: i64,
    next: i64,
    count: i64,
    to: ProcessRef,
}

impl Body for Numbers {
    fn step(&mut self, _event: Event, context: &mut Context<'_>) -> Step {
        for _ in 0..=self.next % (1 + self.sender) {
            if self.next == self.count {
                return Step::Exit(Term::NORMAL);
            }
            let payload = numbered(self.sender, self.next);
            if self.next % 3 == 0 {
                context.send(self.to.pid(), payload);
            } else {
                context.send_to(&self.to, payload);
            }
            self.next += 1;
        }
        Step::Yield
    }
}

fn numbered(sender: i64, number: i64) -> Term {
    [Term::Int(sender), Term::Int(number)].into()
}

fn spawn(node: &Node, body: impl Body) -> ProcessRef {
    let description = Arc::new(Description::native("wakeups", Behaviour::Plain));
    node.spawn(&description, Box::new(body), StartOptions::default()).unwrap()
}

/// Looks, takes holds and releases them until `over`.
fn disturb(node: &Node, process: &ProcessRef, over: &AtomicBool) {
    let holder = Holder::Principal("test".into());
    while !over.load(Relaxed) {
        node.queue_length(process);
        let held = node.hold(process.pid(), HoldKind::PauseScheduling, holder.clone(), PATIENCE, false);
        assert!(held.is_ok());
        node.glimpse(process);
        assert!(node.release(process.pid(), HoldKind::PauseScheduling, &holder).is_ok());
        node.renew_receive(process.pid(), None).unwrap();
    }
}

#[test]
fn messages_of_many_threads_and_processes_all_arrive_each_senders_in_order() {
    const EACH: i64 = 20_000;
    const PROCESSES: i64 = 6;
    const THREADS: i64 = 2;
    let node = Node::start(NodeConfig { schedulers: 2, ..NodeConfig::default() }).unwrap();
    let (done, finished) = channel();
    let left = (EACH * (PROCESSES + THREADS)) as usize;
    let checker = spawn(&node, Checker { left, last: BTreeMap::new(), done });
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| disturb(&node, &checker, &over));
        for sender in 0..PROCESSES {
            spawn(&node, Numbers { sender: sender * sender * 10, next: 0, count: EACH, to: checker.clone() });
        }
        for sender in 1_000..1_000 + THREADS {
            let (node, checker) = (&node, &checker);
            scope.spawn(move || {
                for number in 0..EACH {
                    node.send_to(checker, Message::info(Pid::NONE, numbered(sender, number)));
                }
            });
        }
        let outcome = finished.recv_timeout(PATIENCE);
        over.store(true, Relaxed);
        assert_eq!(outcome, Ok(Ok(())));
    });
    node.close();
}

/// Passes a token on to the next, and tells when it has come `left` times.
struct Relay {
    next: Option<ProcessRef>,
    left: usize,
    done: Sender<()>,
}

impl Body for Relay {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        let Event::Message(message) = event else { return Step::Wait(Receive::any()) };
        if let Term::Pid(next) = message.payload {
            self.next = context.node().process(next);
            return Step::Wait(Receive::any());
        }
        self.left -= 1;
        if self.left == 0 {
            let _ = self.done.send(());
        }
        if let Some(next) = &self.next {
            context.send_to(next, message.payload);
        }
        Step::Wait(Receive::any())
    }
}

/// Each hop finds its receiver at rest or about to rest on the other scheduler: one lost wake-up and the token stops.
#[test]
fn a_token_goes_round_between_pinned_processes_until_it_is_taken_out() {
    const ROUNDS: usize = 20_000;
    let node = Node::start(NodeConfig { schedulers: 2, ..NodeConfig::default() }).unwrap();
    let (done, finished) = channel();
    let relay = |next| spawn(&node, Relay { next, left: ROUNDS, done: done.clone() });
    let first = relay(None);
    let second = relay(Some(first.clone()));
    node.pin(first.pid(), 1).unwrap();
    node.pin(second.pid(), 2).unwrap();
    node.send_to(&first, Message::info(Pid::NONE, Term::Pid(second.pid())));
    node.send_to(&first, Message::info(Pid::NONE, Term::Null));
    for _ in 0..2 {
        finished.recv_timeout(PATIENCE).unwrap();
    }
    node.close();
}
