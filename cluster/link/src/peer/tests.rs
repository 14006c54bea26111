//! What a peer answers to what it should not hear.

use super::*;
use crate::frame::{Hello, LANES, PROTOCOL_MAX, PROTOCOL_MIN, Received, Refused, Welcome};
use arsenal_runtime::remote::Parcel;
use arsenal_runtime::{Message, Pid, Term};

const OWN: Life = Life { node: 1, incarnation: 3 };
const THEIRS: Life = Life { node: 2, incarnation: 5 };

fn peer_of(own: Life, node: u32) -> Peer {
    let config = LinkConfig::default();
    let outgoing = Arc::new(Outgoing::new(config.clone()));
    Peer::new(own, node, config, outgoing)
}

fn peer() -> Peer {
    peer_of(OWN, THEIRS.node)
}

fn hello() -> Hello {
    Hello {
        protocol_min: PROTOCOL_MIN,
        protocol_max: PROTOCOL_MAX,
        from: THEIRS,
        to: OWN.node,
        session: 1,
        knows: 0,
        attempt: 1,
        resume: false,
        received: Received::default(),
    }
}

fn accept(peer: &mut Peer, line: Line, hello: Hello) -> Vec<Action> {
    peer.step(Event::Accepted { line, head: Head::Hello(hello) }, Duration::ZERO)
}

/// Why it refused, and what it said.
fn refusal(actions: &[Action]) -> Option<(Refused, String)> {
    actions.iter().find_map(|action| match action {
        Action::Send { frame, .. } => match Head::read(&frame.head) {
            Ok(Head::Refusal { why, reason }) => Some((why, reason)),
            _ => None,
        },
        _ => None,
    })
}

fn queue(peer: &Peer) {
    let message = Message::info(Pid::new(1, 3, 1), Term::OK);
    peer.outgoing.put(&Parcel::message(Pid::new(2, 5, 1), message));
}

#[test]
fn versions_that_do_not_go_together_are_both_named() {
    let newer = Hello { protocol_min: PROTOCOL_MAX + 1, protocol_max: PROTOCOL_MAX + 3, ..hello() };
    let (why, reason) = refusal(&accept(&mut peer(), 1, newer)).unwrap();
    assert_eq!(why, Refused::Version);
    assert!(reason.contains(&PROTOCOL_MAX.to_string()), "{reason}");
    assert!(reason.contains(&(PROTOCOL_MAX + 3).to_string()), "{reason}");
    let wider = Hello { protocol_max: PROTOCOL_MAX + 3, ..hello() };
    assert_eq!(refusal(&accept(&mut peer(), 1, wider)), None, "the older version is spoken");
}

#[test]
fn a_hello_for_another_node_or_of_a_former_life_is_refused() {
    let mut peer = peer();
    let astray = refusal(&accept(&mut peer, 1, Hello { to: 9, ..hello() }));
    assert_eq!(astray.unwrap().0, Refused::Stranger);
    assert_eq!(refusal(&accept(&mut peer, 2, hello())), None);
    let former = Life { incarnation: THEIRS.incarnation - 1, ..THEIRS };
    let late = refusal(&accept(&mut peer, 3, Hello { from: former, session: 7, ..hello() }));
    assert_eq!(late.unwrap().0, Refused::Stranger);
}

#[test]
fn of_two_that_dial_at_once_the_one_with_the_lower_number_goes_first() {
    let mut low = peer();
    queue(&low);
    low.step(Event::Queued, Duration::ZERO);
    assert_eq!(refusal(&accept(&mut low, 1, hello())).unwrap().0, Refused::Busy);

    let mut high = peer_of(THEIRS, OWN.node);
    queue(&high);
    high.step(Event::Queued, Duration::ZERO);
    let from_low = Hello { from: OWN, to: THEIRS.node, ..hello() };
    let actions = accept(&mut high, 1, from_low);
    assert_eq!(refusal(&actions), None);
    assert!(!actions.iter().any(|action| matches!(action, Action::Lost { .. })), "{actions:?}");
    assert!(!high.outgoing.is_empty(), "what waits goes over the other's");
}

#[test]
fn a_hello_that_was_overtaken_by_a_newer_session_ends_nothing() {
    let mut peer = peer();
    accept(&mut peer, 1, Hello { session: 2, ..hello() });
    let late = accept(&mut peer, 2, hello());
    assert_eq!(refusal(&late).unwrap().0, Refused::UnknownSession);
    assert!(!late.iter().any(|action| matches!(action, Action::Lost { .. })), "{late:?}");
}

#[test]
fn a_new_session_tells_the_loss_of_the_former_before_anything_of_it() {
    let mut peer = peer();
    accept(&mut peer, 1, hello());
    let actions = accept(&mut peer, 2, Hello { session: 2, ..hello() });
    let lost = actions.iter().position(|action| matches!(action, Action::Lost { .. })).unwrap();
    let welcome = actions.iter().position(|action| matches!(action, Action::Send { line: 2, .. })).unwrap();
    assert!(lost < welcome);
}

#[test]
fn a_session_that_is_over_is_not_resumed() {
    let resumed = Hello { resume: true, received: [3; LANES], ..hello() };
    assert_eq!(refusal(&accept(&mut peer(), 1, resumed)).unwrap().0, Refused::UnknownSession);
}

fn loses(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::Lost { .. }))
}

#[test]
fn word_of_the_end_of_a_former_life_comes_too_late_for_a_session_with_the_next() {
    let mut peer = peer();
    accept(&mut peer, 1, hello());
    let mut down = |incarnation| peer.step(Event::NodeDown { incarnation }, Duration::ZERO);
    assert!(!loses(&down(THEIRS.incarnation - 1)));
    assert!(loses(&down(THEIRS.incarnation)));
}

#[test]
fn lines_that_break_as_soon_as_they_are_open_are_dialled_after_a_pause() {
    let pause = LinkConfig::default().redial_pause;
    for (held, redials) in [(Duration::ZERO, false), (pause, true)] {
        let mut peer = peer();
        queue(&peer);
        peer.step(Event::Queued, Duration::ZERO);
        peer.step(Event::Dialed { attempt: 1, control: 1, data: 2 }, Duration::ZERO);
        let welcome = Head::Welcome(Welcome {
            protocol: PROTOCOL_MAX,
            from: THEIRS,
            session: 1,
            attempt: 1,
            received: Received::default(),
        });
        peer.step(Event::Frame { line: 1, frame: welcome.alone() }, Duration::ZERO);
        assert_eq!(peer.data_line(), Some(2));
        let dials = |actions: Vec<Action>| actions.iter().any(|action| matches!(action, Action::Dial { .. }));
        assert_eq!(dials(peer.step(Event::Closed { line: 2 }, held)), redials);
        assert_eq!(dials(peer.step(Event::Tick, held + pause)), !redials);
    }
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_ends_the_session() {
    let mut peer = peer();
    accept(&mut peer, 1, hello());
    let frame = Head::Ack(vec![(0, 9)]).alone();
    let actions = peer.step(Event::Frame { line: 1, frame }, Duration::ZERO);
    assert!(actions.iter().any(|action| matches!(action, Action::Lost { .. })), "{actions:?}");
}

#[test]
fn credits_of_a_lane_whose_receiver_is_crowded_come_later() {
    let mut peer = peer();
    accept(&mut peer, 1, hello());
    let head = Head::DataLine { from: THEIRS, session: 1, attempt: 1 };
    peer.step(Event::Accepted { line: 2, head }, Duration::ZERO);
    let acknowledged = |actions: Vec<Action>| {
        actions.iter().any(|action| match action {
            Action::Send { frame, .. } => matches!(Head::read(&frame.head), Ok(Head::Ack(_))),
            _ => false,
        })
    };
    let config = LinkConfig::default();
    for (lane, toll) in [(0, 0), (1, 1_000_000)] {
        let frame = Head::Batch { lane, sequence: 1 }.with(Bytes::from_static(b"signals"));
        peer.step(Event::Frame { line: 2, frame }, Duration::ZERO);
        peer.step(Event::Delivered { lane, toll }, Duration::ZERO);
        let acknowledges = acknowledged(peer.step(Event::Tick, config.ack_delay));
        assert_eq!(acknowledges, toll == 0);
    }
    assert!(acknowledged(peer.step(Event::Tick, config.toll_pause * 1_000_000)));
}
