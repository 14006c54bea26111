//! POST requests over 64 keep-alive connections, one under way on each. As with `wrk`, the request is written from one
//! buffer and of the answer only status and length are parsed: what is measured is the server.

use crate::windows::Answers;
use crate::{CONCURRENCY, Measured, current_thread};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

/// Bytes that an answer may have.
const ANSWER_BYTES_MAX: usize = 16 << 10;

/// Requests a second of `path` with the JSON `body`; the answer's body must contain `expected`.
///
/// # Panics
/// If a request fails.
pub fn rest_unary(server: SocketAddr, path: &str, body: &str, expected: &'static str) -> Measured {
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: {server}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    LocalSet::new().block_on(&current_thread(), async move {
        let answers = Answers::default();
        let mut clients = Vec::with_capacity(CONCURRENCY);
        for _ in 0..CONCURRENCY {
            let stream = TcpStream::connect(server).await.expect("the server listens");
            stream.set_nodelay(true).expect("a TCP stream");
            clients.push(tokio::task::spawn_local(post_on(
                stream,
                request.clone(),
                expected,
                answers.clone(),
            )));
        }
        answers.rate_of(&clients).await
    })
}

/// One request after another, until the benchmark is over.
async fn post_on(mut stream: TcpStream, request: String, expected: &'static str, answers: Answers) {
    let mut buffer = vec![0; ANSWER_BYTES_MAX];
    loop {
        stream.write_all(request.as_bytes()).await.expect("the connection lives");
        let mut filled = 0;
        let body = loop {
            assert!(filled < buffer.len(), "an answer of more than {ANSWER_BYTES_MAX} bytes");
            let read = stream.read(&mut buffer[filled..]).await.expect("the connection lives");
            assert_ne!(read, 0, "the server closed the connection");
            filled += read;
            if let Some(body) = complete_body(&buffer[..filled]) {
                break body;
            }
        };
        answers.add(body, expected.as_bytes());
    }
}

/// The body of an answer, once all of it is there.
fn complete_body(answer: &[u8]) -> Option<&[u8]> {
    let head_bytes = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let (head, body) = answer.split_at(head_bytes);
    assert!(head.starts_with(b"HTTP/1.1 200 "), "the request failed: {}", answer.escape_ascii());
    let length = head.split(|byte| *byte == b'\n').find_map(content_length);
    let Some(length) = length else { panic!("an answer without content-length: {}", head.escape_ascii()) };
    (body.len() >= length).then(|| &body[..length])
}

fn content_length(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    name.eq_ignore_ascii_case(NAME).then(|| std::str::from_utf8(value).ok()?.trim().parse().ok())?
}
