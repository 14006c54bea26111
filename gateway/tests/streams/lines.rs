//! NDJSON both ways over HTTP/2: each line of the client is a message, each message of the service a line.

use std::sync::atomic::Ordering;

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
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::{PIPE_BYTES, chat, let_others_run, soon};

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
