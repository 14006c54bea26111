//! What only real schedulers show: calls from outside, stealing, pausing in mid loop, memory.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arsenal_runtime::limits::MailboxLimit;
use arsenal_runtime::request::{CallError, Sent};
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Kind, Message, Node, NodeConfig, Pid, Receive,
    StartOptions, Step, Term,
};
use std::sync::Arc;
use std::time::Duration;

struct Echo;

impl Body for Echo {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        if let Event::Message(message) = event
            && let (Kind::Call, Some(call)) = (message.kind, message.reply_to())
        {
            match message.payload.tag() {
                Some("never") => {}
                Some("die") => return Step::Exit("died".into()),
                _ => context.reply(call, message.payload),
            }
        }
        Step::Wait(Receive::any())
    }
}

struct Spin;

impl Body for Spin {
    fn step(&mut self, _event: Event, context: &mut Context<'_>) -> Step {
        while !context.should_yield() {
            context.burn(10);
        }
        Step::Yield
    }
}

/// Leaves all messages where they are.
struct Deaf;

impl Body for Deaf {
    fn step(&mut self, _event: Event, _context: &mut Context<'_>) -> Step {
        Step::Wait(Receive::none())
    }
}

fn description(name: &str) -> Arc<Description> {
    Arc::new(Description::native(name, Behaviour::Plain))
}

fn node() -> Node {
    Node::start(NodeConfig { schedulers: 2, ..NodeConfig::default() }).unwrap()
}

fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
}

#[test]
fn a_call_from_outside_is_answered_or_says_why_not() {
    let node = node();
    let echo = node.spawn(&description("echo"), Box::new(Echo), StartOptions::default()).unwrap().pid();
    block_on(async {
        for n in 0..1_000 {
            assert_eq!(
                node.call(echo, Term::Int(n), Some(Duration::from_secs(20)), 0).await,
                Ok(Term::Int(n))
            );
        }
        let soon = Some(Duration::from_millis(20));
        assert!(matches!(node.call(echo, "never".into(), soon, 0).await, Err(CallError::Timeout { .. })));
        let died = node.call(echo, "die".into(), None, 0).await;
        assert_eq!(died, Err(CallError::Died { process: echo, reason: "died".into() }));
        assert_eq!(node.call(echo, Term::Null, None, 0).await, Err(CallError::NoProcess(echo)));
        assert_eq!(node.await_exit(echo).await, Term::NOPROC);
    });
    assert_eq!(node.waiting_requests(), 0);
    node.close();
}

#[test]
fn a_spinning_process_is_seen_at_its_next_preemption_point() {
    let node = node();
    let spin = node.spawn(&description("spin"), Box::new(Spin), StartOptions::default()).unwrap();
    for _ in 0..100 {
        assert!(block_on(node.sight(&spin, Duration::from_secs(20))).glimpse.is_some());
    }
    node.kill(spin.pid(), Term::KILLED);
    block_on(node.await_exit(spin.pid()));
    node.close();
}

#[test]
fn a_spinning_process_is_killed_at_its_next_preemption_point() {
    let node = node();
    let spin = node.spawn(&description("spin"), Box::new(Spin), StartOptions::default()).unwrap();
    block_on(async {
        node.exit(Pid::NONE, spin.pid(), Term::KILL);
        node.await_exit(spin.pid()).await;
    });
    assert!(!spin.is_alive());
    node.close();
}

#[test]
fn a_bounded_mailbox_takes_no_more_while_a_scheduler_takes_in_what_arrived() {
    let (node, deaf) = (node(), description("deaf"));
    for round in 0..20_000 {
        let options = StartOptions { mailbox: Some(MailboxLimit::messages(1)), ..StartOptions::default() };
        let pid = node.spawn(&deaf, Box::new(Deaf), options).unwrap().pid();
        let send = |n| node.send(pid, Message::info(Pid::NONE, Term::Int(n)));
        assert_eq!(send(1), Sent::Delivered);
        // the scheduler takes the first in at some moment from here on
        (0..round % 100).for_each(|_| std::hint::spin_loop());
        for n in 2..10 {
            assert_eq!(send(n), Sent::MailboxFull);
        }
        node.kill(pid, Term::KILLED);
    }
    node.close();
}

#[test]
fn a_hundred_thousand_processes_come_and_go_and_leave_nothing() {
    let node = node();
    let echo = description("echo");
    let pids: Vec<Pid> = (0..100_000)
        .map(|_| node.spawn(&echo, Box::new(Echo), StartOptions::default()).unwrap().pid())
        .collect();
    assert_eq!(node.process_count(), 100_000);
    assert_eq!(node.pids().len(), 100_000);
    block_on(async {
        for pid in &pids {
            node.send(*pid, Message::info(Pid::NONE, Term::Null));
        }
        for pid in &pids {
            node.kill(*pid, Term::KILLED);
        }
        for pid in &pids {
            node.await_exit(*pid).await;
        }
    });
    assert_eq!(node.process_count(), 0);
    node.close();
}
