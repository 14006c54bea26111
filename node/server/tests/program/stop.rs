//! What SIGTERM does to a node, seen from outside: the program itself is started, told to stop, and watched.

use crate::node::{Follower, Program};

#[test]
fn sigterm_ends_trees_in_order_and_tells_streams() {
    let mut program = Program::start(20_000);
    let children = r#"{"name": "orders", "children": [
        {"id": "first", "module": "counter", "name": "first"},
        {"id": "second", "module": "kv", "name": "second"},
        {"id": "third", "module": "counter", "name": "third"}]}"#;
    program.call("StartSupervisor", children);
    let filter = r#"{"filter": "registered_name in ['orders', 'first', 'second', 'third']"}"#;
    let mut follower = Follower::start(&program, "WatchProcesses", filter);
    follower.read_until("SNAPSHOT_END");
    program.terminate();
    let (status, log) = program.ended();
    assert_eq!(status.code(), Some(0), "{log}");
    let (items, client, said) = follower.rest();
    let exited: Vec<&str> = ["first", "second", "third", "orders"]
        .into_iter()
        .filter(|name| {
            items.iter().any(|item| item.contains("EXITED") && item.contains(&format!("\"{name}\"")))
        })
        .collect();
    assert_eq!(exited, ["first", "second", "third", "orders"], "{items:?}");
    let place = |name: &str| {
        items.iter().position(|item| item.contains("EXITED") && item.contains(&format!("\"{name}\"")))
    };
    assert!(place("third") < place("second") && place("second") < place("first"), "{items:?}");
    assert!(place("first") < place("orders"), "{items:?}");
    assert!(
        items.iter().filter(|item| item.contains("EXITED")).all(|item| item.contains("\"shutdown\"")),
        "{items:?}"
    );
    assert_eq!(client.code(), Some(1), "{said}");
    assert!(said.contains("UNAVAILABLE") && said.contains("the node is stopping"), "{said}");
}

#[test]
fn a_process_that_ignores_shutdown_is_cut_and_the_exit_code_says_so() {
    let mut program = Program::start(5_000);
    // the older root ends in order although the younger, told first, does not listen
    program.call("StartProcess", r#"{"module": "counter", "name": "heeds"}"#);
    program.call("StartProcess", r#"{"module": "recorder", "name": "ignores"}"#);
    let mut follower = Follower::start(
        &program,
        "WatchProcesses",
        r#"{"filter": "registered_name in ['heeds', 'ignores']"}"#,
    );
    follower.read_until("SNAPSHOT_END");
    program.terminate();
    let (status, log) = program.ended();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("was cut off, so that 5s were kept"), "{log}");
    let (items, _, _) = follower.rest();
    let exit_of =
        |name: &str| items.iter().find(|item| item.contains("EXITED") && item.contains(name)).cloned();
    assert!(exit_of("ignores").is_some_and(|item| item.contains("\"killed\"")), "{items:?}");
    assert!(exit_of("heeds").is_some_and(|item| item.contains("\"shutdown\"")), "{items:?}");
}

#[test]
fn a_node_without_processes_ends_at_once_and_well() {
    let mut program = Program::start(20_000);
    program.terminate();
    let (status, log) = program.ended();
    assert_eq!(status.code(), Some(0), "{log}");
}
