//! Operations on a process of another node.

use super::{add, among, counter_on_2};
use arsenal_runtime::OwnedId;
use arsenal_services::operations::{self, Route};
use arsenal_tests::{Api, Failure};
use serde_json::{Map, Value, json};

#[test]
fn a_process_is_reached_by_each_kind_of_reference_from_a_node_that_does_not_have_it() {
    among(3, |cluster, transport| async move {
        let (first, third) = (cluster.api(1, transport).await, cluster.api(3, transport).await);
        let pid = counter_on_2(&first).await;
        first.ok("RegisterProcess", json!({"process": pid, "name": "here"})).await;
        first.ok("RegisterProcessGlobally", json!({"process": pid, "name": "there"})).await;
        let references = [&*pid, "here@n2", "there@global", "there", "there@key"];
        for (count, reference) in (1..).zip(references) {
            let before = add(&third, reference, 1).await;
            assert_eq!(before, json!(count), "{reference}");
        }
        let unknown = third.err("CallProcess", json!({"process": "here", "message": "get"})).await;
        assert_eq!(
            (&*unknown.code, &*unknown.reason),
            ("NOT_FOUND", "NOPROC"),
            "a local name of another node"
        );
        let at = third.with_header("arsenal-node", "n2");
        assert_eq!(add(&at, "here", 1).await, json!(6), "a bare name on the node that the header names");
        assert_eq!(add(&at, "there", 1).await, json!(7), "a global one by way of that node");
    });
}

#[test]
fn a_bare_name_that_the_node_named_by_the_header_does_not_have_is_found_globally_on_a_third() {
    among(3, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let pid = counter_on_2(&first).await;
        first.ok("RegisterProcessGlobally", json!({"process": pid, "name": "wanted"})).await;
        let at_third = first.with_header("arsenal-node", "n3");
        assert_eq!(add(&at_third, "wanted", 5).await, json!(5));
        let nowhere = first.with_header("arsenal-node", "n9");
        let refused = nowhere.err("CallProcess", json!({"process": "wanted", "message": "get"})).await;
        assert_eq!((&*refused.code, &*refused.reason), ("NOT_FOUND", "UNKNOWN_NODE"));
    });
}

#[test]
fn a_global_name_is_resolved_once_by_the_node_that_was_asked() {
    among(2, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let (holder, bystander) = (counter_on_2(&first).await, counter_on_2(&first).await);
        first.ok("RegisterProcessGlobally", json!({"process": holder, "name": "n"})).await;
        // on its own node the same word is somebody else's local name
        first.ok("RegisterProcess", json!({"process": bystander, "name": "n"})).await;
        assert_eq!(add(&first, "n", 3).await, json!(3));
        assert_eq!(add(&first, &holder, 0).await, json!(3), "it was the holder of the global name");
        let second = cluster.api(2, transport).await;
        let ambiguous = second.err("CallProcess", json!({"process": "n", "message": "get"})).await;
        assert_eq!(ambiguous.reason, "AMBIGUOUS_NAME");
    });
}

fn is_time(text: &str) -> bool {
    let is =
        |end: char| text.strip_suffix(end).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    is('Z') || is('s')
}

/// What differs from one process to another, or from one moment to the next, made the same.
fn blurred(value: &Value, pid: &str) -> Value {
    match value {
        Value::Number(_) => json!("a number"),
        Value::String(text) if text.parse::<f64>().is_ok() => json!("a number"),
        Value::String(text) if is_time(text) => json!("a time"),
        Value::String(text) if text.parse::<OwnedId>().is_ok() => json!("an id"),
        Value::String(text) => json!(text.replace(pid, "PID")),
        Value::Array(values) => values.iter().map(|value| blurred(value, pid)).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| (name.clone(), blurred(value, pid)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn told(outcome: Result<Value, Failure>, pid: &str) -> Value {
    match outcome {
        Ok(answer) => blurred(&answer, pid),
        Err(failure) => json!({
            "code": failure.code,
            "reason": failure.reason,
            "message": blurred(&failure.message.into(), pid),
            "details": blurred(&failure.details.into(), pid),
        }),
    }
}

/// A request for an operation that names its process, and says what little else it has to.
fn request(operation: &operations::Operation, pid: &str) -> Value {
    let input = operation.method.input();
    let field = input.get_field(1).unwrap();
    let mut request = json!({ field.json_name(): pid });
    for (name, value) in [
        ("message", json!(["add", 1])),
        ("reason", json!("gone")),
        ("name", json!(format!("named-{pid}"))),
        ("filter", json!("true")),
        ("after", json!("3600s")),
        ("to", json!(pid)),
        ("other", json!(pid)),
        ("watcher", json!(pid)),
    ] {
        if input.get_field_by_name(name).is_some_and(|field| field.number() != 1 && !field.is_list()) {
            request[name] = value;
        }
    }
    request
}

async fn started(api: &Api) -> String {
    let module = json!({"node": "n2", "module": "counter", "args": {}});
    api.ok("StartProcess", module).await["pid"].as_str().unwrap().to_owned()
}

/// How often an operation is tried until its answers are alike.
const TRIES_MAX: u32 = 5;

#[test]
fn every_operation_on_a_process_answers_from_afar_as_it_does_at_home() {
    among(2, |cluster, transport| async move {
        let (afar, home) = (cluster.api(1, transport).await, cluster.api(2, transport).await);
        let operations = operations::all().into_iter();
        let unary = operations.filter(|operation| {
            operation.route == Route::Process
                && !operation.method.is_server_streaming()
                && operation.method.name() != "AwaitExit"
        });
        let mut compared = 0;
        for operation in unary {
            let rpc = operation.method.name();
            let (mut at_home, mut from_afar, mut tries) = (String::new(), String::new(), 0);
            // one may be caught in another moment of its life than the other, but not each time
            while tries < TRIES_MAX {
                // two processes alike, since many an operation is the last
                (at_home, from_afar) = (started(&home).await, started(&home).await);
                let expected = told(home.call(rpc, request(&operation, &at_home)).await, &at_home);
                let seen = told(afar.call(rpc, request(&operation, &from_afar)).await, &from_afar);
                tries += 1;
                if seen == expected {
                    break;
                }
                assert!(tries < TRIES_MAX, "{rpc} over {transport:?}: {seen}, and at home {expected}");
            }
            for pid in [&at_home, &from_afar] {
                home.call("KillProcess", json!({"process": pid})).await.ok();
            }
            let expected = told(home.call(rpc, request(&operation, &at_home)).await, &at_home);
            let seen = told(afar.call(rpc, request(&operation, &from_afar)).await, &from_afar);
            assert_eq!(seen, expected, "{rpc} of a dead process over {transport:?}");
            compared += 1;
        }
        assert!(compared > 60, "only {compared} operations");
    });
}

// covers: get_process_links/1
#[test]
fn a_link_between_nodes_is_seen_from_both_ends_until_it_is_undone() {
    among(2, |cluster, transport| async move {
        let (first, second) = (cluster.api(1, transport).await, cluster.api(2, transport).await);
        let (here, there) = (first.start("counter", json!({})).await, counter_on_2(&first).await);
        let both_have = async |links: bool| {
            for api in [&first, &second] {
                for (end, other) in [(&here, &there), (&there, &here)] {
                    let expected = if links { json!([other]) } else { json!([]) };
                    let seen = || async {
                        let answer = api.ok("GetProcessLinks", json!({"process": end})).await;
                        (answer["links"] == expected).then_some(())
                    };
                    api.eventually(seen).await;
                }
            }
        };
        both_have(false).await;
        first.ok("LinkProcesses", json!({"process": there, "from": here})).await;
        both_have(true).await;
        second.ok("UnlinkProcesses", json!({"process": there, "from": here})).await;
        both_have(false).await;
    });
}

#[test]
fn an_id_leads_to_the_node_that_owns_it() {
    among(2, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let pid = counter_on_2(&first).await;
        let timer = json!({"process": pid, "message": ["add", 1], "after": "3600s"});
        let timer = first.ok("SendMessageAfter", timer).await["timer"].as_str().unwrap().to_owned();
        assert!(timer.starts_with("n2."), "{timer}");
        assert_eq!(first.ok("GetTimer", json!({"timer": timer})).await["timer"]["process"], json!(pid));
        first.ok("CancelTimer", json!({"timer": timer})).await;
        let gone = first.err("GetTimer", json!({"timer": timer})).await;
        assert_eq!(gone.code, "NOT_FOUND");
    });
}

#[test]
fn a_repeat_by_way_of_another_node_gets_the_answer_of_the_one_that_executed_it() {
    among(3, |cluster, transport| async move {
        let first = cluster.api(1, transport).await.with_header("idempotency-key", "once");
        let third = cluster.api(3, transport).await.with_header("idempotency-key", "once");
        let pid = counter_on_2(&cluster.api(1, transport).await).await;
        assert_eq!(add(&first, &pid, 5).await, json!(5));
        assert_eq!(add(&third, &pid, 5).await, json!(5), "it was not done a second time");
        assert_eq!(add(&cluster.api(2, transport).await, &pid, 1).await, json!(6));
    });
}

#[test]
fn a_session_acts_for_itself_on_other_nodes() {
    among(2, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let session = first.ok("CreateSession", json!({})).await;
        let pid = counter_on_2(&first).await;
        let acting = first.with_session(session["session"].as_str().unwrap());
        assert_eq!(add(&acting, &pid, 2).await, json!(2));
        let nobody = first.with_session("n1.1-s999999");
        let refused = nobody.err("CallProcess", json!({"process": pid, "message": "get"})).await;
        assert_eq!((&*refused.code, &*refused.reason), ("NOT_FOUND", "NO_SESSION"));
        let own = cluster.api(2, transport).await;
        let seen = own.ok("GetSession", json!({"session": session["session"]})).await;
        assert_eq!(seen["pid"], session["pid"], "the session is asked for where it is");
    });
}

#[test]
fn whichever_node_is_asked_a_session_lives_by_its_use_and_is_refused_once_it_has_ended() {
    among(3, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let session = first.ok("CreateSession", json!({"lease": "60s"})).await["session"].clone();
        let pid = counter_on_2(&first).await;
        let expires =
            || async { first.ok("GetSession", json!({"session": session})).await["expireTime"].clone() };
        // at the node of the process, and at one that has neither
        for node in [2, 3] {
            let before = expires().await;
            let acting = cluster.api(node, transport).await.with_session(session.as_str().unwrap());
            let renewed = || async {
                add(&acting, &pid, 1).await;
                (expires().await != before).then_some(())
            };
            acting.eventually(renewed).await;
        }
        first.ok("CloseSession", json!({"session": session})).await;
        for node in [2, 3] {
            let acting = cluster.api(node, transport).await.with_session(session.as_str().unwrap());
            let ask = || acting.call("CallProcess", json!({"process": pid, "message": "get"}));
            let refused = acting.eventually(|| async { ask().await.err() }).await;
            assert_eq!((&*refused.code, &*refused.reason), ("NOT_FOUND", "NO_SESSION"), "by n{node}");
            let nobody = cluster.api(node, transport).await.with_session("n1.1-s999999");
            let nobody = nobody.err("CallProcess", json!({"process": pid, "message": "get"})).await;
            assert_eq!((&*nobody.code, &*nobody.reason), ("NOT_FOUND", "NO_SESSION"), "by n{node}");
        }
    });
}

#[test]
fn nobody_acts_for_a_session_of_a_node_that_does_not_answer() {
    among(2, |cluster, transport| async move {
        let (first, second) = (cluster.api(1, transport).await, cluster.api(2, transport).await);
        let session = first.ok("CreateSession", json!({})).await["session"].clone();
        let pid = counter_on_2(&first).await;
        let (_nobody, address) = arsenal_tests::nobody();
        cluster.move_to(1, address);
        let acting = second.with_session(session.as_str().unwrap());
        let refused = acting.err("CallProcess", json!({"process": pid, "message": ["add", 1]})).await;
        assert_eq!((&*refused.code, &*refused.reason), ("UNAVAILABLE", "NOCONNECTION"));
        assert_eq!(add(&second, &pid, 0).await, json!(0), "nothing was done");
    });
}
