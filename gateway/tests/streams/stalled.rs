//! Answers whose clients read their HTTP/2 connection and give one stream of it no room.

use std::time::Duration;

use arsenal_gateway::{Config, GatewayService, Limits, Metrics, StreamTasks};
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::io::AsyncReadExt as _;

use crate::{PIPE_BYTES, chat, soon};

/// What a client lets a stream send that it does not read.
const WINDOW_BYTES: u32 = 1_000;

fn impatient() -> (Config, Metrics) {
    let limits = Limits { answer_idle_max: Duration::from_secs(1), ..Limits::default() };
    let config = Config { limits, compress_bytes_min: None, ..Config::default() };
    let metrics = config.metrics.clone();
    (config, metrics)
}

type Client = http2::SendRequest<Empty<Bytes>>;

/// A client whose streams have little room.
async fn narrow(service: &GatewayService, resets: bool) -> Client {
    let (client, server) = tokio::io::duplex(PIPE_BYTES);
    let service = TowerToHyperService::new(service.clone());
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        hyper::service::Service::call(&service, request.map(Body::new))
    });
    tokio::spawn(async move {
        let io = TokioIo::new(server);
        if resets {
            let mut http = auto::Builder::new(StreamTasks).http2_only();
            http.http2().enable_connect_protocol();
            let _ = http.serve_connection_with_upgrades(io, service).await;
        } else {
            let http = auto::Builder::new(TokioExecutor::new()).http2_only();
            let _ = http.serve_connection(io, service).await;
        }
    });
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.initial_stream_window_size(WINDOW_BYTES);
    let (sender, connection) = soon(http.handshake(TokioIo::new(client))).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn get(client: &mut Client, path: &str) -> Response<Incoming> {
    let request = Request::get(format!("http://gateway{path}")).body(Empty::new()).unwrap();
    soon(client.send_request(request)).await.unwrap()
}

/// What comes of an answer until it breaks off, and why it does.
async fn broken_off(mut response: Response<Incoming>) -> (usize, h2::Reason) {
    let mut bytes = 0;
    loop {
        match soon(response.body_mut().frame()).await.expect("it does not end well") {
            Ok(frame) => bytes += frame.into_data().map_or(0, |data| data.len()),
            Err(error) => {
                let source = std::error::Error::source(&error).expect("HTTP/2 says why");
                return (bytes, source.downcast_ref::<h2::Error>().and_then(h2::Error::reason).unwrap());
            }
        }
    }
}

pub(crate) fn held_answer_bytes(metrics: &Metrics) -> String {
    let mut text = arsenal_metrics::Text::default();
    metrics.write(&mut text);
    let text = text.into_string();
    let held = text.lines().find_map(|line| line.strip_prefix("gateway_held_answer_bytes "));
    held.expect("it is told").to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_room_is_reset_and_its_call_ends() {
    let (config, _) = impatient();
    let (service, seen) = chat(config);
    let mut client = narrow(&service, true).await;
    let stalled = get(&mut client, "/v1/lines:follow").await;
    soon(seen.dropped.notified()).await;
    // the connection goes on
    assert_eq!(get(&mut client, "/v1/say").await.status(), 200);
    let (bytes, reason) = broken_off(stalled).await;
    assert!(bytes <= WINDOW_BYTES as usize, "{bytes} bytes");
    assert_eq!(reason, h2::Reason::CANCEL);
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_room_is_reset_and_its_bytes_are_given_back() {
    let (config, metrics) = impatient();
    let (service, _) = chat(config);
    let mut client = narrow(&service, true).await;
    let stalled = get(&mut client, "/v1/say?sequence=1000000").await;
    assert_ne!(held_answer_bytes(&metrics), "0");
    // it comes to its end before anything of it is read
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(held_answer_bytes(&metrics), "0");
    let (bytes, reason) = broken_off(stalled).await;
    assert!(bytes <= WINDOW_BYTES as usize, "{bytes} bytes");
    assert_eq!(reason, h2::Reason::CANCEL);
}

#[tokio::test(start_paused = true)]
async fn under_any_other_server_the_call_ends_and_the_bytes_are_given_back() {
    let (config, metrics) = impatient();
    let (service, seen) = chat(config);
    let mut client = narrow(&service, false).await;
    let stalled = get(&mut client, "/v1/lines:follow").await;
    soon(seen.dropped.notified()).await;
    let large = get(&mut client, "/v1/say?sequence=1000000").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(held_answer_bytes(&metrics), "0");
    for answer in [stalled, large] {
        let (bytes, reason) = broken_off(answer).await;
        // what the server was given is still read
        assert!(bytes <= 3 * (16 << 10), "{bytes} bytes");
        assert_eq!(reason, h2::Reason::INTERNAL_ERROR);
    }
}

#[tokio::test(start_paused = true)]
async fn a_websocket_whose_stream_has_no_room_is_reset_and_its_call_ends() {
    let (config, _) = impatient();
    let (service, seen) = chat(config);
    let mut client = narrow(&service, true).await;
    // what the server allows comes with its settings
    assert_eq!(get(&mut client, "/v1/say").await.status(), 200);
    let mut request = Request::connect("http://gateway/v1/lines:follow").body(Empty::new()).unwrap();
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    request.extensions_mut().insert(hyper::ext::Protocol::from_static("websocket"));
    let response = soon(client.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut socket = TokioIo::new(soon(hyper::upgrade::on(response)).await.unwrap());
    soon(seen.dropped.notified()).await;
    // a reset is an end
    let mut bytes = Vec::new();
    let _ = soon(socket.read_to_end(&mut bytes)).await;
    assert!(bytes.len() <= WINDOW_BYTES as usize, "{} bytes", bytes.len());
    assert_eq!(get(&mut client, "/v1/say").await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_all_of_its_answer() {
    let (config, _) = impatient();
    let (service, _) = chat(config);
    let mut client = narrow(&service, true).await;
    let mut answer = get(&mut client, "/v1/say?sequence=100000").await;
    let mut bytes = 0;
    while let Some(frame) = soon(answer.body_mut().frame()).await {
        bytes += frame.unwrap().into_data().map_or(0, |data| data.len());
        // a piece takes some thirty frames
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(bytes > 100_000, "{bytes} bytes");
}
