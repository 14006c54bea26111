//! A small gRPC service by hand whose methods stream both ways.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use arsenal_gateway::grpc::{Deframer, seal};
use axum::{Router, body::Body, routing::post};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use tokio::sync::{Notify, mpsc};

pub(crate) const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";

service Chat {
  // Gives each line back.
  rpc Talk(stream Line) returns (stream Line) {
    option (google.api.http) = { get: "/v1/rooms/{room}:talk" additional_bindings { post: "/v1/rooms/{room}:talk" body: "*" } };
  }
  // Counts lines.
  rpc Tally(stream Line) returns (Line) { option (google.api.http) = { post: "/v1/lines:tally" body: "*" }; }
  // Gives lines.
  rpc Follow(Line) returns (stream Line) { option (google.api.http) = { get: "/v1/lines:follow" }; }
  // Gives lines of what is asked for in a body.
  rpc Search(Line) returns (stream Line) { option (google.api.http) = { post: "/v1/lines:search" body: "*" }; }
  // Reads nothing and says nothing.
  rpc Ignore(stream Line) returns (stream Line) { option (google.api.http) = { get: "/v1/lines:ignore" }; }
  // Refuses whoever asks, without reading what he says.
  rpc Deny(stream Line) returns (stream Line) { option (google.api.http) = { post: "/v1/lines:deny" body: "*" }; }
  // Gives bytes.
  rpc Download(Line) returns (stream google.api.HttpBody) { option (google.api.http) = { get: "/v1/file" }; }
  // Gives back what was sent in pieces, as one text.
  rpc Upload(stream google.api.HttpBody) returns (Line) { option (google.api.http) = { post: "/v1/file:upload" body: "*" }; }
  // Gives one line, of as many letters as are asked for.
  rpc Say(Line) returns (Line) { option (google.api.http) = { get: "/v1/say" }; }
}

message Line { string room = 1; string text = 2; uint64 sequence = 3; }
"#;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Line {
    #[prost(string, tag = "1")]
    pub(crate) room: String,
    #[prost(string, tag = "2")]
    pub(crate) text: String,
    #[prost(uint64, tag = "3")]
    pub(crate) sequence: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HttpBody {
    #[prost(string, tag = "1")]
    content_type: String,
    #[prost(bytes = "vec", tag = "2")]
    data: Vec<u8>,
}

/// What the service saw.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// Lines handed to the transport by Follow.
    pub(crate) produced: Arc<AtomicUsize>,
    /// A client's stream broke off.
    pub(crate) broken: Arc<Notify>,
    /// The call's response was dropped.
    pub(crate) dropped: Arc<Notify>,
    /// The authorization of the last Talk.
    pub(crate) authorization: Arc<std::sync::Mutex<Option<String>>>,
}

struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

pub(crate) fn router(seen: Seen) -> Router {
    let (talk_seen, ignore_seen) = (seen.clone(), seen.clone());
    Router::new()
        .route("/t.Chat/Talk", post(move |headers, body| talk(talk_seen.clone(), headers, body)))
        .route("/t.Chat/Tally", post(tally))
        .route("/t.Chat/Follow", post(move |body: Bytes| follow(seen.clone(), body)))
        .route("/t.Chat/Search", post(move |body: Bytes| follow(Seen::default(), body)))
        .route("/t.Chat/Ignore", post(move |body: Body| ignore(ignore_seen.clone(), body)))
        .route("/t.Chat/Deny", post(|| async { reply(stream::iter([end("7", "not%20you")])) }))
        .route("/t.Chat/Download", post(download))
        .route("/t.Chat/Upload", post(upload))
        .route("/t.Chat/Say", post(say))
}

fn data(message: &impl prost::Message) -> Frame<Bytes> {
    let mut frame = vec![0; 5];
    message.encode(&mut frame).unwrap();
    seal(&mut frame);
    Frame::data(frame.into())
}

fn end(code: &str, message: &'static str) -> Frame<Bytes> {
    Frame::trailers(HeaderMap::from_iter([
        ("grpc-status".parse().unwrap(), HeaderValue::from_str(code).unwrap()),
        ("grpc-message".parse().unwrap(), HeaderValue::from_static(message)),
    ]))
}

fn reply(frames: impl Stream<Item = Frame<Bytes>> + Send + 'static) -> Response<Body> {
    let mut response = Response::new(Body::new(StreamBody::new(frames.map(Ok::<_, Infallible>))));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// The lines of a request, one by one; an error where it broke off, which `broken` is told too.
fn lines(mut body: Body, broken: Arc<Notify>) -> mpsc::Receiver<Result<Line, ()>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut deframer = Deframer::default();
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                broken.notify_one();
                let _ = sender.send(Err(())).await;
                return;
            };
            let Ok(chunk) = frame.into_data() else { continue };
            deframer.push(chunk);
            while let Some(message) = deframer.next(1 << 20).unwrap() {
                if sender.send(Ok(Line::decode(message).unwrap())).await.is_err() {
                    return;
                }
            }
        }
    });
    receiver
}

async fn talk(seen: Seen, headers: HeaderMap, body: Body) -> Response<Body> {
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).map(str::to_owned);
    *seen.authorization.lock().unwrap() = authorization;
    let state = (lines(body, seen.broken), 1, OnDrop(seen.dropped));
    reply(stream::unfold(Some(state), |state| async move {
        let (mut lines, sequence, guard) = state?;
        Some(match lines.recv().await {
            Some(Ok(line)) if line.text == "fail" => (end("9", "not%20in%20the%20mood"), None),
            Some(Ok(line)) if line.text.starts_with("fail ") => (end(&line.text[5..], "asked%20for"), None),
            Some(Ok(line)) => (data(&Line { sequence, ..line }), Some((lines, sequence + 1, guard))),
            Some(Err(())) => (end("1", "broken off"), None),
            None => (end("0", ""), None),
        })
    }))
}

async fn tally(body: Body) -> Response<Body> {
    let (mut lines, mut sequence) = (lines(body, Arc::default()), 0);
    while let Some(Ok(_)) = lines.recv().await {
        sequence += 1;
    }
    reply(stream::iter([data(&Line { sequence, ..Line::default() }), end("0", "")]))
}

/// The pieces with bars between them: content type and data lie where a line has its room and text.
async fn upload(body: Body) -> Response<Body> {
    let (mut pieces, mut text) = (lines(body, Arc::default()), Vec::new());
    while let Some(Ok(piece)) = pieces.recv().await {
        text.push(piece.text);
    }
    reply(stream::iter([data(&Line { text: text.join("|"), ..Line::default() }), end("0", "")]))
}

/// `sequence` lines, or lines without end.
async fn follow(seen: Seen, body: Bytes) -> Response<Body> {
    let asked = Line::decode(&body[5..]).unwrap();
    let guard = OnDrop(seen.dropped);
    let items = stream::iter(1..).map(move |sequence| {
        let _ = &guard;
        seen.produced.fetch_add(1, Ordering::SeqCst);
        data(&Line { sequence, text: "x".repeat(1000), room: String::new() })
    });
    let count = if asked.sequence == 0 { usize::MAX } else { asked.sequence as usize };
    reply(items.take(count).chain(stream::iter([end("0", "")])))
}

/// Holds the request without looking at it.
async fn ignore(seen: Seen, body: Body) -> Response<Body> {
    let guard = OnDrop(seen.dropped);
    reply(stream::once(async move {
        let _held = (body, guard);
        std::future::pending().await
    }))
}

async fn say(body: Bytes) -> Response<Body> {
    let asked = Line::decode(&body[5..]).unwrap();
    let text = "x".repeat(asked.sequence as usize);
    reply(stream::iter([data(&Line { text, ..Line::default() }), end("0", "")]))
}

async fn download() -> Response<Body> {
    let piece = |data: &[u8]| HttpBody { content_type: "text/plain".into(), data: data.to_vec() };
    reply(stream::iter([data(&piece(b"one ")), data(&piece(b"two")), end("0", "")]))
}
