//! Processes that move between three deterministic nodes, whose lanes are moved in whatever order the test's dice say: what
//! a process that moves keeps, and what those who knew it by a former pid hear of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use arsenal_runtime::passage::PassageError;
use arsenal_runtime::timer::TimerTarget;
use arsenal_runtime::{Kind, Message, Pid, Step, Term};
use std::time::Duration;
use world::{World, downs, exit, read, wait};

#[test]
fn messages_to_every_pid_that_a_process_ever_had_are_handled_once_and_in_the_order_of_their_senders() {
    for seed in 0..40 {
        let world = World::new(seed);
        let (first, log) = world.mover(1);
        let senders: Vec<Pid> = (1..=3).map(|node| world.spawn(node).0).collect();
        let mut current = first;
        for (round, target) in (0..10).zip([2, 1, 3, 1, 2, 3, 2, 1, 2, 3]) {
            for sender in &senders {
                let number = i64::from(round) * 10;
                world.order(*sender, move |context| {
                    for number in number..number + 10 {
                        context.send(first, Term::from([Term::Pid(context.me()), Term::Int(number)]));
                    }
                    wait()
                });
            }
            // some of it is handled before, some is in the mailbox, some on its way
            world.step(20);
            current = world.migrate(current, target);
        }
        world.settle();
        let handled = read(&log);
        assert_eq!(handled.len(), 300, "seed {seed}");
        for sender in senders {
            let of_sender = handled.iter().filter_map(|term| match term.as_list() {
                Some([from, number]) if from.as_pid() == Some(sender) => number.as_int(),
                _ => None,
            });
            assert_eq!(of_sender.collect::<Vec<_>>(), (0..100).collect::<Vec<_>>(), "seed {seed}");
        }
    }
}

#[test]
fn every_former_pid_sends_straight_to_where_the_process_is_after_a_hundred_moves() {
    let world = World::new(1);
    let (first, log) = world.mover(1);
    let mut pids = vec![first];
    for round in 0..100 {
        let current = *pids.last().unwrap();
        pids.push(world.migrate(current, if round % 2 == 0 { 2 } else { 1 }));
        world.settle();
    }
    let last = pids.pop().unwrap();
    for pid in &pids {
        assert_eq!(world.node(pid.node).moved_to(*pid), Some(last), "{pid}");
    }
    let (sender, _) = world.spawn(3);
    world.act(sender, move |context| {
        context.send(first, Term::Int(7));
        wait()
    });
    assert_eq!(read(&log), [Term::Int(7)]);
    world.node(last.node).kill(last, Term::KILLED);
    world.settle();
    assert!(pids.iter().all(|pid| !world.node(pid.node).is_alive(*pid)), "the former pids end with it");
}

#[test]
fn whoever_is_linked_to_a_former_pid_hears_of_the_end_once_and_from_that_pid() {
    let world = World::new(2);
    let (first, _) = world.mover(1);
    let watchers: Vec<_> = (1..=3).map(|node| world.trapping(node)).collect();
    for (watcher, _) in &watchers[..2] {
        world.node(watcher.node).link(*watcher, first).unwrap();
    }
    world.settle();
    let second = world.migrate(first, 2);
    // one that comes later, by the old pid
    let (late, _) = &watchers[2];
    world.node(3).link(*late, first).unwrap();
    world.settle();
    let third = world.migrate(second, 3);
    world.settle();
    world.node(3).exit(Pid::NONE, third, Term::Atom("oops"));
    world.settle();
    for (watcher, log) in watchers {
        assert_eq!(read(&log), [exit(first, "oops")], "{watcher}");
    }
}

#[test]
fn a_process_that_has_moved_hears_of_the_end_of_whom_it_was_linked_to_and_monitored() {
    let world = World::new(3);
    let (first, log) = world.trapping_mover(1);
    let others: Vec<Pid> = (1..=3).map(|node| world.trapping(node).0).collect();
    for other in &others {
        world.node(1).link(first, *other).unwrap();
        world.node(1).monitor(first, Some(*other), None).unwrap();
    }
    world.settle();
    let second = world.migrate(first, 2);
    world.settle();
    world.migrate(second, 3);
    world.settle();
    for other in &others {
        world.node(other.node).kill(*other, Term::Atom("gone"));
        world.settle();
    }
    let exits: Vec<Term> = others.iter().map(|other| exit(*other, "gone")).collect();
    let heard = read(&log);
    assert_eq!(heard.iter().filter(|term| exits.contains(term)).count(), 3, "{heard:?}");
    let expected: Vec<_> = others.iter().map(|other| (Term::Pid(*other), Term::Atom("gone"))).collect();
    assert_eq!(downs(&log), expected);
    assert_eq!(heard.len(), 6, "each once");
}

#[test]
fn a_link_and_a_monitor_from_before_a_move_are_undone_after_it() {
    let world = World::new(4);
    let (first, _) = world.trapping_mover(1);
    let (other, log) = world.trapping(3);
    world.node(1).link(first, other).unwrap();
    let monitor = world.node(1).monitor(first, Some(other), None).unwrap();
    world.settle();
    let second = world.migrate(first, 2);
    world.settle();
    world.node(2).unlink(second, other).unwrap();
    let reference = monitor.number();
    let same = world.node(2).owned(b'm', reference);
    assert!(world.node(2).demonitor(second, same, true).unwrap());
    world.settle();
    let info = world.node(3).info(other).unwrap();
    assert_eq!((info.links, info.monitored_by.len()), (vec![], 0));
    world.node(2).kill(second, Term::KILLED);
    world.settle();
    assert_eq!(read(&log), []);
}

#[test]
fn a_monitor_by_the_old_pid_fires_once_with_the_pid_that_was_monitored_and_the_reason() {
    let world = World::new(5);
    let (first, _) = world.mover(1);
    let watchers: Vec<_> = (1..=3).map(|node| world.trapping(node)).collect();
    for (watcher, _) in &watchers {
        world.node(watcher.node).monitor(*watcher, Some(first), None).unwrap();
    }
    world.settle();
    let second = world.migrate(first, 2);
    world.settle();
    let back = world.migrate(second, 1);
    world.settle();
    assert_ne!(back, first, "the old pid stays an alias");
    world.node(1).kill(back, Term::Atom("gone"));
    world.settle();
    for (_, log) in &watchers {
        assert_eq!(downs(log), [(Term::Pid(first), Term::Atom("gone"))]);
    }
}

#[test]
fn an_exit_signal_to_the_old_pid_ends_the_process() {
    let world = World::new(6);
    let (first, _) = world.mover(1);
    let second = world.migrate(first, 2);
    world.settle();
    let parent = world.trapping(1).0;
    world.node(1).exit(parent, first, Term::Atom("shutdown"));
    world.settle();
    assert!(!world.node(2).is_alive(second) && !world.node(1).is_alive(first));
    let reason = |pid: Pid| world.node(pid.node).events().exit_of(pid).unwrap().reason;
    assert_eq!((reason(first), reason(second)), (Term::Atom("shutdown"), Term::Atom("shutdown")));
}

#[test]
fn a_call_that_waits_in_the_mailbox_is_answered_by_the_process_where_it_has_gone() {
    for caller in [1, 2, 3] {
        let world = World::new(7);
        let (first, _) = world.mover(1);
        let (asker, log) = world.spawn(caller);
        world.act(asker, move |context| {
            context.request(first, Term::Atom("before"));
            wait()
        });
        // it was read and is owed an answer
        world.act(asker, move |context| {
            context.request(first, Term::Atom("never answer"));
            wait()
        });
        let second = world.migrate(first, 2);
        world.act(asker, move |context| {
            context.request(first, Term::Atom("after"));
            wait()
        });
        let replies = |log| -> Vec<Term> {
            let reply = |term: &Term| match term.as_list() {
                Some([_, reply]) => Some(reply.clone()),
                _ => None,
            };
            read(log).iter().filter_map(reply).collect()
        };
        assert_eq!(replies(&log), [Term::Atom("before"), Term::Atom("after")].map(as_read));
        // what was answered is owed no more, by neither of them
        let owed = |pid: Pid| world.node(pid.node).info(pid).unwrap().callers;
        assert_eq!((owed(first), owed(second)), (vec![asker], vec![asker]));
        world.node(2).kill(second, Term::Atom("gone"));
        world.settle();
        assert_eq!(downs(&log).len(), 1, "the call that was never answered");
    }
}

/// An atom as it comes from another node.
fn as_read(term: Term) -> Term {
    Term::from(term.as_str().unwrap().to_owned())
}

#[test]
fn a_reply_to_a_request_from_before_the_move_is_taken_after_it() {
    let world = World::new(8);
    let (first, log) = world.mover(1);
    let (server, server_log) = world.spawn(3);
    world.order(first, move |context| {
        context.request(server, Term::Atom("question"));
        wait()
    });
    world.step(2);
    world.migrate(first, 2);
    world.settle();
    assert_eq!(read(&server_log).len(), 1);
    let replies = read(&log);
    assert_eq!(replies.len(), 1, "{replies:?}");
}

#[test]
fn timers_and_the_time_that_it_waits_go_along() {
    let world = World::new(9);
    let (first, log) = world.mover(1);
    let message = Message::info(Pid::NONE, Term::Atom("ring"));
    let after = Duration::from_secs(10);
    world.node(1).start_timer(TimerTarget::Process(first), message, after).unwrap();
    world.act(first, |context| {
        context.start_timer(Term::Atom("own"), Duration::from_secs(20));
        Step::Wait(arsenal_runtime::Receive::any().within(Some(Duration::from_secs(30))))
    });
    world.advance(Duration::from_secs(4));
    let second = world.migrate(first, 2);
    assert_eq!((world.node(1).timer_count(), world.node(2).timer_count()), (0, 2));
    world.advance(Duration::from_secs(5));
    assert_eq!(read(&log), []);
    world.advance(Duration::from_secs(1));
    assert_eq!(read(&log), [as_read(Term::Atom("ring"))]);
    world.advance(Duration::from_secs(10));
    assert!(matches!(read(&log)[1].as_list(), Some([tag, _, own]) if tag.is("timeout") && own.is("own")));
    assert!(world.node(2).is_alive(second));
}

#[test]
fn a_receive_times_out_when_it_would_have() {
    let world = World::new(10);
    let (first, log) = world.mover(1);
    world.act(first, |_| Step::Wait(arsenal_runtime::Receive::any().within(Some(Duration::from_secs(30)))));
    world.advance(Duration::from_secs(20));
    world.migrate(first, 2);
    world.advance(Duration::from_secs(9));
    assert_eq!(read(&log), []);
    world.advance(Duration::from_secs(1));
    assert_eq!(read(&log), [Term::Atom("timed out")]);
}

#[test]
fn one_that_does_not_leave_after_all_goes_on_and_has_lost_nothing() {
    let world = World::new(11);
    let (first, log) = world.mover(1);
    let departure = world.depart(first).unwrap();
    let again = world.depart(first).err().unwrap();
    assert_eq!(again, PassageError::Underway(first));
    world.node(1).send(first, Message::info(Pid::NONE, Term::Int(1)));
    world.settle();
    assert_eq!(read(&log), [], "it is held");
    drop(departure);
    world.settle();
    assert_eq!(read(&log), [Term::Int(1)]);
    assert_eq!(world.node(1).moved_to(first), None);
}

#[test]
fn one_in_the_middle_of_something_does_not_leave_and_goes_on_with_it() {
    let world = World::new(20);
    let (first, log) = world.mover(1);
    world.act(first, |_| Step::Wait(arsenal_runtime::Receive::matching(|message| message.payload.is("key"))));
    let refused = world.depart(first).err();
    assert_eq!(refused, Some(PassageError::Timeout { process: first, timeout: Duration::ZERO }));
    for payload in ["other", "key"] {
        world.node(1).send(first, Message::info(Pid::NONE, Term::from(payload.to_owned())));
    }
    world.settle();
    assert_eq!(read(&log), ["key", "other"].map(|text| Term::from(text.to_owned())));
    assert_ne!(world.migrate(first, 2), first);
}

#[test]
fn one_that_dies_before_it_has_left_ends_as_any_other() {
    let world = World::new(12);
    let (first, _) = world.mover(1);
    let (watcher, log) = world.trapping(3);
    world.node(3).monitor(watcher, Some(first), None).unwrap();
    world.settle();
    let departure = world.depart(first).unwrap();
    let coming = world.node(2).admit(departure.cargo(), 0).unwrap();
    world.node(1).kill(first, Term::Atom("gone"));
    assert_eq!(departure.leave(coming.pid(), 1).err(), Some(PassageError::NoProcess(first)));
    world.node(2).turn_away(coming.pid(), first);
    world.settle();
    assert!(!world.node(2).is_alive(coming.pid()));
    assert_eq!(downs(&log), [(Term::Pid(first), Term::Atom("gone"))]);
}

#[test]
fn what_comes_twice_is_taken_once_and_a_stale_epoch_not_at_all() {
    let world = World::new(13);
    let (first, log) = world.mover(1);
    let departure = world.depart(first).unwrap();
    for number in 0..5 {
        world.node(1).send(first, Message::info(Pid::NONE, Term::Int(number)));
    }
    let node = world.node(2);
    let coming = node.admit(departure.cargo(), 0).unwrap();
    let (luggage, messages) = departure.leave(coming.pid(), 7).unwrap();
    assert_eq!(node.take_tail(coming.pid(), 0, messages[..3].to_vec()), Ok(3));
    assert_eq!(node.take_tail(coming.pid(), 0, messages[..3].to_vec()), Ok(3));
    assert_eq!(node.take_tail(coming.pid(), 2, messages[2..].to_vec()), Ok(5));
    // sent by the new pid, after all that the old one left
    node.send(coming.pid(), Message::info(Pid::NONE, Term::Int(5)));
    node.arrive(luggage.clone()).unwrap();
    node.arrive(luggage.clone()).unwrap();
    assert_eq!(
        node.take_tail(coming.pid(), 0, messages),
        Err(PassageError::NotComing(coming.pid())),
        "it has arrived"
    );
    let mut stale = luggage;
    stale.epoch = 6;
    let refused = node.arrive(stale);
    assert_eq!(refused, Err(PassageError::StaleEpoch { process: coming.pid(), epoch: 7, given: 6 }));
    node.turn_away(coming.pid(), first);
    let old = world.process(first);
    world.node(1).passage_is_open(&old);
    world.settle();
    assert_eq!(read(&log), (0..6).map(Term::Int).collect::<Vec<_>>());
}

#[test]
fn both_ends_of_a_link_hear_of_a_lost_connection_to_the_old_pid_once() {
    let world = World::new(14);
    let (first, log) = world.trapping_mover(1);
    let (other, other_log) = world.trapping(3);
    world.node(3).link(other, first).unwrap();
    world.settle();
    let second = world.migrate(first, 2);
    world.settle();
    world.cut(1);
    assert_eq!(read(&other_log), [exit(first, "noconnection")]);
    assert_eq!(read(&log), [exit(other, "noconnection")]);
    assert!(world.node(2).is_alive(second), "the process lives on without its old pid");
    assert!(!world.node(1).is_alive(first));
}

#[test]
fn a_node_that_a_process_has_only_passed_through_may_go() {
    let world = World::new(15);
    let (first, log) = world.mover(1);
    let (other, other_log) = world.trapping(1);
    world.node(1).link(other, first).unwrap();
    let second = world.migrate(first, 2);
    world.settle();
    let third = world.migrate(second, 3);
    world.settle();
    world.cut(2);
    assert_eq!(read(&other_log), [], "its link is by way of the first node alone");
    world.node(1).send(first, Message::info(Pid::NONE, Term::Int(1)));
    world.settle();
    assert_eq!(read(&log), [Term::Int(1)]);
    world.node(3).kill(third, Term::Atom("gone"));
    world.settle();
    assert_eq!(read(&other_log), [exit(first, "gone")]);
}

#[test]
fn the_death_of_the_node_it_has_gone_to_is_noconnection_of_the_old_pid() {
    let world = World::new(16);
    let (first, _) = world.mover(1);
    let (watcher, log) = world.trapping(1);
    world.node(1).monitor(watcher, Some(first), None).unwrap();
    world.migrate(first, 2);
    world.settle();
    world.cut(2);
    assert_eq!(downs(&log), [(Term::Pid(first), Term::Atom("noconnection"))]);
}

#[test]
fn a_relay_waits_for_room_and_loses_nothing_for_want_of_it() {
    let world = World::new(17);
    let (first, log) = world.mover(1);
    world.migrate(first, 2);
    world.settle();
    world.narrow(1, 3);
    for number in 0..100 {
        world.node(1).send(first, Message::info(Pid::NONE, Term::Int(number)));
    }
    world.settle();
    assert_eq!(read(&log), (0..100).map(Term::Int).collect::<Vec<_>>());
    assert_eq!(world.node(1).dead_letters().count(), 0);
}

#[test]
fn a_message_that_is_too_big_to_be_sent_on_holds_up_none_behind_it() {
    let world = World::new(23);
    let (first, log) = world.mover(1);
    world.migrate(first, 2);
    world.settle();
    world.limit_signals(1, 1_000);
    let big = Term::Bytes(bytes::Bytes::from(vec![1; 10_000]).into());
    for payload in [Term::Int(1), big, Term::Int(2)] {
        world.node(1).send(first, Message::info(Pid::NONE, payload));
    }
    world.settle();
    assert_eq!(read(&log), [Term::Int(1), Term::Int(2)]);
    assert_eq!(world.node(1).dead_letters().count(), 1);
}

#[test]
fn whoever_waits_until_all_is_passed_on_finds_it_there() {
    let world = World::new(18);
    let (first, log) = world.mover(1);
    world.migrate(first, 2);
    world.node(1).send(first, Message::info(Pid::NONE, Term::Int(1)));
    let old = world.process(first);
    let mut passed = std::pin::pin!(world.node(1).until_passed_on(&old));
    assert!(!world.poll(passed.as_mut()), "it is on its way");
    world.settle();
    assert!(world.poll(passed.as_mut()));
    assert_eq!(read(&log), [Term::Int(1)]);
}

#[test]
fn a_message_of_any_kind_goes_along_in_the_mailbox() {
    let world = World::new(19);
    let (first, log) = world.trapping_mover(1);
    let departure = world.depart(first).unwrap();
    let cast = Message::of(Kind::Cast, Pid::NONE, Term::Int(1));
    world.node(1).send(first, cast);
    world.node(1).exit(Pid::new(9, 1, 1), first, Term::Atom("trapped"));
    world.complete(departure, 2);
    world.settle();
    let handled = read(&log);
    assert!(matches!(handled[0].as_list(), Some([tag, _]) if tag.is("$gen_cast")), "{handled:?}");
    assert!(matches!(handled[1].as_list(), Some([tag, _, _]) if tag.is("EXIT")), "{handled:?}");
}
