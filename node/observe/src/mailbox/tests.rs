use super::patterns::{Cause, Circumstances, Patterns};
use super::*;
use crate::predicate::Predicate;
use crate::queue_history::Window;
use arsenal_runtime::info::{Header, Status};
use arsenal_runtime::surgery::QueueCounters;
use arsenal_runtime::{Behaviour, Description, Priority};
use std::sync::Arc;

fn message(number: u32, from: u64, payload: Term) -> Envelope {
    Envelope {
        position: number as usize - 1,
        number,
        kind: Kind::Info,
        from: (from != 0).then(|| Pid::new(1, 1, from)),
        age_ms: 1_500,
        operation: None,
        reference: None,
        payload,
    }
}

fn header(status: Status) -> Header {
    Header {
        pid: Pid::new(1, 1, 1),
        parent: None,
        code: Arc::new(Description::native("test", Behaviour::Plain)),
        status,
        queue_len: 0,
        reductions: 0,
        turns: 0,
        priority: Priority::default(),
        trap_exit: false,
        hibernating: false,
        suspended: false,
        scheduler: None,
        pinned: None,
        started_ms: 0,
        session: false,
    }
}

fn analyze(
    envelopes: &[Envelope],
    status: Status,
    window: Option<&Window>,
    removed: u64,
) -> Option<Patterns> {
    let waits_for_any = status != Status::Waiting;
    let of = Circumstances { header: &header(status), waits_for_any, window, removed };
    super::patterns::analyze(envelopes, of)
}

#[test]
fn the_tag_is_the_string_the_first_string_or_the_type() {
    let tag = |payload: Term| message(1, 0, payload).tag();
    assert_eq!(tag("ping".into()), "ping");
    assert_eq!(tag(Term::tagged("log", Term::Int(1))), "log");
    assert_eq!(tag(Term::list([Term::Int(1)])), "array");
    assert_eq!(tag(Term::map([("a", Term::Null)])), "object");
    assert_eq!(tag(Term::Int(1)), "number");
    assert_eq!(tag(Term::Null), "null");
}

#[test]
fn every_name_has_a_value_and_no_other_has() {
    let envelope = message(1, 7, Term::Int(1));
    assert!(FIELDS.iter().all(|(name, _)| envelope.value(name).is_some()));
    assert!(envelope.value("payload").is_none());
    let source = "age > 1.0 && kind == 'INFO' && from == 'n1.1.7' && message == 1 && type == 'number' && position == 0";
    let predicate = Predicate::condition(source, &FIELDS).unwrap();
    assert!(predicate.matches(&envelope.bind(&predicate.variables())).unwrap());
}

#[test]
fn a_key_ranks_by_value_and_keys_that_cannot_be_compared_are_refused() {
    let key = || Order::Key(Predicate::key("message", &FIELDS).unwrap());
    let messages =
        [3, 1, 2, 1].map(Term::Int).into_iter().zip(1..).map(|(payload, n)| message(n, 0, payload));
    let messages: Vec<_> = messages.collect();
    let ranks = rank(&messages, &key()).unwrap();
    assert_eq!([1, 2, 3, 4].map(|n| ranks[&n]), [2, 0, 1, 0]);
    let descending = Order::Descending(Predicate::key("message", &FIELDS).unwrap());
    assert_eq!([1, 2, 3, 4].map(|n| rank(&messages, &descending).unwrap()[&n]), [0, 2, 1, 2]);
    let mixed = [message(1, 0, Term::Int(1)), message(2, 0, "a".into())];
    assert!(matches!(rank(&mixed, &key()), Err(RankError::Keys(_))));
    let without = Order::Key(Predicate::key("message.priority", &FIELDS).unwrap());
    assert!(matches!(rank(&mixed, &without), Err(RankError::Keys(_))));
}

#[test]
fn conditions_rank_by_the_first_that_holds() {
    let conditions =
        ["message == 2", "message > 2"].map(|source| Predicate::condition(source, &FIELDS).unwrap());
    let messages: Vec<_> = (1..=4).map(|n| message(n, 0, Term::Int(i64::from(n)))).collect();
    let ranks = rank(&messages, &Order::Conditions(conditions.into())).unwrap();
    assert_eq!([1, 2, 3, 4].map(|n| ranks[&n]), [2, 0, 1, 1]);
}

#[test]
fn a_flood_is_named_with_its_share_and_an_even_mix_names_nobody() {
    let from = |sender: fn(u32) -> u64| -> Vec<Envelope> {
        (1..=100).map(|n| message(n, sender(n), Term::Int(i64::from(n)))).collect()
    };
    let flood = from(|n| if n % 10 == 0 { 8 } else { 7 });
    let found = analyze(&flood, Status::Runnable, None, 0).unwrap();
    assert_eq!(found.dominant_senders.len(), 1);
    assert_eq!(found.dominant_senders[0].name, "n1.1.7");
    assert!((found.dominant_senders[0].share - 0.9).abs() < 1e-9);
    assert_eq!(found.cause, Cause::Flood);
    for senders in [2, 3, 4, 10] {
        let even: Vec<_> = (1..=120).map(|n| message(n, 1 + u64::from(n) % senders, Term::Int(1))).collect();
        let found = analyze(&even, Status::Runnable, None, 0).unwrap();
        assert_eq!(found.dominant_senders, [], "{senders} senders");
        assert_eq!((found.cause, found.duplicates), (Cause::Slow, 119));
    }
}

#[test]
fn few_messages_give_no_findings() {
    let few: Vec<_> = (1..20).map(|n| message(n, 1, Term::Null)).collect();
    assert_eq!(analyze(&few, Status::Runnable, None, 0), None);
}

#[test]
fn what_was_passed_over_is_starved_and_what_came_last_is_not() {
    let mut waiting: Vec<_> = (1..=20).map(|n| message(n, u64::from(n), "old".into())).collect();
    waiting.push(message(40, 1, "new".into()));
    let to = QueueCounters { received: 40, waiting: 21, ..QueueCounters::default() };
    let window = Window { from: QueueCounters::default(), to };
    let found = analyze(&waiting, Status::Waiting, Some(&window), 0).unwrap();
    assert_eq!(found.starved_types, ["old"]);
    assert_eq!(found.cause, Cause::Unmatched);
    let found = analyze(&waiting, Status::Waiting, Some(&window), 19).unwrap();
    assert_eq!(found.starved_types, [""; 0]);
}

#[test]
fn a_held_process_is_long_because_it_is_held() {
    let waiting: Vec<_> = (1..=30).map(|n| message(n, 1, Term::Null)).collect();
    assert_eq!(analyze(&waiting, Status::Suspended, None, 0).unwrap().cause, Cause::Held);
}
