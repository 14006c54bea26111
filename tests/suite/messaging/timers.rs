//! Timers.

use super::{dead, read, received};
use arsenal_tests::both;
use serde_json::json;

fn seconds(duration: &serde_json::Value) -> f64 {
    duration.as_str().unwrap().trim_end_matches('s').parse().unwrap()
}

// covers: send_message_after/3
#[test]
fn a_timer_fires_once_and_not_early() {
    both(|api| async move {
        let recorder = api.start("recorder", json!(null)).await;
        let after = |time: &str| json!({"process": recorder, "message": "tick", "after": time});
        let late = api.ok("SendMessageAfter", after("600s")).await["timer"].clone();
        let pending = api.ok("GetTimer", json!({"timer": late})).await["timer"].clone();
        assert_eq!((&pending["process"], &pending["message"]), (&json!(recorder), &json!("tick")));
        assert!(seconds(&pending["remaining"]) <= 600.0);
        let timer = api.ok("SendMessageAfter", after("0.05s")).await["timer"].clone();
        assert_eq!(received(&api, &recorder, 1).await, ["tick"]);
        let failure = api.err("GetTimer", json!({"timer": timer})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("NOT_FOUND", "NO_TIMER"));
        assert_eq!(read(&api, &recorder).await.len(), 1);
    });
}

// covers: send_message_after/3
#[test]
fn a_cancelled_timer_tells_the_time_left_and_fires_no_more() {
    both(|api| async move {
        let recorder = api.start("recorder", json!(null)).await;
        let request = json!({"process": recorder, "message": "tick", "after": "60s", "withReference": true});
        let timer = api.ok("SendMessageAfter", request).await["timer"].clone();
        let left = api.ok("CancelTimer", json!({"timer": timer})).await["remaining"].clone();
        assert!((1.0..=60.0).contains(&seconds(&left)), "{left}");
        assert_eq!(&*api.err("CancelTimer", json!({"timer": timer})).await.reason, "NO_TIMER");
        assert_eq!(read(&api, &recorder).await, [""; 0]);
    });
}

// covers: send_message_after/3
#[test]
fn a_timer_with_a_reference_delivers_it_and_one_in_the_past_fires_at_once() {
    both(|api| async move {
        let recorder = api.start("recorder", json!(null)).await;
        let past =
            json!({"process": recorder, "message": "x", "at": "2001-01-01T00:00:00Z", "withReference": true});
        let timer = api.ok("SendMessageAfter", past).await["timer"].clone();
        assert_eq!(received(&api, &recorder, 1).await, [json!(["timeout", timer, "x"])]);
        for wrong in [json!({"process": recorder}), json!({"process": recorder, "after": "-1s"})] {
            let failure = api.err("SendMessageAfter", wrong).await;
            assert_eq!(&*failure.code, "INVALID_ARGUMENT");
        }
    });
}

// covers: send_message_after/3
#[test]
fn a_timer_ends_with_its_process_and_a_name_is_looked_up_when_it_fires() {
    both(|api| async move {
        let plain = api.start("plain", json!(null)).await;
        let request = json!({"process": plain, "message": 1, "after": "60s"});
        let timer = api.ok("SendMessageAfter", request).await["timer"].clone();
        let (mut ms, mut is_there) = (50, false);
        while !is_there {
            let by_name =
                json!({"process": "later", "message": "tick", "after": format!("{}s", f64::from(ms) / 1e3)});
            api.ok("SendMessageAfter", by_name).await;
            let started =
                api.ok("StartProcess", json!({"module": "recorder", "name": "later"})).await["pid"].clone();
            let fired = || async {
                let lost = api.ok("ListDeadLetters", json!({"filter": "message == 'tick'"})).await;
                let is_lost = lost["deadLetters"].as_array().is_some_and(|letters| !letters.is_empty());
                let is_there = read(&api, started.as_str().unwrap()).await == ["tick"];
                (is_there || is_lost).then_some(is_there)
            };
            is_there = api.eventually(fired).await;
            api.ok("KillProcess", json!({"process": started})).await;
            // one that fires before anybody has the name says nothing
            ms *= 2;
        }
        api.ok("KillProcess", json!({"process": plain})).await;
        api.eventually(|| async { api.call("GetTimer", json!({"timer": timer})).await.err() }).await;
    });
}

// covers: send_message_after/3
#[test]
fn a_timer_outlives_who_made_it_and_is_cancelled_by_anybody() {
    both(|api| async move {
        let recorder = api.start("recorder", json!(null)).await;
        let session = api.ok("CreateSession", json!({})).await;
        let maker = api.with_session(session["session"].as_str().unwrap());
        let timer =
            |message: &str, after: &str| json!({"process": recorder, "message": message, "after": after});
        let far = maker.ok("SendMessageAfter", timer("never", "3600s")).await["timer"].clone();
        maker.ok("SendMessageAfter", timer("tick", "1s")).await;
        api.ok("CloseSession", json!({"session": session["session"]})).await;
        let stranger = api.ok("CreateSession", json!({})).await;
        let stranger = api.with_session(stranger["session"].as_str().unwrap());
        let left = stranger.ok("CancelTimer", json!({"timer": far})).await["remaining"].clone();
        assert!(seconds(&left) > 60.0, "{left}");
        assert_eq!(received(&api, &recorder, 1).await, ["tick"]);
    });
}

// covers: list_timers, get_timer, cancel_timer
#[test]
fn a_list_of_timers_has_those_of_the_process_that_the_filter_keeps() {
    both(|api| async move {
        let (one, two) = (api.start("plain", json!(null)).await, api.start("plain", json!(null)).await);
        for (process, message, after) in [(&one, "b", "90s"), (&one, "a", "80s"), (&two, "a", "70s")] {
            api.ok("SendMessageAfter", json!({"process": process, "message": message, "after": after})).await;
        }
        let list = |filter: &str| json!({"process": one, "filter": filter});
        let timers = api.ok("ListTimers", list("")).await["timers"].clone();
        let messages: Vec<_> =
            timers.as_array().unwrap().iter().map(|timer| timer["message"].clone()).collect();
        assert_eq!(messages, ["a", "b"]);
        let timers = api.ok("ListTimers", list("message == 'b' && remaining > 60.0")).await["timers"].clone();
        assert_eq!(timers.as_array().unwrap().len(), 1);
        assert_eq!(&*api.err("ListTimers", list("colour == 1")).await.reason, "BAD_FILTER");
        let dead = dead(&api).await;
        let request = json!({"process": dead, "message": 1, "after": "60s"});
        let timer = api.ok("SendMessageAfter", request).await["timer"].clone();
        assert_eq!(&*api.err("GetTimer", json!({"timer": timer})).await.reason, "NO_TIMER");
    });
}
