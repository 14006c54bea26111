//! Sending to a group: who is chosen.

use super::received;
use arsenal_tests::{Api, both};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Who gets a broadcast by `policy`.
async fn chosen(api: &Api, policy: &str, key: &str) -> Vec<String> {
    let send = json!({"group": "team", "message": policy, "policy": policy, "key": key});
    let deliveries = api.ok("BroadcastToGroup", send).await["deliveries"].clone();
    let deliveries = deliveries.as_array().unwrap().clone();
    assert!(deliveries.iter().all(|delivery| delivery["delivered"] == json!(true)), "{deliveries:?}");
    deliveries.iter().map(|delivery| delivery["pid"].as_str().unwrap().to_owned()).collect()
}

// covers: broadcast_to_group/2
#[test]
fn each_policy_shows_in_who_receives() {
    both(|api| async move {
        let mut team = Vec::new();
        for _ in 0..3 {
            team.push(api.start("recorder", json!({})).await);
        }
        let joins: Vec<&String> = team.iter().chain(&team).collect();
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": joins})).await;
        let members: BTreeSet<String> = team.iter().cloned().collect();
        // once per process, however often it joined
        assert_eq!(chosen(&api, "ALL", "").await.into_iter().collect::<BTreeSet<_>>(), members);
        for pid in &team {
            assert_eq!(received(&api, pid).await, [json!("ALL")]);
        }
        let (mut turns, mut drawn, mut by_key) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        for round in 0..60 {
            if round < 6 {
                turns.extend(chosen(&api, "ROUND_ROBIN", "").await);
            }
            drawn.extend(chosen(&api, "RANDOM", "").await);
            by_key.extend(chosen(&api, "HASH", &format!("key{round}")).await);
            assert!(members.contains(&chosen(&api, "NEAREST", "").await[0]));
        }
        assert_eq!(turns[..3].iter().cloned().collect::<BTreeSet<_>>(), members, "each in its turn");
        assert_eq!(turns[..3], turns[3..]);
        assert_eq!((&drawn, &by_key), (&members, &members));
        assert_eq!(chosen(&api, "HASH", "key").await, chosen(&api, "HASH", "key").await);
        let got = received(&api, &turns[0]).await;
        assert_eq!(got.iter().filter(|message| **message == json!("ROUND_ROBIN")).count(), 2);
    });
}

#[test]
fn the_least_queued_member_is_chosen_and_a_full_one_is_listed_undelivered() {
    both(|api| async move {
        let limited = json!({"module": "recorder", "limits": {"mailboxMessagesMax": "1"}});
        let full = api.ok("StartProcess", limited).await["pid"].as_str().unwrap().to_owned();
        let free = api.start("recorder", json!({})).await;
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [full, free]})).await;
        api.ok("PauseProcessScheduling", json!({"process": full, "holder": "test"})).await;
        api.ok("SendMessage", json!({"process": full, "message": "first"})).await;
        assert_eq!(chosen(&api, "LEAST_QUEUED", "").await, std::slice::from_ref(&free));
        let send = json!({"group": "team", "message": "second"});
        let deliveries = api.ok("BroadcastToGroup", send).await["deliveries"].clone();
        let of = |pid: &str| {
            let mut found =
                deliveries.as_array().unwrap().iter().filter(|delivery| delivery["pid"] == json!(pid));
            found.next().cloned().unwrap()
        };
        assert_eq!((&of(&full)["delivered"], &of(&full)["reason"]), (&json!(false), &json!("QUEUE_FULL")));
        assert_eq!((&of(&free)["delivered"], &of(&free)["reason"]), (&json!(true), &json!("")));
    });
}

#[test]
fn a_broadcast_to_nobody_by_no_key_or_of_too_much_fails() {
    both(|api| async move {
        let absent = api.err("BroadcastToGroup", json!({"group": "team", "message": 1})).await;
        assert_eq!((&*absent.code, &*absent.reason), ("NOT_FOUND", "NO_GROUP"));
        api.ok("CreateProcessGroup", json!({"group": "team"})).await;
        let empty = api.err("BroadcastToGroup", json!({"group": "team", "message": 1})).await;
        assert_eq!((&*empty.code, &*empty.reason), ("FAILED_PRECONDITION", "NO_MEMBERS"));
        let keyless =
            api.err("BroadcastToGroup", json!({"group": "team", "message": 1, "policy": "HASH"})).await;
        assert_eq!((&*keyless.code, &*keyless.reason), ("INVALID_ARGUMENT", "BADARG"));
        let member = api.start("recorder", json!({})).await;
        api.ok("JoinProcessGroup", json!({"group": "team", "processes": [member]})).await;
        let large =
            api.err("BroadcastToGroup", json!({"group": "team", "message": "x".repeat(3 << 20)})).await;
        assert_eq!((&*large.code, &*large.reason), ("RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE"));
        assert_eq!(received(&api, &member).await, [] as [Value; 0]);
    });
}
