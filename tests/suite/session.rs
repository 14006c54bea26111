//! `SessionService`: a client as a process, with a lease and on a stream.

mod socket;
mod stream;

use arsenal_services::operations;
use arsenal_tests::{Api, Transport, both, both_with, on};
use serde_json::{Value, json};

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

async fn create(api: &Api, request: Value) -> (Api, String, String) {
    let session = api.ok("CreateSession", request).await;
    let id = text(&session["session"]);
    (api.with_session(&id), id, text(&session["pid"]))
}

async fn receive(api: &Api, request: Value) -> Vec<Value> {
    let answer = api.ok("ReceiveMessages", request).await;
    answer["messages"].as_array().cloned().unwrap_or_default()
}

async fn send(api: &Api, to: &str, message: Value) {
    api.ok("SendMessage", json!({"process": to, "message": message})).await;
}

#[test]
fn a_session_is_a_process_that_is_found_listed_and_closed() {
    both(|api| async move {
        let (_, id, pid) = create(&api, json!({"name": "client", "labels": {"team": "red"}})).await;
        let session = api.ok("GetSession", json!({"session": id})).await;
        assert_eq!((&session["pid"], &session["name"]), (&json!(pid), &json!("client")));
        assert_eq!(session["trapExit"], true);
        assert!(session["expireTime"].is_string());
        let process = api.ok("GetProcessInfo", json!({"process": "client"})).await["process"].clone();
        assert_eq!((&process["pid"], &process["kind"]), (&json!(pid), &json!("SESSION")));

        let (_, other, _) = create(&api, json!({})).await;
        let listed = api.ok("ListSessions", json!({"filter": "labels.team == 'red'"})).await;
        assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
        assert_eq!(listed["sessions"][0]["session"], id);
        assert_eq!(api.ok("ListSessions", json!({})).await["sessions"].as_array().unwrap().len(), 2);
        let taken = api.err("CreateSession", json!({"name": "client"})).await;
        assert_eq!((taken.code.as_str(), taken.reason.as_str()), ("ALREADY_EXISTS", "ALREADY_STARTED"));

        send(&api, &pid, json!("lost")).await;
        let closed = api.ok("CloseSession", json!({"session": id, "reason": ["shutdown", "x"]})).await;
        assert_eq!((&closed["pid"], &closed["reason"]), (&json!(pid), &json!(["shutdown", "x"])));
        assert_eq!(api.err("GetSession", json!({"session": id})).await.reason, "NO_SESSION");
        assert_eq!(api.err("CloseSession", json!({"session": id})).await.reason, "NO_SESSION");
        api.ok("GetSession", json!({"session": other})).await;
        let no_session = api.err("GetSession", json!({"session": "n1.1-s999"})).await;
        assert_eq!((no_session.code.as_str(), no_session.reason.as_str()), ("NOT_FOUND", "NO_SESSION"));
    });
}

#[test]
fn a_session_ends_with_its_lease_unless_it_is_used() {
    both(|api| async move {
        let (_, id, pid) = create(&api, json!({"lease": "60s"})).await;
        let renewed = api.ok("RenewSession", json!({"session": id, "lease": "3600s"})).await;
        assert_eq!(renewed["session"], id);
        let short = api.ok("RenewSession", json!({"session": id, "lease": "0.05s"})).await;
        assert!(text(&short["expireTime"]) < text(&renewed["expireTime"]));
        let record = api.ok("AwaitExit", json!({"process": pid, "timeout": "60s"})).await;
        assert_eq!(record["reason"], "noconnection");
        assert_eq!(api.err("RenewSession", json!({"session": id})).await.reason, "NO_SESSION");

        // whoever waits for a message uses the session all the while
        let (client, id, _) = create(&api, json!({"lease": "2s"})).await;
        let alive = receive(&client, json!({"session": id, "timeout": "5s"})).await;
        assert!(alive.is_empty(), "nothing came, and the session has not ended");
        for lease in ["0s", "90000s"] {
            assert_eq!(api.err("CreateSession", json!({"lease": lease})).await.reason, "BADARG");
        }
    });
}

#[test]
fn a_receive_takes_what_matches_and_leaves_the_rest_in_order() {
    both(|api| async move {
        let (client, id, me) = create(&api, json!({})).await;
        for message in [json!(["a", 1]), json!(["b", 2]), json!(["a", 3]), json!("plain")] {
            send(&client, &me, message).await;
        }
        let taken = receive(&client, json!({"session": id, "match": "message[0] == 'a'", "max": 10})).await;
        assert_eq!(taken.len(), 2);
        assert_eq!((&taken[0]["message"], &taken[1]["message"]), (&json!(["a", 1]), &json!(["a", 3])));
        assert_eq!((&taken[0]["kind"], &taken[0]["from"]), (&json!("INFO"), &json!(me)));
        assert_eq!((&taken[0]["sequence"], &taken[1]["sequence"]), (&json!("1"), &json!("3")));
        assert!(receive(&client, json!({"session": id, "match": "message[0] == 'z'"})).await.is_empty());
        let answer = client.ok("ReceiveMessages", json!({"session": id})).await;
        assert_eq!(answer["messages"].as_array().unwrap().len(), 1, "one where `max` is absent");
        assert_eq!(
            (&answer["messages"][0]["message"], &answer["queueLength"]),
            (&json!(["b", 2]), &json!("1"))
        );
        let bad = client.err("ReceiveMessages", json!({"session": id, "match": "message =="})).await;
        assert_eq!((bad.code.as_str(), bad.reason.as_str()), ("INVALID_ARGUMENT", "BAD_FILTER"));
        for request in [json!({"session": id, "max": 1001}), json!({"session": id, "timeout": "61s"})] {
            assert_eq!(client.err("ReceiveMessages", request).await.reason, "BADARG");
        }
    });
}

#[test]
fn a_waiting_receive_gets_what_comes_and_hears_of_the_end() {
    both(|api| async move {
        let (client, id, me) = create(&api, json!({})).await;
        let request = json!({"session": id, "match": "message == 'second'", "timeout": "60s"});
        let (taken, ()) = tokio::join!(receive(&client, request), async {
            send(&api, &me, json!("first")).await;
            send(&api, &me, json!("second")).await;
        });
        assert_eq!(taken[0]["message"], "second");
        assert_eq!(receive(&client, json!({"session": id})).await[0]["message"], "first");

        let waiting = client.call("ReceiveMessages", json!({"session": id, "timeout": "60s"}));
        let (ended, closed) =
            tokio::join!(waiting, api.call("CloseSession", json!({"session": id, "reason": "bye"})));
        closed.unwrap();
        let ended = ended.unwrap_err();
        // the close may come before the receive does
        assert!(["EXITED", "NO_SESSION"].contains(&ended.reason.as_str()), "{ended:?}");
    });
}

#[test]
fn a_call_to_a_session_is_answered_by_its_client() {
    both(|api| async move {
        let (client, id, me) = create(&api, json!({})).await;
        let calling = api.call("CallProcess", json!({"process": me, "message": ["question", 1]}));
        let answering = async {
            let call =
                receive(&client, json!({"session": id, "match": "kind == 'CALL'", "timeout": "60s"})).await;
            assert_eq!(call[0]["message"], json!(["question", 1]));
            let reply = json!({"session": id, "reference": call[0]["reference"], "reply": 42});
            client.ok("ReplyMessage", reply.clone()).await;
            client.err("ReplyMessage", reply).await
        };
        let (answer, again) = tokio::join!(calling, answering);
        assert_eq!(answer.unwrap()["reply"], 42);
        assert_eq!((again.code.as_str(), again.reason.as_str()), ("NOT_FOUND", "NO_REFERENCE"));

        let unanswered =
            api.err("CallProcess", json!({"process": me, "message": 1, "timeout": "0.05s"})).await;
        assert_eq!(unanswered.code, "DEADLINE_EXCEEDED");
        let late = receive(&client, json!({"session": id, "match": "kind == 'CALL'"})).await;
        assert_eq!(late.len(), 1, "the request is there still");
    });
}

#[test]
fn a_watch_shows_the_mailbox_and_takes_nothing() {
    both(|api| async move {
        let (client, id, me) = create(&api, json!({})).await;
        for number in 1..=3 {
            send(&api, &me, json!(number)).await;
        }
        let mut all = client.stream("WatchSessionMessages", json!({"session": id})).await;
        for number in 1..=3 {
            assert_eq!(all.next().await.unwrap().unwrap()["message"], number);
        }
        let resumed = json!({"session": id, "after": "2", "match": "message > 2"});
        let mut resumed = client.stream("WatchSessionMessages", resumed).await;
        assert_eq!(resumed.next().await.unwrap().unwrap()["sequence"], "3");
        send(&api, &me, json!(1)).await;
        send(&api, &me, json!(9)).await;
        assert_eq!(resumed.next().await.unwrap().unwrap()["message"], 9);
        assert_eq!(all.next().await.unwrap().unwrap()["message"], 1);
        assert_eq!(
            receive(&client, json!({"session": id, "max": 10})).await.len(),
            5,
            "nothing was taken out"
        );
        api.ok("CloseSession", json!({"session": id})).await;
        all.next().await.unwrap().unwrap();
        let ended = all.next().await.unwrap().unwrap_err();
        assert_eq!((ended.code.as_str(), ended.reason.as_str()), ("ABORTED", "EXITED"));
    });
}

#[test]
fn a_request_for_a_session_that_is_not_there_is_refused_whatever_it_asks() {
    on(Transport::Grpc, |sandbox, api| async move {
        let before = sandbox.node().process_count();
        for session in ["n1.1-s999", "n7.1-s1", "no session"] {
            let acting = api.with_session(session);
            for operation in operations::all() {
                let rpc = operation.method.name();
                let refused = acting.answers(rpc, &json!({})).await.err();
                let refused = refused.map(|failure| (failure.code, failure.reason));
                assert_eq!(refused, Some(("NOT_FOUND".into(), "NO_SESSION".into())), "{rpc} for `{session}`");
            }
        }
        assert_eq!(sandbox.node().process_count(), before);
    });
}

// covers: start_process/3
#[test]
fn nothing_starts_for_a_session_that_has_ended() {
    both_with(|sandbox, api| async move {
        let (client, id, _) = create(&api, json!({})).await;
        client.ok("StartProcess", json!({"module": "counter"})).await;
        api.ok("CloseSession", json!({"session": id})).await;
        let before = sandbox.node().process_count();
        let refused = client.err("StartProcess", json!({"module": "counter"})).await;
        assert_eq!((refused.code.as_str(), refused.reason.as_str()), ("NOT_FOUND", "NO_SESSION"));
        assert_eq!(sandbox.node().process_count(), before);
    });
}

#[test]
fn a_repeat_is_answered_though_its_session_has_ended_meanwhile() {
    on(Transport::Grpc, |_, api| async move {
        let (client, id, _) = create(&api, json!({})).await;
        let once = client.with_header("idempotency-key", "once");
        let first = once.ok("StartProcess", json!({"module": "counter"})).await;
        api.ok("CloseSession", json!({"session": id})).await;
        assert_eq!(once.ok("StartProcess", json!({"module": "counter"})).await, first);
    });
}
