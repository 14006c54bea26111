//! Processes that move from node to node, asked by pids and names that they had, and while they move.

use crate::routing::{add, among};
use arsenal_behaviours::functions::{self, PlainModule};
use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, Node, Pid, Receive, StartOptions, Step, Term,
};
use arsenal_tests::{Api, Cluster, Failure, Pair, SandboxConfig, Transport};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

async fn start(api: &Api, node: &str, module: &str, args: Value) -> String {
    let started = api.ok("StartProcess", json!({"node": node, "module": module, "args": args})).await;
    started["pid"].as_str().unwrap().to_owned()
}

async fn migrate(api: &Api, process: &str, node: &str) -> Value {
    api.ok("MigrateProcessToNode", json!({"process": process, "node": node})).await
}

fn pid(answer: &Value) -> String {
    answer["pid"].as_str().unwrap().to_owned()
}

/// What a recorder has received.
async fn read(api: &Api, recorder: &str) -> Vec<Value> {
    let state = api.ok("GetProcessState", json!({"process": recorder})).await["state"].clone();
    assert_eq!(state["dropped"], json!(0), "it kept all");
    state["messages"].as_array().unwrap().clone()
}

/// What a recorder has received, once it is as much as is waited for.
async fn received(api: &Api, recorder: &str, count: usize) -> Vec<Value> {
    api.eventually(|| async {
        let messages = read(api, recorder).await;
        (messages.len() >= count).then_some(messages)
    })
    .await
}

/// Messages of each client, and of each process: ten thousand of four clients and three processes.
const BY_REQUEST: usize = 250;
const BY_SIGNAL: usize = 3_000;

/// A process that sends numbered messages, some at a time, and ends.
fn spawn_sender(node: &Node, to: Pid, sender: i64) {
    const AT_ONCE: usize = 20;
    let mut sent = 0;
    let body = functions::body(move |_, context| {
        for number in sent..sent + AT_ONCE {
            context.send(to, Term::from([Term::Int(sender), Term::Int(i64::try_from(number).unwrap())]));
        }
        sent += AT_ONCE;
        match sent < BY_SIGNAL {
            true => Step::Wait(Receive::none().within(Some(Duration::from_millis(2)))),
            false => Step::Exit(Term::NORMAL),
        }
    });
    let description = Arc::new(Description::native("sender", Behaviour::Plain));
    node.spawn(&description, body, StartOptions::default()).unwrap();
}

/// Sends numbered messages, each once the one before was answered.
async fn send_numbered(api: Api, target: String, sender: usize, count: usize) {
    for number in 0..count {
        let request = json!({"process": target, "message": [sender, number]});
        api.ok("SendMessage", request).await;
    }
}

// covers: migrate_process_to_node/2
#[test]
fn ten_thousand_numbered_messages_to_the_old_pid_and_the_name_of_a_process_that_moves_back_and_forth_are_kept_in_order()
 {
    among(3, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let recorder = start(&first, "n1", "recorder", json!({"messages_max": 20_000})).await;
        first.ok("RegisterProcessGlobally", json!({"process": recorder, "name": "moving"})).await;
        let targets = [(1, &*recorder), (2, "moving@global"), (3, "moving"), (3, &*recorder)];
        let mut senders = Vec::new();
        for (sender, (node, target)) in targets.into_iter().enumerate() {
            let api = cluster.api(node, transport).await;
            senders.push(send_numbered(api, target.to_owned(), sender, BY_REQUEST));
        }
        for (sender, node) in (4..).zip(1..=3) {
            spawn_sender(cluster.node(node).node(), recorder.parse().unwrap(), sender);
        }
        let sending = AtomicBool::new(true);
        let moving = async {
            let (mut moves, mut last) = (0, 0);
            while sending.load(Relaxed) || moves < 4 {
                // asked by all that it is known by
                let known = ["moving", &*recorder, "moving@global"][moves % 3];
                let moved = migrate(&first, known, ["n2", "n1", "n3", "n1"][moves % 4]).await;
                let epoch: u64 = moved["epoch"].as_str().unwrap().parse().unwrap();
                assert!(epoch > last, "{moved}");
                (moves, last) = (moves + 1, epoch);
            }
            moves
        };
        let all = async {
            join_all(senders).await;
            sending.store(false, Relaxed);
        };
        let ((), moves) = tokio::join!(all, moving);
        assert!(moves >= 4, "{moves} moves");
        let mut numbers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for message in received(&first, "moving", 4 * BY_REQUEST + 3 * BY_SIGNAL).await {
            let part = |at: usize| message[at].as_u64().unwrap();
            numbers.entry(part(0)).or_default().push(part(1));
        }
        for (sender, numbers) in &numbers {
            let count = if *sender < 4 { BY_REQUEST } else { BY_SIGNAL };
            assert_eq!(numbers, &(0..count as u64).collect::<Vec<_>>(), "of sender {sender}");
        }
        assert_eq!(numbers.len(), 7);
    });
}

// covers: migrate_process_to_node/2
#[test]
fn state_names_groups_and_timers_go_along_and_the_old_pid_and_the_local_name_stand_for_the_new_one() {
    among(3, |cluster, transport| async move {
        let (first, third) = (cluster.api(1, transport).await, cluster.api(3, transport).await);
        let labels = json!({"team": "shop"});
        let request = json!({"module": "counter", "args": {"initial": 5}, "labels": labels});
        let old = pid(&first.ok("StartProcess", request).await);
        first.ok("RegisterProcess", json!({"process": old, "name": "local"})).await;
        first.ok("RegisterProcessGlobally", json!({"process": old, "name": "cart"})).await;
        first.ok("JoinProcessGroup", json!({"group": "shop", "processes": [old, old]})).await;
        let after = json!({"process": old, "message": ["add", 100], "after": "60s"});
        first.ok("SendMessageAfter", after).await;
        let moved = migrate(&third, &old, "n2").await;
        let new = pid(&moved);
        assert!(new.starts_with("n2."), "{moved}");
        assert_eq!(
            (&moved["formerPid"], &moved["node"], &moved["timers"], &moved["messages"]),
            (&json!(old), &json!("n2"), &json!(1), &json!(0))
        );
        for (expected, known) in (6..).zip([&*new, &*old, "cart", "cart@global", "local@n1", "cart@key"]) {
            for api in [&first, &third] {
                assert_eq!(add(api, known, 0).await, json!(expected - 1), "{known}");
            }
            assert_eq!(add(&third, known, 1).await, json!(expected), "{known}");
        }
        assert_eq!(add(&first, "local", 0).await, json!(11));
        let members = third.ok("ListGroupMembers", json!({"group": "shop"})).await;
        assert_eq!(members["pids"], json!([new, new]));
        let info = first.ok("GetProcessInfo", json!({"process": old})).await;
        assert_eq!((&info["process"]["pid"], &info["process"]["node"]), (&json!(new), &json!("n2")));
        assert_eq!(info["process"]["labels"], labels);
        let timers = third.ok("ListTimers", json!({"node": "n2"})).await;
        assert_eq!(timers["timers"].as_array().unwrap().len(), 1, "{timers}");
        assert_eq!(first.ok("ListTimers", json!({"node": "n1"})).await["timers"], json!([]));
        let listed =
            first.ok("ListAllProcesses", json!({"node": "-", "filter": "module == 'counter'"})).await;
        assert_eq!(listed["processes"].as_array().unwrap().len(), 1, "it is one process: {listed}");
        first.ok("KillProcess", json!({"process": old})).await;
        let gone =
            first.eventually(|| async { first.call("WhereisProcess", json!({"name": "local"})).await.err() });
        assert_eq!(gone.await.code, "NOT_FOUND", "the local name ends with it");
        let freed = || async {
            third.call("GlobalWhereisName", json!({"name": "cart"})).await.err().map(|failure| failure.code)
        };
        assert_eq!(third.eventually(freed).await, "NOT_FOUND");
    });
}

#[test]
fn links_and_monitors_on_the_old_pid_fire_once_with_its_reason_from_wherever_they_are() {
    among(3, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let old = start(&first, "n1", "counter", json!({})).await;
        let mut watchers = Vec::new();
        for node in ["n1", "n2", "n3"] {
            let watcher = start(&first, node, "recorder", json!({})).await;
            first.ok("LinkProcesses", json!({"process": old, "from": watcher})).await;
            first.ok("MonitorProcess", json!({"process": old, "watcher": watcher})).await;
            watchers.push(watcher);
        }
        let second = pid(&migrate(&first, &old, "n2").await);
        migrate(&first, &second, "n3").await;
        first.ok("SendExitSignal", json!({"process": old, "from": watchers[0], "reason": "oops"})).await;
        for watcher in &watchers {
            let told = received(&first, watcher, 2).await;
            assert!(told.contains(&json!(["EXIT", old, "oops"])), "{told:?}");
            let down = told.iter().find(|message| message[0] == "DOWN").unwrap();
            assert_eq!((&down[3], &down[4]), (&json!(old), &json!("oops")));
            assert_eq!(told.len(), 2, "{told:?}");
        }
        assert_eq!(
            first.err("CallProcess", json!({"process": old, "message": "get"})).await.code,
            "NOT_FOUND"
        );
    });
}

#[test]
fn a_supervised_process_that_has_moved_is_restarted_at_home_when_it_ends() {
    among(2, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let child = json!({"id": "worker", "module": "counter"});
        let supervisor = pid(&first.ok("StartSupervisor", json!({"children": [child]})).await);
        let worker = || async {
            let children = first.ok("WhichChildren", json!({"supervisor": supervisor})).await;
            children["children"][0]["pid"].as_str().unwrap().to_owned()
        };
        let old = worker().await;
        let new = pid(&migrate(&first, &old, "n2").await);
        assert_eq!(worker().await, old, "its supervisor knows it by that pid");
        add(&first, &old, 3).await;
        first.ok("KillProcess", json!({"process": new})).await;
        let restarted = || async { Some(worker().await).filter(|pid| !pid.is_empty() && *pid != old) };
        let next = first.eventually(restarted).await;
        assert!(next.starts_with("n1."), "{next}");
        assert_eq!(add(&first, &next, 0).await, json!(0));
    });
}

fn epoch(failure: &Failure) -> Value {
    let info = failure.details.iter().find(|detail| detail["metadata"]["epoch"].is_string());
    info.unwrap()["metadata"]["epoch"].clone()
}

#[test]
fn a_request_in_a_stale_epoch_is_refused_by_the_old_node_and_tells_the_present_one() {
    among(3, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let old = start(&first, "n1", "counter", json!({})).await;
        let in_epoch = |node: &'static str, epoch: Value| {
            let request = json!({"process": old, "node": node, "epoch": epoch});
            let api = first.clone();
            async move { api.call("MigrateProcessToNode", request).await }
        };
        let once = in_epoch("n2", json!(0)).await.unwrap();
        let twice = in_epoch("n3", once["epoch"].clone()).await.unwrap();
        for stale in [json!(0), once["epoch"].clone()] {
            let refused = in_epoch("n1", stale).await.unwrap_err();
            assert_eq!((&*refused.code, &*refused.reason), ("ABORTED", "STALE_EPOCH"));
            assert_eq!(epoch(&refused), twice["epoch"]);
        }
        let info = first.ok("GetProcessInfo", json!({"process": old})).await;
        assert_eq!(info["process"]["pid"], twice["pid"], "it is where it was");
    });
}

#[test]
fn what_cannot_move_says_why_and_goes_on_where_it_is() {
    among(3, |cluster, transport| async move {
        let first = cluster.api(1, transport).await;
        let to = |process: &str, node: &'static str| {
            let request = json!({"process": process, "node": node});
            let api = first.clone();
            async move {
                let refused = api.err("MigrateProcessToNode", request).await;
                (refused.code, refused.reason)
            }
        };
        let told = |code: &str, reason: &str| (code.to_owned(), reason.to_owned());
        let counter = start(&first, "n1", "counter", json!({})).await;
        assert_eq!(to(&counter, "n9").await, told("NOT_FOUND", "UNKNOWN_NODE"));
        assert_eq!(to("nobody", "n2").await, told("NOT_FOUND", "NOPROC"));
        assert_eq!(to(&counter, "n1").await, told("FAILED_PRECONDITION", "ALREADY_THERE"));
        let plain = start(&first, "n1", "plain", json!({})).await;
        assert_eq!(to(&plain, "n2").await, told("FAILED_PRECONDITION", "NO_HOOK"));
        let supervisor = pid(&first.ok("StartSupervisor", json!({"children": []})).await);
        assert_eq!(to(&supervisor, "n2").await, told("FAILED_PRECONDITION", "NOT_MOVABLE"));
        let session = pid(&first.ok("CreateSession", json!({})).await);
        assert_eq!(to(&session, "n2").await, told("FAILED_PRECONDITION", "NOT_MOVABLE"));
        first.ok("SuspendProcess", json!({"process": counter})).await;
        assert_eq!(to(&counter, "n2").await, told("FAILED_PRECONDITION", "NOT_MOVABLE"));
        first.ok("ResumeProcess", json!({"process": counter})).await;
        let before = cluster.node(2).node().process_count();
        cluster.mark_down(3);
        assert_eq!(to(&counter, "n3").await, told("UNAVAILABLE", "NOCONNECTION"));
        assert_eq!(add(&first, &counter, 2).await, json!(2));
        assert_eq!(cluster.node(2).node().process_count(), before);
    });
}

#[test]
fn the_end_of_the_node_that_a_process_has_gone_to_is_noconnection_to_those_who_knew_it_before() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pair = Pair::start_with(SandboxConfig::default).await;
        let first = pair.api(1).await;
        let old = start(&first, "n1", "counter", json!({})).await;
        first.ok("RegisterProcessGlobally", json!({"process": old, "name": "cart"})).await;
        let watcher = start(&first, "n1", "recorder", json!({})).await;
        first.ok("MonitorProcess", json!({"process": old, "watcher": watcher})).await;
        let there = migrate(&first, &old, "n2").await;
        let back = migrate(&first, "cart", "n1").await;
        let again = migrate(&first, &pid(&there), "n2").await;
        assert_eq!(add(&first, &old, 2).await, json!(2));
        let found = first.ok("GlobalWhereisName", json!({"name": "cart"})).await;
        assert_eq!((&found["pid"], &back["node"]), (&again["pid"], &json!("n1")));
        pair.kill_member().await;
        let told = received(&first, &watcher, 1).await;
        assert_eq!((&told[0][3], &told[0][4]), (&json!(old), &json!("noconnection")));
        let freed = || async {
            first.call("GlobalWhereisName", json!({"name": "cart"})).await.err().map(|error| error.code)
        };
        assert_eq!(first.eventually(freed).await, "NOT_FOUND");
        let dead = first.err("CallProcess", json!({"process": old, "message": "get"})).await;
        assert_eq!(dead.code, "NOT_FOUND");
    });
}

#[test]
fn a_module_that_the_other_node_does_not_have_keeps_the_process_where_it_is() {
    for transport in [Transport::Grpc, Transport::Rest] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let cluster = Arc::new(Cluster::of(2).await);
            let first = cluster.api(1, transport).await;
            cluster.node(1).node().add_module(Arc::new(only_here()));
            let process = start(&first, "n1", "only_here", json!({})).await;
            let request = json!({"process": process, "node": "n2"});
            let refused = first.err("MigrateProcessToNode", request).await;
            assert_eq!((&*refused.code, &*refused.reason), ("FAILED_PRECONDITION", "UNKNOWN_MODULE"));
            first.ok("SendMessage", json!({"process": process, "message": 1})).await;
            let info = first.ok("GetProcessInfo", json!({"process": process})).await;
            assert_eq!(info["process"]["pid"], json!(process));
        });
    }
}

/// A module of processes that could be copied, if anybody else had it.
fn only_here() -> impl arsenal_runtime::Module {
    struct Settled;
    impl Body for Settled {
        fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
            if matches!(event, Event::Start) {
                context.started();
            }
            Step::Wait(Receive::any())
        }
        fn snapshot(&self) -> Option<Term> {
            Some(Term::Null)
        }
    }
    PlainModule::new("only_here", |_| Box::new(Settled)).restorable(|_| Some(Box::new(Settled)))
}
