//! Event managers and their handlers.

use super::{dead, received};
use arsenal_tests::both;
use serde_json::{Value, json};

fn ids(answer: &Value) -> Vec<String> {
    let handlers = answer["handlers"].as_array().cloned().unwrap_or_default();
    handlers.iter().map(|handler| handler["handler"].as_str().unwrap().to_owned()).collect()
}

// covers: add_event_handler, list_event_handlers, notify_event_manager, call_event_handler
#[test]
fn every_handler_handles_an_event_and_each_answers_its_own_calls() {
    both(|api| async move {
        let manager = api.start("event_manager", json!(null)).await;
        let add = |module: &str, id: &str| json!({"process": manager, "module": module, "handler": id});
        api.ok("AddEventHandler", add("counter", "")).await;
        let added = api.ok("AddEventHandler", add("log", "audit")).await;
        assert_eq!(added["handler"]["handler"], json!("audit"));
        let list = api.ok("ListEventHandlers", json!({"process": manager})).await;
        assert_eq!(ids(&list), ["audit", "counter"]);
        api.ok("NotifyEventManager", json!({"process": manager, "message": "one", "sync": true})).await;
        api.ok("NotifyEventManager", json!({"process": manager, "message": "two"})).await;
        let call = |id: &str, message: &str| json!({"process": manager, "handler": id, "message": message});
        assert_eq!(api.ok("CallEventHandler", call("counter", "count")).await["reply"], json!(2));
        assert_eq!(api.ok("CallEventHandler", call("audit", "events")).await["reply"], json!(["one", "two"]));
        let failure = api.err("CallEventHandler", call("nobody", "count")).await;
        assert_eq!((&*failure.code, &*failure.reason), ("NOT_FOUND", "NO_HANDLER"));
    });
}

// covers: delete_event_handler, swap_event_handler
#[test]
fn a_deleted_handler_leaves_its_value_and_a_swapped_one_hands_it_over() {
    both(|api| async move {
        let manager = api.start("event_manager", json!(null)).await;
        api.ok("AddEventHandler", json!({"process": manager, "module": "counter", "args": {"initial": 5}}))
            .await;
        api.ok("NotifyEventManager", json!({"process": manager, "message": "x", "sync": true})).await;
        let swap =
            |old: &str| json!({"process": manager, "handler": old, "module": "counter", "toHandler": "next"});
        let swapped = api.ok("SwapEventHandler", swap("counter")).await;
        assert_eq!((&swapped["swapped"], &swapped["handler"]["handler"]), (&json!(true), &json!("next")));
        let deleted = api.ok("DeleteEventHandler", json!({"process": manager, "handler": "next"})).await;
        assert_eq!(deleted["reply"], json!(6));
        let failure = api.err("DeleteEventHandler", json!({"process": manager, "handler": "next"})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("NOT_FOUND", "NO_HANDLER"));
        // a swap of what is not there adds the new one
        let added = api.ok("SwapEventHandler", swap("absent")).await;
        assert!(!added["swapped"].as_bool().unwrap_or_default());
        assert_eq!(ids(&api.ok("ListEventHandlers", json!({"process": manager})).await), ["next"]);
    });
}

// covers: add_event_handler
#[test]
fn a_supervised_handler_goes_with_its_owner_and_one_without_owner_is_refused() {
    both(|api| async move {
        let (manager, owner) =
            (api.start("event_manager", json!(null)).await, api.start("recorder", json!(null)).await);
        let add = |more: Value| {
            let mut request = json!({"process": manager, "module": "counter", "supervised": true});
            request.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            request
        };
        assert_eq!(&*api.err("AddEventHandler", add(json!({}))).await.reason, "NO_OWNER");
        api.ok("AddEventHandler", add(json!({"owner": owner}))).await;
        let listed = api.ok("ListEventHandlers", json!({"process": manager})).await;
        assert_eq!(listed["handlers"][0]["owner"], json!(owner));
        api.ok("DeleteEventHandler", json!({"process": manager, "handler": "counter"})).await;
        assert_eq!(received(&api, &owner, 1).await, [json!(["gen_event_EXIT", "counter", "normal"])]);
        api.ok("AddEventHandler", add(json!({"owner": owner}))).await;
        api.ok("KillProcess", json!({"process": owner})).await;
        api.eventually(|| async {
            let list = api.ok("ListEventHandlers", json!({"process": manager})).await;
            ids(&list).is_empty().then_some(())
        })
        .await;
    });
}

// covers: add_event_handler, notify_event_manager
#[test]
fn what_is_no_manager_or_no_handler_module_is_refused() {
    both(|api| async move {
        let (manager, plain) =
            (api.start("event_manager", json!(null)).await, api.start("plain", json!(null)).await);
        let failure = api.err("AddEventHandler", json!({"process": manager, "module": "nobody"})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("NOT_FOUND", "UNKNOWN_MODULE"));
        let failure = api.err("AddEventHandler", json!({"process": manager, "module": "relay"})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("FAILED_PRECONDITION", "HANDLER_REFUSED"));
        for rpc in ["AddEventHandler", "NotifyEventManager", "ListEventHandlers"] {
            let failure = api.err(rpc, json!({"process": plain})).await;
            assert_eq!(
                (&*failure.code, &*failure.reason),
                ("FAILED_PRECONDITION", "NOT_EVENT_MANAGER"),
                "{rpc}"
            );
        }
        let gone = dead(&api).await;
        api.ok("NotifyEventManager", json!({"process": gone, "message": 1})).await;
        let failure =
            api.err("NotifyEventManager", json!({"process": gone, "message": 1, "sync": true})).await;
        assert_eq!((&*failure.code, &*failure.reason), ("NOT_FOUND", "NOPROC"));
    });
}
