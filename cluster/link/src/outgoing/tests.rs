//! In which order what waits leaves, and how much of it may wait.

use super::*;
use arsenal_runtime::codec::Reader;
use arsenal_runtime::remote::Address;
use arsenal_runtime::{Message, Pid, Term};
use std::collections::BTreeMap;

const SENDER: Pid = Pid::new(1, 1, 7);

fn outgoing() -> Outgoing {
    let limits = LinkConfig {
        batch_bytes: 1_000,
        crowded_bytes: 4_000,
        queued_bytes_max: 20_000,
        signal_bytes_max: 50_000,
        ..LinkConfig::default()
    };
    Outgoing::new(limits)
}

fn message(number: i64, size: usize) -> Parcel {
    let payload = [Term::Int(number), Term::Bytes(Bytes::from(vec![0; size]).into())];
    Parcel::message(Pid::new(2, 1, 1), Message::info(SENDER, payload.into()))
}

fn numbers(bytes: &Bytes) -> Vec<String> {
    let mut from = Reader::of_shared(bytes);
    let parcels = std::iter::from_fn(|| (!from.is_empty()).then(|| Parcel::decode(&mut from).unwrap()));
    parcels.map(|parcel| format!("{parcel:?}")).collect()
}

fn lane() -> usize {
    lane_of(SENDER, &Address::Pid(Pid::new(2, 1, 1)))
}

#[test]
fn what_follows_a_big_signal_of_a_pair_leaves_after_its_last_part() {
    let outgoing = outgoing();
    for (number, size) in [(0, 10), (1, 2_500), (2, 10), (3, 1_500), (4, 10)] {
        outgoing.put(&message(number, size));
    }
    assert!(outgoing.take_part(lane()).is_none(), "the batch before it goes first");
    assert_eq!(numbers(&outgoing.take_batch(lane()).unwrap()).len(), 1);
    for expected_parts in [3, 2] {
        assert!(outgoing.take_batch(lane()).is_none());
        let parts: Vec<Part> = (0..expected_parts).map(|_| outgoing.take_part(lane()).unwrap()).collect();
        let lasts: Vec<bool> = parts.iter().map(|part| part.last).collect();
        assert_eq!(lasts.iter().filter(|last| **last).count(), 1);
        assert_eq!(lasts.last(), Some(&true));
        assert!(outgoing.take_part(lane()).is_none(), "the batch behind it goes next");
        assert_eq!(numbers(&outgoing.take_batch(lane()).unwrap()).len(), 1);
    }
    assert!(outgoing.is_empty());
}

#[test]
fn messages_are_refused_beyond_the_bound_and_room_is_told_once() {
    let outgoing = outgoing();
    let outcomes: Vec<Carried> = (0..100).map(|number| outgoing.put(&message(number, 300))).collect();
    let (sent, crowded) = (Carried::Sent, Carried::Crowded(SMALL));
    assert_eq!(outcomes[0], sent);
    assert!(outcomes.contains(&crowded) && outcomes.ends_with(&[Carried::Full(SMALL)]));
    assert!(outgoing.most_queued_bytes() <= 20_000);
    assert_eq!(outgoing.room_came().next(), None);
    while outgoing.take_batch(lane()).is_some() {}
    assert_eq!(outgoing.room_came().collect::<Vec<u8>>(), [SMALL]);
    assert_eq!(outgoing.room_came().next(), None);
    assert_eq!(outgoing.put(&message(0, 60_000)), Carried::TooBig, "there is room, and never enough");
    assert_eq!(outgoing.room_came().next(), None, "nobody waits");
}

#[test]
fn a_big_signal_holds_back_its_sender_and_what_follows_it_and_nobody_else() {
    let outgoing = outgoing();
    let from = |serial: u64| {
        let message = Message::info(Pid::new(1, 1, serial), Term::Int(0));
        Parcel::message(Pid::new(2, 1, 1), message)
    };
    assert_eq!(outgoing.put(&message(0, 10_000)), Carried::Crowded(BIG));
    assert_eq!(outgoing.put(&message(1, 10)), Carried::Crowded(BIG), "it waits behind the big one");
    for serial in 100..120 {
        assert_eq!(outgoing.put(&from(serial)), Carried::Sent);
    }
    assert!(outgoing.has_room(SMALL) && !outgoing.has_room(BIG));
    (0..LANES).for_each(|lane| while outgoing.take_batch(lane).is_some() {});
    while outgoing.take_part(lane()).is_some() {}
    assert_eq!(outgoing.room_came().collect::<Vec<u8>>(), [BIG]);
    assert!(!outgoing.is_empty(), "what followed it is small now");
    assert!(outgoing.take_batch(lane()).is_some() && outgoing.is_empty());
}

#[test]
fn who_is_refused_waits_for_the_queue_that_fills_the_node_not_for_its_own() {
    let outgoing = outgoing();
    assert_eq!(outgoing.put(&message(0, 19_800)), Carried::Crowded(BIG));
    let small = Message::info(Pid::new(1, 1, 8), Term::Bytes(Bytes::from(vec![0; 300]).into()));
    let refused = outgoing.put(&Parcel::message(Pid::new(2, 1, 1), small));
    assert_eq!(refused, Carried::Full(BIG));
    assert!(!outgoing.has_room(BIG) && outgoing.has_room(SMALL));
}

#[test]
fn nothing_is_taken_between_a_loss_and_the_moment_in_which_all_were_told() {
    let outgoing = outgoing();
    (0..5).for_each(|number| {
        outgoing.put(&message(number, 700));
    });
    outgoing.refuse();
    assert!(outgoing.is_empty());
    assert_eq!(outgoing.put(&message(0, 1)), Carried::NoConnection);
    outgoing.accept();
    assert_eq!(outgoing.put(&message(0, 1)), Carried::Sent);
}

#[test]
fn what_one_process_sends_has_one_lane_whoever_it_is_for() {
    let named = Address::Name { node: 2, name: "name".into() };
    assert_eq!(lane_of(SENDER, &named), lane());
    let lanes: std::collections::BTreeSet<usize> =
        (0..100).map(|serial| lane_of(Pid::new(1, 1, serial), &named)).collect();
    assert_eq!(lanes.len(), LANES);
}

#[test]
fn what_waited_behind_a_big_signal_leaves_in_batches_that_are_no_longer_than_others() {
    let limits = LinkConfig { queued_bytes_max: 64 << 20, ..LinkConfig::default() };
    let outgoing = Outgoing::new(limits.clone());
    outgoing.put(&message(0, 1 << 20));
    for number in 0..2_000 {
        assert_ne!(outgoing.put(&message(number, 10_000)), Carried::Full(SMALL));
    }
    while outgoing.take_part(lane()).is_some() {}
    let mut waited = 0;
    while let Some(batch) = outgoing.take_batch(lane()) {
        assert!(batch.len() <= 2 * limits.batch_bytes, "{}", batch.len());
        waited += numbers(&batch).len();
    }
    assert_eq!(waited, 2_000);
    assert!(outgoing.is_empty());
}

/// The first bytes of what waits as big signals, in the order in which they are whole.
fn completed(lane: &mut Lane) -> Vec<u8> {
    let mut begun = BTreeMap::new();
    let mut completed = Vec::new();
    while let Some((part, _)) = lane.take_part(1_000) {
        let first = *begun.entry(part.signal).or_insert(part.bytes[0]);
        completed.extend(part.last.then_some(first));
    }
    completed
}

#[test]
fn what_one_process_sends_keeps_its_order_however_its_receivers_are_named() {
    let (x, y) = (Address::Pid(Pid::new(2, 1, 1)), Address::Pid(Pid::new(2, 1, 2)));
    // it may be either of them
    let name = Address::Name { node: 2, name: "name".into() };
    for receivers in [[&x, &y, &name], [&x, &name, &y], [&name, &x, &y]] {
        let mut lane = Lane::default();
        for (number, (to, size)) in receivers.into_iter().zip([9_000, 3_000, 10]).enumerate() {
            lane.put_big(SENDER, to, Bytes::from(vec![number as u8; size]));
        }
        assert_eq!(completed(&mut lane), [0, 1, 2], "{receivers:?}");
    }
}

#[test]
fn what_nobody_sent_to_another_process_does_not_wait() {
    let mut lane = Lane::default();
    for (number, size) in [9_000, 10].into_iter().enumerate() {
        let to = Address::Pid(Pid::new(2, 1, number as u64));
        lane.put_big(Pid::NONE, &to, Bytes::from(vec![number as u8; size]));
    }
    assert_eq!(completed(&mut lane), [1, 0]);
}
