//! A node and its clients as programs of their own: started, watched, and killed if the test ends before them.

use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
const ARSENAL: &str = env!("CARGO_BIN_EXE_arsenal");

/// A node of its own, killed if the test ends before it.
pub(crate) struct Program {
    child: Child,
    pub(crate) url: String,
}

impl Program {
    pub(crate) fn start(shutdown_ms: u64) -> Self {
        Self::start_with(shutdown_ms, &[])
    }

    /// With settings of the environment besides.
    pub(crate) fn start_with(shutdown_ms: u64, settings: &[(&str, &str)]) -> Self {
        let mut child = Command::new(ARSENAL)
            .args(["dev", "--grpc", "0", "--rest", "0"])
            .env("ARSENAL_SHUTDOWN_TIMEOUT_MS", shutdown_ms.to_string())
            .env("ARSENAL_NODE_SCHEDULERS", "2")
            .envs(settings.iter().copied())
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
        let encrypted = settings.iter().any(|(name, _)| name.starts_with("ARSENAL_TLS_"));
        let scheme = if encrypted { "https" } else { "http" };
        Self { child, url: format!("{scheme}://{address}") }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// A client's command against this node.
    pub(crate) fn client(&self, operation: &str, request: &str) -> Command {
        let mut command = Command::new(ARSENAL);
        command
            .args(["call", operation, request, "--node", &self.url])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn call(&self, operation: &str, request: &str) -> String {
        let output = self.client(operation, request).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{operation} {request}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn terminate(&self) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
    }

    /// Waits for its end; gives how it ended and what it logged.
    pub(crate) fn ended(&mut self) -> (ExitStatus, String) {
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

/// A gateway of its own.
pub(crate) fn gateway(upstream: &str, settings: &[(&str, &str)]) -> Program {
    let mut child = Command::new(ARSENAL)
        .args(["gateway", "--listen", "127.0.0.1:0", "--upstream", upstream])
        .envs(settings.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut welcome = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut welcome).unwrap();
    let url = welcome.split_whitespace().find(|word| word.contains("://")).map(str::to_owned);
    Program { child, url: url.expect("the gateway prints where it serves") }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that follows a stream, a line an item.
pub(crate) struct Follower {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Follower {
    pub(crate) fn start(program: &Program, operation: &str, request: &str) -> Self {
        let mut child = program.client(operation, request).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub(crate) fn read_until(&mut self, part: &str) {
        let found = self.lines.by_ref().map_while(Result::ok).any(|line| line.contains(part));
        assert!(found, "the stream ended without {part}");
    }

    /// The items that are left, how the client ended and what it said.
    pub(crate) fn rest(mut self) -> (Vec<String>, ExitStatus, String) {
        let items = self.lines.map_while(Result::ok).collect();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (items, self.child.wait().unwrap(), said)
    }
}
