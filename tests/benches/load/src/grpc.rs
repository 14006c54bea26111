//! Unary calls over one HTTP/2 connection. The request is encoded once and sent as bytes: what is measured is the
//! server, and a client with codecs would cost as much as it does.

use crate::http2::{connect, exchange};
use crate::windows::{Answers, Load, load};
use crate::{CONCURRENCY, Measured, PAYLOAD, on_this_thread};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Between a refused call and the client's next.
const PAUSE: Duration = Duration::from_millis(10);

/// Calls a second of `method`, a path like `/package.Service/Method`, with an encoded message that carries
/// [`PAYLOAD`] and is answered by one that does.
///
/// # Panics
/// If a call fails.
pub fn grpc_unary(server: SocketAddr, method: &str, message: &[u8]) -> Measured {
    let framed = frame(message);
    let load = on_this_thread(async move {
        let (requests, request) = (connect(server).await, request(server, method));
        load(CONCURRENCY, |answers| call_on(requests.clone(), request.clone(), framed.clone(), answers)).await
    });
    load.into()
}

/// Calls of `method` by so many clients, which share `servers` evenly. `message` makes each call's, of the server's
/// position and a number that no other call has. Calls that fail count as nothing; how many they were is told beside.
///
/// # Panics
/// If a server cannot be reached, or a connection ends.
pub fn grpc_on(
    servers: &[SocketAddr],
    method: &str,
    concurrency: usize,
    message: impl Fn(usize, u64) -> Vec<u8> + Clone + 'static,
) -> (Load, u64) {
    let (serial, refused) = (Rc::<Cell<u64>>::default(), Rc::<Cell<u64>>::default());
    let told = Rc::clone(&refused);
    let load = on_this_thread(async move {
        let mut connections = Vec::new();
        // as many connections as a server's bound on streams may ask for
        for _ in 0..concurrency.div_ceil(CONCURRENCY * servers.len()) {
            for (at, server) in servers.iter().enumerate() {
                connections.push((at, connect(*server).await, request(*server, method)));
            }
        }
        let next_client = Cell::new(0);
        load(concurrency, |answers| {
            let client = next_client.replace(next_client.get() + 1);
            let (at, requests, request) = connections[client % connections.len()].clone();
            let (serial, refused, message) = (Rc::clone(&serial), Rc::clone(&refused), message.clone());
            async move {
                loop {
                    let number = serial.replace(serial.get() + 1);
                    let message = frame(&message(at, number));
                    let begin = Instant::now();
                    match call(requests.clone(), request.clone(), message).await {
                        Ok(_) => answers.count(begin),
                        Err(_) => {
                            refused.set(refused.get() + 1);
                            // one that is refused at once is not asked again at once
                            tokio::time::sleep(PAUSE).await;
                        }
                    }
                }
            }
        })
        .await
    });
    (load, told.get())
}

fn request(server: SocketAddr, method: &str) -> Request<()> {
    Request::post(format!("http://{server}{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request")
}

/// A message with gRPC's prefix: not compressed, its length.
fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("a small message");
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

/// One call after another, until the benchmark is over.
async fn call_on(requests: SendRequest<Bytes>, request: Request<()>, message: Bytes, answers: Answers) {
    loop {
        let begin = Instant::now();
        let body = call(requests.clone(), request.clone(), message.clone()).await;
        let body = body.unwrap_or_else(|refused| panic!("the call failed: {refused}"));
        answers.add(begin, &body, body.len(), &PAYLOAD);
    }
}

/// The answer's body, or the headers that refuse it.
async fn call(requests: SendRequest<Bytes>, request: Request<()>, message: Bytes) -> Result<Bytes, String> {
    let (response, trailers) = exchange(requests, request, message).await;
    assert_eq!(response.status(), StatusCode::OK, "the call is refused");
    check(response.headers())?;
    trailers.as_ref().map_or(Ok(()), check)?;
    Ok(response.into_body())
}

fn check(headers: &HeaderMap) -> Result<(), String> {
    match headers.get("grpc-status") {
        Some(status) if status != "0" => Err(format!("{headers:?}")),
        _ => Ok(()),
    }
}
