//! NDJSON both ways over HTTP/2: each line of the client is a message, each message of the service a line.

use std::{sync::atomic::Ordering, time::Duration};

use arsenal_gateway::{Config, GatewayService, config::ErrorFormat};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, client::conn::http2::SendRequest};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
};
use tokio_stream::wrappers::ReceiverStream;

use crate::{PIPE_BYTES, chat, let_others_run, soon, websocket::connection};

type Body = BoxBody<Bytes, std::io::Error>;

async fn client(service: &GatewayService) -> SendRequest<Body> {
    let (client, server) = tokio::io::duplex(PIPE_BYTES);
    let service = TowerToHyperService::new(service.clone());
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        hyper::service::Service::call(&service, request.map(axum::body::Body::new))
    });
    tokio::spawn(async move {
        let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = http.serve_connection(TokioIo::new(server), service).await;
    });
    let http = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client));
    let (sender, connection) = soon(http).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// A stream under way: what is said goes into the request's body.
struct Talk {
    say: mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>,
    response: Response<Incoming>,
    pending: Vec<u8>,
}

impl Talk {
    async fn open(service: &GatewayService, path: &str) -> Self {
        let (say, said) = mpsc::channel(1);
        let body = BodyExt::boxed(StreamBody::new(ReceiverStream::new(said)));
        let request = Request::post(path).header("content-type", "application/x-ndjson");
        let request = request.header("accept", "application/x-ndjson").body(body).unwrap();
        let response = soon(client(service).await.send_request(request)).await.unwrap();
        Self { say, response, pending: Vec::new() }
    }

    async fn say(&self, text: &'static str) {
        soon(self.say.send(Ok(Frame::data(Bytes::from_static(text.as_bytes()))))).await.unwrap();
    }

    /// The next line; nothing at the end.
    async fn line(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let frame = soon(self.response.body_mut().frame()).await?;
            self.pending.extend_from_slice(frame.unwrap().data_ref().unwrap());
        }
    }
}

#[tokio::test]
async fn a_line_is_answered_while_the_request_is_still_open() {
    let (service, _) = chat(Config::default());
    let mut talk = Talk::open(&service, "http://gateway/v1/rooms/blue:talk").await;
    assert_eq!(talk.response.headers()["content-type"], "application/x-ndjson");
    talk.say("{\"text\":\"a\"}\n{\"te").await;
    assert_eq!(talk.line().await, Some(json!({"room": "blue", "text": "a", "sequence": "1"})));
    talk.say("xt\":\"b\"}\n").await;
    assert_eq!(talk.line().await.unwrap()["sequence"], "2");
    drop(std::mem::replace(&mut talk.say, mpsc::channel(1).0));
    assert_eq!(talk.line().await, None);
}

#[tokio::test]
async fn a_bad_line_is_named_in_the_last_line_though_upstream_only_saw_a_break() {
    for error_format in [ErrorFormat::Envelope, ErrorFormat::Status] {
        a_bad_line_is_named(error_format).await;
    }
}

async fn a_bad_line_is_named(error_format: ErrorFormat) {
    let (service, seen) = chat(Config { error_format, ..Config::default() });
    let mut talk = Talk::open(&service, "http://gateway/v1/rooms/blue:talk").await;
    talk.say("{}\n").await;
    assert_eq!(talk.line().await.unwrap()["sequence"], "1");
    talk.say("{\"text\":1}\n").await;
    soon(seen.broken.notified()).await;
    let error = talk.line().await.unwrap()["error"].clone();
    assert_eq!(error["details"][0]["reason"], "INVALID_BODY");
    assert_eq!(error["details"][1]["fieldViolations"][0]["field"], "text");
    assert_eq!(talk.line().await, None);
}

#[tokio::test]
async fn lines_that_were_pressed_as_no_text_is_are_refused_though_all_are_blank() {
    let (service, _) = chat(Config::default());
    let bomb = zstd::encode_all(&*vec![b' '; 256 << 20], 1).unwrap();
    assert!(bomb.len() < 100_000);
    let body = BodyExt::boxed(http_body_util::Full::new(Bytes::from(bomb)).map_err(|never| match never {}));
    let request =
        Request::post("http://gateway/v1/lines:tally").header("content-type", "application/x-ndjson");
    let request = request.header("content-encoding", "zstd").body(body).unwrap();
    let response = soon(client(&service).await.send_request(request)).await.unwrap();
    assert_eq!(response.status(), 413);
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    let error: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(error["error"]["details"][0]["reason"], "BODY_TOO_LARGE", "{error}");
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("grows to more than 100 times that"), "{message}");
}

#[tokio::test]
async fn an_upload_that_is_refused_early_is_told_so_at_once_and_taken_no_further() {
    let (service, _) = chat(Config::default());
    let talk = Talk::open(&service, "http://gateway/v1/lines:deny").await;
    assert_eq!(talk.response.status(), 403);
    // until its own side is told that nobody reads it
    while soon(talk.say.send(Ok(Frame::data(Bytes::from_static(b"{\"text\":\"more\"}\n"))))).await.is_ok() {}
    let body = soon(talk.response.into_body().collect()).await.unwrap().to_bytes();
    let error: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(error["error"]["message"], "not you");
}

#[tokio::test]
async fn an_upload_over_http_1_that_is_refused_early_is_told_so_while_it_goes_on() {
    let (service, _) = chat(Config::default());
    let mut client = connection(&service);
    let head = "POST /v1/lines:deny HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/x-ndjson\r\n\
                transfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n";
    soon(client.write_all(head.as_bytes())).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}}") {
        assert_ne!(soon(client.read_buf(&mut answer)).await.unwrap(), 0);
    }
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("not you"), "{answer}");
    // the rest is taken by nobody, and the connection ends
    while soon(client.write_all(b"3\r\n{}\n\r\n")).await.is_ok() {}
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_on_a_quiet_stream_ends_its_call() {
    // no heartbeat finds out that it is gone
    let (service, seen) = chat(Config { heartbeat: Duration::from_secs(1 << 20), ..Config::default() });
    let mut client = connection(&service);
    let head = "GET /v1/lines:ignore HTTP/1.1\r\nhost: gateway\r\naccept: text/event-stream\r\n\r\n";
    soon(client.write_all(head.as_bytes())).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        assert_ne!(soon(client.read_buf(&mut answer)).await.unwrap(), 0);
    }
    drop(client);
    soon(seen.dropped.notified()).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_its_lines_holds_the_producer_back() {
    let (service, seen) = chat(Config::default());
    let request = Request::get("http://gateway/v1/lines:follow")
        .body(BodyExt::boxed(http_body_util::Empty::new().map_err(|never| match never {})));
    let mut response = soon(client(&service).await.send_request(request.unwrap())).await.unwrap();
    soon(response.body_mut().frame()).await.unwrap().unwrap();
    let_others_run().await;
    let produced = seen.produced.load(Ordering::SeqCst);
    // HTTP/2's window of a stream, which is 2 MiB for hyper's client
    assert!(produced < 2200, "{produced} lines for a reader of 1");
    drop(response);
    soon(seen.dropped.notified()).await;
}
