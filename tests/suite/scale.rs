//! A node with many processes: lists, filters and calls go on while it fills, while a supervisor of many children dies
//! and while another stops in order, and what was used comes back.
//!
//! `ARSENAL_SCALE=full` (`just soak`) takes a million idle processes and 100,000 dynamic children, three times over; plain
//! `cargo test` a tenth of the one and a twentieth of the other, twice; `ARSENAL_SCALE=IDLE,CHILDREN,ROUNDS` any. What is
//! asserted is order and counts, never a time.

use arsenal_runtime::{Behaviour, Body, Context, Description, Event, Node, Pid, Receive, StartOptions, Step};
use arsenal_tests::{Api, Sandbox, Transport};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

/// How long the whole may take; a node that hangs is a failure.
const WHOLE_MAX: Duration = Duration::from_secs(900);

/// As the program that ships, so that what comes back of its memory comes back here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Scale {
    idle: usize,
    children: usize,
    rounds: usize,
    /// Asked for by name, and so alone in the program: what is resident is its own.
    alone: bool,
}

impl Scale {
    fn of_environment() -> Self {
        let asked = std::env::var("ARSENAL_SCALE").ok();
        let numbers = match asked.as_deref() {
            Some("full") => "1000000,100000,3",
            Some(other) => other,
            None => "100000,5000,2",
        };
        let numbers: Vec<usize> = numbers.split(',').filter_map(|number| number.parse().ok()).collect();
        let [idle, children, rounds] = numbers[..] else { panic!("ARSENAL_SCALE is {asked:?}") };
        Self { idle, children, rounds, alone: asked.is_some() }
    }
}

struct Idle;

impl Body for Idle {
    fn step(&mut self, _: Event, _: &mut Context<'_>) -> Step {
        Step::Wait(Receive::any())
    }
}

/// Spawns idle processes on a thread of its own; gives their pids.
async fn fill(node: &Node, count: usize) -> Vec<Pid> {
    let node = node.clone();
    let spawn = move || {
        let description = Arc::new(Description::native("idle", Behaviour::Plain));
        let one = |_| node.spawn(&description, Box::new(Idle), StartOptions::default()).unwrap().pid();
        (0..count).map(one).collect()
    };
    tokio::task::spawn_blocking(spawn).await.unwrap()
}

/// Bytes of the program in memory, where the system tells.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split_whitespace().nth(1)?.parse::<u64>().ok()? * 4_096)
}

/// All pids that a filter matches, page by page; none comes twice.
async fn list(api: &Api, filter: &str) -> HashSet<String> {
    let (mut found, mut token) = (HashSet::new(), String::new());
    loop {
        let request = json!({"filter": filter, "pageSize": 1000, "pageToken": token, "readMask": "pid"});
        let page = api.ok("ListAllProcesses", request).await;
        for process in page["processes"].as_array().into_iter().flatten() {
            assert!(found.insert(process["pid"].as_str().unwrap().to_owned()), "{process} is listed twice");
        }
        token = page["nextPageToken"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            return found;
        }
    }
}

/// Runs `work` while processes of another module are started and killed without a pause.
async fn while_others_come_and_go<F: Future>(node: &Node, work: F) -> F::Output {
    let (node, done) = (node.clone(), Arc::new(AtomicBool::new(false)));
    let until = Arc::clone(&done);
    let churn = std::thread::spawn(move || {
        let description = Arc::new(Description::native("passing", Behaviour::Plain));
        let mut passed = 0_usize;
        while !until.load(SeqCst) {
            let passing = node.spawn(&description, Box::new(Idle), StartOptions::default()).unwrap().pid();
            node.kill(passing, arsenal_runtime::Term::KILLED);
            // no more of them than one, however slowly they end
            while node.is_alive(passing) {
                std::thread::yield_now();
            }
            passed += 1;
        }
        passed
    });
    let output = work.await;
    done.store(true, SeqCst);
    let passed = tokio::task::spawn_blocking(move || churn.join().unwrap()).await.unwrap();
    println!("meanwhile {passed} processes came and went");
    assert!(passed > 0, "nobody came and went");
    output
}

/// A supervisor with so many dynamic children.
async fn supervisor(api: &Api, children: usize) -> String {
    let template = json!({"id": "child", "module": "counter", "restart": "TEMPORARY"});
    let request = json!({"strategy": "SIMPLE_ONE_FOR_ONE", "children": [template]});
    let supervisor = api.ok("StartSupervisor", request).await["pid"].as_str().unwrap().to_owned();
    let add = |_| api.ok("AddDynamicChild", json!({"supervisor": supervisor}));
    let added = stream::iter(0..children).map(add).buffer_unordered(64).count().await;
    assert_eq!(added, children);
    let counted = api.ok("CountChildren", json!({"supervisor": supervisor})).await;
    assert_eq!(counted["active"], json!(children.to_string()));
    supervisor
}

/// Does what clients do, again and again, until `done`; gives how often. Each round asks for a page of a filtered list,
/// one process, and a call.
async fn serve_until(api: &Api, canary: &str, idle: Pid, done: &AtomicBool) -> usize {
    let mut rounds = 0;
    while !done.load(SeqCst) {
        let filter = json!({"filter": "module == 'counter'", "pageSize": 10});
        api.ok("ListAllProcesses", filter).await;
        let one: Value = api.ok("GetProcessInfo", json!({"process": idle.to_string()})).await;
        assert_eq!(one["process"]["module"], json!("idle"));
        let reply = api.ok("CallProcess", json!({"process": canary, "message": ["add", 1]})).await;
        rounds += 1;
        assert_eq!(reply["reply"], json!(rounds));
    }
    rounds
}

/// Runs `work` while a client is served; the client must be served at least once before the work is over.
async fn while_serving<F: Future>(api: &Api, idle: Pid, work: F) -> (F::Output, usize) {
    let canary = api.start("counter", json!({})).await;
    let done = AtomicBool::new(false);
    let work = async {
        let output = work.await;
        done.store(true, SeqCst);
        output
    };
    let (output, rounds) = tokio::join!(work, serve_until(api, &canary, idle, &done));
    api.ok("KillProcess", json!({"process": canary})).await;
    assert!(rounds > 0, "nobody was served before the work was over");
    (output, rounds)
}

async fn children_are_gone(api: &Api) {
    api.eventually(|| async {
        list(api, "module == 'counter' && parent != ''").await.is_empty().then_some(())
    })
    .await;
}

#[test]
fn a_node_full_of_processes_answers_while_they_come_and_go() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let outcome = tokio::time::timeout(WHOLE_MAX, fill_and_empty(Scale::of_environment())).await;
        assert!(outcome.is_ok(), "it did not end within {WHOLE_MAX:?}");
    });
}

async fn fill_and_empty(scale: Scale) {
    let sandbox = Sandbox::start().await;
    let node = sandbox.node().clone();
    let api = sandbox.api(Transport::Grpc).await;
    let first = fill(&node, 1).await[0];
    let mut residents = Vec::new();
    for round in 1..=scale.rounds {
        let before = resident_bytes();
        let (mut pids, rounds) = while_serving(&api, first, fill(&node, scale.idle)).await;
        let per_process =
            resident_bytes().zip(before).map(|(now, before)| now.saturating_sub(before) / scale.idle as u64);
        println!(
            "round {round}: {} idle processes, {per_process:?} bytes each; a client was served {rounds} times",
            scale.idle
        );

        let (killed, rounds) = while_serving(&api, first, supervisor(&api, scale.children)).await;
        println!("{} children were added; a client was served {rounds} times", scale.children);
        assert_eq!(list(&api, "module == 'counter'").await.len(), scale.children);
        assert_eq!(list(&api, "").await.len(), scale.idle + 1 + scale.children + 1);
        let listed = while_others_come_and_go(&node, list(&api, "module == 'idle'")).await;
        let lost = pids.iter().filter(|pid| !listed.contains(&pid.to_string())).count();
        assert_eq!(lost, 0, "of those that live throughout");
        residents.push(resident_bytes());

        let kill = async {
            api.ok("KillProcess", json!({"process": killed})).await;
            children_are_gone(&api).await;
        };
        let ((), rounds) = while_serving(&api, first, kill).await;
        println!(
            "the supervisor was killed; a client was served {rounds} times before its children were gone"
        );

        let stopped = supervisor(&api, scale.children).await;
        let stop = api.ok("StopSupervisor", json!({"supervisor": stopped, "timeout": "300s"}));
        let (_, rounds) = while_serving(&api, first, stop).await;
        println!(
            "a supervisor stopped in order; a client was served {rounds} times before its children were gone"
        );
        assert!(list(&api, "module == 'counter'").await.is_empty());

        let emptying = node.clone();
        let empty = async {
            for (number, pid) in pids.drain(..).enumerate() {
                emptying.kill(pid, arsenal_runtime::Term::KILLED);
                if number % 1_000 == 0 {
                    // this thread serves the client too
                    tokio::task::yield_now().await;
                }
            }
            api.eventually(|| async { (emptying.process_count() <= 2).then_some(()) }).await;
        };
        while_serving(&api, first, empty).await;
        assert_eq!(list(&api, "").await.len(), 1);
        println!("emptied; {:?} bytes resident, {:?} when full", resident_bytes(), residents.last());
    }
    // the first round also fills what is bounded and kept: exit records, the event log, the table of processes
    if let (true, [_, Some(second), .., Some(last)]) = (scale.alone, &residents[..]) {
        assert!(
            last * 10 <= second * 11,
            "full again, {last} bytes are resident; {second} were the second time"
        );
    }
    if let (true, Some(Some(full))) = (scale.alone, residents.last()) {
        // an idle scheduler gives back what it has freed
        api.eventually(|| async { (resident_bytes()? * 2 < *full).then_some(()) }).await;
        println!("idle again; {:?} bytes resident", resident_bytes());
    }
    sandbox.stop().await;
}
