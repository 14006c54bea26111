//! Queues: their length, and what takes messages out of them or reorders them.

use super::{dead, length, number, pause, payloads, read, received, resume, send, until_length};
use arsenal_tests::{Api, both};
use serde_json::{Value, json};

/// A paused recorder with these messages waiting.
async fn waiting(api: &Api, messages: impl IntoIterator<Item = Value>) -> String {
    let recorder = api.start("recorder", json!(null)).await;
    pause(api, &recorder).await;
    for message in messages {
        send(api, &recorder, message).await;
    }
    recorder
}

fn numbers(range: std::ops::Range<i64>) -> impl Iterator<Item = Value> {
    range.map(Value::from)
}

// covers: get_message_queue_length/1
#[test]
fn the_length_follows_what_is_sent_and_what_is_handled() {
    both(|api| async move {
        let recorder = waiting(&api, []).await;
        assert_eq!(length(&api, &recorder).await, 0);
        for n in 1..=3 {
            send(&api, &recorder, json!(n)).await;
            assert_eq!(length(&api, &recorder).await, n);
        }
        resume(&api, &recorder).await;
        until_length(&api, &recorder, 0).await;
        let failure = api.err("GetMessageQueueLength", json!({"process": dead(&api).await})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("NOT_FOUND", "NOPROC"));
    });
}

// covers: flush_message_queue/1
#[test]
fn a_flush_removes_ordinary_messages_and_leaves_signals() {
    both(|api| async move {
        let recorder = waiting(&api, numbers(0..3)).await;
        let from = api.start("plain", json!(null)).await;
        api.ok("SendExitSignal", json!({"process": recorder, "from": from, "reason": "boom"})).await;
        let preview = api.ok("FlushMessageQueue", json!({"process": recorder, "dryRun": true})).await;
        assert_eq!((number(&preview["count"]), preview["messages"].as_array().unwrap().len()), (3, 3));
        let failure = api.err("FlushMessageQueue", json!({"process": recorder, "expectedCount": 4})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("ABORTED", "COUNT_MISMATCH"));
        assert_eq!(length(&api, &recorder).await, 4);
        let flushed = api.ok("FlushMessageQueue", json!({"process": recorder, "expectedCount": 3})).await;
        assert_eq!(number(&flushed["count"]), 3);
        resume(&api, &recorder).await;
        assert_eq!(received(&api, &recorder, 1).await, [json!(["EXIT", from, "boom"])]);
        let with_signals = waiting(&api, []).await;
        api.ok("SendExitSignal", json!({"process": with_signals, "from": from, "reason": "boom"})).await;
        let request = json!({"process": with_signals, "includeSignals": true});
        assert_eq!(number(&api.ok("FlushMessageQueue", request).await["count"]), 1);
    });
}

// covers: flush_message_queue/1
#[test]
fn a_supervisor_whose_queue_is_flushed_still_restarts_its_child() {
    both(|api| async move {
        let children =
            json!([{"id": "worker", "module": "counter", "name": "worker", "restart": "PERMANENT"}]);
        let started =
            api.ok("StartSupervisor", json!({"strategy": "ONE_FOR_ONE", "children": children})).await;
        let supervisor = started["pid"].as_str().unwrap();
        let holder = || async { api.call("WhereisProcess", json!({"name": "worker"})).await.ok() };
        let first = holder().await.unwrap()["pid"].clone();
        pause(&api, supervisor).await;
        api.ok("KillProcess", json!({"process": first})).await;
        until_length(&api, supervisor, 1).await;
        assert_eq!(number(&api.ok("FlushMessageQueue", json!({"process": supervisor})).await["count"]), 0);
        resume(&api, supervisor).await;
        api.eventually(|| async {
            let now = holder().await?["pid"].clone();
            (now.is_string() && now != first).then_some(())
        })
        .await;
    });
}

// covers: peek_message_queue/2
#[test]
fn what_a_peek_shows_is_then_handled_in_that_order() {
    both(|api| async move {
        let recorder = waiting(&api, numbers(0..12)).await;
        let peeked = api.ok("PeekMessageQueue", json!({"process": recorder, "count": 3})).await;
        assert_eq!((payloads(&peeked), number(&peeked["length"])), (numbers(0..3).collect::<Vec<_>>(), 12));
        assert_eq!(payloads(&api.ok("PeekMessageQueue", json!({"process": recorder})).await).len(), 10);
        let failure = api.err("PeekMessageQueue", json!({"process": recorder, "count": 1001})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("INVALID_ARGUMENT", "BADARG"));
        resume(&api, &recorder).await;
        assert_eq!(received(&api, &recorder, 12).await, numbers(0..12).collect::<Vec<_>>());
    });
}

// covers: drain_message_queue/1
#[test]
fn a_drain_answers_what_it_removes_and_the_dead_letters_keep_it() {
    both(|api| async move {
        let recorder = waiting(&api, numbers(0..5)).await;
        let preview =
            api.ok("DrainMessageQueue", json!({"process": recorder, "max": 2, "dryRun": true})).await;
        assert_eq!(payloads(&preview), [0, 1]);
        assert_eq!(length(&api, &recorder).await, 5);
        let drained = api.ok("DrainMessageQueue", json!({"process": recorder, "max": 2})).await;
        assert_eq!((payloads(&drained), number(&drained["remaining"])), (vec![json!(0), json!(1)], 3));
        let filter = format!("pid == '{recorder}' && reason == 'DRAINED'");
        let letters = api.ok("ListDeadLetters", json!({"filter": filter})).await["deadLetters"].clone();
        let kept: Vec<_> =
            letters.as_array().unwrap().iter().map(|letter| letter["message"].clone()).collect();
        assert_eq!(kept, [0, 1]);
        resume(&api, &recorder).await;
        assert_eq!(received(&api, &recorder, 3).await, [2, 3, 4]);
        let failure = api.err("DrainMessageQueue", json!({"process": recorder, "max": 10_001})).await;
        assert_eq!(&*failure.reason, "BADARG");
    });
}

// covers: drain_message_queue/1
#[test]
fn messages_that_are_sent_while_a_queue_is_drained_are_drained_or_handled_once() {
    both(|api| async move {
        let recorder = api.start("recorder", json!(null)).await;
        let sending = async {
            for n in 0..200 {
                send(&api, &recorder, json!(n)).await;
            }
        };
        let draining = async {
            let mut drained = Vec::new();
            for _ in 0..50 {
                drained.extend(payloads(&api.ok("DrainMessageQueue", json!({"process": recorder})).await));
            }
            drained
        };
        let ((), drained) = futures_util::future::join(sending, draining).await;
        // the read itself comes after all that was sent
        let mut all = read(&api, &recorder).await;
        all.extend(drained);
        all.sort_by_key(|message| message.as_i64());
        assert_eq!(all, numbers(0..200).collect::<Vec<_>>());
    });
}

// covers: filter_message_queue/2, search_mailbox/2
#[test]
fn a_filter_takes_exactly_what_a_search_with_it_finds() {
    both(|api| async move {
        let recorder = waiting(&api, numbers(0..6).chain([json!(["log", 1]), json!({"level": 4})])).await;
        let filter = "(type == 'number' && message >= 4) || message.level > 3";
        let search = json!({"process": recorder, "filter": filter, "includePayload": true});
        let found = api.ok("SearchMailbox", search).await;
        let positions: Vec<_> =
            found["messages"].as_array().unwrap().iter().map(|m| number(&m["position"])).collect();
        assert_eq!(positions, [4, 5, 7]);
        let taken = api.ok("FilterMessageQueue", json!({"process": recorder, "filter": filter})).await;
        assert_eq!(payloads(&taken), payloads(&found));
        assert_eq!(number(&taken["remaining"]), 5);
        resume(&api, &recorder).await;
        let expected: Vec<Value> = numbers(0..4).chain([json!(["log", 1])]).collect();
        assert_eq!(received(&api, &recorder, 5).await, expected);
    });
}

// covers: filter_message_queue/2, search_mailbox/2
#[test]
fn a_filter_that_is_wrong_or_empty_takes_nothing() {
    both(|api| async move {
        let recorder = waiting(&api, numbers(0..2)).await;
        for rpc in ["FilterMessageQueue", "SearchMailbox"] {
            for filter in ["", "colour == 1", "message =="] {
                let failure = api.err(rpc, json!({"process": recorder, "filter": filter})).await;
                assert_eq!(
                    (&*failure.code, &*failure.reason),
                    ("INVALID_ARGUMENT", "BAD_FILTER"),
                    "{rpc} {filter}"
                );
                assert!(failure.message.contains("position"), "{}", failure.message);
            }
        }
        assert_eq!(length(&api, &recorder).await, 2);
    });
}

// covers: prioritize_message_queue/2
#[test]
fn messages_are_handled_in_the_order_that_was_asked_for() {
    both(|api| async move {
        let jobs = [("a", 2), ("b", 1), ("c", 2), ("d", 0)];
        let job = |(name, level): (&str, i64)| json!({"name": name, "level": level});
        let names = |messages: Vec<Value>| -> String {
            messages.iter().map(|message| message["name"].as_str().unwrap().to_owned()).collect()
        };
        for (order, expected) in [
            (json!({"key": "message.level"}), "dbac"),
            (json!({"key": "message.level", "descending": true}), "acbd"),
            (json!({"order": ["message.name == 'c'", "message.level == 1"]}), "cbad"),
        ] {
            let recorder = waiting(&api, jobs.map(job)).await;
            let mut request = json!({"process": recorder});
            request.as_object_mut().unwrap().extend(order.as_object().unwrap().clone());
            let done = api.ok("PrioritizeMessageQueue", request).await;
            assert_eq!(number(&done["length"]), 4);
            resume(&api, &recorder).await;
            assert_eq!(names(received(&api, &recorder, 4).await), expected);
        }
    });
}

// covers: prioritize_message_queue/2
#[test]
fn keys_that_cannot_be_compared_change_no_order() {
    both(|api| async move {
        let recorder = waiting(&api, [json!(2), json!("a"), json!(1)]).await;
        let failure = api.err("PrioritizeMessageQueue", json!({"process": recorder, "key": "message"})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("INVALID_ARGUMENT", "BAD_KEY"));
        for both_or_none in
            [json!({"process": recorder}), json!({"process": recorder, "key": "1", "order": ["true"]})]
        {
            assert_eq!(&*api.err("PrioritizeMessageQueue", both_or_none).await.reason, "BAD_FILTER");
        }
        resume(&api, &recorder).await;
        assert_eq!(received(&api, &recorder, 3).await, [json!(2), json!("a"), json!(1)]);
    });
}
