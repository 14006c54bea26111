//! What comes of signals for which a connection has no room, or that are too big for it.

use super::*;

#[test]
fn a_process_that_sends_more_than_can_leave_waits_until_there_is_room() {
    let pair = Pair::new();
    let ((sender, log), (receiver, arrived)) = (pair.trapping(0), pair.trapping(1));
    pair.wires[0].crowded_from.store(3, Relaxed);
    let node = &pair.nodes[0];
    let flood = move |context: &mut Context<'_>| {
        let mut sent = 0;
        while !context.should_yield() {
            context.send(receiver, Term::Int(sent));
            sent += 1;
        }
        wait()
    };
    pair.order(sender, flood);
    node.send(sender, Message::info(Pid::NONE, Term::Atom("later")));
    node.run_until_idle();
    assert_eq!(pair.wires[0].queue.lock().unwrap().len(), 3);
    assert_eq!(read(&log), [], "it does nothing while it waits");
    assert_eq!(node.info(sender).unwrap().header.status, Status::Suspended);
    pair.transfer(0);
    node.room_again(Queue { node: 2, number: 0 });
    pair.settle();
    assert_eq!((read(&log).len(), read(&arrived).len()), (1, 3));
}

#[test]
fn a_process_that_waits_for_room_ends_of_a_kill_and_goes_on_when_the_connection_is_lost() {
    let pair = Pair::new();
    let (receiver, _) = pair.trapping(1);
    pair.wires[0].crowded_from.store(1, Relaxed);
    let ((first, _), (second, log)) = (pair.trapping(0), pair.trapping(0));
    let node = &pair.nodes[0];
    for sender in [first, second] {
        pair.order(sender, move |context| {
            context.send(receiver, Term::OK);
            wait()
        });
        node.send(sender, Message::info(Pid::NONE, Term::Atom("later")));
    }
    node.run_until_idle();
    node.kill(first, Term::KILLED);
    node.run_until_idle();
    assert!(!node.is_alive(first));
    assert_eq!(read(&log), []);
    pair.cut();
    assert_eq!(read(&log).len(), 1);
}

#[test]
fn of_what_is_too_big_for_a_connection_both_sides_hear_and_nobody_waits() {
    let pair = Pair::new();
    let ((here, log), (there, _other)) = (pair.trapping(0), pair.trapping(1));
    let big = || Term::Bytes(bytes::Bytes::from(vec![1; 10_000]).into());
    let too_big = [(Term::Pid(there), Term::from("system_limit"))];
    pair.wires[1].signal_bytes_max.store(1_000, Relaxed);
    pair.act(here, move |context| {
        context.request(there, big());
        wait()
    });
    assert_eq!(downs(&log), too_big, "the answer is too big");
    log.lock().unwrap().clear();

    pair.wires[0].signal_bytes_max.store(1_000, Relaxed);
    pair.act(here, move |context| {
        context.request(there, big());
        wait()
    });
    assert_eq!(downs(&log), too_big, "the request is too big");
    assert_eq!(pair.nodes[0].send(there, Message::info(Pid::NONE, big())), Sent::TooBig);
    let letters = pair.nodes[0].dead_letters().list();
    assert!(letters.iter().all(|letter| letter.reason == DeadLetterReason::Limit), "{letters:?}");
    assert_eq!(letters.len(), 2);
}

#[test]
fn a_link_ends_though_the_reason_is_too_big_for_a_connection() {
    let pair = Pair::new();
    let ((here, log), (there, _other)) = (pair.trapping(0), pair.spawn(1, StartOptions::default()));
    pair.act(here, move |context| {
        context.link(there);
        wait()
    });
    pair.wires[1].signal_bytes_max.store(1_000, Relaxed);
    let reason = Term::Bytes(bytes::Bytes::from(vec![1; 10_000]).into());
    pair.act(there, move |_| Step::Exit(reason));
    assert_eq!(read(&log), [exit(there, "system_limit")]);
}

#[test]
fn a_full_connection_refuses_messages_and_tells_callers_but_takes_all_else() {
    let pair = Pair::new();
    let ((here, log), (there, other)) = (pair.trapping(0), pair.trapping(1));
    pair.wires[0].full_from.store(0, Relaxed);
    pair.act(here, move |context| {
        context.send(there, Term::OK);
        context.request(there, Term::Int(1));
        context.exit(there, Term::Atom("please"));
        wait()
    });
    assert_eq!(downs(&log), [(Term::Pid(there), "queue_full".into())]);
    assert_eq!(read(&other), [exit(here, "please")]);
    let letters = pair.nodes[0].dead_letters().list();
    assert!(letters.iter().all(|letter| letter.reason == DeadLetterReason::Limit), "{letters:?}");
    assert_eq!(letters.len(), 2);
    let message = Message::info(Pid::NONE, Term::OK);
    assert_eq!(pair.nodes[0].send(there, message), Sent::MailboxFull);
}

#[test]
fn who_sends_into_a_crowded_mailbox_of_another_node_is_told_what_it_costs() {
    let pair = Pair::new();
    let (there, _) = pair.trapping(1);
    let parcels =
        |count: i64| (0..count).map(move |n| Parcel::message(there, Message::info(Pid::NONE, Term::Int(n))));
    assert_eq!(pair.nodes[1].deliver(parcels(900)), 0);
    assert!(pair.nodes[1].deliver(parcels(900)) > 0);
}
