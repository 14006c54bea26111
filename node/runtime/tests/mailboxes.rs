//! Work on mailboxes, and what is counted of them, on a deterministic node.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arsenal_runtime::dead_letters::DeadLetterReason;
use arsenal_runtime::limits::MailboxLimit;
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
    node.set_mailbox_limit(&process, Some(MailboxLimit::messages(1)));
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

/// A text of so many bytes.
fn text(bytes: usize) -> Term {
    Term::str("x".repeat(bytes).as_str())
}

fn bytes_of_letters(node: &Node) -> Vec<usize> {
    node.dead_letters().list().iter().map(|letter| letter.message.payload.content_bytes()).collect()
}

#[test]
fn what_would_exceed_the_bytes_of_a_mailbox_is_a_dead_letter_and_what_fits_is_not() {
    let node = Node::deterministic(NodeConfig::default());
    let description = Arc::new(Description::native("reader", Behaviour::Plain));
    let options = StartOptions { mailbox: Some(MailboxLimit::bytes(100)), ..StartOptions::default() };
    let process = node.spawn(&description, Box::new(Reader(Receive::none())), options).unwrap();
    node.run_until_idle();
    for bytes in [60, 50, 40, 1] {
        send(&node, &process, text(bytes));
        node.run_until_idle();
    }
    assert_eq!(node.mailbox(&process, |_, message| Some(message.payload.content_bytes())), [60, 40]);
    assert_eq!(bytes_of_letters(&node), [50, 1]);
    assert!(node.dead_letters().list().iter().all(|letter| letter.reason == DeadLetterReason::Limit));
    assert_eq!(node.messages_refused(&process), 2);
    // what no sender chose to send is never refused
    node.send_to(&process, Message::of(Kind::Exit, Pid::NONE, text(200)));
    assert_eq!(node.queue_length(&process), 3);
}

#[test]
fn room_for_bytes_comes_back_with_each_message_that_leaves() {
    let node = Node::deterministic(NodeConfig::default());
    let (keeps, reads) = (start(&node, Receive::none()), start(&node, Receive::any()));
    for process in [&keeps, &reads] {
        assert_eq!(node.set_mailbox_limit(process, Some(MailboxLimit::bytes(100))), None);
    }
    for _ in 0..5 {
        send(&node, &reads, text(100));
        node.run_until_idle();
        send(&node, &keeps, text(100));
        assert_eq!(node.extract(&keeps, DeadLetterReason::Flushed, false, 1, |_| true).len(), 1);
        send(&node, &keeps, text(100));
        assert_eq!(node.receive_as(keeps.pid(), &Receive::any().filter, 1).unwrap().len(), 1);
    }
    let refused = |letter: &_| matches!(letter, DeadLetterReason::Limit);
    assert!(!node.dead_letters().list().iter().any(|letter| refused(&letter.reason)));
}

#[test]
fn a_bound_of_bytes_that_is_set_late_counts_what_waits_and_ends_when_it_is_lifted() {
    let node = Node::deterministic(NodeConfig::default());
    let process = start(&node, Receive::none());
    send(&node, &process, text(90));
    node.run_until_idle();
    send(&node, &process, text(90));
    let limit = MailboxLimit { messages_max: 5, bytes_max: 200 };
    node.set_mailbox_limit(&process, Some(limit));
    assert_eq!(node.mailbox_limit(&process), Some(limit));
    send(&node, &process, text(30));
    assert_eq!(node.queue_length(&process), 2);
    assert_eq!(node.compact_mailbox(&process).shared, 1);
    send(&node, &process, text(20));
    assert_eq!(node.queue_length(&process), 3);
    assert_eq!(node.set_mailbox_limit(&process, None), Some(limit));
    send(&node, &process, text(300));
    assert_eq!(node.queue_length(&process), 4);
    assert_eq!(bytes_of_letters(&node), [30]);
}

#[test]
fn what_nobody_hears_of_is_a_dead_letter_with_its_cause_and_a_call_is_none() {
    let node = Node::deterministic(NodeConfig::default());
    let process = start(&node, Receive::none());
    for kind in [Kind::Info, Kind::Cast, Kind::Call] {
        node.send_to(&process, Message::of(kind, Pid::NONE, Term::Atom("left")));
    }
    node.kill(process.pid(), Term::KILLED);
    // not fetched before the end, and just as lost
    node.send_to(&process, Message::info(Pid::NONE, Term::Atom("left")));
    node.run_until_idle();
    let sender = start_sender(&node, process.pid());
    node.run_until_idle();
    node.start_timer(TimerTarget::Name("nobody".into()), Message::info(Pid::NONE, Term::OK), Duration::ZERO)
        .unwrap();
    // ends with its process, which is dead already
    node.start_timer(TimerTarget::Process(process.pid()), Message::info(Pid::NONE, Term::OK), Duration::ZERO)
        .unwrap();
    node.advance(Duration::from_millis(1));
    let letters = node.dead_letters().list();
    let told: Vec<_> = letters.iter().map(|letter| (letter.reason, letter.to, letter.message.from)).collect();
    let (left, sent) = (DeadLetterReason::LeftBehind, DeadLetterReason::DeadProcess);
    let mut expected = vec![(left, process.pid(), Pid::NONE); 3];
    expected.extend([(sent, process.pid(), sender), (sent, Pid::NONE, Pid::NONE)]);
    assert_eq!(told, expected);
}

/// Sends one message to `to` and ends.
fn start_sender(node: &Node, to: Pid) -> Pid {
    struct Sender(Pid);
    impl Body for Sender {
        fn step(&mut self, _: Event, context: &mut Context<'_>) -> Step {
            context.started();
            context.send(self.0, Term::Atom("late"));
            Step::Exit(Term::NORMAL)
        }
    }
    let description = Arc::new(Description::native("sender", Behaviour::Plain));
    node.spawn(&description, Box::new(Sender(to)), StartOptions::default()).unwrap().pid()
}
