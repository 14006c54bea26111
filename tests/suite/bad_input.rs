//! Whatever a client sends gets a precise status and breaks nothing: after each, the node answers an ordinary call.

mod grpc;
mod rest;

use arsenal_services::operations;
use arsenal_tests::{Api, Transport, both, on};
use serde_json::{Value, json};

/// That the node is unharmed: a process starts, answers and ends.
async fn still_serves(api: &Api) {
    let pid = api.start("counter", json!({})).await;
    let reply = api.ok("CallProcess", json!({"process": pid, "message": ["add", 2]})).await;
    assert_eq!(reply["reply"], json!(2));
    api.ok("KillProcess", json!({"process": pid})).await;
}

/// Calls that must fail with this code and reason, over both transports, whatever they are asked of.
fn refused(calls: &[(&str, Value, &str, &str)]) {
    both(|api| async move {
        for (rpc, request, code, reason) in calls {
            let failure = api.err(rpc, request.clone()).await;
            assert_eq!((&*failure.code, &*failure.reason), (*code, *reason), "{rpc} {request}: {failure:?}");
            assert!(!failure.message.is_empty(), "{rpc} {request}");
        }
        still_serves(&api).await;
    });
}

/// Whether `google.api.field_behavior` says that a field must be set.
fn is_required(field: &prost_reflect::FieldDescriptor) -> bool {
    let behavior =
        field.parent_file().parent_pool().get_extension_by_name("google.api.field_behavior").unwrap();
    let options = field.options();
    let values = options.get_extension(&behavior);
    values.as_list().is_some_and(|values| values.iter().any(|value| value.as_enum_number() == Some(2)))
}

#[test]
fn a_request_without_what_it_requires_is_refused() {
    // over REST most of it stands in the path, and cannot be left out
    on(Transport::Grpc, |_, api| async move {
        let (mut left_out, mut taken) = (0, Vec::new());
        for operation in operations::all().iter().filter(|each| !each.method.is_client_streaming()) {
            if !operation.method.input().fields().any(|field| is_required(&field)) {
                continue;
            }
            left_out += 1;
            match api.call(operation.method.name(), json!({})).await {
                // an id that is left out is nobody's
                Err(failure) if ["INVALID_ARGUMENT", "NOT_FOUND"].contains(&&*failure.code) => {}
                other => taken.push(format!("{}: {other:?}", operation.method.name())),
            }
        }
        assert!(taken.is_empty(), "{}", taken.join("\n"));
        assert!(left_out > 80, "{left_out} operations require anything");
        still_serves(&api).await;
    });
}

#[test]
fn unknown_names_are_not_found() {
    refused(&[
        ("GetProcessInfo", json!({"process": "nobody"}), "NOT_FOUND", "NOPROC"),
        ("GetProcessInfo", json!({"process": "nobody@n1"}), "NOT_FOUND", "NOPROC"),
        ("CallProcess", json!({"process": "nobody@global", "message": 1}), "NOT_FOUND", "NOPROC"),
        ("CallProcess", json!({"process": "no-key@key", "message": 1}), "NOT_FOUND", "NOPROC"),
        ("StartProcess", json!({"module": "no_such_module"}), "NOT_FOUND", "UNKNOWN_MODULE"),
        ("ListAllProcesses", json!({"node": "n99"}), "NOT_FOUND", "UNKNOWN_NODE"),
    ]);
}

#[test]
fn pids_that_never_were_or_are_no_more_are_not_found() {
    refused(&[
        ("GetProcessInfo", json!({"process": "n1.1.999999"}), "NOT_FOUND", "NOPROC"),
        // another life of this node
        ("GetProcessInfo", json!({"process": "n1.7.1"}), "NOT_FOUND", "NOPROC"),
        ("KillProcess", json!({"process": "n1.1.18446744073709551615"}), "NOT_FOUND", "NOPROC"),
    ]);
    both(|api| async move {
        let pid = api.start("counter", json!({})).await;
        api.ok("KillProcess", json!({"process": pid})).await;
        let gone = || async { api.call("GetProcessInfo", json!({"process": pid})).await.err() };
        let failure = api.eventually(gone).await;
        assert_eq!((&*failure.code, &*failure.reason), ("NOT_FOUND", "NOPROC"));
        assert_eq!(failure.exit, Some(json!("killed")));
        still_serves(&api).await;
    });
}

#[test]
fn values_that_cannot_be_are_invalid_arguments_that_name_the_field() {
    both(|api| async move {
        let long = "x".repeat(256);
        let wrong = [
            ("StartProcess", json!({"module": "counter", "name": "a/b"}), "name"),
            ("StartProcess", json!({"module": "counter", "name": "n1.1.1"}), "name"),
            ("StartProcess", json!({"module": "counter", "name": "undefined"}), "name"),
            ("StartProcess", json!({"module": "counter", "name": long}), "name"),
            ("StartProcess", json!({"module": "counter", "name": "line\nbreak"}), "name"),
            ("ListAllProcesses", json!({"pageSize": -1}), "page_size"),
            ("ListAllProcesses", json!({"pageToken": "no token of ours"}), "page_token"),
            ("ListAllProcesses", json!({"orderBy": "no_such_field"}), "order_by"),
        ];
        for (rpc, request, field) in wrong {
            let failure = api.err(rpc, request.clone()).await;
            assert_eq!(failure.code, "INVALID_ARGUMENT", "{rpc} {request}: {failure:?}");
            assert!(json!(failure.details).to_string().contains(field), "{rpc} {request}: {failure:?}");
        }
        still_serves(&api).await;
    });
}

#[test]
fn a_filter_that_is_none_says_where() {
    both(|api| async move {
        for filter in ["status ==", "no_such_variable > 1", "((((", "'unterminated", "1 +"] {
            let failure = api.err("ListAllProcesses", json!({"filter": filter})).await;
            assert_eq!((&*failure.code, &*failure.reason), ("INVALID_ARGUMENT", "BAD_FILTER"), "{filter}");
        }
        still_serves(&api).await;
    });
}

#[test]
fn a_filter_nested_without_end_is_refused() {
    both(|api| async move {
        let filter = format!("{}true{}", "(".repeat(1_000), ")".repeat(1_000));
        let failure = api.err("ListAllProcesses", json!({"filter": filter})).await;
        assert_eq!(failure.code, "INVALID_ARGUMENT", "{failure:?}");
        still_serves(&api).await;
    });
}

#[test]
fn a_filter_that_compares_two_types_is_refused_wherever_something_is_filtered() {
    both(|api| async move {
        let (process, supervisor) =
            (api.start("plain", json!({})).await, api.ok("StartSupervisor", json!({})).await);
        let session = api.ok("CreateSession", json!({})).await;
        let wrong = [
            ("ListDeadLetters", json!({"filter": "kind == 3"}), "`kind` is a string", "a number"),
            ("ListExits", json!({"filter": "incarnation == 'x'"}), "`incarnation` is a number", "a string"),
            (
                "ListTimers",
                json!({"filter": "with_reference == 1"}),
                "`with_reference` is a bool",
                "a number",
            ),
            ("ListHolds", json!({"filter": "count == 'x'"}), "`count` is a number", "a string"),
            ("ListSessions", json!({"filter": "labels == 'x'"}), "`labels` is a map", "a string"),
            ("ListSupervisors", json!({"filter": "owed == 'x'"}), "`owed` is a list", "a string"),
            ("ListOperations", json!({"filter": "name == true"}), "`name` is a string", "a bool"),
            ("ListConnectedNodes", json!({"filter": "state == 1"}), "`state` is a string", "a number"),
            ("ListGlobalNames", json!({"filter": "token == 'x'"}), "`token` is a number", "a string"),
            (
                "SearchMailbox",
                json!({"process": process, "filter": "position == 'a'"}),
                "a number",
                "a string",
            ),
            ("CountMailboxMessages", json!({"process": process, "key": "kind == 3"}), "a string", "a number"),
            (
                "WhichChildren",
                json!({"supervisor": supervisor["pid"], "filter": "id == 1"}),
                "a string",
                "a number",
            ),
            (
                "ReceiveMessages",
                json!({"session": session["session"], "match": "kind == 1"}),
                "a string",
                "a number",
            ),
        ];
        for (rpc, request, has, is) in wrong {
            let failure = api.err(rpc, request.clone()).await;
            assert_eq!(failure.reason, "BAD_FILTER", "{rpc} {request}: {failure:?}");
            assert!(failure.message.contains(has) && failure.message.contains(is), "{rpc}: {failure:?}");
        }
        // what somebody sent or said may be anything
        api.ok("ListExits", json!({"filter": "reason == 3"})).await;
        api.ok("SearchMailbox", json!({"process": process, "filter": "message == 3"})).await;
    });
}
