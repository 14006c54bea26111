//! Processes as an embedding program sees them, on a deterministic node.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arsenal_runtime::control::ControlError;
use arsenal_runtime::dead_letters::DeadLetterReason;
use arsenal_runtime::hold::{HoldKind, Holder};
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Kind, Message, Node, NodeConfig, Pid, ProcessRef, Receive,
    StartOptions, Step, Term,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

type Log = Arc<Mutex<Vec<Term>>>;

/// Keeps what it receives; obeys a few words.
struct Keeper {
    log: Log,
    receive: Receive,
}

impl Body for Keeper {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        match event {
            Event::Start => context.started(),
            Event::Timeout => self.log.lock().unwrap().push(Term::TIMEOUT),
            Event::Message(message) => {
                let word = message.payload.clone();
                if word.is("crash") {
                    panic!("as told");
                }
                if message.kind == Kind::Info && word.tag() == Some("exit") {
                    return Step::Exit(word.as_list().unwrap()[1].clone());
                }
                self.log.lock().unwrap().push(message.to_term(context.me()));
                if let (Kind::Call, Some(call)) = (message.kind, message.reply_to()) {
                    context.reply(call, word);
                }
            }
            Event::Resume | Event::Unblocked(_) => {}
        }
        Step::Wait(self.receive.clone())
    }
}

fn node() -> Node {
    Node::deterministic(NodeConfig::default())
}

fn description() -> Arc<Description> {
    Arc::new(Description::native("keeper", Behaviour::Plain))
}

fn keeper_with(node: &Node, options: StartOptions, receive: Receive) -> (ProcessRef, Log) {
    let log = Log::default();
    let body = Box::new(Keeper { log: Arc::clone(&log), receive });
    let process = node.spawn(&description(), body, options).unwrap();
    node.run_until_idle();
    (process, log)
}

fn keeper(node: &Node, options: StartOptions) -> (ProcessRef, Log) {
    keeper_with(node, options, Receive::any())
}

fn trapping() -> StartOptions {
    StartOptions { trap_exit: true, ..StartOptions::default() }
}

fn tell(node: &Node, to: &ProcessRef, word: Term) {
    node.send_to(to, Message::info(Pid::NONE, word));
    node.run_until_idle();
}

fn read(log: &Log) -> Vec<Term> {
    log.lock().unwrap().clone()
}

#[test]
fn messages_from_one_sender_are_handled_in_order() {
    let node = node();
    let (process, log) = keeper(&node, StartOptions::default());
    for n in 0..100 {
        node.send_to(&process, Message::info(Pid::NONE, Term::Int(n)));
    }
    node.run_until_idle();
    assert_eq!(read(&log), (0..100).map(Term::Int).collect::<Vec<_>>());
}

#[test]
fn a_crash_reaches_who_is_linked_and_who_monitors() {
    let node = node();
    let (victim, _) = keeper(&node, StartOptions::default());
    let (linked, linked_log) = keeper(&node, trapping());
    let (bystander, _) = keeper(&node, StartOptions::default());
    let (watcher, watcher_log) = keeper(&node, StartOptions::default());
    node.link(linked.pid(), victim.pid()).unwrap();
    node.link(bystander.pid(), victim.pid()).unwrap();
    let monitor = node.monitor(watcher.pid(), Some(victim.pid()), None).unwrap();
    tell(&node, &victim, "crash".into());
    let reason = Term::crash("as told".into());
    assert_eq!(read(&linked_log), [Term::from([Term::from("EXIT"), victim.pid().into(), reason.clone()])]);
    assert!(!bystander.is_alive() && linked.is_alive() && watcher.is_alive());
    let down = Term::from([
        Term::from("DOWN"),
        monitor.into(),
        "process".into(),
        victim.pid().into(),
        reason.clone(),
    ]);
    assert_eq!(read(&watcher_log), [down]);
    assert_eq!(node.events().exit_of(victim.pid()).unwrap().reason, reason);
    assert_eq!(node.events().exit_of(bystander.pid()).unwrap().reason, reason);
}

#[test]
fn exit_signals_follow_exit_2() {
    let node = node();
    let (process, _) = keeper(&node, StartOptions::default());
    node.exit(Pid::NONE, process.pid(), Term::NORMAL);
    node.run_until_idle();
    assert!(process.is_alive(), "normal is ignored");
    let (traps, log) = keeper(&node, trapping());
    node.exit(Pid::NONE, traps.pid(), Term::NORMAL);
    node.exit(Pid::NONE, traps.pid(), "other".into());
    node.run_until_idle();
    assert_eq!(read(&log).len(), 2);
    node.exit(Pid::NONE, traps.pid(), Term::KILL);
    node.exit(Pid::NONE, process.pid(), "other".into());
    node.run_until_idle();
    assert_eq!(node.events().exit_of(traps.pid()).unwrap().reason, Term::KILLED);
    assert_eq!(node.events().exit_of(process.pid()).unwrap().reason, Term::from("other"));
}

#[test]
fn linking_to_the_dead_is_answered_with_noproc() {
    let node = node();
    let (process, log) = keeper(&node, trapping());
    let dead = Pid::new(1, 1, 999);
    node.link(process.pid(), dead).unwrap();
    node.monitor(process.pid(), Some(dead), None).unwrap();
    node.run_until_idle();
    assert_eq!(read(&log).len(), 2);
    assert_eq!(node.link(dead, process.pid()), Err(ControlError::NoProcess(dead)));
}

#[test]
fn an_unlinked_process_dies_alone() {
    let node = node();
    let (a, _) = keeper(&node, StartOptions::default());
    let (b, _) = keeper(&node, StartOptions::default());
    node.link(a.pid(), b.pid()).unwrap();
    node.unlink(b.pid(), a.pid()).unwrap();
    node.kill(a.pid(), Term::KILLED);
    node.run_until_idle();
    assert!(!a.is_alive() && b.is_alive());
}

#[test]
fn a_receive_times_out_at_its_time_and_not_before() {
    let node = node();
    let receive = Receive::any().within(Some(Duration::from_millis(50)));
    let (process, log) = keeper_with(&node, StartOptions::default(), receive);
    node.advance(Duration::from_millis(30));
    tell(&node, &process, Term::Int(1));
    node.advance(Duration::from_millis(49));
    assert_eq!(read(&log), [Term::Int(1)]);
    node.advance(Duration::from_millis(1));
    assert_eq!(read(&log), [Term::Int(1), Term::TIMEOUT]);
}

#[test]
fn a_paused_process_does_nothing_but_still_dies() {
    let node = node();
    let (process, log) = keeper(&node, StartOptions::default());
    let holder = Holder::Principal("me".into());
    let lease = Duration::from_secs(60);
    node.hold(process.pid(), HoldKind::PauseScheduling, holder.clone(), lease, false).unwrap();
    node.hold(process.pid(), HoldKind::PauseScheduling, holder.clone(), lease, false).unwrap();
    tell(&node, &process, Term::Int(1));
    assert_eq!(node.release(process.pid(), HoldKind::PauseScheduling, &holder), Ok(1));
    node.run_until_idle();
    assert_eq!(read(&log), []);
    assert_eq!(node.release(process.pid(), HoldKind::PauseScheduling, &holder), Ok(0));
    node.run_until_idle();
    assert_eq!(read(&log), [Term::Int(1)]);
    node.hold(process.pid(), HoldKind::PauseScheduling, holder, lease, false).unwrap();
    node.exit(Pid::NONE, process.pid(), "gone".into());
    node.run_until_idle();
    assert!(!process.is_alive());
}

#[test]
fn a_hold_ends_with_its_lease_and_with_its_holder() {
    let node = node();
    let (process, log) = keeper(&node, StartOptions::default());
    let (holder, _) = keeper(&node, StartOptions::default());
    let lease = Duration::from_secs(5);
    node.hold(process.pid(), HoldKind::Suspend, Holder::Principal("me".into()), lease, false).unwrap();
    tell(&node, &process, Term::Int(1));
    node.advance(Duration::from_secs(5));
    assert_eq!(read(&log), [Term::Int(1)]);
    node.hold(process.pid(), HoldKind::Suspend, Holder::Process(holder.pid()), lease, false).unwrap();
    tell(&node, &process, Term::Int(2));
    assert_eq!(read(&log).len(), 1);
    node.kill(holder.pid(), Term::KILLED);
    node.run_until_idle();
    assert_eq!(read(&log).len(), 2);
}

#[test]
fn surgery_takes_out_what_matches_and_keeps_a_copy() {
    let node = node();
    let (process, log) = keeper_with(&node, StartOptions::default(), Receive::none());
    for n in 0..10 {
        node.send_to(&process, Message::info(Pid::NONE, Term::Int(n)));
    }
    let taken = node.extract(&process, DeadLetterReason::Filtered, false, usize::MAX, |message| {
        message.payload.as_int().is_some_and(|n| n % 2 == 0)
    });
    assert_eq!(taken.len(), 5);
    assert_eq!(node.dead_letters().list().len(), 5);
    node.reorder(&process, |message| -message.payload.as_int().unwrap());
    let left = node.mailbox(&process, |_, message| message.payload.as_int());
    assert_eq!(left, [9, 7, 5, 3, 1]);
    assert_eq!(read(&log), []);
}

#[test]
fn a_full_mailbox_refuses_and_the_message_is_a_dead_letter() {
    let node = node();
    let limit = arsenal_runtime::limits::MailboxLimit::messages(3);
    let options = StartOptions { mailbox: Some(limit), ..StartOptions::default() };
    let (process, _) = keeper_with(&node, options, Receive::none());
    for n in 0..5 {
        tell(&node, &process, Term::Int(n));
    }
    assert_eq!(node.queue_length(&process), 3);
    let letters = node.dead_letters().list();
    assert_eq!(letters.iter().filter_map(|l| l.message.payload.as_int()).collect::<Vec<_>>(), [3, 4]);
    assert!(letters.iter().all(|letter| letter.reason == DeadLetterReason::Limit));
}

#[test]
fn a_name_is_free_once_its_holder_is_dead() {
    let node = node();
    let (a, _) = keeper(&node, StartOptions::default());
    let (b, _) = keeper(&node, StartOptions::default());
    node.register("w", a.pid(), Term::Null, 0).unwrap();
    assert!(node.register("w", b.pid(), Term::Null, 0).is_err());
    assert!(node.register("v", a.pid(), Term::Null, 0).is_err(), "one name a process");
    node.kill(a.pid(), Term::KILLED);
    node.run_until_idle();
    assert_eq!(node.whereis("w"), None);
    node.register("w", b.pid(), Term::Null, 0).unwrap();
    assert_eq!(node.whereis("w"), Some(b.pid()));
}

#[test]
fn timers_fire_once_at_their_time_and_can_be_cancelled_by_anyone() {
    let node = node();
    let (process, log) = keeper(&node, StartOptions::default());
    let target = || arsenal_runtime::timer::TimerTarget::Process(process.pid());
    let after = |ms| Duration::from_millis(ms);
    let message = |n| Message::info(Pid::NONE, Term::Int(n));
    node.start_timer(target(), message(1), after(10)).unwrap();
    let second = node.start_timer(target(), message(2), after(20)).unwrap();
    node.advance(after(10));
    assert_eq!(node.cancel_timer(second).unwrap().remaining, after(10));
    assert!(node.cancel_timer(second).is_none());
    node.advance(after(100));
    assert_eq!(read(&log), [Term::Int(1)]);
    let third = node.start_timer(target(), message(3), after(20)).unwrap();
    node.kill(process.pid(), Term::KILLED);
    node.run_until_idle();
    assert!(node.timer(third).is_none());
}

#[test]
fn the_same_run_gives_the_same_events() {
    let run = || {
        let node = node();
        let (a, _) = keeper(&node, StartOptions::default());
        let (b, _) = keeper(&node, StartOptions::default());
        node.link(a.pid(), b.pid()).unwrap();
        tell(&node, &a, "crash".into());
        node.events().after(0, 100)
    };
    assert_eq!(run(), run());
}

#[test]
fn a_process_that_monitors_itself_has_a_reference_and_no_monitor() {
    let node = node();
    let (process, _) = keeper(&node, trapping());
    node.monitor(process.pid(), Some(process.pid()), None).unwrap();
    let info = node.info(process.pid()).unwrap();
    assert!(info.monitors.is_empty() && info.monitored_by.is_empty(), "{info:?}");
    let (other, _) = keeper(&node, StartOptions::default());
    node.monitor(process.pid(), Some(other.pid()), None).unwrap();
    assert_eq!(node.info(process.pid()).unwrap().monitors.len(), 1);
}

/// Hibernates, waiting for the one message that it wants.
struct Sleeper;

impl Body for Sleeper {
    fn step(&mut self, _event: Event, _context: &mut Context<'_>) -> Step {
        Step::Hibernate(Receive::matching(|message| message.payload.is("wanted")))
    }
}

#[test]
fn a_message_that_nobody_waits_for_ends_hibernation() {
    let node = node();
    let sleeper = node.spawn(&description(), Box::new(Sleeper), StartOptions::default()).unwrap();
    node.run_until_idle();
    let hibernates = || node.header(&sleeper).hibernating;
    assert!(hibernates());
    tell(&node, &sleeper, "unwanted".into());
    assert!(!hibernates());
    assert_eq!(node.header(&sleeper).queue_len, 1);
}
