//! POST requests over keep-alive connections, one under way on each. As with `wrk`, the request is written from one
//! buffer and of the answer only status and length are parsed: what is measured is the server.

use crate::windows::{Answers, Load, load};
use crate::{CONCURRENCY, Measured, http2, on_this_thread};
use bytes::Bytes;
use http::{Request, StatusCode};
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Bytes of an answer that are taken at once; its head must fit.
const PIECE_BYTES: usize = 64 << 10;

/// What a client does while it waits for answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It sleeps, and leaves its core to whoever has work.
    Asleep,
    /// It stays awake. A server that is slower than its client would else have to wake it with each answer, which on one
    /// machine costs that server up to a third of the request, and a faster one nothing. It takes a core for itself.
    Awake,
}

/// Requests a second of `path` with the JSON `body`; the answer's body must contain `expected`.
///
/// # Panics
/// If a request fails.
pub fn rest_unary(server: SocketAddr, path: &str, body: &str, expected: &'static str) -> Measured {
    rest(&Posted::new(server, path, body), expected, CONCURRENCY, Waiting::Asleep).into()
}

/// The load of `connections` that make a request again and again; the first piece of an answer's body must contain
/// `expected`.
///
/// # Panics
/// If a request fails.
pub fn rest(posted: &Posted, expected: &'static str, connections: usize, waiting: Waiting) -> Load {
    let posted = posted.clone();
    on_this_thread(async move {
        if waiting == Waiting::Awake {
            tokio::task::spawn_local(stay_awake());
        }
        let streams = RefCell::new(connect(posted.server, connections).await);
        load(connections, |answers| {
            let stream = streams.borrow_mut().pop().expect("as many as there are clients");
            post(stream, posted.clone(), expected, answers)
        })
        .await
    })
}

/// The load of `concurrency` clients that share one HTTP/2 connection, as a gRPC client's calls do.
///
/// # Panics
/// If a request fails.
pub fn rest_multiplexed(
    server: SocketAddr,
    path: &str,
    body: &str,
    expected: &'static str,
    concurrency: usize,
) -> Load {
    let request = Request::post(format!("http://{server}{path}")).header("content-type", "application/json");
    let (request, body) = (request.body(()).expect("a request"), Bytes::copy_from_slice(body.as_bytes()));
    on_this_thread(async move {
        let requests = http2::connect(server).await;
        let client = |answers: Answers| {
            let (requests, request, body) = (requests.clone(), request.clone(), body.clone());
            async move {
                loop {
                    let begin = Instant::now();
                    let (answer, _) = http2::exchange(requests.clone(), request.clone(), body.clone()).await;
                    assert_eq!(answer.status(), StatusCode::OK, "the request is refused");
                    let answer = answer.into_body();
                    answers.add(begin, &answer, answer.len(), expected.as_bytes());
                }
            }
        };
        load(concurrency, client).await
    })
}

async fn stay_awake() {
    loop {
        tokio::task::yield_now().await;
    }
}

/// A request as it is written.
#[derive(Clone, Debug)]
pub struct Posted {
    server: SocketAddr,
    text: Rc<str>,
}

impl Posted {
    /// A POST of the JSON `body` to `path`.
    pub fn new(server: SocketAddr, path: &str, body: &str) -> Self {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {server}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        Self { server, text: (head + body).into() }
    }
}

/// Makes `count` requests over as many `connections`: `choose` says which for each number from 1.
///
/// # Panics
/// If a request fails.
pub async fn rest_all<F>(server: SocketAddr, connections: usize, count: u64, choose: F)
where
    F: Fn(u64) -> Posted + Clone + 'static,
{
    let made = Rc::new(Cell::new(0));
    let mut clients = Vec::with_capacity(connections);
    for mut stream in connect(server, connections).await {
        let (made, choose) = (made.clone(), choose.clone());
        clients.push(tokio::task::spawn_local(async move {
            let mut buffer = vec![0; PIECE_BYTES];
            while made.get() < count {
                made.set(made.get() + 1);
                let posted = choose(made.get());
                stream.write_all(posted.text.as_bytes()).await.expect("the connection lives");
                answer(&mut stream, &mut buffer).await;
            }
        }));
    }
    for client in clients {
        client.await.expect("no request fails");
    }
}

/// Connections, made one after another: all at once would be more than wait at the server's door.
async fn connect(server: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        let stream = TcpStream::connect(server).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP stream");
        streams.push(stream);
    }
    streams
}

/// One request after another, until the benchmark is over.
async fn post(mut stream: TcpStream, posted: Posted, expected: &'static str, answers: Answers) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let begin = Instant::now();
        stream.write_all(posted.text.as_bytes()).await.expect("the connection lives");
        let (start, size) = answer(&mut stream, &mut buffer).await;
        answers.add(begin, start, size, expected.as_bytes());
    }
}

/// Reads an answer to its end: the start of its body, which came with the head or right after, and the body's size.
async fn answer<'b>(stream: &mut TcpStream, buffer: &'b mut [u8]) -> (&'b [u8], usize) {
    let mut filled = 0;
    let (head_bytes, size) = loop {
        assert!(filled < buffer.len(), "a head of more than {PIECE_BYTES} bytes");
        filled += read(stream, &mut buffer[filled..]).await;
        if let Some(head) = head_of(&buffer[..filled]) {
            break head;
        }
    };
    // of a body that fits all is kept, of a larger one what came first
    let kept = (head_bytes + size).min(buffer.len());
    while filled < kept {
        filled += read(stream, &mut buffer[filled..kept]).await;
    }
    let mut left = head_bytes + size - filled;
    if left > 0 {
        let mut piece = vec![0; PIECE_BYTES];
        while left > 0 {
            let most = left.min(PIECE_BYTES);
            left -= read(stream, &mut piece[..most]).await;
        }
    }
    (&buffer[head_bytes..filled], size)
}

async fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> usize {
    let read = stream.read(buffer).await.expect("the connection lives");
    assert_ne!(read, 0, "the server closed the connection");
    read
}

/// The length of an answer's head and of its body, once all of the head is there.
fn head_of(answer: &[u8]) -> Option<(usize, usize)> {
    let head_bytes = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = &answer[..head_bytes];
    assert!(head.starts_with(b"HTTP/1.1 200 "), "the request failed: {}", answer.escape_ascii());
    let length = head.split(|byte| *byte == b'\n').find_map(content_length);
    let Some(length) = length else { panic!("an answer without content-length: {}", head.escape_ascii()) };
    Some((head_bytes, length))
}

fn content_length(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    name.eq_ignore_ascii_case(NAME).then(|| std::str::from_utf8(value).ok()?.trim().parse().ok())?
}
