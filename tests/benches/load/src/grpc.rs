//! Unary calls over one HTTP/2 connection. The request is encoded once and sent as bytes: what is measured is the
//! server, and a client with codecs would cost as much as it does.

use crate::windows::{Answers, load};
use crate::{CONCURRENCY, Measured, PAYLOAD, on_this_thread};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use std::net::SocketAddr;
use std::time::Instant;
use tokio::net::TcpStream;

const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// Calls a second of `method`, a path like `/package.Service/Method`, with an encoded message that carries
/// [`PAYLOAD`] and is answered by one that does.
///
/// # Panics
/// If a call fails.
pub fn grpc_unary(server: SocketAddr, method: &str, message: &[u8]) -> Measured {
    let uri = format!("http://{server}{method}");
    let framed = frame(message);
    let load = on_this_thread(async move {
        let stream = TcpStream::connect(server).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP stream");
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(stream)
            .await
            .expect("the server speaks HTTP/2");
        tokio::task::spawn_local(connection);
        load(CONCURRENCY, |answers| call_on(requests.clone(), uri.clone(), framed.clone(), answers)).await
    });
    load.into()
}

/// A message with gRPC's prefix: not compressed, its length.
fn frame(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("a small message");
    [&[0], &length.to_be_bytes()[..], message].concat().into()
}

/// One call after another, until the benchmark is over.
async fn call_on(requests: SendRequest<Bytes>, uri: String, message: Bytes, answers: Answers) {
    let request = Request::post(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .expect("a request");
    loop {
        let begin = Instant::now();
        let body = call(requests.clone(), request.clone(), message.clone()).await;
        answers.add(begin, &body, body.len(), &PAYLOAD);
    }
}

async fn call(requests: SendRequest<Bytes>, request: Request<()>, message: Bytes) -> Bytes {
    let mut requests = requests.ready().await.expect("the connection lives");
    let (response, mut sending) = requests.send_request(request, false).expect("a stream");
    sending.send_data(message, true).expect("the stream is open");
    let (head, mut receiving) = response.await.expect("a response").into_parts();
    assert_eq!(head.status, StatusCode::OK, "the call is refused");
    assert_ok(&head.headers);
    let mut body = Bytes::new();
    while let Some(part) = receiving.data().await {
        let part = part.expect("the response goes on");
        receiving.flow_control().release_capacity(part.len()).expect("capacity was taken");
        body = if body.is_empty() { part } else { [body, part].concat().into() };
    }
    if let Some(trailers) = receiving.trailers().await.expect("the response ends") {
        assert_ok(&trailers);
    }
    body
}

fn assert_ok(headers: &HeaderMap) {
    if let Some(status) = headers.get("grpc-status") {
        assert_eq!(status, "0", "the call failed: {headers:?}");
    }
}
