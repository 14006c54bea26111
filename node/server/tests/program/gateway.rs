//! A gateway of its own as a program: how many threads serve it, and that it ends as it is told.

use crate::node::{DEADLINE, gateway};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

/// How many threads of a process have this name.
fn threads(process: u32, name: &str) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.trim() == name).count()
}

#[test]
fn it_serves_on_as_many_threads_as_it_is_told_to() {
    let mut program = gateway("http://127.0.0.1:1", &[("ARSENAL_GATEWAY_THREADS", "3")]);
    let address = program.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    let request = format!("GET /openapi.json HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 OK"), "{}", String::from_utf8_lossy(&answer));
    // those that wait for the system's resolver have the same name; each takes it when it first runs
    let begun = Instant::now();
    while threads(program.id(), "arsenal-io") < 3 {
        assert!(begun.elapsed() < DEADLINE, "it is not served on three threads");
        std::thread::yield_now();
    }
    program.terminate();
    let (status, log) = program.ended();
    assert_eq!(status.code(), Some(0), "{log}");
}
