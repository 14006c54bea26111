//! What processes say in the node's log, on a deterministic node, which runs on the thread whose log is listened to.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arsenal_runtime::{
    Behaviour, Body, Context, Description, Event, LogLevel, Message, Node, NodeConfig, Pid, ProcessRef,
    Receive, StartOptions, Step, Term,
};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    /// The lines that have these words.
    fn lines_with(&self, words: &str) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }
}

/// Says what it is told to say, panics if told so, and starts another like it on any other word.
struct Speaker;

impl Body for Speaker {
    fn step(&mut self, event: Event, context: &mut Context<'_>) -> Step {
        if let Event::Message(message) = event {
            match message.payload.as_str() {
                Some("panic") => panic!("as told"),
                Some("child") => {
                    context.spawn(&description(), Box::new(Self), StartOptions::default()).unwrap();
                }
                text => context.log(LogLevel::Info, text.unwrap_or_default()),
            }
        }
        Step::Wait(Receive::any())
    }
}

fn description() -> Arc<Description> {
    Arc::new(Description::native("speaker", Behaviour::Plain))
}

fn speaker(node: &Node, options: StartOptions) -> ProcessRef {
    node.spawn(&description(), Box::new(Speaker), options).unwrap()
}

fn tell(node: &Node, process: Pid, word: &str) {
    node.send(process, Message::info(Pid::NONE, Term::from(word.to_owned())));
    node.run_until_idle();
}

#[test]
fn a_line_and_a_crash_report_carry_the_group_leader_that_the_process_has_of_its_starter() {
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _listening = tracing::subscriber::set_default(subscriber);
    let node = Node::deterministic(NodeConfig::default());
    let leader = speaker(&node, StartOptions::default()).pid();
    let led = StartOptions { group_leader: Some(leader), ..StartOptions::default() };
    let parent = speaker(&node, led).pid();
    tell(&node, parent, "child");
    let mut pids = Vec::new();
    node.visit_processes(0, |process| {
        pids.push(process.pid());
        true
    });
    let child = pids.into_iter().find(|pid| ![leader, parent].contains(pid)).unwrap();

    let tagged = |pid: Pid, leader: Pid, line: &str| {
        let tags = [format!("process={pid}"), format!("group_leader={leader}"), "module=\"speaker\"".into()];
        tags.iter().all(|tag| line.split_whitespace().any(|word| word == tag))
    };
    for (pid, of) in [(child, leader), (parent, leader), (leader, leader)] {
        let text = format!("said by {pid}");
        tell(&node, pid, &text);
        let lines = written.lines_with(&text);
        assert!(lines.len() == 1 && tagged(pid, of, &lines[0]), "{lines:?}");
    }
    tell(&node, child, "panic");
    let crash = written.lines_with("speaker crashed");
    assert!(crash.len() == 1 && tagged(child, leader, &crash[0]), "{crash:?}");
    assert!(crash[0].contains("as told") && crash[0].contains("ERROR"), "{crash:?}");
    // who is killed has not crashed
    node.kill(parent, Term::KILLED);
    node.run_until_idle();
    assert_eq!(written.lines_with("crashed").len(), 1);

    for _ in 0..2 * arsenal_runtime::log::LINES_PER_SECOND_MAX {
        tell(&node, leader, "again and again");
    }
    let floods = written.lines_with("again and again").len();
    assert!(floods < arsenal_runtime::log::LINES_PER_SECOND_MAX as usize, "{floods} lines in a second");
}
