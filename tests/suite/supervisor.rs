//! SupervisorService: trees, their children, their flags, and what may be asked of them beyond OTP.

mod analysis;
mod flags;

use arsenal_tests::{Api, both};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A child specification of a counter.
pub(crate) fn worker(id: &str) -> Value {
    json!({"id": id, "module": "counter"})
}

/// A supervisor with counters of these ids, which bears many failures.
pub(crate) async fn tree(api: &Api, strategy: &str, ids: &[&str]) -> String {
    let children: Vec<Value> = ids.iter().map(|id| worker(id)).collect();
    start(api, json!({"strategy": strategy, "intensity": 100, "children": children})).await
}

pub(crate) async fn start(api: &Api, request: Value) -> String {
    api.ok("StartSupervisor", request).await["pid"].as_str().unwrap().to_owned()
}

/// A dynamic supervisor of counters with `count` instances, and their pids.
pub(crate) async fn dynamic(api: &Api, count: usize) -> (String, Vec<String>) {
    let request =
        json!({"strategy": "SIMPLE_ONE_FOR_ONE", "intensity": 100, "children": [worker("template")]});
    let supervisor = start(api, request).await;
    let mut pids = Vec::new();
    for _ in 0..count {
        pids.push(add(api, &supervisor, json!({})).await);
    }
    (supervisor, pids)
}

async fn add(api: &Api, supervisor: &str, args: Value) -> String {
    let added = api.ok("AddDynamicChild", json!({"supervisor": supervisor, "args": args})).await;
    added["pid"].as_str().unwrap().to_owned()
}

/// The children, latest started first.
pub(crate) async fn children(api: &Api, supervisor: &str) -> Vec<Value> {
    api.ok("WhichChildren", json!({"supervisor": supervisor})).await["children"].as_array().unwrap().clone()
}

pub(crate) async fn child(api: &Api, supervisor: &str, id: &str) -> Value {
    let children = children(api, supervisor).await;
    let found = children.iter().find(|child| child["id"] == id);
    found.unwrap_or_else(|| panic!("no child {id} in {children:?}")).clone()
}

/// The pids by id; empty for a child that does not run.
pub(crate) async fn pids(api: &Api, supervisor: &str) -> BTreeMap<String, String> {
    let text = |child: &Value, field: &str| child[field].as_str().unwrap().to_owned();
    children(api, supervisor).await.iter().map(|child| (text(child, "id"), text(child, "pid"))).collect()
}

pub(crate) async fn kill(api: &Api, pid: &str) {
    api.ok("KillProcess", json!({"process": pid})).await;
}

/// Waits until the child with this id runs under another pid.
pub(crate) async fn restarted(api: &Api, supervisor: &str, id: &str, old: &str) -> String {
    api.eventually(|| async {
        let new = pids(api, supervisor).await.remove(id)?;
        (!new.is_empty() && new != old).then_some(new)
    })
    .await
}

/// Kills the child with this id and waits for its next life.
pub(crate) async fn fail(api: &Api, supervisor: &str, id: &str) -> String {
    let old = pids(api, supervisor).await[id].clone();
    kill(api, &old).await;
    restarted(api, supervisor, id, &old).await
}

/// Why a process ended, once it has.
pub(crate) async fn exit_of(api: &Api, pid: &str) -> Value {
    api.eventually(|| async { api.call("GetProcessInfo", json!({"process": pid})).await.err()?.exit }).await
}

pub(crate) async fn flags_of(api: &Api, supervisor: &str) -> Value {
    api.ok("GetSupervisorFlags", json!({"supervisor": supervisor})).await
}

/// A counter that tells `recorder` when it terminates.
fn noisy(id: &str, recorder: &str) -> Value {
    json!({"id": id, "module": "counter", "args": {"trap_exit": true, "terminate_notify": recorder}})
}

/// Pids and reasons of those that told a recorder that they terminate, in order.
async fn terminated(api: &Api, recorder: &str) -> Vec<(String, Value)> {
    let call = json!({"process": recorder, "message": ["recorder", "read"]});
    let state = api.ok("CallProcess", call).await["reply"].clone();
    let told = state["messages"].as_array().unwrap().iter().filter(|message| message[0] == "terminate");
    told.map(|message| (message[1].as_str().unwrap().to_owned(), message[2].clone())).collect()
}

// covers: start_supervisor/3
#[test]
fn children_start_in_order_and_one_that_fails_undoes_those_before_it() {
    both(|api| async move {
        let started = api.ok("StartSupervisor", json!({"children": [worker("a"), worker("b")]})).await;
        let ids = |children: &[Value]| children.iter().map(|child| child["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(started["children"].as_array().unwrap()), ["a", "b"]);
        let supervisor = started["pid"].as_str().unwrap();
        assert_eq!(ids(&children(&api, supervisor).await), ["b", "a"]);
        let flags = flags_of(&api, supervisor).await;
        assert_eq!((&flags["intensity"], &flags["period"]), (&json!(1), &json!("5s")));

        let recorder = api.start("recorder", json!({})).await;
        let broken = json!({"id": "c", "module": "counter", "args": {"init": {"stop": "nope"}}});
        let request = json!({"children": [noisy("a", &recorder), noisy("b", &recorder), broken]});
        let failure = api.err("StartSupervisor", request).await;
        assert_eq!((&*failure.code, &*failure.reason), ("FAILED_PRECONDITION", "START_FAILED"));
        assert_eq!(failure.exit, Some(json!(["shutdown", ["failed_to_start_child", "c", "nope"]])));
        let undone = terminated(&api, &recorder).await;
        assert_eq!(undone.len(), 2);
        for (pid, reason) in undone {
            assert_eq!(reason, "shutdown");
            assert_eq!(exit_of(&api, &pid).await, "shutdown");
        }
    });
}

#[test]
fn a_supervisor_that_cannot_be_is_refused_by_field_or_by_name() {
    both(|api| async move {
        let twice = api.err("StartSupervisor", json!({"children": [worker("a"), worker("a")]})).await;
        assert_eq!((&*twice.code, &*twice.reason), ("INVALID_ARGUMENT", "BAD_SPEC"));
        assert_eq!(twice.exit, Some(json!(["start_spec", ["duplicate_child_name", "a"]])));
        let none = api.err("StartSupervisor", json!({"strategy": "SIMPLE_ONE_FOR_ONE"})).await;
        assert_eq!(none.reason, "BAD_SPEC");
        start(&api, json!({"name": "top"})).await;
        let taken = api.err("StartSupervisor", json!({"name": "top"})).await;
        assert_eq!((&*taken.code, &*taken.reason), ("ALREADY_EXISTS", "ALREADY_STARTED"));
        let elsewhere = api.err("StartSupervisor", json!({"node": "n9"})).await;
        assert_eq!((&*elsewhere.code, &*elsewhere.reason), ("NOT_FOUND", "UNKNOWN_NODE"));
    });
}

#[test]
fn what_is_no_supervisor_or_is_gone_is_told_apart() {
    both(|api| async move {
        let counter = api.start("counter", json!({})).await;
        let other = api.err("WhichChildren", json!({"supervisor": counter})).await;
        assert_eq!((&*other.code, &*other.reason), ("FAILED_PRECONDITION", "NOT_A_SUPERVISOR"));
        kill(&api, &counter).await;
        exit_of(&api, &counter).await;
        let gone = api.err("WhichChildren", json!({"supervisor": counter})).await;
        assert_eq!((&*gone.code, &*gone.reason), ("NOT_FOUND", "NOPROC"));
        assert_eq!(gone.exit, Some(json!({"call_exit": "noproc"})));
    });
}

// covers: start_supervisor_link/3
#[test]
fn a_linked_tree_goes_down_with_its_parent_in_reverse_order_and_a_plain_one_survives() {
    both(|api| async move {
        let (parent, recorder) =
            (api.start("counter", json!({})).await, api.start("recorder", json!({})).await);
        let plain = tree(&api, "ONE_FOR_ONE", &["a"]).await;
        let specs = json!([noisy("a", &recorder), noisy("b", &recorder), noisy("c", &recorder)]);
        let linked = api.ok("StartSupervisorLink", json!({"parent": parent, "children": specs})).await;
        assert_eq!(linked["parent"], json!(parent));
        let supervisor = linked["pid"].as_str().unwrap().to_owned();
        let before = pids(&api, &supervisor).await;
        kill(&api, &parent).await;
        exit_of(&api, &supervisor).await;
        let order: Vec<String> = terminated(&api, &recorder).await.into_iter().map(|(pid, _)| pid).collect();
        assert_eq!(order, [before["c"].clone(), before["b"].clone(), before["a"].clone()]);
        assert_eq!(children(&api, &plain).await.len(), 1);
        let nobody = api.err("StartSupervisorLink", json!({"children": []})).await;
        assert_eq!((&*nobody.code, &*nobody.reason), ("INVALID_ARGUMENT", "NO_PARENT"));
        let dead = api.err("StartSupervisorLink", json!({"parent": parent})).await;
        assert_eq!((&*dead.code, &*dead.reason), ("NOT_FOUND", "CALLER_NOPROC"));
    });
}

// covers: stop_supervisor/2
#[test]
fn a_stop_takes_the_children_in_reverse_each_by_its_shutdown_value() {
    both(|api| async move {
        let recorder = api.start("recorder", json!({})).await;
        let mut brutal = noisy("brutal", &recorder);
        brutal["brutalKill"] = json!(true);
        let mut slow = noisy("slow", &recorder);
        slow["args"]["terminate_sleep"] = json!(60_000);
        slow["shutdown"] = json!("0.05s");
        let nested = json!({"id": "nested", "supervisor": {"children": [noisy("inner", &recorder)]}});
        let specs = json!([noisy("first", &recorder), brutal, slow, nested]);
        let supervisor = start(&api, json!({"children": specs})).await;
        let ids = pids(&api, &supervisor).await;
        let inner = pids(&api, &ids["nested"]).await["inner"].clone();
        let order = [&inner, &ids["nested"], &ids["slow"], &ids["brutal"], &ids["first"]];

        let dry = api.ok("StopSupervisor", json!({"supervisor": supervisor, "dryRun": true})).await;
        assert_eq!((&dry["stopped"], &dry["stoppedCount"]), (&json!(order), &json!("5")));
        let other = json!({"supervisor": supervisor, "expectedCount": 4});
        let other = api.err("StopSupervisor", other).await;
        assert_eq!((&*other.code, &*other.reason), ("ABORTED", "COUNT_MISMATCH"));
        assert_eq!(pids(&api, &supervisor).await, ids, "nothing was stopped");

        let stop = json!({"supervisor": supervisor, "reason": ["shutdown", "enough"], "expectedCount": 5});
        assert_eq!(api.ok("StopSupervisor", stop.clone()).await["stopped"], json!(order));
        assert_eq!(exit_of(&api, &supervisor).await, json!(["shutdown", "enough"]));
        let told: Vec<String> = terminated(&api, &recorder).await.into_iter().map(|(pid, _)| pid).collect();
        assert_eq!(
            told,
            [inner, ids["slow"].clone(), ids["first"].clone()],
            "one that is killed says nothing"
        );
        for (id, reason) in
            [("slow", "killed"), ("brutal", "killed"), ("first", "shutdown"), ("nested", "shutdown")]
        {
            assert_eq!(exit_of(&api, &ids[id]).await, reason, "{id}");
        }
        assert_eq!(api.err("StopSupervisor", stop).await.reason, "NOPROC");
    });
}

// covers: restart_supervisor/2
#[test]
fn a_restart_gives_every_child_a_new_life_and_its_parent_counts_no_failure() {
    both(|api| async move {
        let nested = json!({"id": "nested", "supervisor": {"intensity": 5, "period": "60s", "children": [worker("a")]}});
        let top = start(&api, json!({"intensity": 0, "children": [nested]})).await;
        let supervisor = pids(&api, &top).await["nested"].clone();
        api.ok("StartChild", json!({"supervisor": supervisor, "spec": worker("later")})).await;
        let first = fail(&api, &supervisor, "a").await;
        let before = pids(&api, &supervisor).await;
        let dry = json!({"supervisor": supervisor, "dryRun": true});
        let dry = api.ok("RestartSupervisor", dry).await;
        assert_eq!((&dry["stoppedCount"], &dry["dryRun"]), (&json!("2"), &json!(true)));
        assert_eq!(pids(&api, &supervisor).await, before);
        let keep = json!({"supervisor": supervisor, "keepHistory": true});
        api.ok("RestartSupervisor", keep).await;
        assert_eq!(flags_of(&api, &supervisor).await["restartsUsed"], json!(1));
        let restarted = api.ok("RestartSupervisor", json!({"supervisor": supervisor})).await;
        assert_eq!(restarted["children"].as_array().unwrap().len(), 2, "the one added at run time too");
        let after = pids(&api, &supervisor).await;
        assert!(after.iter().all(|(id, pid)| !pid.is_empty() && *pid != before[id]), "{before:?} {after:?}");
        assert_eq!(exit_of(&api, &first).await, "shutdown");
        assert_eq!(flags_of(&api, &supervisor).await["restartsUsed"], json!(0));
        assert_eq!(flags_of(&api, &top).await["restartsUsed"], json!(0));
        let mismatch = json!({"supervisor": supervisor, "expectedCount": 9});
        assert_eq!(api.err("RestartSupervisor", mismatch).await.reason, "COUNT_MISMATCH");
    });
}

#[test]
fn instances_are_started_again_on_request_alone() {
    both(|api| async move {
        let (supervisor, _) = dynamic(&api, 2).await;
        let again = json!({"supervisor": supervisor, "restartInstances": true});
        assert_eq!(api.ok("RestartSupervisor", again).await["children"].as_array().unwrap().len(), 2);
        api.ok("RestartSupervisor", json!({"supervisor": supervisor})).await;
        assert_eq!(children(&api, &supervisor).await.len(), 0);
    });
}

async fn owed(api: &Api, supervisor: &str) -> Value {
    api.ok("GetSupervisor", json!({"supervisor": supervisor})).await["owed"].clone()
}

// covers: pause_supervisor/1
#[test]
fn while_paused_a_dead_child_is_owed_and_the_end_of_the_lease_restarts_it() {
    both(|api| async move {
        let mut passing = worker("passing");
        passing["restart"] = json!("TEMPORARY");
        let supervisor = start(&api, json!({"children": [worker("a"), passing]})).await;
        let before = pids(&api, &supervisor).await;
        let pause = |lease: &str| json!({"supervisor": supervisor, "holder": "ops", "lease": lease});
        let paused = api.ok("PauseSupervisor", pause("60s")).await;
        assert_eq!(paused["hold"]["kind"], json!("PAUSE_SUPERVISION"));
        assert_eq!(paused["holds"].as_array().unwrap().len(), 1);
        for pid in before.values() {
            kill(&api, pid).await;
        }
        api.eventually(|| async { (owed(&api, &supervisor).await == json!(["a"])).then_some(()) }).await;
        api.eventually(|| async { (children(&api, &supervisor).await.len() == 1).then_some(()) }).await;
        let down = child(&api, &supervisor, "a").await;
        assert_eq!(
            (&down["state"], &down["owed"], &down["pid"]),
            (&json!("UNDEFINED"), &json!(true), &json!(""))
        );
        assert_eq!(flags_of(&api, &supervisor).await["paused"], json!(true));
        // the same holder again renews: one hold, a new end
        let renewed = api.ok("PauseSupervisor", pause("0.05s")).await;
        assert_eq!(renewed["hold"]["hold"], paused["hold"]["hold"]);
        assert_eq!(renewed["holds"].as_array().unwrap().len(), 1);
        restarted(&api, &supervisor, "a", &before["a"]).await;
        assert_eq!(flags_of(&api, &supervisor).await["paused"], json!(false));
        let endless = api.err("PauseSupervisor", pause("90000s")).await;
        assert_eq!((&*endless.code, &*endless.reason), ("INVALID_ARGUMENT", "BADARG"));
    });
}

// covers: resume_supervisor/1
#[test]
fn the_last_resume_brings_the_owed_child_back_and_costs_no_intensity() {
    both(|api| async move {
        let supervisor = start(&api, json!({"intensity": 0, "children": [worker("a")]})).await;
        let before = pids(&api, &supervisor).await["a"].clone();
        for holder in ["ops", "dev"] {
            api.ok("PauseSupervisor", json!({"supervisor": supervisor, "holder": holder})).await;
        }
        kill(&api, &before).await;
        api.eventually(|| async { (owed(&api, &supervisor).await == json!(["a"])).then_some(()) }).await;
        let resume = |holder: &str| json!({"supervisor": supervisor, "holder": holder});
        let one = api.ok("ResumeSupervisor", resume("ops")).await;
        assert_eq!((&one["resumed"], &one["restarted"]), (&json!(true), &json!([])));
        assert_eq!(one["holds"][0]["holder"], json!("dev"));
        assert_eq!(pids(&api, &supervisor).await["a"], "", "the other one still pauses it");
        let last = api.ok("ResumeSupervisor", resume("dev")).await;
        assert_eq!(last["restarted"][0]["id"], json!("a"));
        assert_eq!(last["restarted"][0]["pid"], json!(pids(&api, &supervisor).await["a"]));
        assert_eq!(flags_of(&api, &supervisor).await["restartsUsed"], json!(0));
        let none = api.ok("ResumeSupervisor", resume("dev")).await;
        assert_eq!(none["resumed"], json!(false), "nobody pauses it any more");
    });
}

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
        let supervisor = start(&api, json!({"children": [worker("a"), passing]})).await;
        let before = pids(&api, &supervisor).await;
        let terminate = |child: &str| json!({"supervisor": supervisor, "child": child});
        let ended = api.ok("TerminateChild", terminate("a")).await;
        assert_eq!((&ended["pid"], &ended["reason"]), (&json!(before["a"]), &json!("shutdown")));
        assert_eq!((&ended["killed"], &ended["removed"]), (&json!(false), &json!(false)));
        assert_eq!(child(&api, &supervisor, "a").await["state"], "UNDEFINED");
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

/// Starts a child by `rpc` and gives what becomes of it after each of three exits: its state, or nothing.
async fn lives(api: &Api, rpc: &str) -> Vec<Option<Value>> {
    let mut after = Vec::new();
    for reason in ["normal", "shutdown", "oops"] {
        let supervisor = start(api, json!({"intensity": 10, "children": [worker("other")]})).await;
        let started = api.ok(rpc, json!({"supervisor": supervisor, "spec": worker("a")})).await;
        let pid = started["pid"].as_str().unwrap().to_owned();
        api.ok("CastMessage", json!({"process": pid, "message": ["stop", reason]})).await;
        exit_of(api, &pid).await;
        let settled = api
            .eventually(|| async {
                let children = children(api, &supervisor).await;
                let child = children.iter().find(|child| child["id"] == "a");
                child.is_none_or(|child| child["pid"] != json!(pid)).then_some(child.cloned())
            })
            .await;
        after.push(settled.map(|child| child["state"].clone()));
    }
    after
}

// covers: start_temporary_child/3
#[test]
fn a_temporary_child_is_gone_after_any_exit() {
    both(|api| async move {
        assert_eq!(lives(&api, "StartTemporaryChild").await, [None, None, None]);
        let supervisor = tree(&api, "ONE_FOR_ONE", &["a"]).await;
        let taken = json!({"supervisor": supervisor, "spec": worker("a")});
        let taken = api.err("StartTemporaryChild", taken).await;
        assert_eq!((&*taken.code, &*taken.reason), ("ALREADY_EXISTS", "ALREADY_STARTED"));
        assert_eq!(taken.exit, Some(json!(["already_started", pids(&api, &supervisor).await["a"]])));
        let mut other = worker("b");
        other["restart"] = json!("PERMANENT");
        let other = api.err("StartTemporaryChild", json!({"supervisor": supervisor, "spec": other})).await;
        assert_eq!((&*other.code, &*other.reason), ("INVALID_ARGUMENT", "BAD_SPEC"));
    });
}

// covers: start_transient_child/3
#[test]
fn a_transient_child_comes_back_after_an_abnormal_exit_alone() {
    both(|api| async move {
        let after = lives(&api, "StartTransientChild").await;
        assert_eq!(after, [Some(json!("UNDEFINED")), Some(json!("UNDEFINED")), Some(json!("RUNNING"))]);
    });
}

// covers: start_permanent_child/3
#[test]
fn a_permanent_child_comes_back_after_every_exit() {
    both(|api| async move {
        let running = Some(json!("RUNNING"));
        assert_eq!(lives(&api, "StartPermanentChild").await, [running.clone(), running.clone(), running]);
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

#[test]
fn supervisors_are_listed_with_what_they_supervise() {
    both(|api| async move {
        let nested =
            json!({"id": "nested", "supervisor": {"strategy": "ONE_FOR_ALL", "children": [worker("a")]}});
        let top = start(&api, json!({"name": "top", "children": [nested]})).await;
        let inner = pids(&api, &top).await["nested"].clone();
        let filter = json!({"filter": "flags.strategy == 'ONE_FOR_ALL' && counts.active == 1"});
        let found = api.ok("ListSupervisors", filter).await["supervisors"].clone();
        assert_eq!((&found[0]["pid"], &found[0]["parent"]), (&json!(inner), &json!(top)));
        let named =
            api.ok("ListSupervisors", json!({"filter": "name == 'top'"})).await["supervisors"].clone();
        assert_eq!(named[0], api.ok("GetSupervisor", json!({"supervisor": "top"})).await);
        api.ok("StopSupervisor", json!({"supervisor": "top"})).await;
        let gone = api.ok("ListSupervisors", json!({"filter": "name == 'top'"})).await;
        assert_eq!(gone["supervisors"], json!([]));
    });
}
