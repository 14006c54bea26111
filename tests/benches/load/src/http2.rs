//! One HTTP/2 connection, and exchanges on it: what is asked is bytes, and so is what is answered.

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request, Response};
use std::net::SocketAddr;
use tokio::net::TcpStream;

const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
const STREAM_WINDOW_BYTES: u32 = 1 << 20;

/// Opens a connection, served on the current `LocalSet`.
pub(crate) async fn connect(server: SocketAddr) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(server).await.expect("the server listens");
    stream.set_nodelay(true).expect("a TCP stream");
    let (requests, connection) = h2::client::Builder::new()
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(stream)
        .await
        .expect("the server speaks HTTP/2");
    tokio::task::spawn_local(connection);
    requests
}

/// Sends a request and reads its answer to the end.
pub(crate) async fn exchange(
    requests: SendRequest<Bytes>,
    request: Request<()>,
    body: Bytes,
) -> (Response<Bytes>, Option<HeaderMap>) {
    let mut requests = requests.ready().await.expect("the connection lives");
    let (response, mut sending) = requests.send_request(request, false).expect("a stream");
    sending.send_data(body, true).expect("the stream is open");
    let (head, mut receiving) = response.await.expect("a response").into_parts();
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while let Some(part) = receiving.data().await {
        let part = part.expect("the response goes on");
        receiving.flow_control().release_capacity(part.len()).expect("capacity was taken");
        if first.is_empty() && all.is_empty() {
            first = part;
        } else {
            all.extend_from_slice(&std::mem::take(&mut first));
            all.extend_from_slice(&part);
        }
    }
    let trailers = receiving.trailers().await.expect("the response ends");
    let body = if all.is_empty() { first } else { all.freeze() };
    (Response::from_parts(head, body), trailers)
}
