//! What SIGTERM does to a node, seen from outside: the program itself is started, told to stop, and watched.

#![expect(clippy::unwrap_used, reason = "what fails here fails the run, which is its purpose")]

use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take.
const DEADLINE: Duration = Duration::from_secs(60);
const ARSENAL: &str = env!("CARGO_BIN_EXE_arsenal");

/// A node of its own, killed if the test ends before it.
struct Program {
    child: Child,
    url: String,
}

impl Program {
    fn start(shutdown_ms: u64) -> Self {
        let mut child = Command::new(ARSENAL)
            .args(["dev", "--grpc", "0", "--rest", "0"])
            .env("ARSENAL_SHUTDOWN_TIMEOUT_MS", shutdown_ms.to_string())
            .env("ARSENAL_NODE_SCHEDULERS", "2")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| Some(line.ok()?.trim().strip_prefix("gRPC")?.trim().to_owned()));
        let address = address.expect("the node prints where it serves gRPC");
        let address = address.split_whitespace().next().unwrap().to_owned();
        // the welcome is read to its end, so that the node never writes to a closed pipe
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, url: format!("http://{address}") }
    }

    /// A client's command against this node.
    fn client(&self, operation: &str, request: &str) -> Command {
        let mut command = Command::new(ARSENAL);
        command
            .args(["call", operation, request, "--node", &self.url])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn call(&self, operation: &str, request: &str) -> String {
        let output = self.client(operation, request).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{operation} {request}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn terminate(&self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    /// Waits for its end; gives how it ended and what it logged.
    fn ended(&mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let mut log = String::new();
                self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
                return (status, log);
            }
            assert!(begun.elapsed() < DEADLINE, "it did not end within {DEADLINE:?}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that follows a stream, a line an item.
struct Follower {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    fn start(program: &Program, operation: &str, request: &str) -> Self {
        let mut child = program.client(operation, request).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn read_until(&mut self, part: &str) {
        let found = self.lines.by_ref().map_while(Result::ok).any(|line| line.contains(part));
        assert!(found, "the stream ended without {part}");
    }

    /// The items that are left, how the client ended and what it said.
    fn rest(mut self) -> (Vec<String>, ExitStatus, String) {
        let items = self.lines.map_while(Result::ok).collect();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (items, self.child.wait().unwrap(), said)
    }
}

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
    assert!(said.contains("Unavailable") && said.contains("the node is stopping"), "{said}");
}

#[test]
fn a_process_that_ignores_shutdown_is_cut_and_the_exit_code_says_so() {
    let mut program = Program::start(500);
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
    assert!(log.contains("was cut off, so that 500ms were kept"), "{log}");
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
