//! `arsenal call`: conversations over standard input, and exit codes that scripts can use.

use crate::node::Program;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Output, Stdio};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_session_on_a_stream_is_a_conversation_line_by_line() {
    let program = Program::start(20_000);
    program.call("start_process", r#"{"module": "counter", "name": "c"}"#);
    let mut client = program.client("open_session", "-").stdin(Stdio::piped()).spawn().unwrap();
    let mut frames = client.stdin.take().unwrap();
    let mut answers = BufReader::new(client.stdout.take().unwrap()).lines();
    let mut answer = || answers.next().expect("the stream goes on").unwrap();
    // each frame is sent once the answer to the one before is there: nothing waits for the end of the input
    writeln!(frames, r#"{{"open": {{"name": "me"}}}}"#).unwrap();
    let opened = answer();
    assert!(opened.contains("\"opened\"") && opened.contains("\"me\""), "{opened}");
    writeln!(frames, r#"{{"id": 7, "call": {{"process": "c", "message": ["add", 41]}}}}"#).unwrap();
    let result = answer();
    assert!(result.contains("\"id\":\"7\"") && result.contains("41"), "{result}");
    writeln!(frames, r#"{{"id": 8, "close": {{}}}}"#).unwrap();
    assert!(client.wait().unwrap().success());
}

#[test]
fn a_frame_that_is_none_ends_the_conversation_and_is_named() {
    let program = Program::start(20_000);
    let mut client = program.client("open_session", "-").stdin(Stdio::piped()).spawn().unwrap();
    let mut frames = client.stdin.take().unwrap();
    writeln!(frames, r#"{{"open": {{}}}} {{"opne": {{}}}}"#).unwrap();
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("'opne'"), "{}", said(&output));
    drop(frames);
}

#[test]
fn the_exit_code_tells_what_went_wrong() {
    let program = Program::start(20_000);
    let cases = [
        ("get_process_info", r#"{"process": "nobody"}"#, 1, "NOT_FOUND"),
        ("get_proces_info", "{}", 2, "get_process_info"),
        ("get_process_info", "{", 2, "it has to be JSON"),
        ("get_process_info", r#"{"prozess": "c"}"#, 2, "arsenal ops get_process_info"),
    ];
    for (operation, request, code, part) in cases {
        let output = program.client(operation, request).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{operation} {request}: {}", said(&output));
        assert!(said(&output).contains(part), "{operation} {request}: {}", said(&output));
    }
    // bound, so that nobody else gets the port, and listened to by nobody
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut absent = program;
    absent.url = format!("http://{}", nobody.local_addr().unwrap());
    let output = absent.client("list_all_processes", "{}").output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
}
