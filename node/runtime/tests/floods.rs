//! Mailboxes into which more arrives than one fetch takes, on a deterministic node.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arsenal_runtime::hold::{HoldKind, Holder};
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Message, Node, NodeConfig, Pid, ProcessRef, Receive,
    StartOptions, Step, Term,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Many fetches' worth.
const FLOOD: i64 = 10_000;

type Log = Arc<Mutex<Vec<Term>>>;

/// Notes what it gets; after the first message it looks for a `needle` for no time at all, and then for anything.
struct Seeker(Log);

impl Body for Seeker {
    fn step(&mut self, event: Event, _context: &mut Context<'_>) -> Step {
        let mut log = self.0.lock().unwrap();
        match event {
            Event::Message(message) => log.push(message.payload),
            Event::Timeout => log.push(Term::TIMEOUT),
            _ => {}
        }
        if log.len() == 1 {
            return Step::Wait(
                Receive::matching(|message| message.payload.is("needle")).within(Some(Duration::ZERO)),
            );
        }
        Step::Wait(Receive::any())
    }
}

fn seeker(node: &Node) -> (ProcessRef, Log) {
    let log = Log::default();
    let description = Arc::new(Description::native("seeker", Behaviour::Plain));
    let process = node.spawn(&description, Box::new(Seeker(Arc::clone(&log))), StartOptions::default());
    // no time at all is over at once, except at the beginning of time
    node.advance(Duration::from_secs(1));
    (process.unwrap(), log)
}

fn flood(node: &Node, to: &ProcessRef) {
    (0..FLOOD).for_each(|number| send(node, to, Term::Int(number)));
}

fn send(node: &Node, to: &ProcessRef, payload: Term) {
    node.send_to(to, Message::info(Pid::NONE, payload));
}

#[test]
fn a_receive_that_does_not_wait_finds_a_message_behind_ten_thousand() {
    let node = Node::deterministic(NodeConfig::default());
    let (process, log) = seeker(&node);
    flood(&node, &process);
    send(&node, &process, "needle".into());
    assert_eq!(node.queue_length(&process), FLOOD as usize + 1);
    node.run_until_idle();
    let log = log.lock().unwrap();
    assert_eq!(log[..3], [Term::Int(0), "needle".into(), Term::Int(1)]);
    assert_eq!(log.len(), FLOOD as usize + 1);
}

#[test]
fn a_receive_that_does_not_wait_times_out_once_it_has_seen_all_ten_thousand() {
    let node = Node::deterministic(NodeConfig::default());
    let (process, log) = seeker(&node);
    flood(&node, &process);
    node.run_until_idle();
    let log = log.lock().unwrap();
    assert_eq!(log[..3], [Term::Int(0), Term::TIMEOUT, Term::Int(1)]);
    assert!(log[2..].iter().map(|term| term.as_int().unwrap()).eq(1..FLOOD));
}

#[test]
fn a_process_that_is_flooded_while_it_is_paused_rests_and_reads_on_when_it_may() {
    let node = Node::deterministic(NodeConfig::default());
    let (process, log) = seeker(&node);
    let holder = Holder::Principal("test".into());
    let lease = Duration::from_secs(60);
    node.hold(process.pid(), HoldKind::PauseScheduling, holder.clone(), lease, false).unwrap();
    flood(&node, &process);
    send(&node, &process, "needle".into());
    node.run_until_idle();
    assert_eq!(node.header(&process).queue_len, FLOOD as usize + 1);
    node.release(process.pid(), HoldKind::PauseScheduling, &holder).unwrap();
    node.run_until_idle();
    assert_eq!(log.lock().unwrap().len(), FLOOD as usize + 1);
}

#[test]
fn a_kill_does_not_wait_until_the_messages_before_it_were_handled() {
    let node = Node::deterministic(NodeConfig::default());
    let (process, log) = seeker(&node);
    flood(&node, &process);
    node.kill(process.pid(), Term::KILLED);
    node.run_until_idle();
    assert!(!process.is_alive() && log.lock().unwrap().is_empty());
}

#[test]
fn what_waits_behind_a_fetch_is_counted_and_can_be_taken_out() {
    let node = Node::deterministic(NodeConfig::default());
    let (process, log) = seeker(&node);
    flood(&node, &process);
    let odd = |message: &Message| message.payload.as_int().is_some_and(|number| number % 2 == 1);
    let reason = arsenal_runtime::dead_letters::DeadLetterReason::Filtered;
    assert_eq!(node.extract(&process, reason, false, usize::MAX, odd).len() as i64, FLOOD / 2);
    node.run_until_idle();
    let counters = node.queue_counters(&process);
    assert_eq!((i64::from(counters.received), i64::from(counters.high_water)), (FLOOD, FLOOD));
    assert_eq!(log.lock().unwrap().iter().filter_map(Term::as_int).max(), Some(FLOOD - 2));
}

/// Sends so many messages, giving way where it should.
struct Flood {
    count: i64,
    to: ProcessRef,
}

impl Body for Flood {
    fn step(&mut self, _event: Event, context: &mut Context<'_>) -> Step {
        while self.count > 0 {
            context.send_to(&self.to, Term::Int(self.count));
            self.count -= 1;
            context.burn(1);
            if context.should_yield() {
                return Step::Yield;
            }
        }
        Step::Wait(Receive::none())
    }
}

fn flooder(node: &Node, to: &ProcessRef, count: i64) -> ProcessRef {
    let description = Arc::new(Description::native("flood", Behaviour::Plain));
    let body = Box::new(Flood { count, to: to.clone() });
    node.spawn(&description, body, StartOptions::default()).unwrap()
}

#[test]
fn a_hundred_senders_do_not_outrun_the_one_who_reads() {
    const SENDERS: i64 = 100;
    let node = Node::deterministic(NodeConfig::default());
    let (process, log) = seeker(&node);
    let senders: Vec<_> = (0..SENDERS).map(|_| flooder(&node, &process, FLOOD)).collect();
    node.run_until_idle();
    assert_eq!(log.lock().unwrap().len() as i64, 1 + SENDERS * FLOOD);
    let high_water = i64::from(node.queue_counters(&process).high_water);
    assert!(high_water < SENDERS * FLOOD / 10, "{high_water} of {} waited", SENDERS * FLOOD);
    // what keeps them back is what their sends cost
    let most = senders.iter().map(|sender| node.reductions(sender)).max().unwrap();
    assert!(most > 2 * FLOOD as u64, "{most} reductions for {FLOOD} sends");
}

#[test]
fn sends_to_a_mailbox_that_is_read_cost_no_more_than_themselves() {
    let node = Node::deterministic(NodeConfig::default());
    let (process, _) = seeker(&node);
    let sender = flooder(&node, &process, 500);
    node.run_until_idle();
    assert!(node.reductions(&sender) < 2 * 500);
}
