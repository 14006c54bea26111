//! Mailboxes: what is told of the messages in them.

use super::{length, number, pause, payloads, received, resume, send, until_length};
use arsenal_runtime::{Message, Pid, Term};
use arsenal_tests::{Api, both, both_with};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::time::Instant;

fn seconds(duration: &Value) -> f64 {
    duration.as_str().unwrap().trim_end_matches('s').parse().unwrap()
}

/// The lengths of a queue as they were seen, and between which bounds they were when nobody looked.
struct Lengths {
    last: (Instant, f64),
    /// Messages times seconds.
    least: f64,
    most: f64,
}

impl Lengths {
    /// Of a queue that is empty.
    fn new() -> Self {
        Self { last: (Instant::now(), 0.0), least: 0.0, most: 0.0 }
    }

    /// Between two looks messages came, or were handled, and not both.
    fn note(&mut self, length: u64) {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let (now, length) = (Instant::now(), length as f64);
        let (then, before) = self.last;
        let span = (now - then).as_secs_f64();
        self.least += length.min(before) * span;
        self.most += length.max(before) * span;
        self.last = (now, length);
    }
}

// covers: get_message_queue_stats/1
#[test]
fn little_s_law_holds_for_a_paced_load() {
    both(|api| async move {
        let counter = api.start("counter", json!(null)).await;
        let stats = || async { api.ok("GetMessageQueueStats", json!({"process": counter})).await };
        let asked = Instant::now();
        assert_eq!(stats().await["state"], json!("INSUFFICIENT_DATA"));
        let began = Instant::now();
        // they come while none is handled, and then each is handled in 4 ms
        let lengths = RefCell::new(Lengths::new());
        for _ in 0..4 {
            pause(&api, &counter).await;
            for _ in 0..15 {
                api.ok("CastMessage", json!({"process": counter, "message": ["sleep", 4]})).await;
            }
            let waiting = length(&api, &counter).await;
            lengths.borrow_mut().note(waiting);
            resume(&api, &counter).await;
            api.eventually(|| async {
                let waiting = length(&api, &counter).await;
                lengths.borrow_mut().note(waiting);
                (waiting == 0).then_some(())
            })
            .await;
        }
        let ended = Instant::now();
        let after = stats().await;
        // the node's own span is between these two
        let [longest, shortest] = [asked.elapsed(), ended - began].map(|span| span.as_secs_f64());
        assert_eq!(after["state"], json!("SUFFICIENT"));
        assert_eq!((number(&after["arrived"]), number(&after["highWaterMark"]) >= 5), (60, true));
        let lengths = lengths.into_inner();
        let (least, most) = (lengths.least / longest, lengths.most / shortest);
        let (rate, wait) = (after["arrivalRate"].as_f64().unwrap(), seconds(&after["meanWait"]));
        let by_law = rate * wait;
        assert!(
            (least * 0.5 - 1.0..=most * 1.5 + 1.0).contains(&by_law),
            "{least} to {most} messages on average, but {rate} a second wait {wait} s each"
        );
    });
}

// covers: get_message_queue_stats/1
#[test]
fn the_statistics_of_a_queue_follow_what_is_in_it() {
    both(|api| async move {
        let process = api.start("plain", json!(null)).await;
        let stats = || async { api.ok("GetMessageQueueStats", json!({"process": process})).await };
        let empty = stats().await;
        assert_eq!((number(&empty["length"]), &empty["oldestAge"]), (0, &Value::Null));
        for _ in 0..3 {
            send(&api, &process, json!("x".repeat(100))).await;
        }
        let full = stats().await;
        assert_eq!((number(&full["length"]), number(&full["highWaterMark"])), (3, 3));
        assert!(number(&full["bytes"]) >= 300 && full["oldestAge"].is_string());
        api.ok("DrainMessageQueue", json!({"process": process, "max": 2})).await;
        let drained = stats().await;
        assert_eq!(
            (number(&drained["drops"]), number(&drained["arrived"]), number(&drained["handled"])),
            (2, 3, 0)
        );
    });
}

// covers: inspect_mailbox/1
#[test]
fn envelopes_say_what_was_sent_and_by_whom() {
    both(|api| async move {
        let (recorder, sender) =
            (api.start("recorder", json!(null)).await, api.start("plain", json!(null)).await);
        pause(&api, &recorder).await;
        api.ok("SendMessage", json!({"process": recorder, "message": ["log", 1], "from": sender})).await;
        api.ok("CastMessage", json!({"process": recorder, "message": {"a": 1}})).await;
        let inspect = |payload: bool| json!({"process": recorder, "includePayload": payload});
        let answer = api.ok("InspectMailbox", inspect(true)).await;
        let messages = answer["messages"].as_array().unwrap();
        let told: Vec<_> =
            messages.iter().map(|m| (m["kind"].clone(), m["type"].clone(), m["message"].clone())).collect();
        let expected = [
            (json!("INFO"), json!("log"), json!(["log", 1])),
            (json!("CAST"), json!("object"), json!({"a": 1})),
        ];
        assert_eq!(told, expected);
        assert_eq!(messages[0]["from"], json!(sender));
        assert!(messages[1]["from"].as_str().unwrap_or_default().is_empty());
        assert!(
            messages
                .iter()
                .all(|message| message["operationId"].as_str().is_some_and(|id| id.starts_with("n1.1-o")))
        );
        let bare = api.ok("InspectMailbox", inspect(false)).await;
        assert!(bare["messages"].as_array().unwrap().iter().all(|message| message.get("message").is_none()));
        resume(&api, &recorder).await;
        assert_eq!(received(&api, &recorder, 2).await, [json!(["log", 1]), json!(["cast", {"a": 1}])]);
    });
}

// covers: inspect_mailbox/1
#[test]
fn the_pages_of_a_mailbox_have_each_message_once_though_some_are_taken_meanwhile() {
    both(|api| async move {
        let process = api.start("plain", json!(null)).await;
        for n in 0..7 {
            send(&api, &process, json!(n)).await;
        }
        let page = |token: &str| json!({"process": process, "pageSize": 3, "pageToken": token, "includePayload": true});
        let first = api.ok("InspectMailbox", page("")).await;
        assert_eq!(payloads(&first), [0, 1, 2]);
        api.ok("DrainMessageQueue", json!({"process": process, "max": 2})).await;
        let second = api.ok("InspectMailbox", page(first["nextPageToken"].as_str().unwrap())).await;
        assert_eq!(payloads(&second), [3, 4, 5]);
        let last = api.ok("InspectMailbox", page(second["nextPageToken"].as_str().unwrap())).await;
        assert_eq!(
            (payloads(&last), last["nextPageToken"].as_str().unwrap_or_default()),
            (vec![json!(6)], "")
        );
        let failure = api.err("InspectMailbox", page("garbage")).await;
        assert_eq!((&*failure.code, &*failure.reason), ("INVALID_ARGUMENT", "BAD_PAGE_TOKEN"));
    });
}

// covers: count_mailbox_messages/1
#[test]
fn a_planted_mix_gives_its_counts_and_they_sum_to_the_length() {
    both(|api| async move {
        let process = api.start("plain", json!(null)).await;
        for message in
            [json!("ping"), json!(["log", 1]), json!("ping"), json!(["log", 2]), json!("ping"), json!(7)]
        {
            send(&api, &process, message).await;
        }
        let counts = |answer: &Value| -> Vec<(String, u64)> {
            let counts = answer["counts"].as_array().unwrap().iter();
            counts.map(|c| (c["type"].as_str().unwrap_or_default().to_owned(), number(&c["count"]))).collect()
        };
        let answer = api.ok("CountMailboxMessages", json!({"process": process})).await;
        let expected = [("ping", 3), ("log", 2), ("number", 1)].map(|(name, count)| (name.to_owned(), count));
        assert_eq!((counts(&answer), number(&answer["length"])), (expected.to_vec(), 6));
        assert!(answer["counts"].as_array().unwrap().iter().all(|count| count["kind"] == json!("INFO")));
        let answer = api.ok("CountMailboxMessages", json!({"process": process, "key": "message[1]"})).await;
        let expected = [("", 4), ("1", 1), ("2", 1)].map(|(name, count)| (name.to_owned(), count));
        assert_eq!(counts(&answer), expected);
        assert_eq!(
            &*api.err("CountMailboxMessages", json!({"process": process, "key": "x"})).await.reason,
            "BAD_FILTER"
        );
    });
}

// covers: search_mailbox/2
#[test]
fn a_search_shows_positions_and_what_it_finds_stays() {
    both(|api| async move {
        let process = api.start("plain", json!(null)).await;
        for n in 0..5 {
            send(&api, &process, json!({"n": n})).await;
        }
        let found =
            api.ok("SearchMailbox", json!({"process": process, "filter": "message.n % 2 == 1"})).await;
        let positions: Vec<_> =
            found["messages"].as_array().unwrap().iter().map(|m| number(&m["position"])).collect();
        assert_eq!((positions, length(&api, &process).await), (vec![1, 3], 5));
        let none = api.ok("SearchMailbox", json!({"process": process, "filter": "message.n > 9"})).await;
        assert_eq!(payloads(&none), [""; 0]);
    });
}

// covers: compact_mailbox/1
#[test]
fn equal_payloads_shrink_to_about_one_and_different_ones_do_not() {
    both(|api| async move {
        let process = api.start("plain", json!(null)).await;
        for _ in 0..300 {
            send(&api, &process, json!("x".repeat(2_000))).await;
        }
        let compacted = api.ok("CompactMailbox", json!({"process": process})).await;
        let (before, after) = (number(&compacted["bytesBefore"]), number(&compacted["bytesAfter"]));
        assert!(before > 600_000 && after < before / 10, "{before} {after}");
        assert_eq!(number(&compacted["shared"]), 299);
        assert_eq!(length(&api, &process).await, 300);
        let weighed = api.ok("GetProcessMemoryInfo", json!({"process": process})).await;
        assert_eq!(number(&weighed["mailbox"]), after, "what it came to is what is told of it");
        let info = api.ok("GetProcessInfo", json!({"process": process})).await;
        assert_eq!(number(&info["process"]["mailboxBytes"]), after);
        let different = api.start("plain", json!(null)).await;
        for n in 0..20 {
            send(&api, &different, json!(n)).await;
        }
        let compacted = api.ok("CompactMailbox", json!({"process": different})).await;
        assert_eq!(number(&compacted["shared"]), 0);
    });
}

// covers: compact_mailbox/1
#[test]
fn ten_thousand_equal_payloads_shrink_to_about_one() {
    const EQUAL: usize = 10_000;
    both_with(|sandbox, api| async move {
        let process = api.start("plain", json!(null)).await;
        let pid: Pid = process.parse().unwrap();
        for _ in 0..EQUAL {
            // each of its own, as if each had come by a request of its own
            sandbox.node().send(pid, Message::info(Pid::NONE, Term::from("x".repeat(500))));
        }
        until_length(&api, &process, EQUAL as u64).await;
        let compacted = api.ok("CompactMailbox", json!({"process": process})).await;
        assert_eq!(number(&compacted["shared"]), EQUAL as u64 - 1);
        let saved = number(&compacted["bytesBefore"]) - number(&compacted["bytesAfter"]);
        assert!(saved >= 500 * (EQUAL as u64 - 1), "{compacted}");
        assert_eq!(length(&api, &process).await, EQUAL as u64);
    });
}

async fn flood(api: &Api, process: &str, senders: &[(&str, usize)]) {
    let most = senders.iter().map(|(_, count)| *count).max().unwrap_or_default();
    for round in 0..most {
        for (sender, count) in senders {
            if round < *count {
                let message = json!({"process": process, "message": ["n", round], "from": sender});
                api.ok("SendMessage", message).await;
            }
        }
    }
}

// covers: analyze_mailbox_patterns/1
#[test]
fn a_flood_from_one_sender_is_named_with_its_share() {
    both(|api| async move {
        let process = api.start("plain", json!(null)).await;
        let (loud, quiet) = (api.start("plain", json!(null)).await, api.start("plain", json!(null)).await);
        flood(&api, &process, &[(&loud, 45), (&quiet, 5)]).await;
        let found = api.ok("AnalyzeMailboxPatterns", json!({"process": process})).await;
        assert_eq!(found["state"], json!("SUFFICIENT"));
        let senders = found["dominantSenders"].as_array().unwrap();
        assert_eq!((senders.len(), &senders[0]["name"]), (1, &json!(loud)));
        assert!((senders[0]["share"].as_f64().unwrap() - 0.9).abs() < 1e-9);
        assert_eq!(number(&found["evidence"]["sampleCount"]), 50);
    });
}

// covers: analyze_mailbox_patterns/1
#[test]
fn an_even_mix_names_nobody_and_few_messages_say_nothing() {
    both(|api| async move {
        let process = api.start("plain", json!(null)).await;
        let (one, two) = (api.start("plain", json!(null)).await, api.start("plain", json!(null)).await);
        flood(&api, &process, &[(&one, 5), (&two, 5)]).await;
        let few = api.ok("AnalyzeMailboxPatterns", json!({"process": process})).await;
        assert_eq!(
            (&few["state"], few["evidence"]["confidence"].as_f64().unwrap_or(0.0)),
            (&json!("INSUFFICIENT_DATA"), 0.0)
        );
        flood(&api, &process, &[(&one, 20), (&two, 20)]).await;
        let even = api.ok("AnalyzeMailboxPatterns", json!({"process": process})).await;
        assert_eq!(even["state"], json!("SUFFICIENT"));
        assert_eq!(even["dominantSenders"].as_array().map_or(0, Vec::len), 0);
        assert_eq!(even["likelyCause"], json!("UNMATCHED"));
    });
}

// covers: start_process/3
#[test]
fn a_mailbox_takes_no_more_bytes_than_it_may_and_tells_its_bound() {
    both(|api| async move {
        let limits = json!({"mailboxBytesMax": 50, "mailboxMessagesMax": 9});
        let start = json!({"module": "plain", "limits": limits});
        let process = api.ok("StartProcess", start).await["pid"].as_str().unwrap().to_owned();
        let info = api.ok("GetProcessInfo", json!({"process": process})).await;
        assert_eq!(info["process"]["limits"]["mailboxBytesMax"], "50", "{info}");
        let item = api.ok("GetProcessInfo", json!({"process": process, "keys": ["limits"]})).await;
        assert_eq!(item["items"][0]["value"], info["process"]["limits"]);
        send(&api, &process, json!("x".repeat(30))).await;
        let large = json!({"process": process, "message": "y".repeat(30)});
        let refused = api.err("SendMessage", large.clone()).await;
        assert_eq!((&*refused.code, &*refused.reason), ("RESOURCE_EXHAUSTED", "QUEUE_FULL"));
        assert_eq!(&*api.err("CallProcess", large.clone()).await.reason, "QUEUE_FULL");
        assert_eq!(length(&api, &process).await, 1);
        let letters = api.ok("ListDeadLetters", json!({"filter": format!("pid == '{process}'")})).await;
        assert!(letters["deadLetters"].as_array().unwrap().iter().all(|letter| letter["reason"] == "LIMIT"));
        // what leaves makes room
        api.ok("FlushMessageQueue", json!({"process": process})).await;
        api.ok("SendMessage", large).await;

        let unlimited = api.start("plain", json!(null)).await;
        send(&api, &unlimited, json!("z".repeat(100))).await;
        let info = api.ok("GetProcessInfo", json!({"process": unlimited})).await;
        assert!(info["process"].get("limits").is_none_or(Value::is_null), "{info}");
    });
}
