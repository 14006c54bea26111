//! A small gRPC service by hand, on bytes: a library whose books can be read, changed and watched.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, response::IntoResponse as _, routing::post};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message;

pub(crate) const PROTO: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/protobuf/field_mask.proto";

// Books, and who reads them.
service Library {
  // Gives a book.
  rpc GetBook(GetBookRequest) returns (Book) { option (google.api.http) = { get: "/v1/{name=shelves/*/books/*}" }; }
  // Changes a book.
  rpc UpdateBook(UpdateBookRequest) returns (Book) {
    option (google.api.http) = { patch: "/v1/{book.name=shelves/*/books/*}" body: "book" };
  }
  // Sends a word to a process.
  rpc Send(SendRequest) returns (Book) { option (google.api.http) = { post: "/v1/processes/{process}:send" body: "*" }; }
  // Follows what happens.
  rpc Watch(WatchRequest) returns (stream Event) { option (google.api.http) = { get: "/v1/events:watch" }; }
  // Counts what comes.
  rpc Count(stream Book) returns (Event) { option (google.api.http) = { post: "/v1/books:count" body: "*" }; }
}

message GetBookRequest { string name = 1; int32 page_size = 2; }
message UpdateBookRequest { Book book = 1; google.protobuf.FieldMask update_mask = 2; }
message SendRequest { string process = 1; string word = 2; }
// A book.
message Book { string name = 1; string title = 2; repeated string tags = 3; }
message WatchRequest { uint64 after = 1; uint64 count = 2; bool fail = 3; bool hang = 4; }
message Event { uint64 sequence = 1; string text = 2; }
"#;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Name {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Book {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    title: String,
    #[prost(string, repeated, tag = "3")]
    tags: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct Mask {
    #[prost(string, repeated, tag = "1")]
    paths: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct UpdateBook {
    #[prost(message, tag = "1")]
    book: Option<Book>,
    #[prost(message, tag = "2")]
    update_mask: Option<Mask>,
}

#[derive(Clone, PartialEq, Message)]
struct Watch {
    #[prost(uint64, tag = "1")]
    after: u64,
    #[prost(uint64, tag = "2")]
    count: u64,
    #[prost(bool, tag = "3")]
    fail: bool,
    #[prost(bool, tag = "4")]
    hang: bool,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(string, tag = "2")]
    text: String,
}

/// What the service did.
#[derive(Clone, Default)]
pub(crate) struct Counters {
    /// Events handed to the transport.
    pub(crate) produced: Arc<AtomicUsize>,
    /// Is notified when a watch is dropped.
    pub(crate) dropped: Arc<tokio::sync::Notify>,
}

struct NotifyOnDrop(Arc<tokio::sync::Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

pub(crate) fn router(counters: Counters) -> Router {
    Router::new()
        .route("/t.Library/GetBook", post(get_book))
        .route("/t.Library/UpdateBook", post(update_book))
        .route("/t.Library/Send", post(send))
        .route("/t.Library/Count", post(count))
        .route("/t.Library/Watch", post(move |body: Bytes| watch(counters.clone(), body)))
}

fn framed(message: &impl Message) -> Bytes {
    let mut frame = vec![0; 5];
    message.encode(&mut frame).unwrap();
    arsenal_gateway::grpc::seal(&mut frame);
    frame.into()
}

fn request<M: Message + Default>(body: &Bytes) -> M {
    M::decode(&body[5..]).unwrap()
}

fn trailers(code: &'static str, message: &'static str) -> HeaderMap {
    HeaderMap::from_iter([
        ("grpc-status".parse().unwrap(), HeaderValue::from_static(code)),
        ("grpc-message".parse().unwrap(), HeaderValue::from_static(message)),
    ])
}

fn reply(frames: impl Stream<Item = Frame<Bytes>> + Send + 'static) -> Response<Body> {
    let body = StreamBody::new(frames.map(Ok::<_, std::convert::Infallible>));
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

fn one(message: &impl Message) -> Response<Body> {
    reply(stream::iter([Frame::data(framed(message)), Frame::trailers(trailers("0", ""))]))
}

/// A status without a message, in the headers alone.
fn refused(code: &'static str, message: &'static str) -> Response<Body> {
    let mut response = Body::empty().into_response();
    *response.headers_mut() = trailers(code, message);
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

async fn get_book(body: Bytes) -> Response<Body> {
    let name = request::<Name>(&body).name;
    if name.ends_with("/missing") {
        return refused("5", "no book%20there");
    }
    let mut response = one(&Book { name, title: "Dune".into(), tags: vec!["a".into(), "b".into()] });
    response.headers_mut().insert("etag", HeaderValue::from_static("\"7\""));
    response
}

async fn update_book(body: Bytes) -> Response<Body> {
    let update: UpdateBook = request(&body);
    let book = update.book.unwrap_or_default();
    one(&Book { tags: update.update_mask.unwrap_or_default().paths, ..book })
}

async fn send(headers: HeaderMap, body: Bytes) -> Response<Body> {
    let timeout = headers.get("grpc-timeout").and_then(|value| value.to_str().ok()).unwrap_or("none");
    let sent: Book = request(&body);
    one(&Book { tags: vec![timeout.to_owned()], ..sent })
}

async fn count(body: Body) -> Response<Body> {
    let Ok(body) = body.collect().await else { return refused("14", "the stream broke") };
    let bytes = body.to_bytes();
    let (mut rest, mut messages) = (&bytes[..], 0);
    while let Some((prefix, tail)) = rest.split_first_chunk::<5>() {
        rest = &tail[u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize..];
        messages += 1;
    }
    one(&Event { sequence: messages, text: "counted".into() })
}

async fn watch(counters: Counters, body: Bytes) -> Response<Body> {
    let watch: Watch = request(&body);
    if watch.fail && watch.count == 0 {
        return reply(stream::iter([Frame::trailers(trailers("7", "not for you"))]));
    }
    let guard = NotifyOnDrop(counters.dropped);
    let produced = counters.produced;
    let events = stream::iter(watch.after + 1..).map(move |sequence| {
        produced.fetch_add(1, Ordering::SeqCst);
        let _ = &guard;
        Frame::data(framed(&Event { sequence, text: "x".repeat(1000) }))
    });
    let events = events.take(if watch.count == 0 { usize::MAX } else { watch.count as usize });
    let end = if watch.fail { trailers("8", "enough") } else { trailers("0", "") };
    let last = stream::once(async move {
        if watch.hang {
            tokio::time::sleep(Duration::from_secs(600)).await;
        }
        Frame::trailers(end)
    });
    reply(events.chain(last))
}
