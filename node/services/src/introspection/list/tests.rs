use super::*;
use arsenal_behaviours::functions::body;
use arsenal_runtime::body::{Receive, Step};
use arsenal_runtime::module::Description;
use arsenal_runtime::start::StartOptions;
use arsenal_runtime::{Message, NodeConfig};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

fn spawn(node: &Node, description: &Arc<Description>) -> Pid {
    let idle = body(|_, _| Step::Wait(Receive::none()));
    node.spawn(description, idle, StartOptions::default()).unwrap().pid()
}

fn plain() -> Arc<Description> {
    Arc::new(Description::native("plain", Behaviour::Plain))
}

fn node_with(count: usize) -> (Node, HashSet<String>) {
    let node = Node::start(NodeConfig::default()).unwrap();
    let modules = [Arc::new(Description::native("counter", Behaviour::GenServer)), plain(), plain(), plain()];
    let started = (0..count).map(|index| {
        let pid = spawn(&node, &modules[index % 4]);
        if index % 8 < 2 {
            node.send(pid, Message::info(Pid::NONE, Term::Null));
        }
        pid.to_string()
    });
    let pids = started.collect();
    (node, pids)
}

fn query(filter: &str, order_by: &str, page_token: String) -> Query {
    let (filter, order_by) = (filter.to_owned(), order_by.to_owned());
    Query { filter, order_by, page_size: 1_000, page_token, read_mask: None }
}

async fn all(node: &Node, filter: &str, order_by: &str) -> Vec<v1::ProcessInfo> {
    let (mut rows, mut token) = (Vec::new(), String::new());
    loop {
        let (page, next) = list(node, Selection::All, query(filter, order_by, token)).await.unwrap();
        rows.extend(page);
        if next.is_empty() {
            return rows;
        }
        token = next;
    }
}

#[tokio::test]
async fn of_a_hundred_thousand_processes_each_that_lasts_is_listed_once_while_others_come_and_go() {
    let (node, lasting) = node_with(100_000);
    let done = Arc::new(AtomicBool::new(false));
    let (churned, stop) = (node.clone(), Arc::clone(&done));
    let (begun, begins) = std::sync::mpsc::channel();
    let churn = std::thread::spawn(move || {
        let (mut passed, module) = (0_u32, plain());
        while !stop.load(Relaxed) {
            let passing: Vec<Pid> = (0..64).map(|_| spawn(&churned, &module)).collect();
            for pid in &passing {
                churned.kill(*pid, Term::KILLED);
            }
            // no faster than they end: a list would follow a table that grows and grows
            while passing.iter().any(|pid| churned.process(*pid).is_some()) {
                std::thread::yield_now();
            }
            passed += 64;
            // heard once
            let _ = begun.send(());
        }
        passed
    });
    begins.recv().unwrap();
    let rows = all(&node, "", "").await;
    done.store(true, Relaxed);
    assert!(churn.join().unwrap() > 0);
    let listed: Vec<&String> = rows.iter().map(|row| &row.pid).filter(|pid| lasting.contains(*pid)).collect();
    assert_eq!(listed.len(), lasting.len());
    assert_eq!(listed.into_iter().collect::<HashSet<_>>().len(), lasting.len());
    node.close();
}

#[tokio::test]
async fn a_filtered_and_an_ordered_list_agree_with_what_a_client_would_pick_and_sort() {
    let (node, _) = node_with(2_000);
    let whole = all(&node, "", "").await;
    let picked =
        |row: &&v1::ProcessInfo| row.module == "plain" && row.message_queue_len.unwrap_or_default() > 0;
    let mut expected: Vec<String> = whole.iter().filter(picked).map(|row| row.pid.clone()).collect();
    for filter in
        ["module == 'plain' && message_queue_len > 0", "module.endsWith('plain') && message_queue_len != 0"]
    {
        let rows = all(&node, filter, "").await;
        assert_eq!(rows.iter().map(|row| row.pid.clone()).collect::<Vec<_>>(), expected);
    }
    expected.sort_by_key(|pid| std::cmp::Reverse(pid.parse::<Pid>().unwrap()));
    let rows = all(&node, "module == 'plain' && message_queue_len > 0", "message_queue_len, pid desc").await;
    assert_eq!(rows.into_iter().map(|row| row.pid).collect::<Vec<_>>(), expected);
    node.close();
}

#[tokio::test]
async fn a_token_goes_on_with_its_own_list_alone() {
    let (node, _) = node_with(1_500);
    let (_, token) = list(&node, Selection::All, query("", "", String::new())).await.unwrap();
    assert!(!token.is_empty());
    let registered = list(&node, Selection::Registered, query("", "", token.clone())).await;
    assert_eq!(registered.unwrap_err().code(), tonic::Code::InvalidArgument);
    let filtered = list(&node, Selection::All, query("trap_exit", "", token.clone())).await;
    assert_eq!(filtered.unwrap_err().code(), tonic::Code::InvalidArgument);
    let (rest, end) = list(&node, Selection::All, query("", "", token)).await.unwrap();
    assert_eq!((rest.len(), end.as_str()), (500, ""));
    node.close();
}
