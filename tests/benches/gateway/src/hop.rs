//! The least that a gateway over the wire can cost with hyper: it reads a request whole, makes a call that it has ready,
//! reads its answer whole, and answers with JSON that it has ready. It looks at no path, no header and no message: what is
//! between it and the gateway is routing, metadata, limits, counting and transcoding.

use crate::messages::Size;
use crate::servers::{self, CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// What it has ready.
#[derive(Clone)]
struct Hop {
    upstream: SendRequest<Full<Bytes>>,
    call: Request<()>,
    frame: Bytes,
    json: Bytes,
}

/// The router that does it for messages of a size.
pub async fn router(upstream: SocketAddr, size: Size) -> Router {
    let stream = TcpStream::connect(upstream).await.expect("the service listens");
    stream.set_nodelay(true).expect("a TCP stream");
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .expect("the service speaks HTTP/2");
    tokio::spawn(connection);
    let call = Request::post(format!("http://{upstream}{}", size.call()))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(())
        .expect("a request");
    let hop = Hop { upstream: sender, call, frame: servers::frame(size), json: size.json().into() };
    Router::new().fallback(pass).with_state(hop)
}

async fn pass(State(mut hop): State<Hop>, body: Body) -> Response<Body> {
    // a client that is gone when the time is over needs no answer
    let Ok(read) = body.collect().await else { return Response::default() };
    assert!(!read.to_bytes().is_empty(), "a request without a body");
    let call = hop.call.map(|()| Full::new(hop.frame.clone()));
    let answer = hop.upstream.send_request(call).await.expect("the connection lives").into_body();
    let answer = answer.collect().await.expect("a whole answer");
    let status = answer.trailers().and_then(|trailers| trailers.get("grpc-status"));
    assert!(status.is_some_and(|status| status == "0"), "the call failed");
    assert_eq!(answer.to_bytes().len(), hop.frame.len(), "the answer is not what was sent");
    let response = Response::builder().header(header::CONTENT_TYPE, "application/json");
    response.body(Body::from(hop.json)).expect("a response")
}
