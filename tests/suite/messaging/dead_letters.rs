//! Dead letters.

use super::{dead, length, received, send};
use arsenal_tests::both;
use serde_json::{Value, json};

fn list(answer: &Value, field: &str) -> Vec<Value> {
    answer[field].as_array().cloned().unwrap_or_default()
}

// covers: list_dead_letters
#[test]
fn what_was_flushed_or_refused_is_listed_with_why() {
    both(|api| async move {
        let limited = json!({"module": "plain", "limits": {"mailboxMessagesMax": 1}});
        let process = api.ok("StartProcess", limited).await["pid"].as_str().unwrap().to_owned();
        send(&api, &process, json!("first")).await;
        api.err("SendMessage", json!({"process": process, "message": "second"})).await;
        api.ok("FlushMessageQueue", json!({"process": process})).await;
        let letters = api.ok("ListDeadLetters", json!({"filter": format!("pid == '{process}'")})).await;
        let told: Vec<_> = list(&letters, "deadLetters")
            .iter()
            .map(|l| (l["reason"].clone(), l["message"].clone()))
            .collect();
        assert_eq!(told, [(json!("LIMIT"), json!("second")), (json!("FLUSHED"), json!("first"))]);
        let flushed = &letters["deadLetters"][1];
        assert!(flushed["operationId"].as_str().unwrap().starts_with("n1.1-o"));
        assert!(flushed["deadLetter"].as_str().unwrap().starts_with("n1.1-d"));
        let none = api.ok("ListDeadLetters", json!({"filter": "reason == 'EXPIRED'"})).await;
        assert_eq!(list(&none, "deadLetters"), [""; 0]);
        assert_eq!(&*api.err("ListDeadLetters", json!({"filter": "reason =="})).await.reason, "BAD_FILTER");
    });
}

// covers: replay_dead_letters
#[test]
fn a_replay_sends_what_it_lists_and_takes_it_off_the_list() {
    both(|api| async move {
        let (process, recorder) =
            (api.start("plain", json!(null)).await, api.start("recorder", json!(null)).await);
        for n in 0..3 {
            send(&api, &process, json!(n)).await;
        }
        api.ok("FlushMessageQueue", json!({"process": process})).await;
        let filter = format!("pid == '{process}' && message > 0");
        let preview = api.ok("ReplayDeadLetters", json!({"filter": filter, "dryRun": true})).await;
        assert_eq!(list(&preview, "deadLetters").len(), 2);
        let failure = api.err("ReplayDeadLetters", json!({"filter": filter, "expectedCount": 3})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("ABORTED", "COUNT_MISMATCH"));
        let sent = api.ok("ReplayDeadLetters", json!({"filter": filter, "to": recorder})).await;
        assert_eq!(list(&sent, "deadLetters"), list(&preview, "deadLetters"));
        assert_eq!(received(&api, &recorder, 2).await, [1, 2]);
        let left = api.ok("ListDeadLetters", json!({"filter": format!("pid == '{process}'")})).await;
        assert_eq!(list(&left, "deadLetters").len(), 1);
        api.ok("ReplayDeadLetters", json!({"filter": format!("pid == '{process}'")})).await;
        assert_eq!(length(&api, &process).await, 1);
    });
}

// covers: replay_dead_letters
#[test]
fn what_cannot_be_delivered_stays_and_no_filter_sends_nothing() {
    both(|api| async move {
        let process = api.start("plain", json!(null)).await;
        send(&api, &process, json!(1)).await;
        api.ok("FlushMessageQueue", json!({"process": process})).await;
        api.ok("KillProcess", json!({"process": process})).await;
        api.eventually(|| async { api.call("PeekMessageQueue", json!({"process": process})).await.err() })
            .await;
        let filter = format!("pid == '{process}'");
        let replayed = api.ok("ReplayDeadLetters", json!({"filter": filter})).await;
        assert_eq!((list(&replayed, "deadLetters").len(), list(&replayed, "undelivered").len()), (0, 1));
        let letters = api.ok("ListDeadLetters", json!({"filter": filter})).await;
        assert_eq!(list(&letters, "deadLetters").len(), 1);
        assert_eq!(&*api.err("ReplayDeadLetters", json!({"filter": ""})).await.reason, "BAD_FILTER");
        assert_eq!(
            &*api.err("ReplayDeadLetters", json!({"filter": "true", "to": "nobody"})).await.reason,
            "NOPROC"
        );
    });
}

// covers: list_dead_letters
#[test]
fn what_no_code_will_handle_is_listed_by_cause() {
    both(|api| async move {
        let process = api.start("plain", json!(null)).await;
        send(&api, &process, json!("left")).await;
        api.ok("KillProcess", json!({"process": process})).await;
        let reason = |cause: &str| json!({"filter": format!("reason == '{cause}'")});
        let left = api
            .eventually(|| async {
                list(&api.ok("ListDeadLetters", reason("LEFT_BEHIND")).await, "deadLetters").first().cloned()
            })
            .await;
        assert_eq!((&left["pid"], &left["message"]), (&json!(process), &json!("left")));

        let slow = api.start("switch", json!(null)).await;
        api.ok("PauseProcessScheduling", json!({"process": slow})).await;
        let call = json!({"process": slow, "message": "get", "timeout": "0.01s"});
        assert_eq!(&*api.err("CallProcess", call).await.reason, "TIMEOUT");
        assert_eq!(list(&api.ok("ListDeadLetters", reason("POLICY")).await, "deadLetters"), [""; 0]);
    });
}

// covers: list_dead_letters
#[test]
fn what_is_sent_from_outside_to_the_dead_is_a_letter_and_stays_one_where_a_replay_fails() {
    both(|api| async move {
        let gone = dead(&api).await;
        let sent = api.ok("SendMessage", json!({"process": gone, "message": "sent"})).await;
        assert_eq!(sent["delivered"], false);
        api.ok("CastMessage", json!({"process": gone, "message": "cast"})).await;
        let filter = json!({"filter": format!("pid == '{gone}' && reason == 'DEAD_PROCESS'")});
        let told = |letters: Value| -> Vec<Value> {
            list(&letters, "deadLetters").iter().map(|letter| letter["message"].clone()).collect()
        };
        assert_eq!(told(api.ok("ListDeadLetters", filter.clone()).await), ["sent", "cast"]);
        let replayed = api.ok("ReplayDeadLetters", filter.clone()).await;
        assert_eq!(list(&replayed, "undelivered").len(), 2);
        assert_eq!(told(api.ok("ListDeadLetters", filter).await), ["sent", "cast"]);
    });
}
