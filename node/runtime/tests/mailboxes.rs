//! Work on mailboxes, and what is counted of them, on a deterministic node.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arsenal_runtime::dead_letters::DeadLetterReason;
use arsenal_runtime::surgery::{Extraction, UnexpectedCount};
use arsenal_runtime::timer::TimerTarget;
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Kind, Message, Node, NodeConfig, Pid, ProcessRef, Receive,
    StartOptions, Step, Term,
};
use std::sync::Arc;
use std::time::Duration;

/// Reads everything, or nothing.
struct Reader(Receive);

impl Body for Reader {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        if let Event::Start = event {
            context.started();
        }
        Step::Wait(self.0.clone())
    }
}

fn start(node: &Node, receive: Receive) -> ProcessRef {
    let description = Arc::new(Description::native("reader", Behaviour::Plain));
    let process = node.spawn(&description, Box::new(Reader(receive)), StartOptions::default()).unwrap();
    node.run_until_idle();
    process
}

fn send(node: &Node, process: &ProcessRef, payload: Term) {
    node.send_to(process, Message::info(Pid::NONE, payload));
}

#[test]
fn an_extraction_with_another_count_than_expected_takes_nothing() {
    let node = Node::deterministic(NodeConfig::default());
    let process = start(&node, Receive::none());
    (0..4).for_each(|n| send(&node, &process, Term::Int(n)));
    let mut how =
        Extraction { expected: Some(3), operation: 7, ..Extraction::new(DeadLetterReason::Flushed) };
    let refused = node.extract_expected(&process, &how, |_| true).unwrap_err();
    assert_eq!(refused, UnexpectedCount { expected: 3, found: 4 });
    assert_eq!((node.queue_length(&process), node.dead_letters().list().len()), (4, 0));
    how.max = 3;
    assert_eq!(node.extract_expected(&process, &how, |_| true).unwrap().len(), 3);
    assert!(node.dead_letters().list().iter().all(|letter| letter.operation == 7));
}

#[test]
fn replies_and_system_requests_stay_even_if_signals_go() {
    let node = Node::deterministic(NodeConfig::default());
    let process = start(&node, Receive::none());
    for kind in [Kind::Info, Kind::Exit, Kind::Down, Kind::Cast] {
        node.send_to(&process, Message::of(kind, Pid::NONE, Term::Null));
    }
    let how = Extraction { signals: true, ..Extraction::new(DeadLetterReason::Drained) };
    let reply = Message::of(Kind::Reply, Pid::NONE, Term::Null);
    assert!(!how.may_take(&reply) && !how.may_take(&Message::of(Kind::System, Pid::NONE, Term::Null)));
    assert_eq!(node.extract_expected(&process, &how, |_| true).unwrap().len(), 4);
}

#[test]
fn what_arrived_is_what_waits_was_handled_and_was_removed() {
    let node = Node::deterministic(NodeConfig::default());
    let process = start(&node, Receive::any());
    (0..5).for_each(|n| send(&node, &process, Term::Int(n)));
    node.extract(&process, DeadLetterReason::Filtered, false, 2, |_| true);
    assert_eq!(node.queue_counters(&process).high_water, 5);
    node.run_until_idle();
    let counters = node.queue_counters(&process);
    assert_eq!((counters.received, counters.handled(), counters.removed, counters.waiting), (5, 3, 2, 0));
}

#[test]
fn a_wait_is_measured_only_where_somebody_asked_for_it() {
    let node = Node::deterministic(NodeConfig::default());
    let process = start(&node, Receive::any());
    let hold = |process: &ProcessRef| {
        use arsenal_runtime::hold::{HoldKind, Holder};
        let holder = Holder::Principal("test".into());
        node.hold(process.pid(), HoldKind::PauseScheduling, holder, Duration::from_millis(40), false)
            .unwrap();
    };
    hold(&process);
    send(&node, &process, Term::Null);
    node.queue_counters(&process);
    node.advance(Duration::from_millis(40));
    assert_eq!(node.queue_counters(&process).waits.messages, 0);
    node.measure_waits(&process, true);
    hold(&process);
    send(&node, &process, Term::Null);
    node.queue_counters(&process);
    node.advance(Duration::from_millis(40));
    let waits = node.queue_counters(&process).waits;
    assert_eq!((waits.messages, waits.total_ms), (1, 40));
}

#[test]
fn compacting_lets_equal_payloads_share_one_and_changes_no_message() {
    let node = Node::deterministic(NodeConfig::default());
    let process = start(&node, Receive::none());
    let large = || Term::str("x".repeat(1_000));
    (0..1_000).for_each(|_| send(&node, &process, large()));
    send(&node, &process, Term::str("other"));
    let compaction = node.compact_mailbox(&process);
    assert_eq!(compaction.shared, 999);
    assert!(compaction.bytes_before > 1_000_000 && compaction.bytes_after < 100_000, "{compaction:?}");
    let again = node.compact_mailbox(&process);
    assert_eq!((again.shared, again.bytes_before), (0, compaction.bytes_after));
    let payloads = node.mailbox(&process, |_, message| Some(message.payload.clone()));
    assert_eq!(payloads.iter().filter(|payload| **payload == large()).count(), 1_000);
    assert!(payloads[1_000].is("other"));
}

/// Calls a process at once, and ends with what comes of it.
struct Caller(Pid);

impl Body for Caller {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        match event {
            Event::Start => {
                context.started();
                let reference = context.request(self.0, Term::Null);
                Step::Wait(Receive::reply(reference))
            }
            Event::Message(message) => {
                Step::Exit(message.down().map_or(Term::OK, |(_, reason)| reason.clone()))
            }
            _ => Step::Wait(Receive::none()),
        }
    }
}

#[test]
fn a_caller_whose_call_a_full_mailbox_refuses_is_told_at_once() {
    let node = Node::deterministic(NodeConfig::default());
    let process = start(&node, Receive::none());
    node.set_mailbox_limit(&process, Some(arsenal_runtime::limits::MailboxLimit { messages_max: 1 }));
    send(&node, &process, Term::Null);
    let description = Arc::new(Description::native("caller", Behaviour::Plain));
    let caller = node.spawn(&description, Box::new(Caller(process.pid())), StartOptions::default()).unwrap();
    node.run_until_idle();
    assert_eq!(node.events().exit_of(caller.pid()).unwrap().reason, Term::Atom("queue_full"));
}

#[test]
fn a_timer_for_a_name_finds_its_holder_when_it_fires() {
    let node = Node::deterministic(NodeConfig::default());
    let (first, second) = (start(&node, Receive::none()), start(&node, Receive::none()));
    node.register("w", first.pid(), Term::Null, 0).unwrap();
    let message = Message::info(Pid::NONE, Term::OK);
    node.start_timer(TimerTarget::Name("w".into()), message, Duration::from_millis(5)).unwrap();
    node.unregister("w", None, 0).unwrap();
    node.register("w", second.pid(), Term::Null, 0).unwrap();
    node.advance(Duration::from_millis(5));
    assert_eq!((node.queue_length(&first), node.queue_length(&second)), (0, 1));
}
