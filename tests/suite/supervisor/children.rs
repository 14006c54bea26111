//! The children of a supervisor: lists, additions, removals, specs.

use super::{
    add, child, children, dynamic, fail, flags_of, kill, owed, pids, restarted, start, tree, worker,
};
use arsenal_tests::{Api, both};
use serde_json::{Value, json};

// covers: which_children/1
#[test]
fn the_children_are_listed_latest_first_and_a_change_shows_between_pages() {
    both(|api| async move {
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a", "b", "c"]).await;
        let listed = children(&api, &supervisor).await;
        let ids: Vec<&str> = listed.iter().map(|child| child["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["c", "b", "a"]);
        assert_eq!((&listed[0]["type"], &listed[0]["modules"]), (&json!("WORKER"), &json!(["counter"])));
        let first = api.ok("WhichChildren", json!({"supervisor": supervisor, "pageSize": 2})).await;
        let next = json!({"supervisor": supervisor, "pageSize": 2, "pageToken": first["nextPageToken"]});
        let second = api.ok("WhichChildren", next.clone()).await;
        assert_eq!((&second["children"][0]["id"], &second["asOf"]), (&json!("a"), &first["asOf"]));
        assert_eq!(second["nextPageToken"], "");
        api.ok("TerminateChild", json!({"supervisor": supervisor, "child": "b"})).await;
        assert_ne!(api.ok("WhichChildren", next).await["asOf"], first["asOf"]);
        let filter = json!({"supervisor": supervisor, "filter": "state == 'UNDEFINED'"});
        assert_eq!(api.ok("WhichChildren", filter).await["children"].as_array().unwrap().len(), 1);
        let bad = api.err("WhichChildren", json!({"supervisor": supervisor, "filter": "state ="})).await;
        assert_eq!(bad.reason, "BAD_FILTER");
        let other = tree(&api, "ONE_FOR_ONE", &["a"]).await;
        let foreign = json!({"supervisor": other, "pageToken": first["nextPageToken"]});
        assert_eq!(api.err("WhichChildren", foreign).await.reason, "BAD_PAGE_TOKEN");
    });
}

// covers: count_children/1
#[test]
fn children_are_counted_by_kind_running_or_not() {
    both(|api| async move {
        let nested = json!({"id": "nested", "supervisor": {}});
        let supervisor = start(&api, json!({"children": [worker("a"), worker("b"), nested]})).await;
        api.ok("TerminateChild", json!({"supervisor": supervisor, "child": "b"})).await;
        let counts = |counts: Value| {
            let fields = ["specs", "active", "supervisors", "workers"];
            fields.map(|field| counts[field].as_str().unwrap().parse::<u64>().unwrap())
        };
        assert_eq!(counts(api.ok("CountChildren", json!({"supervisor": supervisor})).await), [3, 2, 1, 2]);
        let (supervisor, pids) = dynamic(&api, 3).await;
        let request = json!({"supervisor": supervisor});
        assert_eq!(counts(api.ok("CountChildren", request.clone()).await), [1, 3, 0, 3]);
        api.ok("TerminateChild", json!({"supervisor": supervisor, "child": pids[0]})).await;
        assert_eq!(counts(api.ok("CountChildren", request).await), [1, 2, 0, 2]);
    });
}

/// A supervisor whose child `a` cannot be restarted, as somebody else has its name; and that somebody.
async fn restarting(api: &Api) -> (String, String) {
    let mut named = worker("a");
    named["name"] = json!("slot");
    let supervisor = start(api, json!({"intensity": 1_000_000, "children": [named]})).await;
    api.ok("PauseSupervisor", json!({"supervisor": supervisor, "holder": "test"})).await;
    kill(api, &pids(api, &supervisor).await["a"]).await;
    api.eventually(|| async { (owed(api, &supervisor).await == json!(["a"])).then_some(()) }).await;
    let squatter = api.ok("StartProcess", json!({"module": "counter", "name": "slot"})).await["pid"].clone();
    api.ok("ResumeSupervisor", json!({"supervisor": supervisor, "holder": "test"})).await;
    (supervisor, squatter.as_str().unwrap().to_owned())
}

// covers: delete_child/2
#[test]
fn only_a_stopped_child_is_deleted() {
    both(|api| async move {
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a", "b"]).await;
        let delete = |child: &str| json!({"supervisor": supervisor, "child": child});
        let running = api.err("DeleteChild", delete("a")).await;
        assert_eq!((&*running.code, &*running.reason), ("FAILED_PRECONDITION", "RUNNING"));
        assert_eq!(running.exit, Some(json!("running")));
        let absent = api.err("DeleteChild", delete("x")).await;
        assert_eq!((&*absent.code, &*absent.reason), ("NOT_FOUND", "NOT_FOUND"));
        assert_eq!(absent.exit, Some(json!("not_found")));
        api.ok("TerminateChild", delete("a")).await;
        assert_eq!(api.ok("DeleteChild", delete("a")).await["spec"]["id"], "a");
        assert_eq!(pids(&api, &supervisor).await.into_keys().collect::<Vec<_>>(), ["b"]);
        let (simple, _) = dynamic(&api, 1).await;
        let simple = api.err("DeleteChild", json!({"supervisor": simple, "child": "template"})).await;
        assert_eq!((&*simple.code, &*simple.reason), ("FAILED_PRECONDITION", "SIMPLE_ONE_FOR_ONE"));
        assert_eq!(simple.exit, Some(json!("simple_one_for_one")));
    });
}

#[test]
fn a_child_that_is_being_restarted_is_neither_deleted_nor_restarted() {
    both(|api| async move {
        let (supervisor, squatter) = restarting(&api).await;
        let request = json!({"supervisor": supervisor, "child": "a"});
        for rpc in ["DeleteChild", "RestartChild"] {
            let refused = api.err(rpc, request.clone()).await;
            assert_eq!((&*refused.code, &*refused.reason), ("FAILED_PRECONDITION", "RESTARTING"), "{rpc}");
            assert_eq!(refused.exit, Some(json!("restarting")));
        }
        assert_eq!(child(&api, &supervisor, "a").await["state"], "RESTARTING");
        kill(&api, &squatter).await;
        restarted(&api, &supervisor, "a", "").await;
    });
}

// covers: restart_child/2
#[test]
fn a_stopped_child_starts_again_in_its_place() {
    both(|api| async move {
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a", "b", "c"]).await;
        let before = pids(&api, &supervisor).await;
        let restart = |child: &str| json!({"supervisor": supervisor, "child": child});
        let running = api.err("RestartChild", restart("b")).await;
        assert_eq!((&*running.code, &*running.reason), ("FAILED_PRECONDITION", "RUNNING"));
        assert_eq!(api.err("RestartChild", restart("x")).await.reason, "NOT_FOUND");
        api.ok("TerminateChild", restart("b")).await;
        let again = api.ok("RestartChild", restart("b")).await;
        assert_eq!((&again["incarnation"], &again["ignored"]), (&json!("2"), &json!(false)));
        assert_ne!(again["pid"], json!(before["b"]));
        let order: Vec<Value> =
            children(&api, &supervisor).await.iter().map(|child| child["id"].clone()).collect();
        assert_eq!(order, ["c", "b", "a"]);
        let (simple, pids) = dynamic(&api, 1).await;
        let simple = api.err("RestartChild", json!({"supervisor": simple, "child": pids[0]})).await;
        assert_eq!(simple.reason, "SIMPLE_ONE_FOR_ONE");
    });
}

// covers: terminate_child/2
#[test]
fn a_terminated_child_stays_listed_unless_it_is_temporary() {
    both(|api| async move {
        let mut passing = worker("passing");
        passing["restart"] = json!("TEMPORARY");
        let mut brutal = worker("brutal");
        brutal["brutalKill"] = json!(true);
        let supervisor = start(&api, json!({"children": [worker("a"), passing, brutal]})).await;
        let before = pids(&api, &supervisor).await;
        let terminate = |child: &str| json!({"supervisor": supervisor, "child": child});
        let ended = api.ok("TerminateChild", terminate("a")).await;
        assert_eq!((&ended["pid"], &ended["reason"]), (&json!(before["a"]), &json!("shutdown")));
        assert_eq!((&ended["killed"], &ended["removed"]), (&json!(false), &json!(false)));
        assert_eq!(child(&api, &supervisor, "a").await["state"], "UNDEFINED");
        let killed = api.ok("TerminateChild", terminate("brutal")).await;
        assert_eq!((&killed["killed"], &killed["reason"]), (&json!(true), &json!("killed")));
        let again = api.ok("TerminateChild", terminate("a")).await;
        assert_eq!((&again["pid"], &again["reason"]), (&json!(""), &Value::Null), "it does not run");
        assert_eq!(api.ok("TerminateChild", terminate("passing")).await["removed"], json!(true));
        assert_eq!(api.err("TerminateChild", terminate("passing")).await.reason, "NOT_FOUND");
        assert_eq!(flags_of(&api, &supervisor).await["restartsUsed"], json!(0));

        let (simple, instances) = dynamic(&api, 2).await;
        let by_id = api.err("TerminateChild", json!({"supervisor": simple, "child": "template"})).await;
        assert_eq!((&*by_id.code, &*by_id.reason), ("FAILED_PRECONDITION", "SIMPLE_ONE_FOR_ONE"));
        let by_pid = json!({"supervisor": simple, "child": instances[0]});
        assert_eq!(api.ok("TerminateChild", by_pid).await["pid"], json!(instances[0]));
        assert_eq!(children(&api, &simple).await.len(), 1);
    });
}

// covers: replace_child_spec/3
#[test]
fn a_replaced_spec_stands_in_the_old_place_from_the_next_start_on() {
    both(|api| async move {
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a", "b", "c"]).await;
        let before = pids(&api, &supervisor).await;
        let get = json!({"supervisor": supervisor, "child": "b"});
        let etag = api.ok("GetChildSpec", get.clone()).await["etag"].clone();
        let replace = |initial: i64, etag: &Value, restart: bool| {
            let spec = json!({"module": "counter", "args": {"initial": initial}, "etag": etag});
            json!({"supervisor": supervisor, "child": "b", "spec": spec, "restart": restart})
        };
        let replaced = api.ok("ReplaceChildSpec", replace(7, &etag, false)).await;
        assert_eq!(replaced["pid"], json!(before["b"]), "it runs on");
        let count = |pid: String| {
            let api = api.clone();
            async move { api.ok("CallProcess", json!({"process": pid, "message": "get"})).await["reply"].clone() }
        };
        assert_eq!(count(before["b"].clone()).await, 0);
        assert_eq!(count(fail(&api, &supervisor, "b").await).await, 7);
        let stale = api.err("ReplaceChildSpec", replace(8, &etag, false)).await;
        assert_eq!((&*stale.code, &*stale.reason), ("ABORTED", "ETAG_MISMATCH"));
        let now = api.ok("ReplaceChildSpec", replace(9, &replaced["spec"]["etag"], true)).await;
        assert_eq!(
            (&now["restarted"], count(now["pid"].as_str().unwrap().to_owned()).await),
            (&json!(true), json!(9))
        );
        assert_eq!(api.ok("GetChildSpec", get).await["etag"], now["spec"]["etag"]);
        let order: Vec<Value> =
            children(&api, &supervisor).await.iter().map(|child| child["id"].clone()).collect();
        assert_eq!(order, ["c", "b", "a"]);
        let absent = json!({"supervisor": supervisor, "child": "x", "spec": worker("x")});
        assert_eq!(api.err("ReplaceChildSpec", absent).await.reason, "NOT_FOUND");
        let other = json!({"supervisor": supervisor, "child": "a", "spec": worker("b")});
        assert_eq!(api.err("ReplaceChildSpec", other).await.reason, "BAD_SPEC");
    });
}

// covers: add_dynamic_child/2
#[test]
fn instances_are_added_from_the_template_up_to_the_bound() {
    both(|api| async move {
        let mut template = worker("template");
        template["args"] = json!({"initial": 3, "trap_exit": true});
        let request = json!({"strategy": "SIMPLE_ONE_FOR_ONE", "maxChildren": 2, "children": [template]});
        let supervisor = start(&api, request).await;
        let (plain, own) =
            (add(&api, &supervisor, json!({})).await, add(&api, &supervisor, json!({"initial": 5})).await);
        for (pid, count) in [(&plain, 3), (&own, 5)] {
            assert_eq!(
                api.ok("CallProcess", json!({"process": pid, "message": "get"})).await["reply"],
                count
            );
        }
        let full = api.err("AddDynamicChild", json!({"supervisor": supervisor})).await;
        assert_eq!((&*full.code, &*full.reason), ("RESOURCE_EXHAUSTED", "MAX_CHILDREN"));
        api.ok("TerminateChild", json!({"supervisor": supervisor, "child": plain})).await;
        let named = json!({"supervisor": supervisor, "name": "special", "labels": {"tier": "front"}});
        let named = api.ok("AddDynamicChild", named).await["pid"].clone();
        assert_eq!(api.ok("WhereisProcess", json!({"name": "special"})).await["pid"], named);
        let other = tree(&api, "ONE_FOR_ONE", &["a"]).await;
        let other = api.err("AddDynamicChild", json!({"supervisor": other})).await;
        assert_eq!((&*other.code, &*other.reason), ("FAILED_PRECONDITION", "NOT_DYNAMIC"));
    });
}

#[test]
fn a_supervisor_of_many_instances_lists_each_of_them_once() {
    both(|api| async move {
        let (supervisor, added) = dynamic(&api, 250).await;
        let (mut listed, mut token) = (Vec::new(), String::new());
        loop {
            let page = json!({"supervisor": supervisor, "pageToken": token});
            let page = api.ok("WhichChildren", page).await;
            let children = page["children"].as_array().unwrap();
            listed.extend(children.iter().map(|child| child["pid"].as_str().unwrap().to_owned()));
            token = page["nextPageToken"].as_str().unwrap().to_owned();
            if token.is_empty() {
                break;
            }
        }
        listed.reverse();
        assert_eq!(listed, added);
    });
}

#[test]
fn an_added_child_may_be_ignored_refused_or_fail() {
    both(|api| async move {
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a"]).await;
        let with = |id: &str, init: Value| json!({"supervisor": supervisor, "spec": {"id": id, "module": "counter", "args": {"init": init}}});
        let ignored = api.ok("StartChild", with("quiet", json!("ignore"))).await;
        assert_eq!((&ignored["pid"], &ignored["ignored"]), (&json!(""), &json!(true)));
        assert_eq!(child(&api, &supervisor, "quiet").await["state"], "UNDEFINED");
        let present = api.err("StartChild", with("quiet", Value::Null)).await;
        assert_eq!((&*present.code, &*present.reason), ("ALREADY_EXISTS", "ALREADY_PRESENT"));
        let failed = api.err("StartChild", with("bad", json!({"stop": "nope"}))).await;
        assert_eq!((&*failed.code, &*failed.reason), ("FAILED_PRECONDITION", "START_FAILED"));
        assert_eq!(failed.exit, Some(json!(["nope", {"child_spec": "bad"}])));
        assert!(!pids(&api, &supervisor).await.contains_key("bad"), "no spec was added");
        let (simple, _) = dynamic(&api, 0).await;
        let simple = api.err("StartChild", json!({"supervisor": simple, "spec": worker("b")})).await;
        assert_eq!(simple.reason, "SIMPLE_ONE_FOR_ONE");
    });
}

#[test]
fn a_child_s_spec_is_found_by_id_and_that_of_an_instance_by_pid() {
    both(|api| async move {
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a"]).await;
        let pid = pids(&api, &supervisor).await["a"].clone();
        let by_id = api.ok("GetChildSpec", json!({"supervisor": supervisor, "child": "a"})).await;
        assert_eq!((&by_id["restart"], &by_id["shutdown"]), (&json!("PERMANENT"), &json!("5s")));
        let by_pid = api.err("GetChildSpec", json!({"supervisor": supervisor, "child": pid})).await;
        assert_eq!((&*by_pid.code, &*by_pid.reason), ("NOT_FOUND", "NOT_FOUND"));
        let instances = tree(&api, "SIMPLE_ONE_FOR_ONE", &["a"]).await;
        let instance = api.ok("AddDynamicChild", json!({"supervisor": instances})).await["pid"].clone();
        let spec = api.ok("GetChildSpec", json!({"supervisor": instances, "child": instance})).await;
        assert_eq!(spec["id"], "a");
        let absent = api.err("GetChildSpec", json!({"supervisor": supervisor, "child": "x"})).await;
        assert_eq!((&*absent.code, &*absent.reason), ("NOT_FOUND", "NOT_FOUND"));
    });
}
