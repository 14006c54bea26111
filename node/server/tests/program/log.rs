//! What the node logs of its processes.

use crate::node::Program;

/// The pid in an answer that is told as JSON.
fn pid(answer: &str) -> String {
    let (_, rest) = answer.split_once("\"pid\":").unwrap_or_else(|| panic!("no pid in {answer}"));
    rest.split('"').nth(1).unwrap().to_owned()
}

#[test]
fn a_crash_report_names_the_process_and_the_group_leader_that_its_starter_had() {
    let mut program = Program::start(20_000);
    let leader = pid(&program.call("StartProcess", r#"{"module": "counter"}"#));
    let parent =
        format!(r#"{{"module": "counter", "args": {{"trap_exit": true}}, "group_leader": "{leader}"}}"#);
    let parent = pid(&program.call("StartProcess", &parent));
    let led = format!(r#"{{"module": "counter", "parent": "{parent}"}}"#);
    let led = pid(&program.call("StartLinkProcess", &led));
    let alone = pid(&program.call("StartProcess", r#"{"module": "counter"}"#));
    for process in [&led, &alone] {
        let cast = format!(r#"{{"process": "{process}", "message": ["crash", "bad_luck"]}}"#);
        program.call("CastMessage", &cast);
        program.call("AwaitExit", &format!(r#"{{"process": "{process}", "timeout": "60s"}}"#));
    }
    program.terminate();
    let (_, log) = program.ended();
    for (process, leader) in [(&led, &leader), (&alone, &alone)] {
        let is_its = |line: &&str| line.contains(&format!("process={process} ")) && line.contains("bad_luck");
        let line = log.lines().find(is_its).unwrap_or_else(|| panic!("no line of {process} in {log}"));
        assert!(line.contains(&format!("group_leader={leader} ")), "{line}");
        assert!(line.contains("counter crashed in handle_cast"), "{line}");
    }
}
